"""Many deadlines of few lengths, without a heap: in each queue of one length, insertion order is the order of time."""

from __future__ import annotations

from math import inf
from typing import Generic, TypeVar

K = TypeVar("K")


class Deadlines(Generic[K]):
    """At most one deadline for each key, in the seconds of `now`. Times handed in must not run backwards."""

    __slots__ = ("_length_of", "_queues")

    def __init__(self) -> None:
        self._queues: dict[float, dict[K, float]] = {}
        self._length_of: dict[K, float] = {}

    def __len__(self) -> int:
        return len(self._length_of)

    def __contains__(self, key: K) -> bool:
        return key in self._length_of

    def set(self, key: K, length_s: float, now: float) -> None:
        """The key is due in `length_s`; replaces the deadline it had."""
        self.discard(key)
        self._length_of[key] = length_s
        self._queues.setdefault(length_s, {})[key] = now + length_s

    def discard(self, key: K) -> bool:
        """The key has no deadline any more. Returns whether it had one."""
        length_s = self._length_of.pop(key, None)
        if length_s is None:
            return False
        queue = self._queues[length_s]
        del queue[key]
        if not queue:
            del self._queues[length_s]
        return True

    def clear(self) -> None:
        """No key has a deadline any more."""
        self._queues.clear()
        self._length_of.clear()

    def next(self) -> float:
        """The nearest deadline; infinity = none."""
        if not self._queues:  # as where nothing happens, and the ticker asks all the same
            return inf
        return min(next(iter(queue.values())) for queue in self._queues.values())

    def take_due(self, now: float) -> list[K]:
        """Take out the keys whose time has come, in order of time."""
        due = []
        for queue in self._queues.values():
            for key, at in queue.items():
                if at > now:
                    break
                due.append((at, key))
        for _, key in due:
            self.discard(key)
        return [key for _, key in sorted(due, key=lambda entry: entry[0])]
