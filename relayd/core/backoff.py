"""How long to wait before dialling an upstream again.

Full jitter: a uniform draw between nothing and a ceiling that doubles. It spreads many relays that lost one upstream at
the same moment better than any fixed delay (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).
"""

from __future__ import annotations

from collections.abc import Callable

LEAST_S = 1.0  # first ceiling; reported storms begin where clients retry with no delay
MOST_S = 60.0  # last ceiling: an upstream that is back is noticed within a minute

MOST_DOUBLINGS = 32  # past any useful ceiling; keeps 2**n a small number in a session that fails for a year


class Backoff:
    """Delays in seconds; grows with each one taken, until `reset`.

    The random source returns floats in [0, 1) and is handed in, so that tests and simulations repeat.
    """

    __slots__ = ("_least_s", "_most_s", "_random", "attempts")

    def __init__(self, random: Callable[[], float], *, least_s: float = LEAST_S, most_s: float = MOST_S) -> None:
        """Raises ValueError unless 0 < least_s <= most_s."""
        if not 0 < least_s <= most_s:
            raise ValueError(f"a backoff needs 0 < least_s <= most_s (got {least_s} and {most_s})")
        self._random = random
        self._least_s = least_s
        self._most_s = most_s
        self.attempts = 0
        """Delays taken since the last reset."""

    def ceiling_s(self) -> float:
        """The longest the next delay can be, in seconds."""
        return float(min(self._most_s, self._least_s * 2 ** min(self.attempts, MOST_DOUBLINGS)))

    def next_delay_s(self) -> float:
        """Take a delay in seconds."""
        delay_s = self._random() * self.ceiling_s()
        self.attempts += 1
        return delay_s

    def reset(self) -> None:
        """The upstream has proved itself: begin again at the first ceiling."""
        self.attempts = 0
