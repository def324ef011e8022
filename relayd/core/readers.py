"""Who reads what: the moves of a subscriber between cohorts.

Every change of a subscriber's topics is the same move: out of its cohort with positions in hand, into the cohort of
its new
topics as one that is behind, and then caught up from the rings (core/lagging.py). Snapshot, recovery and the switch
to live
are one synchronous step of it: no hole, no duplicate, no side queue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relayd.core import wire
from relayd.core.closecode import CLOSE_SLOW, CloseCode
from relayd.core.cohort import Cohort, CohortKey
from relayd.core.flush import Notice
from relayd.core.lagging import Lagging
from relayd.core.overload import Laggard
from relayd.core.publication import Publication, TopicState
from relayd.core.routes import Mode
from relayd.core.subscriber import Pace, Subscriber
from relayd.core.topics import Topic

if TYPE_CHECKING:
    from relayd.core.hub import Hub


@dataclass(frozen=True, slots=True)
class Want:
    """One topic of a subscribe request."""

    topic: Topic
    max_hz: float | None = None
    since: str | None = None
    """`epoch:offset` of what the client has; None for a newcomer."""
    claims: bool = True


@dataclass(frozen=True, slots=True)
class Joined:
    """What a subscribe did for one topic: what the answer tells."""

    topic: Topic
    position: str
    recovered: bool | None
    """Whether all since the client's position follows; None where it named none."""
    lost: bytes | None
    """A loss notice (a message) to send before anything of the topic."""


class Readers:
    """All subscribers of a hub, by cohort."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._cohorts: dict[CohortKey, Cohort] = {}

    def subscribe(self, subscriber: Subscriber, wants: Sequence[Want]) -> list[Joined]:
        """Add topics. The caller sends its answer and then calls `settle`, in the same turn: no hole, no duplicate."""
        lagging = self._step_out(subscriber)
        joined = []
        for want in wants:
            topic = want.topic
            if topic not in subscriber.topics:
                topic.add_reader(want.claims)
            subscriber.topics[topic] = rate_of(topic, want.max_hz)
            joined.append(self._enter(topic, want, lagging))
        self._step_in(subscriber, lagging)
        return joined

    def unsubscribe(self, subscriber: Subscriber, topics: Mapping[Topic, bool]) -> None:
        """Remove topics (each with whether it claimed demand). The caller then calls `settle`."""
        lagging = self._step_out(subscriber)
        for topic, claims in topics.items():
            del subscriber.topics[topic]
            lagging.positions.pop(topic, None)
            lagging.newcomer_to.discard(topic)
            topic.remove_reader(claims, self._hub.now())
        self._step_in(subscriber, lagging)

    def settle(self, subscriber: Subscriber) -> None:
        """Serve what the subscriber has to catch up with; with nothing to serve it joins its cohort at once."""
        if subscriber.lagging is not None and subscriber.pace is not Pace.LAGGING:
            subscriber.lagging.produce()

    def hold(self, subscriber: Subscriber) -> None:
        """Send it nothing more, until `release`; what its socket has not taken yet still goes."""
        lagging = self._step_out(subscriber)
        lagging.is_held = True
        self._step_in(subscriber, lagging)
        self.settle(subscriber)

    def release(self, subscriber: Subscriber) -> None:
        """Serve it again, from where it stands."""
        if subscriber.lagging is not None:
            subscriber.lagging.is_held = False
            self.settle(subscriber)

    def leave(self, subscriber: Subscriber, claims: Mapping[Topic, bool]) -> dict[Topic, int]:
        """The connection is gone. Returns the offsets up to which it was given everything, or told of the loss."""
        lagging = self._step_out(subscriber)
        lagging.stop()
        subscriber.lagging = None
        subscriber.pace = Pace.GONE
        topics = list(subscriber.topics)
        subscriber.topics.clear()
        for topic in topics:
            topic.remove_reader(claims[topic], self._hub.now())
        return lagging.positions

    def _step_out(self, subscriber: Subscriber) -> Lagging:
        """Out of its cohort, with positions in hand."""
        cohort = subscriber.cohort
        lagging = subscriber.lagging
        if cohort is None:
            return Lagging(subscriber, {}, 0)
        if lagging is None:
            undelivered = cohort.leave(subscriber)
            for entry in undelivered:
                if type(entry) is Notice:
                    subscriber.tell(entry.data)
            lagging = Lagging(subscriber, cohort.positions(undelivered), cohort.reached)
        else:
            del cohort.behind[subscriber]
            cohort.waiting.pop(subscriber, None)
            # This cohort's flushes may have taken it further than the next cohort is.
            lagging.reached = max(lagging.reached, cohort.reached)
        subscriber.cohort = None
        if not cohort.members and not cohort.behind:
            cohort.disband()
            del self._cohorts[cohort.key]
        return lagging

    def _step_in(self, subscriber: Subscriber, lagging: Lagging) -> None:
        """Into the cohort of its present topics, behind until it has caught up."""
        if not subscriber.topics:
            lagging.stop()
            subscriber.lagging = None
            subscriber.pace = Pace.IDLE
            return
        key = (subscriber.encoding, frozenset(subscriber.topics.items()))
        cohort = self._cohorts.get(key)
        if cohort is None:
            cohort = Cohort(key, subscriber.encoding, subscriber.topics, self._hub.flusher, self._hub.serial)
            self._cohorts[key] = cohort
        subscriber.cohort = cohort
        cohort.expect(subscriber)
        lagging.cohort = cohort
        lagging.moved()
        subscriber.lagging = lagging

    def _enter(self, topic: Topic, want: Want, lagging: Lagging) -> Joined:
        """Set the position from which the subscriber reads a topic."""
        ring = topic.ring
        recovered: bool | None = None
        lost: bytes | None = None
        if want.since is not None:
            offset = _offset_since(want.since, topic)
            if offset is not None and (offset + 1 >= ring.first or topic.route.delivery.mode is Mode.QUEUE):
                lagging.positions[topic] = offset
                return Joined(topic, topic.position, offset + 1 >= ring.first, None)
            recovered = False
            after = offset or 0
            start = ring.start_for_newcomer()
            following = ring.end if start is None else start + 1
            count = None if offset is None or after < ring.last_gap_gone else following - after - 1
            lost = wire.lost(topic.name, after, following, count, "epoch" if offset is None else "slow")
            if count is not None:
                self._hub.counters.lost_slow += count
                lagging.subscriber.lost_messages += count
        elif topic in lagging.positions:
            return Joined(topic, topic.position, None, None)
        start = ring.start_for_newcomer()
        if start is None:
            lagging.positions[topic] = ring.end - 1
            if topic.route.delivery.deltas and topic.state is TopicState.LIVE:
                self._hub.refresh(topic)
        else:
            lagging.positions[topic] = start
            if not topic.route.delivery.deltas:
                lagging.newcomer_to.add(topic)
        return Joined(topic, topic.position, recovered, lost)

    def close_stuck(self, now: float) -> None:
        """Close those whose socket made no progress for `slow_after`; asked about once a second."""
        for lagging in self._hub.flusher.stalls.stuck(now):
            self._hub.counters.closed_slow += 1
            self.send_away(lagging.subscriber, CLOSE_SLOW)

    def laggards(self, now: float) -> list[Laggard[Subscriber]]:
        """Whose socket did not take all, now."""
        return [
            Laggard(lagging.subscriber, lagging.stalled_s(now), lagging.subscriber.sink.buffered())
            for lagging in self._hub.flusher.stalls.all()
        ]

    def send_away(self, subscriber: Subscriber, close: CloseCode, retry_s: int | None = None) -> None:
        """Close a lagging subscriber; until its connection is lost it is served no more, and sent away no more."""
        subscriber.sink.close(close, retry_s)
        subscriber.pace = Pace.GONE
        if subscriber.lagging is not None:
            subscriber.lagging.stop()

    def count_lagging(self) -> int:
        """Subscribers whose socket did not take all, now."""
        return self._hub.flusher.stalls.count


class Hold:
    """A reader without a connection, such as an HTTP request that waits for the first data."""

    def __init__(self, hub: Hub, topic: Topic) -> None:
        self._hub = hub
        self.topic = topic
        self._released = False
        self._waiters: list[Callable[[], None]] = []
        topic.add_reader(True)

    def snapshot(self) -> list[Publication]:
        """What a newcomer would get now: the newest, or the newest snapshot and its deltas; empty before the first
        data."""
        start = self.topic.ring.start_for_newcomer()
        if start is None:
            return []
        return [entry for entry in self.topic.ring.after(start) if isinstance(entry, Publication)]

    def on_first(self, call: Callable[[], None]) -> None:
        """Call at the next publication, once; not after the release."""
        self._waiters.append(call)
        self.topic.waiters.append(call)

    def release(self) -> None:
        """Idempotent."""
        if not self._released:
            self._released = True
            self.topic.waiters = [call for call in self.topic.waiters if call not in self._waiters]
            self._waiters.clear()
            self.topic.remove_reader(True, self._hub.now())


def rate_of(topic: Topic, max_hz: float | None) -> float | None:
    """The rate in hertz at which somebody reads a topic who wants `max_hz` at most; None = as it comes."""
    delivery = topic.route.delivery
    # Deltas are never conflated, whatever a browser asks for.
    if delivery.deltas:
        return None
    rates = [hz for hz in (max_hz, delivery.max_hz) if hz is not None]
    return min(rates, default=None)


def _offset_since(since: str, topic: Topic) -> int | None:
    """The offset of a client's position if it is one of this topic's numbering, else None."""
    epoch, _, number = since.rpartition(":")
    if epoch != topic.epoch or not number.isascii() or not number.isdigit() or len(number) > 16:
        return None
    offset = int(number)
    return offset if offset < topic.ring.end else None
