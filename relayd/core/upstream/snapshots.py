"""Topics whose snapshot is asked for: their deltas wait until it has come, so that the two are joined without a hole.

The question goes out when the first delta has come, because a snapshot asked for earlier may be older than it. While
the answer is awaited nothing of the topic is published: whoever joined between the two would have a hole.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from typing import Generic, TypeVar

from relayd.core.feed.outcome import Data, Sending
from relayd.core.feed.sequence import Sequence
from relayd.core.feed.snapshot import Joining

T = TypeVar("T")


class Snapshots(Generic[T]):
    """The topics of one connection that wait for a snapshot. Bounded by the topics, and each by `Joining`."""

    __slots__ = ("_ask", "_sequence_of", "waiting")

    def __init__(self, ask: Callable[[T], Seq[Sending]], sequence_of: Callable[[T], Sequence | None]) -> None:
        """`ask` makes what asks for a topic's snapshot (nothing = there is no way to ask); `sequence_of` says how its
        messages are numbered."""
        self._ask = ask
        self._sequence_of = sequence_of
        self.waiting: dict[T, Joining[T]] = {}
        """The topics that wait; looked at for each message."""

    def ask(self, topic: T) -> Seq[Sending]:
        """What asks for the snapshot, if there is a way; from now on deltas wait for it. What waits already stays."""
        sendings = self._ask(topic)
        if sendings and topic not in self.waiting:
            self.waiting[topic] = Joining(self._sequence_of(topic))
        return sendings

    def hold(self, topic: T, delta: Data[T]) -> None:
        """A delta came while the topic waits. After a gap only what follows it can be joined."""
        if delta.gap:
            self.waiting[topic] = Joining(self._sequence_of(topic))
        self.waiting[topic].hold(delta)

    def join(self, topic: T, snapshot: Data[T]) -> Seq[Data[T]] | None:
        """The snapshot came. Returns the deltas to publish behind it; None = it does not fit them, ask again."""
        following = self.waiting[topic].join(snapshot)
        if following is not None:
            del self.waiting[topic]
        return following

    def forget(self, topics: Seq[T]) -> None:
        """They are no longer wanted, or begin anew."""
        for topic in topics:
            self.waiting.pop(topic, None)
