"""A browser's EventSource: the session in `core` decides, the sink writes, straight to the connection's own transport.

The guard hands the connection over with its request judged, as it does for WebSockets; no web server stands between, so
nothing but the transport's buffer can hold what the client does not read, and that holds the rest of one flush. The
response has no length: it lasts as long as the connection, which is how every proxy streams it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IAddress, IHalfCloseableDescriptor, IProtocolFactory
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from relayd.core import sse
from relayd.core.address import canonical
from relayd.core.asking import Asking, of_query
from relayd.core.auth.credentials import Credential
from relayd.core.auth.door import Door, Visitor
from relayd.core.closecode import CLOSE_INTERNAL, CloseCode
from relayd.core.counters import CLOSED_BY_CLIENT, CLOSED_BY_LOSS
from relayd.core.guard import GuardSettings, Stream
from relayd.core.head import RequestHead
from relayd.core.hub import Hub
from relayd.core.refusal import BAD_METHOD, HttpRefusal
from relayd.core.sse import EventStreamSession
from relayd.io.clients import Clients
from relayd.io.cors import Cors
from relayd.io.mishaps import for_certain
from relayd.io.sink import TransportSink
from relayd.io.web import JsonResource, refuse

#: After so long without an acknowledgement of what was sent the kernel gives the connection up: a stream has no pong
#: (Linux, TCP_USER_TIMEOUT; twice the time that a WebSocket has for its pongs, rounded up).
UNACKNOWLEDGED_MS: Final = 60_000
_TCP_USER_TIMEOUT: Final[int | None] = getattr(socket, "TCP_USER_TIMEOUT", None)

NOTHING_SHOWN: Final = Credential()

log = Logger()


class EventStream(Protocol):
    """One connection, from its judged request to its loss."""

    transport: Any

    def __init__(self, factory: EventStreamFactory, asked: _Asked, client: str) -> None:
        self.factory: EventStreamFactory = factory
        self.client = client  # the address, as the log may show it
        self.session_id: str | None = None
        self._asked: _Asked | None = asked
        self._cors = asked.cors
        self._sink: TransportSink | None = None
        self._session: EventStreamSession | None = None
        self._has_begun = False
        self._opened_at = 0.0
        self._ending = False
        self._gone = False
        self._cause: str | None = None  # why we closed

    def connectionMade(self) -> None:
        """The guard hands the connection over."""
        self.guarded(self._open)

    def _open(self) -> None:
        asked, self._asked = self._asked, None
        assert asked is not None
        factory, clients = self.factory, self.factory.clients
        self._opened_at = clients.monotonic()
        self.session_id = factory.new_id()
        self._sink = TransportSink(self, self.transport)
        if _TCP_USER_TIMEOUT is not None and self._sink.socket is not None:
            self._sink.socket.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
        clients.open[self.session_id] = self
        visitor = None if factory.door is None else Visitor(factory.door, self._sink.close, asked.shown, self.guarded)
        self._session = EventStreamSession(
            factory.hub,
            self._sink,
            session_id=self.session_id,
            asking=asked.asking,
            begin=self._begin,
            visitor=visitor,
        )
        self._session.opened()

    def _begin(self, refusal: HttpRefusal | None) -> None:
        clients = self.factory.clients
        if refusal is not None:
            clients.counters.streams_refused += 1
            self._finish(sse.render_refusal(refusal, self._cors))
            return
        assert self._sink is not None
        self._has_begun = True
        clients.counters.streams_opened += 1
        clients.counters.streams_open += 1
        clients.heartbeats.join(self, clients.monotonic())
        log.info("stream opened", id=self.session_id, client=self.client)
        self._sink.write(sse.head(self._cors))

    def dataReceived(self, data: bytes) -> None:
        """A client has nothing to say after its request; what it says is thrown away."""

    def pause_reading(self, paused: bool) -> None:
        """It says nothing that could wait."""

    def beat(self) -> None:
        """A sign of life, if the stream was silent and the client reads."""
        if self._session is None or self._sink is None:
            return
        comment = self._session.beat()
        if comment and not self._sink.busy:
            self._sink.write(comment)

    # -- the end -------------------------------------------------------------------------------------------------------

    def close(self, close: CloseCode, retry_s: int | None = None) -> None:
        """End the stream, saying why; does nothing once it is ending."""
        if self._ending:
            return
        if not self._has_begun:
            self._begin(sse.refusal_of_close(close, retry_s))
            return
        self._cause = close.name
        self._finish(sse.ending(close, retry_s, self.factory.random()))

    def _finish(self, data: bytes) -> None:
        """The last bytes, after what is buffered; then the connection ends, in time."""
        if self._ending:
            return
        if self._sink is not None:
            self._sink.write(data)
        self._end()
        # Over TCP only our half is closed, so that the peer has read everything when it closes its own.
        has_halves = IHalfCloseableDescriptor.providedBy(self.transport)
        hang_up = self.transport.loseWriteConnection if has_halves else self.transport.loseConnection
        hang_up()

    def _end(self) -> None:
        if self._ending:
            return
        self._ending = True
        self.factory.clients.expect_end(self, self._cause, self._sink)
        if self._sink is not None:
            self._sink.end()
        self.factory.clients.heartbeats.leave(self)

    def abort_if_not_lost(self) -> None:
        """The deadline after the end."""
        if not self._gone:
            self.factory.clients.counters.aborted += 1
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Comes exactly once."""
        self._gone = True
        self._end()
        clients = self.factory.clients
        if self.session_id is not None:
            clients.open.pop(self.session_id, None)
        session, self._session = self._session, None
        if session is not None:
            self.guarded(for_certain, session.lost)
        if self._has_begun:
            cause = self._cause or (CLOSED_BY_CLIENT if reason.check(type(connectionDone.value)) else CLOSED_BY_LOSS)
            clients.counters.streams_open -= 1
            clients.counters.closed[cause] += 1
            self._log_close(cause, session)
        self._sink = None  # which holds this protocol

    def _log_close(self, cause: str, session: EventStreamSession | None) -> None:
        fields: dict[str, object] = {"seconds": round(self.factory.clients.monotonic() - self._opened_at, 3)}
        if session is not None:
            fields["sent"], fields["sent_bytes"] = session.subscriber.totals()
            fields["lost"] = session.subscriber.lost_messages
        log.info("stream closed", id=self.session_id, client=self.client, reason=cause, **fields)

    def guarded(self, call: Callable[..., None], *args: Any) -> None:
        """Call; an exception becomes a count, a line in the log and the end of this stream, and of no other."""
        try:
            call(*args)
        except Exception:
            self.factory.clients.counters.errors += 1
            log.failure("a stream failed in relayd and is closed", id=self.session_id)
            if not self._gone:
                self.close(CLOSE_INTERNAL)


class StreamResource(JsonResource):
    """What the web server answers at `/sse`: everything but GET, which the guard hands to `EventStream`."""

    isLeaf = True

    def __init__(self, cors: Cors) -> None:
        super().__init__()
        self._cors = cors

    def render(self, request: Request) -> bytes | int:
        refusal = self._cors.admit(request)
        return super().render(request) if refusal is None else refuse(request, refusal)

    def render_HEAD(self, request: Request) -> bytes:
        for name, value in sse.HEADERS:
            request.setHeader(name.encode("ascii"), value.encode("ascii"))
        return b""

    def render_OPTIONS(self, request: Request) -> bytes:
        return self._cors.preflight(request, b"GET", b"Last-Event-ID")

    def render_GET(self, request: Request) -> bytes | int:
        return refuse(request, BAD_METHOD)  # not reached: the guard has it


class EventStreamFactory:
    """Makes the streams of one listener. `hub` holds the topics, at the `door` browsers say who they are; `random` is
    0 to 1.
    """

    def __init__(
        self,
        hub: Hub,
        clients: Clients,
        *,
        new_id: Callable[[], str],
        random: Callable[[], float],
        show_address: Callable[[str], str] = str,
        door: Door | None = None,
    ) -> None:
        self.hub = hub
        self.clients = clients
        self.new_id = new_id
        self.random = random
        self.door = door
        self._show_address = show_address

    def of(self, head: RequestHead, stream: Stream, settings: GuardSettings) -> IProtocolFactory | HttpRefusal:
        """A factory for the connection of one request, or why there is no stream for it."""
        asking = of_query(head.query, head.get("last-event-id"))
        if isinstance(asking, HttpRefusal):
            return asking.with_headers(stream.cors)
        shown = NOTHING_SHOWN
        if self.door is not None:
            vouched = settings.origins.vouches(head.get("origin"), head.get("host") or "", secure=settings.secure)
            if head.get("origin") is None:
                # Within one origin an EventSource sends no Origin; Sec-Fetch-Site, which no script can set, says so.
                vouched = settings.origins.same and head.get("sec-fetch-site") == "same-origin"
            shown = self.door.places.read(
                head.get, head.query, cookie_counts=vouched, client=head.client, path=head.path, peer=head.peer
            )
        return _Asked(self, asking, shown, stream.cors)

    def build(self, asked: _Asked, addr: IAddress | None) -> EventStream:
        """The protocol of one connection."""
        host = getattr(addr, "host", "")
        return EventStream(self, asked, self._show_address(canonical(host)))


@implementer(IProtocolFactory)
class _Asked:
    """What one request asks, until its connection is handed over."""

    def __init__(
        self, factory: EventStreamFactory, asking: Asking, shown: Credential, cors: tuple[tuple[str, str], ...]
    ) -> None:
        self._factory = factory
        self.asking = asking
        self.shown = shown
        self.cors = cors

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self._factory.build(self, addr)

    def doStart(self) -> None:
        """The listener starts the guard's factory alone."""

    def doStop(self) -> None:
        """As `doStart`."""
