"""The proxy that misbehaves: each of its faults is the fault it is called after."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.support.chaos import Chaos, Toxic
from tests.support.waiting import eventually


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says back what it hears."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer(peer: socket.socket) -> None:
            with peer, suppress(OSError):
                while data := peer.recv(65_536):
                    peer.sendall(data)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    peer, _ = listening.accept()
                    threading.Thread(target=answer, args=(peer,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def chaos(echo: int) -> Iterator[Chaos]:
    """The proxy before it."""
    with Chaos(echo) as proxy:
        yield proxy


@pytest.fixture
def client(chaos: Chaos) -> Iterator[socket.socket]:
    """A connection through it."""
    with socket.create_connection(("127.0.0.1", chaos.port), timeout=5) as peer:
        yield peer


def read(peer: socket.socket, count: int) -> bytes:
    """So many bytes, or what there is until the end."""
    data = b""
    while len(data) < count and (more := peer.recv(count - len(data))):
        data += more
    return data


def test_clean(client: socket.socket) -> None:
    """Without a toxic, all bytes pass as they are."""
    sent = bytes(range(256)) * 4_096
    threading.Thread(target=client.sendall, args=(sent,), daemon=True).start()
    assert read(client, len(sent)) == sent


def test_latency_delays_and_keeps_the_order(chaos: Chaos, client: socket.socket) -> None:
    """Late, not slow: what is sent in a row arrives in a row."""
    chaos.toxic(down=Toxic(latency_s=0.1, jitter_s=0.05))
    began = time.monotonic()
    for number in range(50):
        client.sendall(b"%02d" % number)
    assert read(client, 100) == b"".join(b"%02d" % number for number in range(50))
    assert time.monotonic() - began >= 0.1


def test_slices(chaos: Chaos, client: socket.socket) -> None:
    """In pieces, all of it."""
    chaos.toxic(down=Toxic(slice_bytes=3), up=Toxic(slice_bytes=1))
    client.sendall(b"0123456789" * 50)
    assert read(client, 500) == b"0123456789" * 50


def test_rate(chaos: Chaos, client: socket.socket) -> None:
    """4,000 bytes at 20,000 a second take at least 0.18 s."""
    chaos.toxic(down=Toxic(rate_bytes_s=20_000))
    began = time.monotonic()
    client.sendall(b"x" * 4_000)
    assert len(read(client, 4_000)) == 4_000
    assert time.monotonic() - began >= 0.18


def test_limit_cuts_within_a_message(chaos: Chaos, client: socket.socket) -> None:
    """So many bytes, then the end."""
    chaos.toxic(down=Toxic(limit_bytes=7))
    client.sendall(b"0123456789")
    assert read(client, 10) == b"0123456"


def test_stall(chaos: Chaos, client: socket.socket) -> None:
    """Nothing, and nothing is lost when it is over."""
    chaos.toxic(down=Toxic(stall=True))
    client.sendall(b"held")
    client.settimeout(0.1)
    with pytest.raises(TimeoutError):
        client.recv(1)
    chaos.toxic()
    client.settimeout(5)
    assert read(client, 4) == b"held"


@pytest.mark.parametrize("reset", [False, True])
def test_ends(chaos: Chaos, client: socket.socket, reset: bool) -> None:
    """By FIN or by RST; the next connection is taken."""
    client.sendall(b"a")
    assert read(client, 1) == b"a"
    assert (chaos.reset() if reset else chaos.cut()) == 1
    if reset:
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    else:
        assert client.recv(1) == b""
    with socket.create_connection(("127.0.0.1", chaos.port), timeout=5) as again:
        again.sendall(b"b")
        assert read(again, 1) == b"b"
        assert (chaos.accepted, chaos.open) == (2, 1)
    eventually(lambda: chaos.open == 0, "the proxy sees the end")


def test_down(chaos: Chaos, client: socket.socket) -> None:
    """Refused, until it is up again on the same port."""
    with chaos.down(), pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", chaos.port), timeout=5)
    socket.create_connection(("127.0.0.1", chaos.port), timeout=5).close()
