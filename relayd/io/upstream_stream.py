"""The HTTP client of one event stream (`transport: sse`): one GET whose answer does not end.

As on a WebSocket, it keeps no time and decides nothing: what it hears are inputs of the session in `core/upstream.py`.
It sends no ping, so TCP's own keepalive is on: a link that died is noticed although nobody speaks.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure

from relayd.core.event_stream import EventStream, TooLong
from relayd.core.feed.outcome import Frame
from relayd.core.http_body import Body, BodyError, body_of
from relayd.core.upstream.effects import Loss, LossKind, printable
from relayd.core.upstream.reply import HandshakeReply
from relayd.io.upstream_protocol import BODY_WITHIN_S, UNREADABLE, Dialled

if TYPE_CHECKING:
    from relayd.io.upstream import UpstreamService
    from relayd.io.upstream_plan import DialPlan

MEDIA_TYPE = "text/event-stream"

KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
"""Seconds of silence before the first probe, between probes, and how many: two minutes in all (guess), where the
system's own default is two hours. Linux has all three."""


class StreamProtocol(Protocol):
    """One response. It speaks to its owner until it has told it of a loss, or was let go; never afterwards."""

    factory: StreamFactory
    transport: Any

    def __init__(self, owner: UpstreamService, payload_most_bytes: int) -> None:
        self._owner: UpstreamService | None = owner
        self._reply: HandshakeReply | None = HandshakeReply(accepted=200)
        self._body: Body | None = None
        self._stream = EventStream(payload_most_bytes)
        self._waits: IDelayedCall | None = None

    # -- what the owner asks

    def send(self, frame: Frame) -> None:
        """Nothing can be said on an event stream; config/check/streams.py refuses a file that would want to."""

    def ping(self, payload: bytes) -> None:
        """There are no pings either."""

    def goodbye(self) -> None:
        """End it; there is nobody to answer."""
        self._lose(Loss(LossKind.BROKEN, text="we ended the stream"))

    def let_go(self) -> None:
        """Abort, and tell nobody."""
        self._owner = None
        self._stop_waiting()
        if self.transport is not None:
            self.transport.abortConnection()

    # -- what the transport tells

    def connectionMade(self) -> None:
        if self._owner is not None:
            self._owner.tcp_up(self)
        try:
            self._keep_alive()
            self.transport.write(self.factory.request)
        except Exception:
            self.factory.failed(self)

    def dataReceived(self, data: bytes) -> None:
        try:
            self._take(data)
        except Exception:
            self.factory.failed(self, UNREADABLE)

    def _take(self, data: bytes) -> None:
        if self._owner is None:
            return
        if self._reply is not None:
            reply = self._reply.feed(data)
            if reply is not None:
                self._owner.answered(self._reply.fields)
            if isinstance(reply, Loss):
                self._lose(reply)
            elif reply is not None:
                self._open(self._reply)
            elif self._reply.refused and self._waits is None:
                self._waits = self.factory.reactor.callLater(BODY_WITHIN_S, self._waited)
            return
        self._read(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_waiting()
        self.factory.gone(self)
        try:
            self._end(reason)
        except Exception:
            self.factory.failed(self)

    def _end(self, reason: Failure) -> None:
        if self._owner is None:
            return
        if self._reply is None:
            text = "the stream ended" if reason.check(ConnectionDone) else printable(reason.getErrorMessage())
            self._lose(self._broken(text))
        elif refusal := self.factory.refusal(reason):
            self._lose(Loss(LossKind.TLS, text=refusal))
        else:
            self._lose(self._reply.ended())

    # -- steps

    def _open(self, reply: HandshakeReply) -> None:
        if self._owner is None:
            return
        kind = reply.fields.get("content-type", "").partition(";")[0].strip().lower()
        coding = reply.fields.get("content-encoding", "identity").strip().lower()
        if kind != MEDIA_TYPE:
            text = f"the answer is {printable(kind, 80) or 'of no type'}, not {MEDIA_TYPE}"
            self._lose(Loss(LossKind.HANDSHAKE, text=text))
            return
        if coding != "identity":
            self._lose(Loss(LossKind.HANDSHAKE, text=f"the answer is packed ({printable(coding, 80)}), unasked"))
            return
        try:
            self._body = body_of(reply.fields)
        except BodyError as error:
            self._lose(Loss(LossKind.HANDSHAKE, text=str(error)))
            return
        self._reply = None
        self._owner.ws_open()
        if reply.rest:
            self._read(reply.rest)

    def _read(self, data: bytes) -> None:
        body = self._body
        if body is None:
            return
        try:
            events = self._stream.feed(body.feed(data))
        except (BodyError, TooLong) as error:
            self._lose(Loss(LossKind.PROTOCOL, text=str(error), retry_after_s=self._stream.retry_s))
            return
        for event in events:
            if self._owner is None:
                return
            self._owner.message(event.data, True, self._owner.monotonic(), event.sse)
        if not events and self._owner is not None:
            # A comment, or a part of something longer: alive.
            self._owner.pong()
        if body.ended:
            self._lose(self._broken("the stream ended"))

    def _broken(self, text: str) -> Loss:
        return Loss(LossKind.BROKEN, text=text, retry_after_s=self._stream.retry_s)

    def _lose(self, loss: Loss) -> None:
        owner, self._owner = self._owner, None
        self._stop_waiting()
        if self.transport is not None:
            self.transport.abortConnection()
        if owner is not None:
            owner.lost(self, loss)

    def _waited(self) -> None:
        self._waits = None
        if self._reply is not None:
            self._lose(self._reply.ended())

    def _stop_waiting(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None

    def _keep_alive(self) -> None:
        self.transport.setTcpKeepAlive(True)
        handle = getattr(self.transport, "transport", self.transport).getHandle()  # below TLS, where there is TLS
        for name, value in KEEPALIVE:
            if isinstance(handle, socket.socket) and hasattr(socket, name):
                handle.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class StreamFactory(Dialled, ClientFactory):
    """Makes the protocol of one dial."""

    noisy = False

    def __init__(self, owner: UpstreamService, dial: DialPlan, reactor: IReactorTime, payload_most_bytes: int) -> None:
        self.reactor: Any = reactor
        self.request = request_head(dial)
        """The bytes that ask."""
        self._owner = owner
        self._tls = dial.tls
        self._payload_most_bytes = payload_most_bytes

    def buildProtocol(self, addr: IAddress | None) -> Any:
        protocol = StreamProtocol(self._owner, self._payload_most_bytes)
        protocol.factory = self
        return protocol


def request_head(dial: DialPlan) -> bytes:
    """The GET of a dial. An id that goes back in a header is UTF-8 (WHATWG HTML, 9.2.4)."""
    standard_port = 443 if dial.tls is not None else 80
    host = dial.host_header if dial.port == standard_port else f"{dial.host_header}:{dial.port}"
    own = {"Host": host, "Accept": MEDIA_TYPE, "Accept-Encoding": "identity", "Cache-Control": "no-store"}
    given = {name.lower() for name in dial.headers}
    fields = {**{name: value for name, value in own.items() if name.lower() not in given}, **dial.headers}
    lines = [f"GET {dial.resource} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode()
