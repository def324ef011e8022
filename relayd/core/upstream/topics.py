"""What is wanted of an upstream, how far each topic has come on the present connection, and what browsers are told.

The wanted set is the only truth: what to send is always the difference between it and what this connection was sent,
never something read back from an earlier one. A topic that comes and goes while nothing may be sent costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Final, TypeVar

from relayd.core.deadlines import Deadlines
from relayd.core.feed.conversation import Wanted
from relayd.core.publication import TopicState
from relayd.core.upstream.effects import FeedSink
from relayd.core.upstream.entry import Entry, Phase
from relayd.core.upstream.places import Places
from relayd.core.upstream.policy import without_state
from relayd.core.upstream.standing import Standing

T = TypeVar("T")

UPSTREAM = "upstream"
"""Why a gap is in a topic: the upstream's fault, not a slow reader's."""

UNANSWERED = "the upstream did not answer within subscribe.within"

LATE_S: Final = 10.0
"""For how long what an upstream had sent before it heard an unsubscribe may still come: guess, as long as its silence
counts for silence where two connections overlap."""


class TopicLedger(Standing[T]):
    """The topics of one upstream. Bounded by what the hub lets exist (`limits.topics`)."""

    def __init__(
        self,
        sink: FeedSink[T],
        *,
        within_s: Callable[[Mapping[str, str]], float | None],
        failed_again_s: float,
        unasked: bool,
        places: Places[T] | None = None,
        is_delta: Callable[[Mapping[str, str]], bool] = without_state,
    ) -> None:
        """`within_s`: how long a sent topic of these fields may lack ack and data; None = for ever. `unasked`: the
        upstream pushes what it likes, and cannot be told to stop. `places`: the subscriptions that a connection may
        hold; left out, any number. `is_delta`: whether a topic of these fields begins with a snapshot."""
        super().__init__()
        self._sink = sink
        self._within_s = within_s
        self._failed_again_s = failed_again_s
        self.unasked = unasked
        self._is_delta = is_delta
        self._places: Places[T] = places if places is not None else Places()
        self.crowded_out = 0
        """How often a topic found no place on the connection."""
        self.flowing: set[T] = set()
        """Those whose data has come on this connection: what each message looks at, without a call."""
        self._to_want: dict[T, Entry[T]] = {}
        self._to_drop: dict[T, Entry[T]] = {}
        self._to_retry: dict[T, Entry[T]] = {}
        self._overdue: Deadlines[T] = Deadlines()
        self._failed: Deadlines[T] = Deadlines()
        self._ended: Deadlines[tuple[tuple[str, str], ...]] = Deadlines()
        """What this connection was told to end a short while ago, by its fields: the topic itself is gone from the
        hub, and one that is wanted again is another."""
        self._refused_why: str | None = None
        self._followed = False

    @property
    def wanted(self) -> bool:
        """Whether anything is wanted."""
        return len(self._entries) > len(self._to_drop)

    @property
    def subscribed(self) -> bool:
        """Whether anything was asked of this connection, so that silence means something."""
        without = len(self._to_want) + len(self._to_retry) + len(self._failed) + self._places.waiting
        return len(self._entries) > without

    @property
    def waiting(self) -> int:
        """How many topics wait for a place on the connection."""
        return self._places.waiting

    @property
    def difference_due(self) -> bool:
        """Whether there is something to tell the upstream."""
        return bool(self._to_want or self._to_drop or self._to_retry)

    # -- the wanted set

    def want(self, topic: T, fields: Mapping[str, str]) -> None:
        """Somebody wants it. Idempotent."""
        entry = self._entries.get(topic)
        if entry is None:
            self._entries[topic] = self._to_want[topic] = entry = Entry(topic, fields)
            # A topic of deltas begins anew with its snapshot, whatever came late.
            entry.returned = self._ended.discard(tuple(fields.items())) and not self._is_delta(fields)
            self._tell_waiting(entry)
        elif entry.leaving:
            # The upstream never heard that it was unwanted.
            entry.leaving = False
            del self._to_drop[topic]

    def unwant(self, topic: T) -> None:
        """Nobody wants it any more. Idempotent."""
        entry = self._entries.get(topic)
        if entry is None or entry.leaving or self.unasked:
            return
        if entry.asked:
            entry.leaving = True
            self._to_drop[topic] = entry
        else:
            self._forget(entry)

    def take_drops(self, now: float) -> list[T]:
        """What the upstream should no longer send; it is forgotten here."""
        drops = list(self._to_drop)
        for topic in drops:
            self._ended.set(tuple(self.fields_of(topic).items()), LATE_S, now)
            self._forget(self._to_drop[topic])
        return drops

    def take_wants(self, now: float) -> list[Wanted[T]]:
        """What the upstream was not asked for on this connection; from now on it counts as sent."""
        wants, self._to_want = self._to_want, {}
        return [Wanted(entry.topic, entry.fields or {}) for entry in self._sent(wants, now)]

    def take_retries(self, now: float) -> list[T]:
        """What failed, and is to be asked for again; from now on it counts as sent."""
        retries, self._to_retry = self._to_retry, {}
        return [entry.topic for entry in self._sent(retries, now)]

    def _sent(self, entries: Mapping[T, Entry[T]], now: float) -> Iterable[Entry[T]]:
        for topic, entry in entries.items():
            if not self._places.take(topic, entry.fields or {}):
                self._crowd_out(entry)
                continue
            entry.phase, entry.asked = Phase.SENT, True
            if entry.told_away:
                entry.told_away = False
                self._sink.state(entry.topic, TopicState.PENDING)
            if entry.why:
                entry.why = ""
                self._tell_waiting(entry)
            if (within_s := self._within_s(entry.fields or {})) is not None:
                self._overdue.set(topic, within_s, now)
            yield entry

    # -- what the upstream says

    def acked(self, topics: Iterable[T]) -> None:
        """The upstream confirmed them, or has no way to; what is unknown or live already stays as it is."""
        for topic in topics:
            entry = self._entries.get(topic)
            if entry is None:
                continue
            if entry.returned:
                entry.returned = False
                if topic in self.flowing:
                    # That may be what came late of the subscription before; nobody knows what was missed in between.
                    self._sink.gap(topic, None, UPSTREAM)
            if entry.phase in (Phase.SENT, Phase.FAILED):
                had_failed = entry.phase is Phase.FAILED
                self._settle(entry, Phase.CONFIRMED)
                if had_failed:
                    self._places.hold(topic, entry.fields or {})
                    self._tell_waiting(entry)

    def failed(self, topics: Iterable[T], why: str, now: float, *, again: bool = True) -> None:
        """The upstream refused them, or ended them; they are asked for `again` after a long pause, or never here."""
        for topic in topics:
            entry = self._entries.get(topic)
            if entry is None or entry.phase is Phase.WANTED:
                continue
            self._fail(entry, why, self._failed_again_s if again else inf, now)
            # What cannot even be asked for has no companion either.
            self._admit(self._places.refused(topic) if again else self._places.free(topic))

    def data(self, topic: T, *, follows: bool = False) -> None:
        """Data for it is about to be published, the first on this connection; `follows`: the upstream resumed where the
        last connection ended."""
        if follows and not self._followed:
            self._follow()
        entry = self._entries.get(topic)
        if entry is None:
            if not self.unasked:
                return
            self._entries[topic] = entry = Entry(topic, None)
        if entry.phase is Phase.LIVE:
            return
        if entry.phase in (Phase.WANTED, Phase.FAILED):
            self._places.hold(topic, entry.fields or {})
        self._settle(entry, Phase.LIVE)
        if entry.gap_due:
            entry.gap_due = entry.gap_sure = False
            self._sink.gap(topic, None, UPSTREAM)
        self._sink.state(topic, TopicState.LIVE)

    def again(self, topics: Iterable[T] | None, now: float) -> list[T]:
        """Those of the topics (None = of all) that can be begun anew; the caller tells the upstream to."""
        anew: dict[T, Entry[T]] = {}
        for topic in list(self._entries) if topics is None else topics:
            entry = self._entries.get(topic)
            if entry is not None and not entry.leaving and entry.phase is not Phase.WANTED and not self.unasked:
                self._away(entry)
                entry.gap_sure = entry.gap_due
                anew[topic] = entry
        return [entry.topic for entry in self._sent(anew, now)]

    def _follow(self) -> None:
        """What was asked for on the connection before and on this one has no hole between the two."""
        self._followed = True
        for entry in self._entries.values():
            entry.follow()

    # -- another connection

    def inherit(self, topic: T, *, gap_due: bool, sure: bool = True) -> None:
        """Another connection has published it until now. `gap_due`: nobody knows what was missed since; `sure`: nor
        will the present one, by following it."""
        entry = self._entries.get(topic)
        if entry is None:
            if not self.unasked:
                return
            self._entries[topic] = entry = Entry(topic, None)
        if not gap_due:
            entry.had_data = entry.phase is not Phase.LIVE
            return
        entry.gap_due, entry.gap_sure, entry.told_away = True, sure, False
        if entry.phase is Phase.LIVE:
            self._settle(entry, Phase.CONFIRMED)

    def give_up(self) -> None:
        """What nobody wants any more is forgotten, although the upstream was not told: the connection will end."""
        for entry in list(self._to_drop.values()):
            self._forget(entry)

    def release(self, topic: T) -> None:
        """Another connection is to have it, and it was not asked for here."""
        self._remove(self._entries[topic])

    def tell(self, topic: T) -> None:
        """Tell the topic's readers how it stands here."""
        entry = self._entries.get(topic)
        if entry is None:
            return
        if entry.why and entry.phase in (Phase.WANTED, Phase.FAILED):
            self._sink.state(topic, TopicState.FAILED, entry.why)
        else:
            self._tell_waiting(entry)

    # -- the connection

    def lost(self, why: str = "", *, opened: bool = True) -> None:
        """The connection is gone, and with it all that was sent on it. `why` is told to those who wait for data; empty
        = nothing to tell. One that never `opened` has missed nothing."""
        self._places.clear()
        self.give_up()
        self._to_retry.clear()
        self._to_want.clear()  # for the order of wanting: who came later must not take the place of who had one
        self._ended.clear()
        self._followed = False
        for entry in self._entries.values():
            entry.returned = False
            entry.gap_sure = entry.gap_due and (opened or entry.gap_sure)
            self._away(entry, why)
            entry.asked = False
            if entry.fields is not None:
                self._to_want[entry.topic] = entry

    def refused(self, why: str) -> None:
        """The upstream lets us in no more: all topics fail, also those wanted from now on, until `admitted`."""
        self._refused_why = why
        for entry in self._entries.values():
            self._tell_waiting(entry)

    def admitted(self) -> None:
        """The upstream let us in again."""
        if self._refused_why is not None:
            self._refused_why = None
            for entry in self._entries.values():
                self._tell_waiting(entry)

    # -- time

    def next_deadline(self) -> float:
        """When `tick` has something to do, in the seconds of `now`; infinity = never."""
        return min(self._overdue.next(), self._failed.next(), self._ended.next())

    def tick(self, now: float) -> None:
        """What is overdue has failed, what failed long ago is wanted again, and what ended long ago has ended."""
        self._ended.take_due(now)
        for topic in self._overdue.take_due(now):
            # It keeps its place: the upstream may have subscribed it all the same.
            self._fail(self._entries[topic], UNANSWERED, self._failed_again_s, now)
        for topic in self._failed.take_due(now):
            entry = self._entries[topic]
            if not entry.leaving:
                entry.phase = Phase.WANTED
                self._to_retry[topic] = entry

    # -- helpers

    def _fail(self, entry: Entry[T], why: str, again_s: float, now: float) -> None:
        entry.gap_due = entry.gap_due or entry.phase is Phase.LIVE or entry.had_data
        entry.gap_sure, entry.had_data = entry.gap_due, False
        self._settle(entry, Phase.FAILED)
        self._failed.set(entry.topic, again_s, now)
        entry.why = why
        self._sink.state(entry.topic, TopicState.FAILED, why)

    def _crowd_out(self, entry: Entry[T]) -> None:
        """There is no place for it on this connection; it waits for one."""
        self._settle(entry, Phase.WANTED)
        self.crowded_out += 1
        entry.why = self._places.why
        self._sink.state(entry.topic, TopicState.FAILED, entry.why)

    def _admit(self, topics: Iterable[T]) -> None:
        """They waited, and have a place now."""
        for topic in topics:
            entry = self._entries[topic]
            (self._to_retry if entry.asked else self._to_want)[topic] = entry

    def _settle(self, entry: Entry[T], phase: Phase) -> None:
        """Its fate on this connection is known for now."""
        entry.phase = phase
        (self.flowing.add if phase is Phase.LIVE else self.flowing.discard)(entry.topic)
        entry.why = ""
        self._overdue.discard(entry.topic)
        self._failed.discard(entry.topic)
        self._to_retry.pop(entry.topic, None)

    def _away(self, entry: Entry[T], away: str = "") -> None:
        """What was sent for it counts no more. Why it failed is kept, so that it is told when it is asked for again."""
        was_live, why = entry.phase is Phase.LIVE or entry.had_data, entry.why
        self._settle(entry, Phase.WANTED)
        entry.why, entry.had_data = why, False
        if was_live or (away and entry.gap_due and not why):
            entry.gap_due = True
            self._sink.state(entry.topic, TopicState.RECONNECTING, away)
        elif away and entry.fields is not None and not why:
            entry.told_away = True
            self._sink.state(entry.topic, TopicState.PENDING, away)

    def _remove(self, entry: Entry[T]) -> None:
        self._settle(entry, Phase.WANTED)
        self._to_want.pop(entry.topic, None)
        self._to_drop.pop(entry.topic, None)
        del self._entries[entry.topic]
        self._admit(self._places.free(entry.topic))

    def _forget(self, entry: Entry[T]) -> None:
        self._remove(entry)
        # From here on nobody remembers that something was missed: the hub marks the hole, or begins a new epoch.
        self._sink.forget(entry.topic)

    def _tell_waiting(self, entry: Entry[T]) -> None:
        if self._refused_why is not None:
            self._sink.state(entry.topic, TopicState.FAILED, self._refused_why)
        elif entry.gap_due:
            self._sink.state(entry.topic, TopicState.RECONNECTING)
        else:
            self._sink.state(entry.topic, TopicState.PENDING)
