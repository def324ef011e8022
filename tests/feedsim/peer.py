"""One connection to a simulated feed, byte by byte: HTTP until it becomes a WebSocket. Written out so that a test can
send what no library would."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import struct
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from tests.feedsim.simulator import Simulator

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


class Peer(Protocol):
    """The feed's end of one connection. `subscribed` and `state` belong to the profile."""

    transport: Any

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.number = 0
        """Counts WebSockets from 1."""
        self.method = self.target = ""
        self.headers: dict[str, str] = {}
        self.is_open = False
        self.subscribed: dict[str, Any] = {}
        """The feed's own names of what this connection gets, with what the profile keeps of each."""
        self.state: dict[str, Any] = {}
        self.answers_pings = True
        self.mute = False
        """Nothing that the profile says goes out: open but silent."""
        self._data = bytearray()

    @property
    def is_stream(self) -> bool:
        """Whether an event stream is asked for."""
        return self.headers.get("accept") == "text/event-stream"

    @property
    def path(self) -> str:
        """Without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        """Of the request's target."""
        return parse_qs(urlsplit(self.target).query)

    # -- what comes

    def connectionMade(self) -> None:
        self.simulator.connections.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.simulator.connections.discard(self)
        if self.is_open:
            self.is_open = False
            self.simulator.closed(self)

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        while self._request() if not self.is_open else self._frame():
            pass

    def _request(self) -> bool:
        end = self._data.find(b"\r\n\r\n")
        if end < 0 or self.number:
            return False
        first, *lines = self._data[:end].decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ")
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size = int(self.headers.get("content-length", 0))
        if len(self._data) < end + 4 + size:
            return False
        body = bytes(self._data[end + 4 : end + 4 + size])
        del self._data[: end + 4 + size]
        if self.headers.get("upgrade", "").lower() == "websocket" or self.is_stream:
            self.simulator.handshake(self)
        else:
            self.simulator.request(self, body)
        return not self.is_stream

    def _frame(self) -> bool:
        data = self._data
        if len(data) < 2:
            return False
        size, start = data[1] & 0x7F, 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        if len(data) < start + 4 + size:
            return False
        mask = data[start : start + 4]
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data[start + 4 : start + 4 + size]))
        opcode = data[0] & 0x0F
        del data[: start + 4 + size]
        if opcode == CLOSE:
            self.raw(CLOSE, payload[:2])
            self.transport.loseConnection()
        elif opcode == PING and self.answers_pings:
            self.raw(PONG, payload)
        self.simulator.heard(self, opcode, payload)
        return self.is_open

    # -- what goes

    def accept(self, then: bytes = b"", protocol: str | None = None) -> None:
        """A correct 101, and what follows it in the same segment."""
        if self.is_stream:
            self.is_open = True
            kind = b"Content-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"
            self.write(b"HTTP/1.1 200 OK\r\n" + kind + b"\r\n" + then)
            return
        key = base64.b64encode(hashlib.sha1(self.headers["sec-websocket-key"].encode() + GUID).digest())
        chosen = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
        self.is_open = True
        self.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"{chosen}Sec-WebSocket-Accept: ".encode()
            + key
            + b"\r\n\r\n"
            + then
        )

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """An HTTP answer, then the end."""
        lines = {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.write(f"HTTP/1.1 {status} Told\r\n{head}\r\n".encode() + body)
        self.transport.loseConnection()

    def say(self, message: object, *, binary: bool = False) -> None:
        """A message of the profile: bytes as they stand, anything else as JSON."""
        if not self.mute:
            payload = message if isinstance(message, bytes) else json.dumps(message).encode()
            self.raw(BINARY if binary else TEXT, payload)

    def chunk(self, data: bytes) -> None:
        """A piece of an event stream; an empty one ends it."""
        if not self.mute:
            self.write(b"%x\r\n%b\r\n" % (len(data), data))

    def raw(self, opcode: int, payload: bytes, *, fin: bool = True) -> None:
        """One frame, whatever it holds."""
        self.write(frame(opcode, payload, fin=fin))

    def write(self, data: bytes) -> None:
        """Bytes as they stand."""
        self.simulator.journal.bytes_out += len(data)
        if self.transport is not None:
            self.transport.write(data)

    def close(self, code: int, reason: str = "") -> None:
        """A close frame, then the end."""
        self.raw(CLOSE, code.to_bytes(2, "big") + reason.encode())
        self.transport.loseConnection()

    def reset(self) -> None:
        """RST, without a goodbye; from here on it is no listener."""
        self.is_open = False
        self.simulator.closed(self)
        linger = struct.pack("ii", 1, 0)
        self.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.transport.abortConnection()


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """One frame of a server."""
    size = len(payload)
    head = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        head += bytes([size])
    elif size < 1 << 16:
        head += bytes([126]) + size.to_bytes(2, "big")
    else:
        head += bytes([127]) + size.to_bytes(8, "big")
    return head + payload
