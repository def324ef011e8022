"""The serials of what a ring let go: where in the topic somebody stands who knows a hub-wide serial only.

A reader of an event stream comes back with one number for all its topics. While the ring holds something that it has
had, its place is found there; afterwards the count of what it missed would be anybody's guess. A serial is 8 bytes, its
publication hundreds, so a ring remembers the first longer than the second.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import Final

#: Serials that are kept at least (8 KiB), whatever the size of the ring.
LEAST_SERIALS: Final = 1024
#: Serials that are kept for each entry that the ring holds: 64 bytes beside the 256 and more of the entry.
SERIALS_PER_ENTRY: Final = 8


class Ledger:
    """Serials by offset, ascending; the oldest half goes when there are too many."""

    __slots__ = ("_first", "_serials")

    def __init__(self, first: int) -> None:
        self._first = first  # the offset whose serial stands first, or will
        self._serials = array("Q")

    def __len__(self) -> int:
        return len(self._serials)

    def add(self, serial: int, held: int) -> None:
        """The ring, which holds `held` entries more, lets this one go."""
        serials = self._serials
        serials.append(serial)
        if len(serials) > max(LEAST_SERIALS, SERIALS_PER_ENTRY * held):
            half = len(serials) // 2
            del serials[:half]
            self._first += half

    def offset_at(self, serial: int) -> int | None:
        """The offset of the newest entry up to `serial`, which is before the ring; None when it is forgotten."""
        index = bisect_right(self._serials, serial)
        if index or self._first == 1:
            return self._first + index - 1
        return None
