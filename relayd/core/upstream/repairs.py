"""How often a gap may be repaired: a false gap must not become endless reconnecting or subscribing."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

from relayd.core.windows import SlidingWindow

S = TypeVar("S", bound=Hashable)

REPAIRS_MOST, REPAIRS_SPAN_S = 3, 300.0
"""guess: three times in five minutes; beyond this a gap is only marked."""


class RepairBudget:
    """The repairs of one connection. A subject is a topic, or None for the connection itself."""

    __slots__ = ("_exhausted", "_windows")

    def __init__(self) -> None:
        self._windows: dict[object, SlidingWindow] = {}
        self._exhausted: set[object] = set()

    def take(self, subject: object, now: float) -> bool:
        """Whether the subject may be repaired once more; if so it counts."""
        window = self._windows.get(subject)
        if window is None:
            window = self._windows[subject] = SlidingWindow(REPAIRS_MOST, REPAIRS_SPAN_S)
        return window.take(now)

    def share(self, subjects: Sequence[S], now: float) -> tuple[list[S], int]:
        """Those of the subjects that may be repaired, and how many from now on may not (told once of each)."""
        allowed = [subject for subject in subjects if self.take(subject, now)]
        fresh = set(subjects) - set(allowed) - self._exhausted
        self._exhausted = (self._exhausted | fresh) - set(allowed)
        return allowed, len(fresh)
