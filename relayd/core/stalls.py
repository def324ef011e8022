"""Whose socket stands still, found without looking at everybody.

A laggard is looked at when it could be due and not before: `slow_after` from when it fell behind or was looked at last.
Ten thousand clients that read nothing thus cost a look each in that time, and publishing does not feel them. A laggard
stands in exactly one second of the calendar, from its first wait for the socket to the last, and leaves it in O(1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relayd.core.lagging import Lagging


class Stalls:
    """The calendar of those who wait for their sockets."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._seconds: dict[int, dict[Lagging, None]] = {}
        """Who is looked at in which second."""
        self._next = 0
        """The first second that has not been looked at."""
        self.count = 0
        """How many wait for their socket, now."""

    def watch(self, lagging: Lagging) -> None:
        """Look at it in the second in which it could be due; what it takes counts from the first call. Idempotent."""
        self.forget(lagging)
        self._enter(lagging, max(int(lagging.due(self._monotonic())), self._next))

    def forget(self, lagging: Lagging) -> None:
        """It waits no more. Idempotent."""
        if lagging.look_at < 0:
            return
        second = self._seconds[lagging.look_at]
        del second[lagging]
        if not second:
            del self._seconds[lagging.look_at]
        lagging.look_at = -1
        self.count -= 1

    def all(self) -> list[Lagging]:
        """Everybody who waits."""
        return [lagging for second in self._seconds.values() for lagging in second]

    def stuck(self, now: float) -> list[Lagging]:
        """Who has made no progress for the `slow_after` of its topics. They are watched on: closing is the caller's."""
        found: list[Lagging] = []
        self._next = int(now) + 1
        for second in [second for second in self._seconds if second < self._next]:
            for lagging in list(self._seconds[second]):
                due = lagging.due(now)
                if due <= now:
                    found.append(lagging)
                self.forget(lagging)
                self._enter(lagging, max(int(due), self._next))
        return found

    def _enter(self, lagging: Lagging, second: int) -> None:
        self._seconds.setdefault(second, {})[lagging] = None
        lagging.look_at = second
        self.count += 1
