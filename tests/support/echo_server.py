"""An upstream on a real loopback socket that says back what it hears, and stops reading when it is told to."""

from __future__ import annotations

from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny


class EchoProtocol(WebSocketServerProtocol):
    """Echoes each message as it came; keeps how it was asked."""

    factory: EchoFactory
    transport: Any

    def onConnect(self, request: Any) -> str | None:
        self.factory.requests.append(request)
        if self.factory.refuse_with is not None:
            raise ConnectionDeny(self.factory.refuse_with, "no")
        return request.protocols[0] if request.protocols and self.factory.agrees else None

    def onOpen(self) -> None:
        self.factory.open.append(self)
        if self.factory.deaf:
            self.listen(False)

    def listen(self, listens: bool) -> None:
        """Read, or not; its kernel takes some 64 KiB all the same."""
        (self.transport.resumeProducing if listens else self.transport.pauseProducing)()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.factory.heard.append(payload)
        if self.factory.echoes:
            self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:
        self.factory.closes.append(code)
        if self in self.factory.open:
            self.factory.open.remove(self)


class EchoFactory(WebSocketServerFactory):
    """All connections of one echo server."""

    protocol = EchoProtocol
    noisy = False

    def __init__(self, reactor: Any, protocols: list[str] | None = None) -> None:
        super().__init__(reactor=reactor, protocols=protocols)
        self.setProtocolOptions(openHandshakeTimeout=0, closeHandshakeTimeout=0, failByDrop=False)
        self.open: list[EchoProtocol] = []
        self.heard: list[bytes] = []
        self.requests: list[Any] = []
        self.closes: list[int] = []
        self.echoes = True
        self.agrees = True
        """Whether it takes a subprotocol that it is offered."""
        self.deaf = False
        """Whether new connections are not read."""
        self.refuse_with: int | None = None
        """The HTTP status of a refused handshake."""

    def listen_to(self, deaf: bool) -> None:
        """Whether every connection is read."""
        self.deaf = deaf
        for one in self.open:
            one.listen(not deaf)
