"""The sockets of an upstream: effects of its session in `core/upstream` become connections, their events its inputs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import inf
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from relayd.core.dial_rules import DEFAULT, DialRules
from relayd.core.feed.outcome import Frame, HttpRequest
from relayd.core.feed.publish import Upward
from relayd.core.mishap import UPSTREAM
from relayd.core.upstream.clock import FeedClock
from relayd.core.upstream.effects import (
    Close,
    Dial,
    DialRequest,
    Drop,
    Effect,
    Effects,
    Loss,
    LossKind,
    Note,
    Ping,
    Send,
)
from relayd.core.upstream.reply import date_s
from relayd.core.upstream.session import UpstreamSession
from relayd.core.upstream.states import State
from relayd.core.upstream.talk import Sse
from relayd.core.wayup import WayUp
from relayd.io.dialling import DiallingReactor, unreached
from relayd.io.names import Names
from relayd.io.ticker import Ticker
from relayd.io.tls import TrustUnreadable, UpstreamTls
from relayd.io.upstream_calls import Calls
from relayd.io.upstream_http import Reply
from relayd.io.upstream_plan import DialPlan, Transport, plan
from relayd.io.upstream_protocol import FAULT, UNREADABLE, UpstreamFactory, UpstreamProtocol
from relayd.io.upstream_stream import StreamFactory, StreamProtocol

CONNECT_WITHIN_S = 10.0
"""One address; the session's own deadline covers name and addresses together."""

#: What each note of the session says; its fields follow.
LINES = {
    "open": "upstream {upstream} is connected",
    "close": "upstream {upstream} ended: {why}",
    "unreachable": "upstream {upstream} cannot be reached: {why}",
    "refused": "upstream {upstream} refuses us: {why}",
    "fail": "upstream {upstream} refused something without saying what: {text}",
    "full": "limits.topics of upstream {upstream} is reached ({most}): further topics fail until a place frees",
    "short": "upstream {upstream} accepts connections and drops them: {times} in a row did not last",
    "rival": "upstream {upstream} says that there is one connection too many ({text}): another program, or another "
    "relay, uses the same key or address; only one of them can have it",
    "skew": "upstream {upstream}: its clock is {skew_s} s {ahead} ours; what is sent to it holds its time",
    "no skew": "upstream {upstream}: its clock and ours agree again",
    "gaps": "upstream {upstream}: gaps come too often to {repair}; they are only marked from now on",
}
log = Logger("upstream")

UpstreamSocket = UpstreamProtocol | StreamProtocol
"""One connection, whatever is spoken on it."""


FACTORIES: Mapping[Transport, Callable[..., Any]] = {
    Transport.WEBSOCKET: UpstreamFactory,
    Transport.SSE: StreamFactory,
}


class UpstreamService(Service):
    """One session's sockets. Runs from startService until the Deferred of stopService fires.

    The ticker calls `tick`. Inputs of the connection come from an UpstreamSocket.
    """

    def __init__(
        self,
        session: UpstreamSession[Any],
        reactor: Any,
        monotonic: Callable[[], float],
        ticker: Ticker,
        *,
        payload_most_bytes: int = 16 << 20,
        ca: str | None = None,
        user_agent: str = "relayd",
        connect_from: Callable[[str, int], IStreamClientEndpoint] | None = None,
        names: Names | None = None,
        rules: DialRules = DEFAULT,
        transport: Transport = Transport.WEBSOCKET,
        clock: FeedClock | None = None,
        way: WayUp | None = None,
    ) -> None:
        """
        Args:
            clock: told the time that the upstream's answers show.
            transport: what the upstream speaks.
            way: hears when the connection takes nothing more; one of its own by default.
            payload_most_bytes: the largest message taken (`limits.payload`).
            ca: a PEM file of authorities (`connect.tls.ca`); None = those of the system.
            connect_from: makes the TCP endpoint for a host and port; HostnameEndpoint by default.
            names: shared by all upstreams, so that a name is never looked up twice at once.
            rules: which addresses are dialled, also for HTTP.
        """
        self.setName(f"upstream {session.name}")
        self.session = session
        self.way = way if way is not None else WayUp(self.speak, lambda place: ticker.report(place))
        self._names = names or Names(reactor)
        self._reactor: Any = DiallingReactor(reactor, self._names, rules)
        self.monotonic = monotonic
        """The clock of all that is told to the session."""
        self._ticker = ticker
        self._payload_most_bytes = payload_most_bytes
        self._ca = ca
        self._user_agent = user_agent
        self._transport = transport
        self._calls = Calls(
            self._reactor, ticker, ca=ca, user_agent=user_agent, ended=self._called, failed=self._failed
        )
        self._clock = clock if clock is not None else FeedClock(time.time)
        self._endpoint = connect_from or self._hostname_endpoint
        self._certificate_ends_at: float | None = None
        self._tls: UpstreamTls | None = None
        self._dialling: Deferred[Any] | None = None
        self._protocol: UpstreamSocket | None = None
        self._ending: set[UpstreamSocket] = set()
        self._effects: deque[Effect] = deque()
        self._carrying = False
        self._stopped: list[Deferred[None]] = []
        self._fault: Loss | None = None  # an error of ours, until the session has been told

    # -- the life of the service

    def startService(self) -> None:
        super().startService()
        self._ticker.add(self)
        self._carry_out(self.session.start(self.monotonic()))

    def stopService(self) -> Deferred[None]:
        """Says goodbye; fires when every connection has ended, two seconds later at most."""
        super().stopService()
        stopped: Deferred[None] = Deferred()
        self._stopped.append(stopped)
        self._carry_out(self.session.stop(self.monotonic()))
        return stopped

    def next_deadline(self) -> float:
        """For the ticker."""
        return self.session.next_deadline() if self._fault is None else -inf

    def tick(self, now: float) -> None:
        """For the ticker."""
        fault = self._fault
        if fault is not None:
            # As if the connection had broken. Should this fail too, the ticker comes back.
            self._effects.clear()
            self._drop()
            self._carry_out(self.session.lost(fault, now))
            self._fault = None
        self._carry_out(self.session.tick(now))

    @property
    def certificate_ends_at(self) -> float | None:
        """When the certificate ends that the upstream showed last, in wall seconds; None = it has shown none."""
        shown = None if self._tls is None else self._tls.ends_at
        return self._certificate_ends_at if shown is None else shown

    def speak(self, upward: Upward) -> None:
        """A client publishes. Raises TopicRefused."""
        try:
            effects = self.session.publish(upward, self.monotonic())
        finally:
            self._ticker.wake()  # it may have to be dialled
        self._carry_out(effects)

    # -- faults of ours

    def failed(self, protocol: UpstreamSocket | None = None, loss: Loss = FAULT) -> None:
        """An exception that nobody foresaw is being handled, about this connection, or the present one: it ends now,
        and is dialled again in its time."""
        self._ticker.report(UPSTREAM)
        if protocol is None or protocol is self._protocol:
            self._fault = loss
            self._ticker.wake()
            if self._protocol is not None:
                self._protocol.let_go()

    def _failed(self, failure: Failure) -> None:
        with self._net():
            failure.raiseException()

    @contextmanager
    def _net(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self.failed()

    # -- what the connection tells

    def tcp_up(self, protocol: UpstreamSocket) -> None:
        """TCP stands."""
        self._dialling = None
        self._protocol = protocol
        self._ending.add(protocol)
        with self._net():
            self._carry_out(self.session.tcp_up(self.monotonic()))

    def answered(self, fields: Mapping[str, str]) -> None:
        """The opening request was answered, well or not, with these header fields."""
        with self._net():
            self._dated(date_s(fields))

    def ws_open(self) -> None:
        """The handshake is done."""
        with self._net():
            self._carry_out(self.session.ws_open(self.monotonic()))

    def message(self, payload: bytes, is_text: bool, now: float, sse: Sse | None = None) -> None:
        """A message came, with what was read at `now`; `sse` tells the id and name of a server-sent event. On the way
        of every publication."""
        try:  # costs nothing while nothing is raised, where a `with` would
            effects = self.session.message(payload, is_text, now, sse)
            if effects:
                self._carry_out(effects)
        except Exception:
            self.failed(self._protocol, UNREADABLE)

    def pong(self) -> None:
        """The upstream answered a ping, or said something without meaning."""
        with self._net():
            effects = self.session.pong(self.monotonic())
            if effects != ():
                self._carry_out(effects)

    def ponged(self) -> None:
        """The upstream pinged, and Autobahn answered."""
        with self._net():
            self._carry_out(self.session.ponged(self.monotonic()))

    def buffer_filled(self, protocol: UpstreamProtocol, full: bool) -> None:
        """A connection takes no more for now, or takes it again."""
        if protocol is self._protocol:
            with self._net():
                (self.way.filled if full else self.way.drained)()

    def lost(self, protocol: UpstreamSocket, loss: Loss) -> None:
        """The connection ended."""
        if protocol is self._protocol:
            self._protocol = None
            with self._net():
                self.way.drained()
                self._calls.forget()
                self._carry_out(self.session.lost(loss, self.monotonic()))

    def gone(self, protocol: UpstreamSocket) -> None:
        """A TCP connection has ended, perhaps one given up long ago."""
        if protocol in self._ending:
            self._ending.discard(protocol)
            with self._net():
                self.session.socket_closed()
                self._carry_out(())

    def _dated(self, date: float | None) -> None:
        note = self._clock.heard(date)
        if note is not None:
            self._carry_out([note])

    # -- effects

    def _carry_out(self, effects: Effects) -> None:
        """In order, also where carrying out one of them brings new ones."""
        self._effects.extend(effects)
        if not self._carrying:
            self._carrying = True
            try:
                while self._effects:
                    self._carry_out_one(self._effects.popleft())
            finally:
                self._carrying = False
        self._ticker.wake()
        self._tell_stopped()

    def _carry_out_one(self, effect: Effect) -> None:
        match effect:
            case Send(Frame() as frame):
                if self._protocol is not None:
                    self._protocol.send(frame)
            case Ping(payload):
                if self._protocol is not None:
                    self._protocol.ping(payload)
            case Dial(request):
                self._dial(request)
            case Close():
                if self._protocol is not None:
                    self._protocol.goodbye()
            case Drop():
                self._drop()
            case Note(event, fields, warning):
                level = LogLevel.warn if warning else LogLevel.info
                log.emit(level, LINES[event], **{"upstream": self.session.name, **fields})
            case Send(HttpRequest() as request):
                self._calls.make(request)

    def _dial(self, request: DialRequest) -> None:
        try:
            dial = plan(request, self._ca, self._user_agent, self._transport)
        except (ValueError, TrustUnreadable) as error:
            self._carry_out(self.session.lost(Loss(LossKind.CONFIG, text=str(error)), self.monotonic()))
            return
        factory = FACTORIES[self._transport](self, dial, self._reactor, self._payload_most_bytes)
        endpoint = self._endpoint(dial.host, dial.port)
        self._certificate_ends_at, self._tls = self.certificate_ends_at, dial.tls
        if dial.tls is not None:
            endpoint = wrapClientTLS(dial.tls, endpoint)
        self._dialling = dialling = endpoint.connect(factory)
        dialling.addErrback(lambda failure: self._unreachable(failure, dialling, dial))
        dialling.addErrback(self._failed)

    def _hostname_endpoint(self, host: str, port: int) -> IStreamClientEndpoint:
        return HostnameEndpoint(self._reactor, host, port, timeout=CONNECT_WITHIN_S)

    def _unreachable(self, failure: Failure, dialling: Deferred[Any], dial: DialPlan) -> None:
        if self._dialling is not dialling or failure.check(CancelledError, ConnectingCancelledError):
            return
        self._dialling = None
        if not failure.check(ConnectError, DNSLookupError):
            self._failed(failure)
            return
        loss = unreached(failure.value, dial.host, dial.port, hangs=self._names.hangs(dial.host))
        self._carry_out(self.session.lost(loss, self.monotonic()))

    def _called(self, number: int, result: Reply | Loss) -> None:
        now = self.monotonic()
        if isinstance(result, Loss):
            self._carry_out(self.session.unanswered(result, number, now))
        else:
            self._dated(result.date_s)
            self._carry_out(self.session.replied(result.body, result.status, number, now, result.retry_after_s))

    def _drop(self) -> None:
        self._calls.forget()
        protocol, self._protocol = self._protocol, None
        self.way.drained()
        dialling, self._dialling = self._dialling, None
        if protocol is not None:
            protocol.let_go()
        elif dialling is not None:
            dialling.cancel()

    def _tell_stopped(self) -> None:
        if self._stopped and self.session.state is State.STOPPED and not self._ending and not self._carrying:
            self._ticker.remove(self)
            stopped, self._stopped = self._stopped, []
            for deferred in stopped:
                deferred.callback(None)
