"""Upstreams on real loopback sockets: one that speaks the tiny dialect, and one that says whatever it is told to."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import PrivateCertificate

from tests.support.certs import Certificate

SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
)


class FeedProtocol(WebSocketServerProtocol):
    """Says `ok` to a subscription and sends one message for each topic; writes down what it hears."""

    factory: FeedFactory

    def onConnect(self, request: Any) -> str | None:
        self.factory.requests.append(request)
        return request.protocols[0] if request.protocols else None

    def onOpen(self) -> None:
        self.factory.open.append(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        text = payload.decode()
        self.factory.heard.append(text)
        if text.startswith("+"):
            self.sendMessage(f"ok {text[1:]}".encode())
            for topic in text[1:].split(","):
                self.sendMessage(f"{topic}=0".encode())

    def onPong(self, payload: bytes) -> None:
        self.factory.heard.append("pong")

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:
        self.factory.closes.append((code, reason))
        if self in self.factory.open:
            self.factory.open.remove(self)


class FeedFactory(WebSocketServerFactory):
    """A feed in the tiny dialect."""

    protocol = FeedProtocol

    def __init__(self, reactor: Any, protocols: list[str] | None = None) -> None:
        super().__init__(reactor=reactor, protocols=protocols)
        self.setProtocolOptions(
            openHandshakeTimeout=0, closeHandshakeTimeout=0, maxMessagePayloadSize=64 << 20, failByDrop=False
        )
        self.open: list[FeedProtocol] = []
        self.heard: list[str] = []
        self.requests: list[Any] = []
        self.closes: list[tuple[int, str]] = []


class RawProtocol(Protocol):
    """Collects a request head, then does what the factory's `answer` says."""

    factory: RawFactory
    transport: Any

    def __init__(self) -> None:
        self.received = b""
        self.answered = False

    def connectionMade(self) -> None:
        self.factory.connections.append(self)
        self.factory.made += 1

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if not self.answered and b"\r\n\r\n" in self.received:
            self.answered = True
            self.factory.answer(self)

    def connectionLost(self, reason: Any = None) -> None:
        self.factory.connections.remove(self)

    def switch(self, then: bytes = b"") -> None:
        """A correct 101, and what follows it in the same segment."""
        self.transport.write(SWITCHING % accept(self.received) + then)


class RawFactory(Factory):
    """A server that answers each request head as it is told."""

    noisy = False
    protocol = RawProtocol

    def __init__(self, answer: Callable[[RawProtocol], Any]) -> None:
        self.answer = answer
        self.connections: list[RawProtocol] = []
        self.made = 0


def accept(request: bytes) -> bytes:
    """The Sec-WebSocket-Accept for this request head (RFC 6455, 4.2.2)."""
    [key] = [line[18:].strip() for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")]
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def server_tls(certificate: Certificate) -> Any:
    """A context for a server with this certificate."""
    return PrivateCertificate.loadPEM(certificate.key_pem + certificate.pem).options()
