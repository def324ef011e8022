"""A browser that says what the test tells it to, byte by byte, and keeps what it hears."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from tests.support.frames import take_frames

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 1.3
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def handshake(target: str, *headers: str, host: str = "relay.example") -> bytes:
    """The head of a WebSocket request."""
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def client_frame(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bytes = b"\1\2\3\4") -> bytes:
    """A masked frame, as clients must send them."""
    size = len(payload)
    head = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


class Browser(Protocol):
    """Collects the response head, then frames. `answer_close` and `answer_pings` make it polite."""

    def __init__(self, *, answer_close: bool = True, answer_pings: bool = True) -> None:
        self.answer_close = answer_close
        self.answer_pings = answer_pings
        self.head: bytes | None = None
        self.data = bytearray()
        self.frames: list[tuple[int, bytes]] = []
        self.lost: Failure | None = None
        self._waiting: list[tuple[Any, Deferred[None]]] = []

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        if self.head is None:
            end = self.data.find(b"\r\n\r\n")
            if end >= 0:
                self.head = bytes(self.data[: end + 4])
                del self.data[: end + 4]
        if self.head is not None and self.head.startswith(b"HTTP/1.1 101"):
            for opcode, payload in take_frames(self.data):
                self.frames.append((opcode, payload))
                if opcode == CLOSE and self.answer_close:
                    self.transport.write(client_frame(CLOSE, payload[:2]))
                if opcode == PING and self.answer_pings:
                    self.transport.write(client_frame(PONG, payload))
        self._look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason
        self._look()

    def until(self, condition: Any) -> Deferred[None]:
        """Fires when `condition()` is true after something has come; fails when the connection ends before that."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append((condition, waiting))
        self._look()
        return waiting

    def _look(self) -> None:
        for entry in list(self._waiting):
            if entry[0]():
                self._waiting.remove(entry)
                entry[1].callback(None)
            elif self.lost is not None:
                self._waiting.remove(entry)
                last = repr(self.frames[-3:])[:200]
                entry[1].errback(AssertionError(f"the connection ended; the last frames were {last}"))

    def send(self, opcode: int, payload: bytes = b"", **how: Any) -> None:
        """One frame."""
        self.transport.write(client_frame(opcode, payload, **how))

    def say(self, **command: Any) -> None:
        """One command of relayd.v1."""
        self.send(TEXT, json.dumps(command).encode())

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The text messages so far, decoded."""
        return [json.loads(payload) for opcode, payload in self.frames if opcode == TEXT]

    @property
    def close(self) -> tuple[int, str] | None:
        """Code and reason of the close frame, if one came."""
        for opcode, payload in self.frames:
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big"), payload[2:].decode()
        return None

    def count(self, opcode: int) -> int:
        """How many frames of this kind came."""
        return sum(found == opcode for found, _ in self.frames)
