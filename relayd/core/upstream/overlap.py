"""Two connections that bring the same topics: the old one is published until each topic has moved to the new one.

A topic moves when it is known where the new stream goes on (`splice.py`), at the new connection's snapshot where deltas
follow one, and else at the end of the overlap: without a word where the new connection brought nothing of it, and the
old one has said nothing for so long that it would have; with a gap mark in all other cases. What either of them says is
published once.

Where the old connection is lost in between, nothing is known to be missing as long as what the new one brings fits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

from relayd.core.feed.outcome import Data
from relayd.core.feed.sequence import Sequence
from relayd.core.publication import TopicState
from relayd.core.upstream.effects import FeedSink
from relayd.core.upstream.splice import Splice
from relayd.core.upstream.topics import UPSTREAM, TopicLedger

T = TypeVar("T")

OVERLAP_MOST_S: Final = 20.0
"""How long the old connection is kept once the new one has asked for everything: guess. Upstreams that announce their
end leave 30 s (Twitch) to 10 min (Binance), of which the dial and the login take some."""

LISTEN_S: Final = 10.0
"""The last part of that time, in which silence counts: guess. Two connections to one feed that are both alive are
nearer together than this."""


class Overlap(Generic[T]):
    """What both connections say, judged. Bounded by the topics, and each by its Splice."""

    def __init__(
        self,
        sink: FeedSink[T],
        old: TopicLedger[T],
        new: TopicLedger[T],
        *,
        sequence_of: Callable[[Mapping[str, str]], Sequence | None],
        is_delta: Callable[[Mapping[str, str]], bool],
        wake: Callable[[], object],
        resumed: Callable[[], bool] = bool,
    ) -> None:
        """`wake` is called when the last topic has moved; `resumed`: whether the new connection is known to miss
        nothing since the overlap began."""
        self._sink = sink
        self._old = old
        self._new = new
        self._sequence_of = sequence_of
        self._is_delta = is_delta
        self._wake = wake
        self._resumed = resumed
        self.is_heard = False
        """Whether the new connection has brought any data."""
        self._moved: set[T] = set()
        self._orphaned = False
        self.counts = [0, 0]
        """How many topics have moved: without a loss, and with a mark."""
        self.left: dict[T, Splice[T]] = {}
        """The topics that the old connection serves."""
        for topic in old.live():
            self._keep(topic, together=True)

    def inherit(self) -> None:
        """The new connection wants what the old one has: what was missed before is not forgotten."""
        for topic in self._old.broken():
            self._new.inherit(topic, gap_due=True)

    # -- what the connections say

    @property
    def outgoing(self) -> _Outgoing[T]:
        """The old connection's end."""
        return _Outgoing(self)

    @property
    def incoming(self) -> _Incoming[T]:
        """The new connection's end."""
        return _Incoming(self)

    def _keep(self, topic: T, *, together: bool = False) -> Splice[T]:
        splice: Splice[T] = Splice(self._sequence_of(self._old.fields_of(topic)), together=together)
        self.left[topic] = splice
        return splice

    def _old_heard(self, topic: T, data: Data[T]) -> None:
        splice = self.left.get(topic)
        if splice is None:
            if not self._is_with_old(topic):
                return
            splice = self._keep(topic)
        self._publish(topic, data)
        splice.said(data)
        self._try(topic, splice)

    def _is_with_old(self, topic: T) -> bool:
        """Whether a topic that had no data so far is the old connection's to serve."""
        return topic not in self._moved and topic not in self._new.flowing and self._old.is_sent(topic)

    def _new_heard(self, topic: T, data: Data[T]) -> None:
        self.is_heard = True
        splice = self.left.get(topic)
        if splice is None:
            self._publish(topic, data)
        elif not self._is_delta(self._new.fields_of(topic)):
            splice.hold(data, resumed=self._resumed())
            self._try(topic, splice)
        elif data.snapshot:
            self._move(topic)
            self._publish(topic, data)
        else:
            splice.passed_over()

    def _try(self, topic: T, splice: Splice[T]) -> None:
        following = splice.join()
        if following is not None:
            self._move(topic)
            for data in following:
                self._publish(topic, data)
        elif self._orphaned and splice.held and not splice.is_behind:
            self._mark(topic, splice)

    def _publish(self, topic: T, data: Data[T]) -> None:
        self._sink.publish(topic, data.payload, data.is_text, data.snapshot, data.is_json)

    # -- what becomes of them

    def listen(self) -> None:
        """The last part of it begins."""
        for splice in self.left.values():
            splice.listen()

    def new_lost(self) -> None:
        """The new connection is gone, and will be dialled again; what it brought of these topics is of no use."""
        for splice in self.left.values():
            splice.release()

    def old_lost(self, *, ready: bool, resumes: bool = False) -> None:
        """The old connection is gone: what the new one was not asked for is missed from here on. `ready`: the new one
        is open, and logged in; `resumes`: it goes on where the old one ended, if the upstream can."""
        if self._orphaned:
            return
        self._orphaned = True
        if not ready:
            for topic in self._moved:
                # Lost on both, and the point to resume from is one for all topics: nobody knows what is behind it.
                self._new.inherit(topic, gap_due=True)
        for topic, splice in list(self.left.items()):
            asked = ready and (self._new.unasked or self._new.comes(topic))
            if self._is_delta(self._new.fields_of(topic)) or not (asked or resumes):
                self._lose(topic)
            elif resumes:
                self._leave(topic, marked=False)
                self._new.inherit(topic, gap_due=True, sure=False)
                if not (asked and (self._new.unasked or self._new.is_confirmed(topic))):
                    self._new.tell(topic)
            else:
                self._try(topic, splice)  # an answer that is still on its way may well stand before what was said

    def conclude(self) -> list[T]:
        """It has lasted long enough: all that is left moves now. Returns the topics of deltas that need a snapshot."""
        in_need: list[T] = []
        for topic, splice in list(self.left.items()):
            if not (self._new.unasked or self._new.comes(topic)):
                self._lose(topic)
            elif splice.silent and not self._orphaned:
                self._move(topic)
            else:
                self._mark(topic, splice)
                if self._is_delta(self._new.fields_of(topic)):
                    in_need.append(topic)
        return in_need

    def _leave(self, topic: T, *, marked: bool) -> None:
        del self.left[topic]
        self._moved.add(topic)
        self.counts[marked] += 1
        if not self.left:
            self._wake()

    def _move(self, topic: T) -> None:
        """The new connection serves it from here on; its readers have missed nothing."""
        self._leave(topic, marked=False)
        self._new.inherit(topic, gap_due=False)

    def _mark(self, topic: T, splice: Splice[T]) -> None:
        """As `_move`, but nobody knows what they have missed. What has no number may have been said already; where
        the old connection ended before, the newest is published all the same, lest readers keep an old value."""
        held = splice.beyond() or (list(splice.held)[-1:] if self._orphaned else [])
        self._leave(topic, marked=True)
        self._new.inherit(topic, gap_due=False)
        self._sink.gap(topic, None, UPSTREAM)
        for data in held:
            self._publish(topic, data)

    def _lose(self, topic: T) -> None:
        """The new connection does not have it (yet): its readers hear what it has to say of that."""
        self._leave(topic, marked=True)
        self._new.inherit(topic, gap_due=True)
        self._new.tell(topic)


class _Outgoing(Generic[T]):
    """What the old connection says."""

    __slots__ = ("_overlap", "heard")

    def __init__(self, overlap: Overlap[T]) -> None:
        self._overlap = overlap
        self.heard = overlap._old_heard

    def gap(self, topic: T, missed: int | None, why: str) -> None:
        overlap = self._overlap
        if (splice := overlap.left.get(topic)) is not None:
            splice.broke()
        if splice is not None or overlap._is_with_old(topic):
            overlap._sink.gap(topic, missed, why)

    def state(self, topic: T, state: TopicState, why: str = "") -> None:
        if topic in self._overlap.left and state is not TopicState.RECONNECTING:
            self._overlap._sink.state(topic, state, why)

    def forget(self, topic: T) -> None:
        """Where the new connection has it too, its word counts."""
        if not self._overlap._new.knows(topic):
            self._overlap._sink.forget(topic)


class _Incoming(Generic[T]):
    """What the new connection says."""

    __slots__ = ("_overlap", "heard")

    def __init__(self, overlap: Overlap[T]) -> None:
        self._overlap = overlap
        self.heard = overlap._new_heard

    def gap(self, topic: T, missed: int | None, why: str) -> None:
        splice = self._overlap.left.get(topic)
        if splice is None:
            self._overlap._sink.gap(topic, missed, why)
        else:
            splice.release()

    def state(self, topic: T, state: TopicState, why: str = "") -> None:
        overlap = self._overlap
        if topic not in overlap.left:
            overlap._sink.state(topic, state, why)
        elif overlap._orphaned and state is TopicState.FAILED:
            overlap._lose(topic)  # which tells it: nobody else will bring it

    def forget(self, topic: T) -> None:
        self._overlap.left.pop(topic, None)
        self._overlap._moved.discard(topic)
        self._overlap._sink.forget(topic)
