"""When a service manager is told that relayd is well: only while it is.

The word comes from the event loop itself, so a loop that hangs says nothing. One that turns but far too slowly, or has
lost a listener, says nothing either: then the manager's time runs out and it starts relayd anew.
"""

from __future__ import annotations

from typing import Final

#: Of the manager's time: the word comes three times in it (sd_watchdog_enabled(3) recommends twice or more often).
BEATS: Final = 3
#: A loop that is later than this share of the time is not well. Far above what load does: a restart helps nobody who is
#: merely busy (core/overload.py sheds load from a second on).
LAG_SHARE: Final = 0.25


class Watchdog:
    """Beats for a manager that waits `timeout_s` (WATCHDOG_USEC, in seconds)."""

    def __init__(self, timeout_s: float, now: float) -> None:
        self.every_s = timeout_s / BEATS
        self.most_lag_s = timeout_s * LAG_SHARE
        self.next_deadline = now  # the first is due at once

    def why_not(self, now: float, lag_s: float, trouble: str | None) -> str | None:
        """Asked when the deadline has come: why relayd is not well, or None where it is. `lag_s` is the worst of the
        loop since the last time, `trouble` what else is wrong.
        """
        self.next_deadline = now + self.every_s
        if trouble is not None:
            return trouble
        return None if lag_s <= self.most_lag_s else f"the event loop was {lag_s:.1f} s late"
