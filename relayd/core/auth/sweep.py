"""Deadlines of many connections, of any length, without a timer or a heap entry for each: buckets of a second."""

from __future__ import annotations

from math import ceil
from typing import Generic, TypeVar

K = TypeVar("K")


class Sweep(Generic[K]):
    """At most one deadline for each key, in monotonic seconds; it comes up to a second late, never early."""

    __slots__ = ("_buckets", "_second_of")

    def __init__(self) -> None:
        self._buckets: dict[int, dict[K, None]] = {}
        self._second_of: dict[K, int] = {}

    def __len__(self) -> int:
        return len(self._second_of)

    def set(self, key: K, at: float) -> None:
        """The key is due at `at`; replaces the deadline it had."""
        self.discard(key)
        second = ceil(at)
        self._second_of[key] = second
        self._buckets.setdefault(second, {})[key] = None

    def discard(self, key: K) -> None:
        """The key has no deadline any more."""
        second = self._second_of.pop(key, None)
        if second is None:
            return
        bucket = self._buckets[second]
        del bucket[key]
        if not bucket:
            del self._buckets[second]

    def take_due(self, now: float) -> list[K]:
        """Take out the keys whose time has come, in order of time."""
        due: list[K] = []
        for second in sorted(second for second in self._buckets if second <= now):
            for key in self._buckets.pop(second):
                del self._second_of[key]
                due.append(key)
        return due
