"""How late the event loop is: what every connection waits for on top of its own work."""

from __future__ import annotations


class WorstLag:
    """The worst of what was heard since it was asked last."""

    __slots__ = ("_worst_s",)

    def __init__(self) -> None:
        self._worst_s = 0.0

    def hear(self, lag_s: float) -> None:
        """A timer fired so many seconds too late."""
        self._worst_s = max(self._worst_s, lag_s)

    def take(self) -> float:
        """The worst, in seconds; from here on a new one is looked for."""
        worst_s, self._worst_s = self._worst_s, 0.0
        return worst_s
