"""The time that an upstream goes by, told from the `Date` of its HTTP answers.

A login that is signed with a time is refused where our clock is wrong, and says no more than "invalid signature". So
what is sent to an upstream holds its time, not ours, and a difference is told to whoever runs the relay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from relayd.core.upstream.effects import Note

SKEW_MOST_S: Final = 2.0
"""Smaller differences are none: `Date` holds whole seconds, and an answer is under way for up to a second."""
HALF_A_SECOND: Final = 0.5  # a `Date` is cut to whole seconds, so on average it is this much too early


class FeedClock:
    """Our clock on the wall, corrected for one upstream."""

    __slots__ = ("_told_s", "_wall", "skew_s")

    def __init__(self, wall: Callable[[], float]) -> None:
        """`wall`: seconds since 1970."""
        self._wall = wall
        self._told_s = 0.0
        self.skew_s = 0.0
        """How far the upstream's clock is ahead of ours, in seconds; 0 where that cannot be told from nothing."""

    def now(self) -> float:
        """The upstream's time, in seconds since 1970."""
        return self._wall() + self.skew_s

    def heard(self, date_s: float | None) -> Note | None:
        """An answer came with this `Date`, or with none. Returns what is to be told: a difference, another one, or that
        there is none any more."""
        if date_s is None:
            return None
        skew_s = date_s + HALF_A_SECOND - self._wall()
        self.skew_s = skew_s if abs(skew_s) > SKEW_MOST_S else 0.0
        if abs(self.skew_s - self._told_s) <= SKEW_MOST_S and bool(self.skew_s) == bool(self._told_s):
            return None
        self._told_s = self.skew_s
        ahead = "ahead of" if self.skew_s > 0 else "behind"
        fields: dict[str, object] = {"skew_s": abs(round(self.skew_s, 1)), "ahead": ahead}
        return Note("skew", fields, warning=True) if self.skew_s else Note("no skew", {})
