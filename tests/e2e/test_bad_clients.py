"""Clients that ask for the wrong thing: each is told what was wrong, and the next one is served as if nothing was."""

from __future__ import annotations

import base64
import json
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.daemon import TICKERS, Daemon, Exchange
from tests.support.ports import free_port
from tests.support.wheel import Installation

#: One relayd serves them all, so one worker runs them all.
pytestmark = pytest.mark.xdist_group("bad-clients")

GOOD_TOPIC = "market/ticker/BTC-USD"


@pytest.fixture(scope="module")
def shared(relayd: Installation) -> Iterator[Daemon]:
    """relayd before a feed, for all tests of this module."""
    with tempfile.TemporaryDirectory(prefix="relayd-") as place, Exchange(relayd, Path(place)) as exchange:
        port = free_port()
        file = Path(place) / "relay.yaml"
        file.write_text(TICKERS.replace("$PORT", str(port)).replace("$FEED", exchange.feed))
        with Daemon(relayd, file, port) as running:
            running.listens()
            yield running


@pytest.fixture
def daemon(shared: Daemon) -> Iterator[Daemon]:
    """Whatever a test does to relayd, afterwards it serves the next client and has no traceback in its log."""
    yield shared
    with connect(shared.url(f"/ws?topics={GOOD_TOPIC}")) as client:
        while "data" not in json.loads(client.recv(timeout=10)):
            pass
    assert "Traceback" not in shared.output


def ask(client: ClientConnection, message: str | dict[str, object]) -> dict[str, object]:
    """Sends a message; the answer to it."""
    client.send(message if isinstance(message, str) else json.dumps(message))
    while True:
        answer = json.loads(client.recv(timeout=10))
        if answer.get("op") in ("subscribed", "error", "pong"):
            return answer


def send_until_cut(client: socket.socket, size: int) -> None:
    """Sends as many bytes as the other side takes."""
    with suppress(OSError):
        client.sendall(b"x" * size)


def read_frame(reading: BinaryIO) -> tuple[int, bytes]:
    """One short frame of a server: opcode and payload."""
    first, length = reading.read(2)
    if length == 126:
        length = int.from_bytes(reading.read(2), "big")
    return first & 0x0F, reading.read(length)


def close_code(client: ClientConnection) -> tuple[int, str]:
    """Reads until the server closes; code and reason."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            client.recv(timeout=10)
    received = closed.value.rcvd
    assert received is not None, "the connection ended without a close frame"
    return received.code, received.reason


class CommandTests:
    """On /ws: one error, and the connection goes on."""

    @pytest.mark.parametrize(
        ("asked", "code", "said"),
        [
            ({"op": "subscribe", "id": 7, "topics": ["nowhere/at/all"]}, "unknown_topic", "no route"),
            ({"op": "subscribe", "id": 7, "topics": ["market/level2/BTC-USD"]}, "forbidden", "allow"),
            ({"op": "subscribe", "id": 7, "topics": ["market/ticker/BTC-EUR"]}, "forbidden", "allow"),
            ({"op": "subscribe", "id": 7, "topics": ["no good"]}, "bad_request", ""),
            ({"op": "subscribe", "id": 7}, "bad_request", "topics"),
            ({"op": "dance", "id": 7}, "unknown_op", "subscribe"),
        ],
    )
    def test_error(self, daemon: Daemon, asked: dict[str, object], code: str, said: str):
        """The code for programs, a sentence for people, the id of the request, and the topic where there is one."""
        with connect(daemon.url("/ws")) as client:
            answer = ask(client, asked)
            assert (answer["op"], answer["id"], answer["code"]) == ("error", 7, code)
            assert said in str(answer["message"])
            assert answer.get("topic") in (None, *asked.get("topics", ()))
            while (answer := ask(client, {"op": "ping", "id": 8}))["op"] != "pong":
                assert answer["id"] == 7  # `subscribed`, with no topic in it

    def test_malformed_json(self, daemon: Daemon):
        """Told twice what is wrong; the third time it is no slip any more."""
        with connect(daemon.url("/ws")) as client:
            for _ in range(2):
                answer = ask(client, "{not json")
                assert (answer["op"], answer["code"]) == ("error", "bad_request")
            client.send("{not json")
            assert close_code(client) == (4501, "bad-request")

    def test_ten_megabytes(self, daemon: Daemon):
        """Refused with 1009 long before they are all read; `limits.message` is 64 KiB."""
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=10) as client:
            key = base64.b64encode(bytes(16)).decode()
            client.sendall(
                f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{daemon.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            reading = client.makefile("rb")
            while reading.readline() != b"\r\n":
                pass
            # A text frame, masked with zeros, of which as much is sent as the server lets in.
            client.sendall(bytes([0x81, 0xFF]) + (10 * 1024 * 1024).to_bytes(8, "big") + bytes(4))
            sending = threading.Thread(target=send_until_cut, args=(client, 10 * 1024 * 1024))
            sending.start()
            opcode, payload = read_frame(reading)
            while opcode != 8:
                opcode, payload = read_frame(reading)
            assert payload == (1009).to_bytes(2, "big") + b"too-big"
            sending.join(10)
            assert not sending.is_alive(), "the server neither read it nor cut the connection"

    def test_binary(self, daemon: Daemon):
        """/ws speaks text."""
        with connect(daemon.url("/ws")) as client:
            client.send(b"\x00")
            assert close_code(client) == (1003, "binary")


class PathTests:
    """Paths and topics that are not served."""

    @pytest.mark.parametrize(
        ("path", "closed"),
        [("/raw/nowhere/at/all", (4501, "bad-request")), ("/raw/market/level2/BTC-USD", (4503, "forbidden"))],
    )
    def test_raw(self, daemon: Daemon, path: str, closed: tuple[int, str]):
        """A raw connection can only be closed; the code says whether to come back."""
        with connect(daemon.url(path)) as client:
            assert close_code(client) == closed

    def test_no_such_path(self, daemon: Daemon):
        """404, and where the WebSockets are."""
        with pytest.raises(InvalidStatus) as refused, connect(daemon.url("/socket")):
            pass
        assert refused.value.response.status_code == 404
        assert "/ws" in json.loads(refused.value.response.body)["message"]

    @pytest.mark.parametrize(
        ("path", "status", "code"),
        [
            ("/topics/nowhere/at/all", 404, "unknown_topic"),
            ("/topics/market/level2/BTC-USD", 403, "forbidden"),
            (f"/topics/{GOOD_TOPIC}?wait=1y", 400, "bad_request"),
            ("/nothing", 404, "unknown_path"),
            ("/ws", 426, "bad_request"),
        ],
    )
    def test_http(self, daemon: Daemon, path: str, status: int, code: str):
        """JSON with a code and a sentence."""
        answered, body = daemon.get(path)
        assert (answered, body["code"]) == (status, code)
        assert body["message"]

    def test_page_of_another_origin(self, daemon: Daemon):
        """403, and the setting that lets it in."""
        with pytest.raises(InvalidStatus) as refused, connect(daemon.url("/ws"), origin="https://evil.example"):
            pass
        assert refused.value.response.status_code == 403
        assert "origins" in json.loads(refused.value.response.body)["message"]
