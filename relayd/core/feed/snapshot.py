"""Snapshots: messages that hold a topic's whole state, how one is asked for, and which deltas follow it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from relayd.core.feed.match import FOR_ALL, For, Match
from relayd.core.feed.outcome import Data
from relayd.core.feed.path import Path
from relayd.core.feed.sequence import Sequence, end_of
from relayd.core.feed.template import Node
from relayd.core.feed.url import Http

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One `snapshot` variant."""

    applies: For = FOR_ALL
    when: Match | None = None
    """Messages that match are snapshots."""
    http: Http | None = None
    """It is fetched."""
    send: Node = None
    """It is asked for by a message."""
    sends: bool = False
    last: Path | None = None
    """The last number it holds."""


# A snapshot by HTTP takes a second or two; a lively book has 10 to 100 deltas in it (guess).
MAX_DELTAS = 1000
MAX_DELTA_BYTES = 4 << 20


class Joining(Generic[T]):
    """The deltas of one topic that wait for its snapshot, so that the two can be put together without hole or double.

    For snapshots that are fetched: the connection goes on meanwhile. What comes in too great a number to be kept makes
    the snapshot too old, so that another one is asked for.
    """

    def __init__(self, sequence: Sequence | None) -> None:
        self._sequence = sequence
        self._waiting: list[Data[T]] = []
        self._bytes = 0
        self._overflowed = False

    def hold(self, delta: Data[T]) -> None:
        """A delta came."""
        if len(self._waiting) >= MAX_DELTAS or self._bytes + len(delta.payload) > MAX_DELTA_BYTES:
            self._waiting.clear()
            self._bytes = 0
            self._overflowed = True
        self._waiting.append(delta)
        self._bytes += len(delta.payload)

    def join(self, snapshot: Data[T]) -> list[Data[T]] | None:
        """The snapshot came: the deltas that follow it, in order. None = it is too old: ask for another one."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        overflowed, self._overflowed = self._overflowed, False
        last = snapshot.seq
        if self._sequence is None or not isinstance(last, int):
            return None if overflowed else waiting
        following = [one for one in waiting if one.seq is None or end_of(one.seq) > last]
        first = next((one.seq for one in following if one.seq is not None), None)
        if first is None:
            return None if overflowed and not following else following
        if self._sequence.gap(last, first)[0]:
            # Keep what came: the next snapshot is newer.
            for one in waiting:
                self.hold(one)
            return None
        return following
