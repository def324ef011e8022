"""What relayd counts: plain integers that the code which knows adds to, read by the admin listener when it is asked.

One object for the hub, one per upstream, one for the listeners. A field says in its metadata what it is (a counter only
grows, a gauge goes both ways) and what it means, so that `/metrics` is derived from the objects and nothing is counted
twice. Fields are never labelled by topic or address: those are chosen by clients, and their number is not ours.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

from relayd.core.closecode import CLOSE_CODES

Kind = Literal["counter", "gauge"]


def _number(kind: Kind, meaning: str) -> Any:
    return field(default=0, metadata={"kind": kind, "meaning": meaning})


class Histogram:
    """How often a value in seconds fell at or below each of `bounds_s` (ascending), and the sum of all."""

    __slots__ = ("bounds_s", "counts", "sum_s")

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def observe(self, value_s: float) -> None:
        """Count one value; what is above the last bound falls into the overflow bucket."""
        self.counts[bisect_left(self.bounds_s, value_s)] += 1
        self.sum_s += value_s

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self.counts)


#: From a loopback to a mobile connection that has just woken up; above 10 s the pong is late anyway.
RTT_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


#: How a connection can end that no close code of ours ended.
CLOSED_BY_CLIENT: Final = "client"
CLOSED_BY_LOSS: Final = "loss"
CLOSE_CAUSES: Final = (*(close.name for close in CLOSE_CODES), CLOSED_BY_CLIENT, CLOSED_BY_LOSS)


@dataclass(slots=True)
class ListenerCounters:
    """The connections of browsers, over all listeners."""

    opened: int = _number("counter", "WebSockets opened")
    open: int = _number("gauge", "WebSockets open now")
    streams_opened: int = _number("counter", "event streams opened")
    streams_open: int = _number("gauge", "event streams open now")
    streams_refused: int = _number("counter", "requests for event streams that were refused behind the guard")
    closed: dict[str, int] = field(  # by a label that relayd itself chose: the set is closed and starts at zero
        default_factory=lambda: dict.fromkeys(CLOSE_CAUSES, 0),
        metadata={"kind": "counter", "meaning": "WebSockets and streams closed, by what closed them", "label": "cause"},
    )
    aborted: int = _number("counter", "connections aborted because a close was not answered in time")
    received_messages: int = _number("counter", "messages received from clients")
    received_bytes: int = _number("counter", "bytes of messages received from clients")
    repeaters: int = _number("counter", "WebSockets opened from addresses of which one was just closed for too much")
    repeaters_forgotten: int = _number("counter", "such addresses forgotten early because there were too many")
    turns_over: int = _number("counter", "times a client had said more than is done in one turn of the event loop")
    errors: int = _number("counter", "exceptions in callbacks, each closed one connection with 1011")
    pings: int = _number("counter", "pings sent, repeats not counted")
    pings_repeated: int = _number("counter", "pings sent again because the first had no answer")
    pongs: int = _number("counter", "pongs that answered a ping of ours")
    rtt: Histogram = field(
        default_factory=lambda: Histogram(RTT_BOUNDS_S),
        metadata={"kind": "histogram", "meaning": "round-trip times of pings to clients, in seconds"},
    )


#: How a publication of a client can be refused: error codes of the protocol.
POST_REFUSALS: Final = (
    "bad_request",
    "unknown_topic",
    "unauthorized",
    "forbidden",
    "too_large",
    "rate_limited",
    "unavailable",
)


@dataclass(slots=True)
class HubCounters:
    """Topics, publications and their delivery."""

    publications: int = _number("counter", "publications")
    payload_bytes: int = _number("counter", "bytes of payload published")
    gaps: int = _number("counter", "gaps announced by upstreams, one offset each")
    lost_upstream: int = _number("counter", "messages that upstreams said and that never arrived, where that is known")
    flushes: int = _number("counter", "flushes of cohorts, each one write per member")
    delivered: int = _number("counter", "publications taken whole by sockets, flush by flush")
    delivered_bytes: int = _number("counter", "bytes of those flushes")
    lagged: int = _number("counter", "times a client became lagging")
    lost_slow: int = _number("counter", "publications that lagging clients did not get and were told of")
    snapshots_refreshed: int = _number("counter", "fresh snapshots for clients that lost deltas")
    closed_slow: int = _number("counter", "clients closed because their socket made no progress")
    posts_repeated: int = _number("counter", "HTTP posts that came again with their Idempotency-Key")
    idempotency_keys_dropped: int = _number("counter", "Idempotency-Keys forgotten early because there were too many")
    windows_full: int = _number("counter", "times a client was held because it acknowledged too little")
    polls_answered: int = _number("counter", "polls answered")
    polls_waiting: int = _number("gauge", "polls that wait for something now")
    polls_full: int = _number("counter", "polls whose answer did not hold all there was")
    topics_refused: int = _number("counter", "topics refused because limits.topics was reached")
    topics_dropped: int = _number("counter", "topics without readers that gave way to new ones")
    posts: int = _number("counter", "publications of clients on topics of routes without an upstream")
    posts_up: int = _number("counter", "publications of clients handed to upstreams")
    publishers_paused: int = _number("counter", "times a client was paused because an upstream's buffer was full")
    posts_refused: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(POST_REFUSALS, 0),
        metadata={"kind": "counter", "meaning": "publications of clients that were refused, by error", "label": "code"},
    )
    rings_shrunk: int = _number("counter", "times a ring was halved because limits.ring_bytes was reached")


@dataclass(slots=True)
class BridgeCounters:
    """Browsers with an upstream connection of their own (`exclusive: true`)."""

    opened: int = _number("counter", "upstream connections begun for one browser each")
    open: int = _number("gauge", "such connections now, until their socket is gone")
    refused: int = _number("counter", "browsers refused because limits.exclusive was reached")
    ended_by_upstream: int = _number("counter", "browsers closed because their upstream connection ended or failed")
    held: int = _number("counter", "times an upstream was not read because its browser's socket was full")
    paused: int = _number("counter", "times a browser was not read because its upstream was full or not there yet")


@dataclass(slots=True)
class UpstreamCounters:
    """One connection of an upstream, or all of them, those that were included."""

    connected: int = _number("gauge", "connections that are open now")
    topics: int = _number("gauge", "topics wanted now")
    topics_waiting: int = _number("gauge", "topics that wait for a place on a connection (limits.topics)")
    crowded_out: int = _number("counter", "times a topic found no place on a connection (limits.topics)")
    moved: int = _number("counter", "topics that another connection took over without a loss")
    moved_with_gap: int = _number("counter", "topics that another connection took over with a gap mark")
    dials: int = _number("counter", "connection attempts")
    connects: int = _number("counter", "connections that opened")
    losses: int = _number("counter", "connections lost or given up")
    short: int = _number("counter", "connections that ended before they had lasted (reconnect.settle)")
    rivals: int = _number("counter", "losses whose reason was one connection too many")
    received: int = _number("counter", "messages received")
    received_bytes: int = _number("counter", "bytes of messages received")
    sent: int = _number("counter", "messages sent")
    published: int = _number("counter", "messages that became publications")
    acks: int = _number("counter", "confirmed subscriptions")
    fails: int = _number("counter", "subscriptions that the upstream refused")
    beats: int = _number("counter", "heartbeats received")
    gaps: int = _number("counter", "gaps found in the upstream's numbering")
    held: int = _number("counter", "messages held for an acknowledgement")
    held_dropped: int = _number("counter", "such messages given up: too many, or nobody told whose they are")
    resume_forgotten: int = _number("counter", "messages with an opaque cursor that were too many to know again")
    unrouted: int = _number("counter", "messages of topics that nobody wants")
    unknown: int = _number("counter", "messages that no rule of the configuration knows")


@dataclass(slots=True)
class StateCounters:
    """What outlives the process (`state`)."""

    written: int = _number("counter", "times the state was written to its file")
    failed: int = _number("counter", "times it could not be written")
    unreadable: int = _number("counter", "times the file was there at the start and could not be used")


def added(counters: Iterable[UpstreamCounters]) -> UpstreamCounters:
    """The sum of each field."""
    names = [entry.name for entry in fields(UpstreamCounters)]
    parts = list(counters)
    return UpstreamCounters(**{name: sum(getattr(part, name) for part in parts) for name in names})


@dataclass(frozen=True, slots=True)
class Sample:
    """One field as the admin listener shows it: `value` is a number, a number per label value, or a Histogram."""

    name: str
    kind: str
    meaning: str
    value: int | dict[str, int] | Histogram
    label: str | None


def samples(counters: Any) -> Iterator[Sample]:
    """Every field of a counters object (here or in core/guard.py), in the order in which it is written down."""
    for entry in fields(counters):
        meta = entry.metadata
        yield Sample(entry.name, meta["kind"], meta["meaning"], getattr(counters, entry.name), meta.get("label"))
