"""Upstreams that misbehave, each a small server on a port of loopback, run by a thread of the test."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

Behaviour = Callable[[socket.socket], None]

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3


class BadUpstream:
    """Listens, and does the same with each connection.

    `dialled` counts the connections.

    Args:
        behave: what is done with one, in a thread of its own; the connection is closed when it returns.
    """

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self.port: int = self._listening.getsockname()[1]
        self.dialled = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """What relay.yaml names."""
        return f"ws://127.0.0.1:{self.port}/feed"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.dialled += 1
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(30)
            self._behave(connection)
        except OSError:
            pass  # the other side went first
        finally:
            self._open.discard(connection)
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._listening.close()
        for connection in list(self._open):
            connection.close()


def read_head(connection: socket.socket) -> bytes:
    """The request's head."""
    head = b""
    while b"\r\n\r\n" not in head:
        got = connection.recv(4096)
        if not got:
            raise ConnectionError("closed before the head was whole")
        head += got
    return head


def accept_handshake(connection: socket.socket) -> None:
    """Answers 101, as a good upstream does."""
    found = re.search(rb"(?i)^sec-websocket-key: *(\S+)", read_head(connection), re.MULTILINE)
    assert found is not None
    accept = base64.b64encode(hashlib.sha1(found[1] + MAGIC).digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def hangs(connection: socket.socket) -> None:
    """Takes the connection and never answers."""
    while connection.recv(4096):
        pass


def answers(status: str, *headers: str) -> Behaviour:
    """Refuses the handshake with this status."""

    def behave(connection: socket.socket) -> None:
        read_head(connection)
        lines = [f"HTTP/1.1 {status}", "Content-Length: 0", "Connection: close", *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode())

    return behave


def sends_garbage(connection: socket.socket) -> None:
    """Answers the handshake with what is no HTTP."""
    read_head(connection)
    connection.sendall(bytes(range(256)) * 16 + b"\r\n\r\n")


def sends_bad_frames(connection: socket.socket) -> None:
    """Opens, then sends what is no frame (reserved bits, an opcode that does not exist)."""
    accept_handshake(connection)
    connection.sendall(b"\xff\xff" + b"\x00" * 64)
    hangs(connection)


def closes_at_once(connection: socket.socket) -> None:
    """Opens the WebSocket and cuts it."""
    accept_handshake(connection)
