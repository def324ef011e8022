"""How much one connection may make relayd do by what it asks to read.

A request of a hundred bytes can name a hundred topics, and one of thirty a pattern that is tried against every topic
there is: the meter of frames and bytes (core/meter.py) sees neither. So what was done is counted in units of one topic,
20 to 40 us each (measured), after it was done: a first large request always passes, and who goes on at that pace is
closed. A page that shows something else altogether leaves all its topics and takes as many new ones, and may do so
twice at once and then every second.
"""

from __future__ import annotations

from typing import Final

#: Units at once and in each second, as multiples of `limits.topics_per_client`: with its default of 128 at most 1 % of
#: a core for each connection.
_AT_ONCE: Final = 4
_PER_S: Final = 2
#: Where fewer topics than this are allowed, as much as with this many (guess): a request is a unit by itself.
_TOPICS_LEAST: Final = 32
#: A pattern by itself, which is read and has an answer: 8 us (measured).
PATTERN_UNITS: Final = 0.25
#: Topics held against a pattern for one unit: field by field 0.1 us each, and 1 us where it means them (measured).
TRIED_PER_UNIT: Final = 200
MEANT_PER_UNIT: Final = 20


class Effort:
    """A bucket of units that fills by the time and is emptied by what was done. It may go below nothing."""

    __slots__ = ("_at", "_left", "_most", "_per_s")

    def __init__(self, topics_per_client: int, now: float, closed_before: int = 0) -> None:
        """`closed_before`: so many connections of its address were just closed (core/repeaters.py). Each halves what
        there is at first, down to all topics once and some requests."""
        topics = max(topics_per_client, _TOPICS_LEAST)
        self._most = float(topics * _AT_ONCE)
        self._per_s = topics * _PER_S
        self._left = max(self._most / (1 << min(closed_before, _AT_ONCE)), float(topics + _TOPICS_LEAST))
        self._at = now

    def spend(self, units: float, now: float) -> None:
        """What was done."""
        self._fill(now)
        self._left -= units

    def owed_s(self, now: float) -> float:
        """In how many seconds it may ask again; 0 for now."""
        self._fill(now)
        return max(0.0, -self._left / self._per_s)

    def _fill(self, now: float) -> None:
        self._left = min(self._most, self._left + (now - self._at) * self._per_s)
        self._at = now
