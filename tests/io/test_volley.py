"""Volleys on real sockets: every byte arrives as with `send`, whatever some sockets do."""

from __future__ import annotations

import ctypes
import socket
from array import array
from collections.abc import Iterator
from errno import EAGAIN, EBADF, EINVAL, EIO, ENOSYS, EPIPE

import pytest

from relayd.core.volley import NO_PORT
from relayd.io import volley as module
from relayd.io.volley import AioVolley
from tests.support.require import missing

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def volley() -> Iterator[AioVolley]:
    one = AioVolley(depth=4)
    try:
        one.open()
    except OSError as error:
        missing("io_submit", f"{error}: another kernel, or a sandbox that allows it")
    yield one
    one.close()


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    made = [socket.socketpair() for _ in range(10)]
    for near, _ in made:
        near.setblocking(False)
    yield made
    for pair in made:
        for end in pair:
            end.close()


class FireTests:
    """What a volley does to sockets."""

    def test_all_take_all(self, volley: AioVolley, pairs: list[Pair]) -> None:
        """More sockets than the kernel's context has places; a port serves again and again."""
        ports = array("Q", [volley.port(near.fileno()) for near, _ in pairs])
        assert len(set(ports)) == 10 and all(ports)
        assert volley.fire(ports, b"hello") is None
        assert volley.fire(ports, b", you") is None
        assert [far.recv(100) for _, far in pairs] == [b"hello, you"] * 10

    def test_full(self, volley: AioVolley, pairs: list[Pair]) -> None:
        """A socket takes a part, then nothing; the others are none the worse."""
        ports = array("Q", [volley.port(near.fileno()) for near, _ in pairs[:3]])
        data = bytes(300_000)
        filled = 0
        while (taken := pairs[1][0].send(data)) == len(data):
            filled += taken
        answers = volley.fire(ports, b"x" * 100)
        assert answers == [100, -EAGAIN, 100]
        assert pairs[0][1].recv(1000) == pairs[2][1].recv(1000) == b"x" * 100

    def test_part(self, volley: AioVolley) -> None:
        """What TCP takes of more than it has room for is what arrives."""
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as far:
            near, _ = server.accept()
            with near:
                near.setblocking(False)
                data = bytes(range(256)) * 64 * 1024
                answers = volley.fire(array("Q", [volley.port(near.fileno())]), data)
                assert answers is not None and 0 < answers[0] < len(data)
                near.shutdown(socket.SHUT_WR)
                arrived = bytearray()
                while part := far.recv(1 << 20):
                    arrived += part
                assert arrived == data[: answers[0]]

    def test_broken(self, volley: AioVolley, pairs: list[Pair]) -> None:
        """The error of one is its own."""
        ports = array("Q", [volley.port(near.fileno()) for near, _ in pairs[:6]])
        pairs[2][1].close()
        assert volley.fire(ports, b"hello") == [5, 5, -EPIPE, 5, 5, 5]

    @pytest.mark.parametrize("closed", [0, 2, 5])
    def test_closed(self, volley: AioVolley, pairs: list[Pair], closed: int) -> None:
        """A descriptor that is none stops the kernel's list; those after it are served all the same."""
        ports = array("Q", [volley.port(near.fileno()) for near, _ in pairs[:6]])
        pairs[closed][0].close()
        assert volley.fire(ports, b"hello") == [-EBADF if n == closed else 5 for n in range(6)]

    def test_nobody(self, volley: AioVolley) -> None:
        """An empty list is a volley, too."""
        assert volley.fire(array("Q"), b"hello") is None


class PortTests:
    """Ports are addresses that are used again."""

    def test_used_again(self, volley: AioVolley, pairs: list[Pair]) -> None:
        """With another descriptor."""
        port = volley.port(pairs[0][0].fileno())
        volley.free(port)
        assert volley.port(pairs[1][0].fileno()) == port
        assert volley.fire(array("Q", [port]), b"hello") is None
        assert pairs[1][1].recv(100) == b"hello"

    def test_many(self, volley: AioVolley) -> None:
        """More than one block of them."""
        assert len({volley.port(number) for number in range(3000)}) == 3000


class OpenTests:
    """Where there is no context, there is no port."""

    def test_not_open(self) -> None:
        """Before `open`, and after `close`."""
        volley = AioVolley()
        assert volley.port(1) == NO_PORT
        volley.close()
        volley.open()
        volley.open()
        assert volley.port(1) != NO_PORT
        volley.close()
        volley.close()
        assert volley.port(1) == NO_PORT

    def test_other_machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One whose numbers nobody has looked up."""
        monkeypatch.setattr(module.platform, "machine", lambda: "vax")
        with pytest.raises(OSError, match="no io_submit for linux on vax") as raised:
            AioVolley().open()
        assert raised.value.errno == ENOSYS

    def test_kernel_refuses(self) -> None:
        """It says why."""
        with pytest.raises(OSError) as raised:
            AioVolley(depth=1 << 18).open()
        assert raised.value.errno in (EAGAIN, EINVAL)


class AnswerTests:
    """Answers that do not come as they should."""

    def test_unknown_outcome(self, volley: AioVolley, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch) -> None:
        """A connection whose bytes may be torn is broken; answers in another order are put right."""
        ports = array("Q", [volley.port(near.fileno()) for near, _ in pairs[:3]])
        kernel = volley._syscall

        def call(number: int, *arguments: int) -> int:
            done = kernel(number, *arguments)
            if number != volley._numbers.getevents:
                return done
            events = volley._events
            events[0:4], events[8:12] = events[8:12], events[0:4]  # the first and the third change places
            return 2

        monkeypatch.setattr(volley, "_syscall", call)
        assert volley.fire(ports, b"hello") == [-EIO, 5, 5]
        assert ctypes.sizeof(volley._events) == 4 * 32
