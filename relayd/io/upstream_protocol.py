"""The WebSocket client of one upstream connection: Autobahn's, with every timer and every decision taken out of it.

Autobahn's timers run on a clock of their own, so all of them are off; the session in `core/upstream` keeps the time.
Its logger writes requests and answers, and with them secrets, so it is mute; what matters comes out as a Loss.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.types import ConnectingRequest
from OpenSSL import SSL
from twisted.internet import tcp
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from relayd.core.feed.outcome import Frame
from relayd.core.upstream.effects import Loss, LossKind, printable
from relayd.core.upstream.frames import OTHER, TEXT, FrameCutter, Part
from relayd.core.upstream.reply import HandshakeReply
from relayd.io.mute import Mute
from relayd.io.utf8 import Utf8Validator

if TYPE_CHECKING:
    from relayd.io.tls import UpstreamTls
    from relayd.io.upstream import UpstreamService
    from relayd.io.upstream_plan import DialPlan

BODY_WITHIN_S = 1.0
"""How long the body of a refusal is waited for: guess; it mostly comes with its head."""
GOODBYE_WITHIN_S = 2.0
"""Close frame to abort, as for browsers (docs/protocol.md)."""


FAULT = Loss(LossKind.BROKEN, text="an error in relayd")
UNREADABLE = Loss(LossKind.PROTOCOL, text="relayd failed on what the upstream sent")

# Of the class, and so looked up through all of its bases at each use: twice for each message.
_CLOSED = WebSocketClientProtocol.STATE_CLOSED


class UpstreamProtocol(WebSocketClientProtocol):
    """One connection. It speaks to its owner until it has told it of a loss, or was let go; never afterwards."""

    log = Mute()
    factory: UpstreamFactory
    transport: Any
    utf8validator: Any
    message_data: Any

    def __init__(self, owner: UpstreamService, factory: UpstreamFactory) -> None:
        super().__init__()
        self.factory = factory
        self._owner: UpstreamService | None = owner
        self._reply: HandshakeReply | None = HandshakeReply()
        self._waits: IDelayedCall | None = None
        self._frames = FrameCutter(factory.maxMessagePayloadSize)
        self._parts: deque[Part] = deque()
        """What was read and not taken yet: one portion, or the rest of one while it is held."""
        self._is_held = False

    # -- what the owner asks

    def send(self, frame: Frame) -> None:
        """Send one message, if the connection is still open."""
        if self.state == self.STATE_OPEN:
            self.sendMessage(frame.payload, isBinary=not frame.is_text)

    def hold(self, held: bool) -> None:
        """Read nothing more, and leave what was read where it is; or go on. Idempotent."""
        if held is self._is_held or self.transport is None:
            return
        self._is_held = held
        (self.transport.pauseProducing if held else self.transport.resumeProducing)()
        if not held:
            self.dataReceived(b"")

    def ping(self, payload: bytes) -> None:
        """Send a ping, if the connection is still open."""
        if self.state == self.STATE_OPEN:
            self.sendPing(payload)

    def goodbye(self) -> None:
        """Send a close frame; the upstream's answer comes as a loss."""
        self.sendClose(self.CLOSE_STATUS_CODE_NORMAL)

    def let_go(self) -> None:
        """Abort, and tell nobody."""
        self._owner = None
        self._stop_waiting()
        if self.transport is not None:
            self.transport.abortConnection()

    # -- what the transport and Autobahn tell

    def connectionMade(self) -> None:
        if isinstance(self.transport, tcp.Connection):
            self.transport.protocol = self  # the endpoint's own, which stands between, has no more to do
        self.transport.registerProducer(_SendBuffer(self), True)
        if self._owner is not None:
            self._owner.tcp_up(self)
        try:
            super().connectionMade()
        except Exception:
            self.factory.failed(self)
        self.utf8validator = Utf8Validator()

    def startHandshake(self) -> None:
        # Autobahn asks by a Deferred, and keeps to itself what is raised there.
        self._actuallyStartHandshake(self.onConnecting(self._transport_details))

    def onConnecting(self, transport_details: object) -> ConnectingRequest:
        return self.factory.request

    def dataReceived(self, data: bytes) -> None:
        try:  # on the way of every publication: what is seldom stands in methods of its own
            if self._owner is None:
                return
            monotonic = self._owner.monotonic
            now = monotonic()
            if self._reply is not None:
                data = self._answered(self._owner, self._reply, data)
            parts = self._parts
            parts += self._frames.feed(data)
            while parts and not self._is_held:
                kind, part = parts.popleft()
                if kind == OTHER:
                    self._dataReceived(part)  # the public one makes a coloured log line of each read first, for nobody
                elif self._owner is not None and not self.failedByMe and self.state != _CLOSED:
                    self._owner.message(part, kind == TEXT, now)
            if self.failedByMe or self.state == _CLOSED:
                self._given_up()
        except Exception:
            self.factory.failed(self, UNREADABLE)

    def _answered(self, owner: UpstreamService, answer: HandshakeReply, data: bytes) -> bytes:
        """A portion of the answer to the handshake. Returns what follows it, once it is whole."""
        reply = answer.feed(data)
        if reply is None:
            if answer.refused and self._waits is None:
                self._waits = self.factory.reactor.callLater(BODY_WITHIN_S, self._waited)
            return b""
        owner.answered(answer.fields)
        if isinstance(reply, Loss):
            self._lose(reply, abort=True)
            return b""
        self._reply = None
        self._dataReceived(reply[: len(reply) - len(answer.rest)])
        return answer.rest

    def _given_up(self) -> None:
        """Autobahn has ended the connection, for what was said on it or for the answer to the handshake."""
        if self._owner is None:
            return
        if self.failedByMe:
            self._lose(Loss(LossKind.PROTOCOL, text=_text(self.localCloseReason)), abort=False)
        else:
            text = printable(self.wasNotCleanReason or "the handshake failed")
            self._lose(Loss(LossKind.HANDSHAKE, text=text), abort=True)

    def onOpen(self) -> None:
        try:
            if self._owner is not None:
                self._owner.ws_open()
        except Exception:  # Autobahn calls in a Deferred, and keeps this to itself too
            self.factory.failed(self)

    def onMessageEnd(self) -> None:
        # As Autobahn's, but without the Deferred by which it tells others of the message: there are none.
        if not self.failedByMe:
            self.onMessage(b"".join(self.message_data), self.message_is_binary)
        self.message_data = None

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self._owner is not None:
            self._owner.message(payload, not isBinary, self._owner.monotonic())

    def onPong(self, payload: bytes) -> None:
        if self._owner is not None:
            self._owner.pong()

    def onPing(self, payload: bytes) -> None:
        super().onPing(payload)
        if self._owner is not None:
            self._owner.ponged()

    def onCloseFrame(self, code: Any, reasonRaw: Any) -> bool | None:
        reason = _text(reasonRaw)
        finished = super().onCloseFrame(code, reasonRaw)
        self._lose(Loss(LossKind.CLOSED, code=code if code is not None else 1005, text=reason), abort=False)
        return finished

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_waiting()
        self.factory.gone(self)
        try:
            super().connectionLost(reason)
            self._end(reason)
        except Exception:
            self.factory.failed(self)

    def _end(self, reason: Failure) -> None:
        if self._owner is None:
            return
        if self._reply is None:
            self._lose(Loss(LossKind.BROKEN, text=_ended(reason)), abort=False)
        elif refusal := self.factory.refusal(reason):
            self._lose(Loss(LossKind.TLS, text=refusal), abort=False)
        else:
            self._lose(self._reply.ended(), abort=False)

    def buffer_filled(self, full: bool) -> None:
        """The transport's send buffer went over its bound, or is empty again."""
        if self._owner is not None:
            self._owner.buffer_filled(self, full)

    def dropConnection(self, abort: bool = False) -> None:
        self.transport.unregisterProducer()  # Twisted does not hang up on a producer
        super().dropConnection(abort)

    # -- helpers

    def _waited(self) -> None:
        self._waits = None
        if self._reply is not None:
            self._lose(self._reply.ended(), abort=True)

    def _lose(self, loss: Loss, *, abort: bool) -> None:
        owner, self._owner = self._owner, None
        self._stop_waiting()
        if self.transport is not None and getattr(self.transport, "connected", True):
            if abort:
                self.transport.abortConnection()
            else:
                self.transport.unregisterProducer()
                # A close frame of ours may still be on its way out; whether it arrives is not waited for long.
                self.transport.loseConnection()
                self._waits = self.factory.reactor.callLater(GOODBYE_WITHIN_S, self._abort)
        if owner is not None:
            owner.lost(self, loss)

    def _abort(self) -> None:
        self._waits = None
        self.transport.abortConnection()

    def _stop_waiting(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None


@implementer(IPushProducer)
class _SendBuffer:
    """How Twisted says that a connection's send buffer is over 64 KiB, and that it is empty again."""

    def __init__(self, protocol: UpstreamProtocol) -> None:
        self._protocol = protocol

    def pauseProducing(self) -> None:
        self._protocol.buffer_filled(True)

    def resumeProducing(self) -> None:
        self._protocol.buffer_filled(False)

    def stopProducing(self) -> None:
        """The connection is lost, which its protocol hears as well."""


def _text(data: bytes | None) -> str:
    return printable((data or b"").decode("utf-8", "replace"))


def _ended(reason: Failure) -> str:
    return "the connection ended without a close frame" if reason.check(ConnectionDone) else _message(reason)


def _message(reason: Failure) -> str:
    return printable(str(reason.getErrorMessage()))


class Dialled:
    """What the factory of a dial tells on behalf of its one protocol, whatever is spoken there."""

    _owner: UpstreamService
    _tls: UpstreamTls | None

    def gone(self, protocol: Any) -> None:
        """Its TCP connection has ended."""
        self._owner.gone(protocol)

    def failed(self, protocol: Any, loss: Loss = FAULT) -> None:
        """An exception of ours about it is being handled."""
        self._owner.failed(protocol, loss)

    def refusal(self, reason: Failure) -> str:
        """Why TLS failed; empty if it did not."""
        return tls_refusal(self._tls, reason)


class UpstreamFactory(Dialled, WebSocketClientFactory):  # type: ignore[misc]  # Autobahn disagrees with its own base
    """Makes the protocol of one dial."""

    log = Mute()
    noisy = False

    def __init__(self, owner: UpstreamService, dial: DialPlan, reactor: IReactorTime, payload_most_bytes: int) -> None:
        super().__init__(reactor=reactor)
        # Every timer off: see the head of this file. A message is refused by its declared length, before it is read.
        self.setProtocolOptions(
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            serverConnectionDropTimeout=0,
            autoPingInterval=0,
            autoPingTimeout=0,
            maxFramePayloadSize=payload_most_bytes,
            maxMessagePayloadSize=payload_most_bytes,
            failByDrop=False,
            tcpNoDelay=True,
            perMessageCompressionOffers=[],
        )
        self.protocols = list(dial.protocols)
        self.request = ConnectingRequest(
            host=dial.host_header,
            port=dial.port,
            resource=dial.resource,
            headers=dict(dial.headers),
            useragent=None,
            protocols=list(dial.protocols),
        )
        self._owner = owner
        self._tls = dial.tls

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return UpstreamProtocol(self._owner, self)


def tls_refusal(tls: UpstreamTls | None, reason: Failure) -> str:
    """Why the TLS of a connection that ended so has failed; empty if it did not."""
    if tls is None:
        return ""
    if tls.refusal:
        return tls.refusal
    if isinstance(reason.value, SSL.Error):
        return "the TLS handshake failed: " + printable(_openssl(reason.value))
    return ""


def _openssl(error: SSL.Error) -> str:
    """`[('SSL routines', '', 'wrong version number')]` in words."""
    stack = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(str(entry[-1]) for entry in stack if entry) or type(error).__name__
