"""An exclusive route: each browser on `/raw/<topic>` has an upstream connection of its own, with its own credentials.

What comes from one end goes out at the other in the same turn; nothing is kept, numbered or shared. So an end that does
not read is felt at the other: while the browser's socket is full nothing is read of the upstream, and while the
upstream's is full, or it is not there yet, nothing is read of the browser.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from types import MappingProxyType
from typing import Final, Protocol

from relayd.core import wire
from relayd.core.auth.access import texts_of
from relayd.core.auth.verdict import Identity
from relayd.core.closecode import (
    CLOSE_DONE,
    CLOSE_FORBIDDEN,
    CLOSE_INTERNAL,
    CLOSE_POLICY,
    CLOSE_POSITION_LOST,
    CLOSE_UPSTREAM,
    CloseCode,
)
from relayd.core.counters import BridgeCounters
from relayd.core.feed.publish import AS_IT_STANDS, Upward
from relayd.core.mishap import BRIDGE, Report, each, let_it_out
from relayd.core.publication import TopicState
from relayd.core.reading import check_access
from relayd.core.routes import Match, RouteTable, TopicRefused
from relayd.core.subscriber import Sink
from relayd.core.wayup import WayUp

HOLD_OVER_BYTES: Final = 64 << 10
"""With more than this in the browser's send buffer nothing is read of the upstream: what Twisted's own bound is."""
EARLY_MOST_BYTES: Final = 128 << 10
"""What a browser said before it could be paused waits here, beside the message that waits first: at most two reads of
64 KiB; more is a fault of ours."""
VALUE_MOST_BYTES: Final = 8 << 10
"""The longest value that a browser may bring: what a request head holds (limits.head)."""
NORMAL: Final = 1000
NO_PROTOCOLS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
_BREAKS: Final = frozenset("\r\n\0")


class Line(Protocol):
    """One upstream connection of one browser, dialled when it is made (relayd/io/exclusive.py)."""

    way: WayUp

    def hold(self, held: bool) -> None:
        """Read nothing of the upstream, or go on. Idempotent."""
        ...

    def end(self) -> None:
        """Hang up, and say nothing more. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class Brought:
    """What of a handshake is for an upstream of the browser's own. Secret, as `Visit`."""

    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Those of its arguments that `${browser.query.N}` names."""
    subprotocol: str | None = None
    """What it was answered, in which both ends speak; None = none."""


NOTHING_BROUGHT: Final = Brought()


@dataclass(frozen=True, slots=True)
class Passage:
    """What is known of a bridge before the browser's handshake is answered."""

    subprotocol: str | None = None
    """The answer."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What a browser brings of its own. `token` is the newest it has shown. Secret: nothing of it is in the repr."""

    identity: Identity | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    subprotocol: str | None = field(default=None, repr=False)
    """The one it was answered, in which both ends speak; None = none."""


@dataclass(frozen=True, slots=True)
class Need:
    """One `${browser.X}` of an upstream block."""

    name: str
    """`browser.token`, `browser.claims.N`, `browser.query.N`."""
    is_required: bool = True
    """It has no default."""


OpenLine = Callable[["Bridge", Mapping[str, str]], Line]
"""Dials for a bridge with the values of its `${browser.X}`."""


class BridgeState(Enum):
    """Where a bridge stands."""

    DIALLING = auto()
    """The upstream connection is on its way, or logs in."""
    OPEN = auto()
    CLOSED = auto()


class Bridges:
    """All bridges of the process: how many there may be, and what each upstream wants to know of the browser."""

    def __init__(
        self,
        open_line: OpenLine,
        *,
        most: int,
        needs: Mapping[str, tuple[Need, ...]],
        protocols: Mapping[str, tuple[str, ...]] = NO_PROTOCOLS,
        call_later: Callable[[float, Callable[[], None]], object],
        counters: BridgeCounters,
        report: Report = let_it_out,
    ) -> None:
        """`needs`: per upstream the `${browser.X}` in its block; `protocols`: its `connect.protocols`; `report` hears
        of a timer that failed."""
        self.counters = counters
        self.report = report
        self.call_later = call_later
        self._open_line = open_line
        self._most = most
        self._needs = needs
        self._protocols = protocols

    def open(self, found: Match, visit: Visit, sink: Sink) -> Bridge:
        """Begin a bridge. Raises TopicRefused: `unauthorized` or `bad_request` for what the browser does not bring,
        `unavailable` beyond `limits.exclusive`."""
        upstream = found.route.upstream or ""
        values = browser_values(self._needs.get(upstream, ()), visit)
        if self.counters.open >= self._most:
            self.counters.refused += 1
            raise TopicRefused("unavailable", f"limits.exclusive is reached ({self._most})")
        bridge = Bridge(self, found, visit, sink)
        line = self._open_line(bridge, values)
        self.counters.opened += 1
        self.counters.open += 1
        try:
            bridge.begin(line)
        except BaseException:
            line.end()  # it is dialled already, for nobody
            raise
        return bridge

    def foresee(self, routes: RouteTable, name: str, offers: Sequence[str]) -> Passage | None:
        """What a browser's handshake for `/raw/<name>` is answered, where that is exclusive; it offers these
        subprotocols. The first of them that `connect.protocols` of the upstream holds is taken: the upstream is dialled
        only after the answer, and can no longer be asked.
        """
        try:
            route = routes.find(name).route
        except TopicRefused:
            return None
        if not route.exclusive:
            return None
        allowed = self._protocols.get(route.upstream or "", ())
        return Passage(next((offer for offer in offers if offer in allowed), None))

    def ended(self) -> None:
        """A line has hung up, its socket is gone."""
        self.counters.open -= 1


class Bridge:
    """One browser and its upstream connection. It is the topic that the upstream's session knows, and its sink."""

    def __init__(self, bridges: Bridges, found: Match, visit: Visit, sink: Sink) -> None:
        self.route = found.route
        self.fields = found.fields
        self.subprotocol = visit.subprotocol
        self._found = found
        self.state_now = BridgeState.DIALLING
        self.sent_messages = 0
        self.sent_bytes = 0
        self._bridges = bridges
        self._identity = visit.identity
        self._sink = sink
        self._line: Line | None = None
        self._early: deque[tuple[bytes, bool]] = deque()
        self._early_bytes = 0
        self._is_paused = False
        self._is_held = False
        self._waits_for_limit = False

    def takes(self, fields: Mapping[str, str]) -> bool:
        """Whether a message with these fields, which came unasked, is for this browser: the others of the same
        connection are for topics that it has not opened."""
        return all(fields.get(name) == value for name, value in self.fields.items())

    def begin(self, line: Line) -> None:
        """The line is being dialled: until it is open, the browser is not read."""
        self._line = line
        self._look()

    # -- from the browser

    def up(self, payload: bytes, is_text: bool) -> None:
        """A message of the browser."""
        if self.state_now is BridgeState.CLOSED:
            return
        try:
            check_access(self._found, self._identity, to_publish=True)
        except TopicRefused:
            self._close(CLOSE_FORBIDDEN)
            return
        self._early.append((payload, is_text))
        self._early_bytes += len(payload)
        if not self._waits_for_limit:  # else it is due already
            self._go_on()
        if self._early and self._early_bytes - len(self._early[0][0]) > EARLY_MOST_BYTES:
            self._close(CLOSE_POLICY)

    def leave(self) -> None:
        """The browser is gone. Idempotent."""
        if self.state_now is not BridgeState.CLOSED:
            self.state_now = BridgeState.CLOSED
            self._early.clear()
            if self._line is not None:
                each(partial(self._line.way.leave, self), self._line.end)

    # -- from the line

    def opened(self) -> None:
        """The upstream is there, and the login is done."""
        if self.state_now is BridgeState.DIALLING:
            self.state_now = BridgeState.OPEN
            self._go_on()

    def failed(self) -> None:
        """An error of ours, which is being handled, on behalf of this bridge: both ends are closed."""
        self._close(CLOSE_INTERNAL)

    def ended(self, code: int | None, *, refused: bool) -> None:
        """The upstream connection has ended, with that close code if any, or there was none: the browser is told."""
        close = CLOSE_FORBIDDEN if refused else CLOSE_DONE if code == NORMAL else CLOSE_UPSTREAM
        self._bridges.counters.ended_by_upstream += self.state_now is not BridgeState.CLOSED
        self._close(close)

    def publish(
        self,
        topic: Bridge,
        payload: bytes,
        is_text: bool,
        snapshot: bool = False,
        is_json: bool = False,
        at: float | None = None,
    ) -> None:
        """A message of the upstream: out at once, in the frame type it came in."""
        if self.state_now is BridgeState.CLOSED:
            return
        frame = wire.frame(wire.TEXT if is_text else wire.BINARY, payload)
        self.sent_messages += 1
        self.sent_bytes += len(frame)
        self._sink.write(frame)
        if not self._is_held and self._line is not None and self._sink.buffered() > HOLD_OVER_BYTES:
            self._is_held = True
            self._bridges.counters.held += 1
            self._line.hold(True)
            self._sink.pull(self._drained)

    def gap(self, topic: Bridge, missed: int | None, why: str) -> None:
        """The upstream's own numbering shows a loss, for which there is no place here."""
        self._close(CLOSE_POSITION_LOST)

    def state(self, topic: Bridge, state: TopicState, why: str = "") -> None:
        """Only that the upstream refuses what was asked for matters: the rest is the line's to tell."""
        if state is TopicState.FAILED:
            self._close(CLOSE_FORBIDDEN)

    def forget(self, topic: Bridge) -> None:
        """Nothing is kept that could be forgotten."""

    # -- steps

    def _drained(self) -> None:
        assert self._line is not None  # it was held
        self._is_held = False
        self._sink.unpull()
        self._line.hold(False)

    def _go_on(self) -> None:
        """Send what may go, then read the browser again or not."""
        self._waits_for_limit = False
        while self._early and self.state_now is BridgeState.OPEN and not self._waits_for_limit:
            payload, is_text = self._early.popleft()
            self._early_bytes -= len(payload)
            self._send(payload, is_text)
        self._look()

    def _send(self, payload: bytes, is_text: bool) -> None:
        assert self._line is not None
        upward = Upward(self.route.publish or AS_IT_STANDS, self.fields, payload, is_text)
        try:
            self._line.way.send(upward)
        except TopicRefused as refused:
            if refused.retry_s is None:
                self._close(CLOSE_POLICY)
                return
            self._early.appendleft((payload, is_text))
            self._early_bytes += len(payload)
            self._waits_for_limit = True
            self._bridges.call_later(refused.retry_s, self._limit_over)

    def _limit_over(self) -> None:
        """By a timer: nobody else hears of an error."""
        try:
            self._go_on()
        except Exception:
            self._bridges.report(BRIDGE)
            self.failed()

    def _look(self) -> None:
        """Whether the browser is read."""
        if self.state_now is BridgeState.CLOSED or self._line is None:
            return
        way = self._line.way
        paused = self.state_now is BridgeState.DIALLING or way.full or self._waits_for_limit
        if way.full:
            way.pause(self, self._look)
        if paused is not self._is_paused:
            self._is_paused = paused
            self._bridges.counters.paused += paused
            (self._sink.pause if paused else self._sink.resume)()

    def _close(self, close: CloseCode) -> None:
        if self.state_now is not BridgeState.CLOSED:
            try:
                self.leave()
            finally:
                self._sink.close(close)


def browser_values(needs: tuple[Need, ...], visit: Visit) -> dict[str, str]:
    """What the browser brings of these, by name.

    Raises TopicRefused, whose text names the placeholder and never a value.
    """
    values = {}
    for need in needs:
        name, value = need.name, _value(need.name, visit)
        if value is None and not need.is_required:
            continue
        if value is None:
            code = "bad_request" if name.startswith("browser.query.") else "unauthorized"
            raise TopicRefused(code, f"the upstream needs ${{{name}}}, which this browser does not bring")
        if len(value.encode("utf-8", "replace")) > VALUE_MOST_BYTES:
            raise TopicRefused("bad_request", f"${{{name}}} is longer than 8 KiB")
        if not _BREAKS.isdisjoint(value):
            raise TopicRefused("bad_request", f"${{{name}}} holds a line break or a zero byte")
        values[name] = value
    return values


def _value(name: str, visit: Visit) -> str | None:
    _, kind, *rest = name.split(".", 2)
    if kind == "token":
        return visit.token
    if kind == "query":
        return visit.query.get(rest[0])
    texts = frozenset[str]() if visit.identity is None else texts_of(visit.identity.claims, rest[0])
    return next(iter(texts)) if len(texts) == 1 else None
