"""The hub: topics, who reads them, and the one step in which a publication gets its number.

`publish` is the way of every message and does four things: a number, a place in the ring, a look at who waits for
the first data, and one append per crowd or cohort. Nothing in it depends on the number of browsers.

The hub does not know whether it is alone, a worker or a node: what is published reaches it through `publish`, `gap` and
`state`, and whom to ask for a topic it knows only as a `Demand`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from relayd.core import wire
from relayd.core.ack_window import AckWindows
from relayd.core.counters import HubCounters
from relayd.core.flush import Notice
from relayd.core.flusher import Flusher
from relayd.core.lane import Lane
from relayd.core.mishap import WAITER, Report, let_it_out
from relayd.core.publication import (
    RETAINED_BYTES,
    RETAINED_OVERHEAD_BYTES,
    SHARED_BYTES,
    Entry,
    GapMark,
    Publication,
    TopicState,
)
from relayd.core.readers import Hold, Readers
from relayd.core.resolver import Resolver
from relayd.core.routes import Match, RouteTable, TopicRefused
from relayd.core.topic import TopicPattern, TopicTemplate
from relayd.core.topics import Demand, Topic
from relayd.core.volley import Volley
from relayd.core.wayup import WayUp

# Looking a member up in an enum costs 0.1 us on CPython 3.11 (measured), which `publish` pays once a message.
LIVE = TopicState.LIVE

# While all rings together are over their bound, this many of the largest are halved per publication (guess: two
# converge).
SHRINKS_PER_PUBLICATION = 2

# How long a local topic that never held anything outlives its last reader: a client comes back within 60 s
# (docs/protocol.md), and its position must then still mean something.
EMPTY_LOCAL_S = 60.0


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Bounds of the hub as a whole."""

    topics: int
    topics_per_client: int
    ring_bytes: int
    message_bytes: int = 64 << 10
    """The largest payload a client may publish."""
    publications: int = 100
    publications_per_s: float = 1.0
    """So many publications of one connection in any window of so many seconds."""


class Hub:
    """All topics of this process."""

    def __init__(
        self,
        routes: RouteTable,
        limits: HubLimits,
        *,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], object],
        epoch: str,
        counters: HubCounters,
        next_turn: Callable[[Callable[[], None]], object] | None = None,
        volley: Volley | None = None,
        report: Report = let_it_out,
    ) -> None:
        self.routes = routes
        self.limits = limits
        self.now = monotonic
        self.wall = wall
        self.epoch = epoch
        self.counters = counters
        self.flusher = Flusher(monotonic, call_later, counters, volley, report, next_turn)
        self.readers = Readers(self)
        self.windows = AckWindows(monotonic, call_later, lambda: self.serial)
        self.topics: dict[str, Topic] = {}
        self._by_template: dict[TopicTemplate, dict[str, Topic]] = {}
        """The same, by what a pattern can be held against at once."""
        self._resolvers: dict[str, Resolver[Topic]] = {}
        """Per upstream."""
        self._resolved: dict[tuple[object, ...], tuple[Topic, ...]] = {}
        """By upstream and fields: what messages found that nobody asked for."""
        self.demands: dict[str, Demand] = {}
        """Per upstream; filled by the composition root."""
        self.ways_up: dict[str, WayUp] = {}
        """Per upstream; likewise."""
        self.serial = 0
        self.ring_bytes = 0
        self._made = 0
        self._pattern_readers: dict[object, Callable[[Topic], None]] = {}

    # -- topics -------------------------------------------------------------------------------------------------------

    def topic(self, name: str) -> Topic:
        """The topic of that name, made if a route has it.

        Raises TopicRefused: bad_request, unknown_topic or forbidden by the routes, unavailable when there are too many.
        """
        return self.topics.get(name) or self._make(self.routes.find(name))

    def resolver(self, upstream: str) -> Resolver[Topic]:
        """Finds the topics of what an upstream says unasked."""
        return self._resolvers.setdefault(upstream, Resolver(partial(self.resolve, upstream)))

    def resolve(self, upstream: str, fields: Mapping[str, str]) -> tuple[Topic, ...]:
        """The topics of an upstream's message that nobody asked for, made if need be; those over the bound are
        counted. Remembered until a topic is forgotten: the routes do not change."""
        key = (upstream, *fields.items())
        known = self._resolved.get(key)
        if known is not None:
            return known
        found = []
        matches = self.routes.of_fields(upstream, fields)
        for match in matches:
            try:
                found.append(self.topics.get(match.name) or self._make(match))
            except TopicRefused:
                continue
        topics = tuple(found)
        if len(topics) == len(matches):
            if len(self._resolved) >= self.limits.topics:  # fields that no topic is named by can have any value
                self._resolved.clear()
            self._resolved[key] = topics
        else:
            self._unsettle()
        return topics

    def _unsettle(self) -> None:
        """What is said unasked may belong to other topics than before."""
        for resolver in self._resolvers.values():
            resolver.change()

    def _make(self, match: Match) -> Topic:
        if match.route.exclusive:
            raise TopicRefused("forbidden", f"route {match.route.template.text} is exclusive: open /raw/{match.name}")
        if len(self.topics) >= self.limits.topics and not self._make_room():
            self.counters.topics_refused += 1
            raise TopicRefused("unavailable", "limits.topics is reached")
        self._made += 1
        upstream = match.route.upstream
        demand = None if upstream is None else self.demands.get(upstream)
        topic = self.topics[match.name] = Topic(
            self, match, f"{self.epoch}{self._made:x}", demand, self.now(), self._made
        )
        self._by_template.setdefault(match.route.template, {})[match.name] = topic
        for meet in list(self._pattern_readers.values()):
            meet(topic)
        return topic

    def _make_room(self) -> bool:
        """Forget the topic that has had no reader for the longest time, those that hold nothing first. Only local
        routes and upstreams that push unasked have such."""
        idle = [
            topic
            for topic in self.topics.values()
            if not topic.readers and (topic.last_at is not None or topic.is_local)
        ]
        if not idle:
            return False
        self.forget(min(idle, key=lambda topic: (topic.last_at is not None, topic.idle_since)))
        self.counters.topics_dropped += 1
        return True

    def forget(self, topic: Topic) -> None:
        """The upstream no longer sends it. Without readers it goes; with some (of a pattern) it waits, marked as
        broken."""
        if topic.readers:
            self.gap(topic, None, "upstream")
            self.state(topic, TopicState.PENDING)
        elif self.topics.get(topic.name) is topic:
            del self.topics[topic.name]
            del self._by_template[topic.route.template][topic.name]
            self._resolved.clear()
            self._unsettle()
            self.ring_bytes -= topic.ring.clear()  # its publications, which the collector does not see, hold it

    def names(self, pattern: TopicPattern | None = None) -> Iterable[Topic]:
        """The topics that exist, those that the pattern means."""
        return self.topics.values() if pattern is None else self.meant_by(pattern)[0]

    def meant_by(self, pattern: TopicPattern) -> tuple[list[Topic], int]:
        """The topics that the pattern means, and how many had to be looked at one by one: mostly a template answers for
        all of its topics."""
        meant: list[Topic] = []
        tried = 0
        for template, topics in self._by_template.items():
            only = template.meant_by(pattern)
            if only is None:
                continue
            found: Collection[Topic] = topics.values()
            for field, value in only.items():
                tried += len(found)
                found = [topic for topic in found if topic.fields[field] == value]
            meant += found
        return meant, tried

    # -- what upstreams say -------------------------------------------------------------------------------------------

    def publish(
        self,
        topic: Topic,
        payload: bytes,
        is_text: bool,
        snapshot: bool = False,
        is_json: bool = False,
        at: float | None = None,
    ) -> None:
        """One message. A text payload is UTF-8 already: whoever took it from outside a WebSocket has checked.
        `is_json`: it is one JSON value, and need not be looked at for that. `at`: monotonic seconds of its arrival, one
        object for all of a read, since each would be another miss of the cache when its publication is let go."""
        if at is None:
            at = self.now()
        self.serial += 1
        size = len(payload)
        held = RETAINED_BYTES[size] if size < SHARED_BYTES else size + RETAINED_OVERHEAD_BYTES
        entry = Publication(topic, topic.ring.end, self.serial, payload, is_text, snapshot, at, held, is_json)
        delivery = topic.route.delivery
        if delivery.stamp:
            entry.at_ms = int(self.wall() * 1000)
        if delivery.key_of is not None:
            entry.key = delivery.key_of(payload)
        topic.last_at = at
        counters = self.counters
        counters.publications += 1
        counters.payload_bytes += size
        if topic.state is not LIVE:
            self.state(topic, LIVE)
        self._append(topic, entry)
        if topic.waiters:
            waiters, topic.waiters = topic.waiters, []
            for call in waiters:
                try:
                    call()
                except Exception:
                    self.flusher.report(WAITER)

    def _append(self, topic: Topic, entry: Entry) -> None:
        self.ring_bytes += topic.ring.append(entry)
        if self.ring_bytes > self.limits.ring_bytes:
            self._shrink_rings()
        if topic.crowds:
            for crowd in [*topic.crowds.values()]:  # one that is left by all is gone
                crowd.give(entry, self.flusher)
        for cohort in topic.cohorts:
            cohort.add(entry)

    def _shrink_rings(self) -> None:
        for _ in range(SHRINKS_PER_PUBLICATION):
            largest = max(self.topics.values(), key=lambda topic: topic.ring.bytes)
            self.ring_bytes -= largest.ring.shrink()
            self.counters.rings_shrunk += 1

    def gap(self, topic: Topic, missed: int | None, why: str) -> None:
        """The upstream said something that never arrived: a mark with an offset of its own."""
        if missed:
            self.counters.lost_upstream += missed
        self.counters.gaps += 1
        self.serial += 1
        self._append(topic, GapMark(topic, topic.ring.end, self.serial, missed, why, self.now()))

    def state(self, topic: Topic, state: TopicState, why: str = "") -> None:
        """Tell the topic's readers, in place among its publications, if it is news."""
        if (topic.state, topic.why) == (state, why):
            return
        topic.state, topic.why = state, why
        notice = Notice(wire.state(topic.name, state, why), self.now())
        for crowd in topic.crowds.values():
            crowd.give(notice, self.flusher)
        for reader in (*topic.cohorts, *topic.aside):
            (reader.cohort if isinstance(reader, Lane) else reader).add_notice(notice)

    # -- who reads ----------------------------------------------------------------------------------------------------

    def hold(self, name: str) -> Hold:
        """Count as a reader of the topic without a connection. Raises TopicRefused."""
        return Hold(self, self.topic(name))

    def meet(self, owner: object, call: Callable[[Topic], None] | None) -> None:
        """Call `call(topic)` for each topic made from now on; None ends it."""
        if call is None:
            self._pattern_readers.pop(owner, None)
        else:
            self._pattern_readers[owner] = call

    def refresh(self, topic: Topic) -> None:
        """Ask the upstream for a fresh snapshot of a topic of deltas."""
        self.counters.snapshots_refreshed += 1
        if topic.demand is not None:
            topic.demand.refresh(topic)

    # -- what time does -----------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """About once a second: ages, stale topics, and clients that make no progress."""
        for topic in list(self.topics.values()):
            is_empty = topic.is_local and topic.last_at is None and not topic.readers
            if is_empty and now - topic.idle_since > EMPTY_LOCAL_S:
                self.forget(topic)
                continue
            before = topic.ring.bytes
            topic.ring.expire(now)
            self.ring_bytes += topic.ring.bytes - before
            stale_after_s = topic.route.stale_after_s
            if stale_after_s is None or topic.last_at is None or topic.state is not TopicState.LIVE:
                continue
            if now - topic.last_at > stale_after_s:
                self.state(topic, TopicState.STALE, "no data within stale_after")
        self.readers.close_stuck(now)
