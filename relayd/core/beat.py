"""When to look at what is looked at from time to time: everybody at the same times.

Each wake of an idle process costs 0.2 to 0.3 ms of CPU, since its caches are cold by then (docs/design/fan-out.md), and
what it does in that wake next to nothing. So periods are counted from the zero of the monotonic clock and not from when
somebody began: whatever is due each quarter, half or whole second is due together.
"""

from __future__ import annotations


def next_beat(now: float, every_s: float) -> float:
    """The next whole multiple of the period, after `now`; both in monotonic seconds."""
    return (now // every_s + 1) * every_s
