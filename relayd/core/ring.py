"""The bounded memory of a topic: its latest publications, by offset.

Bounds: a count, bytes, and an age. The oldest entries go first, with two exceptions to the age alone. The newest
entry stays,
since it is what the next newcomer gets. And on a topic of deltas everything from the newest snapshot on stays, since
it is
not history but the state: a book whose snapshot aged away would be no book.

Offsets in a ring have no holes (a gap takes an offset of its own), so an entry is found by subtraction.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import cast

from relayd.core.ledger import Ledger
from relayd.core.publication import Entry, GapMark, Publication

# The list is cut when this many entries in front are dead and they are more than half of it: amortised O(1) per append.
_CUT_ENTRIES = 64

# Stands in the place of an entry that was let go, whose payload must not wait for the cut.
_GONE = cast(Entry, None)


class Ring:
    """The latest entries of one topic.

    `first` is the offset of the oldest one held, `end` the offset that the next one will take; `first == end` when
    empty.
    """

    __slots__ = (
        "_base", "_dead", "_deltas", "_entries", "_ledger", "_max_age_s", "_max_bytes", "_max_count", "bytes", "end",
        "first", "last_gap_gone",
    )  # fmt: skip

    def __init__(self, *, max_count: int, max_bytes: int, max_age_s: float, deltas: bool) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._deltas = deltas
        self._entries: list[Entry] = []
        self._dead = 0
        self._base: int | None = None
        self._ledger: Ledger | None = None
        self.first = self.end = 1
        self.bytes = 0
        self.last_gap_gone = 0
        """Offset of the newest gap mark let go: from before it on, nobody can count what was missed."""

    def __len__(self) -> int:
        return self.end - self.first

    def append(self, entry: Entry) -> int:
        """Keep the entry, whose offset is `end`; let go of what is over the bounds. Returns by how much `bytes`
        changed."""
        before = self.bytes
        entries = self._entries
        entries.append(entry)
        self.end += 1
        self.bytes += entry.size
        if self._deltas:
            if entry.snapshot:
                self._base = entry.offset
            elif type(entry) is GapMark:
                # What was missed may have changed anything: until the next snapshot there is no state to hand out.
                self._base = None
        while self.end - self.first > self._max_count or (
            self.bytes > self._max_bytes and self.end - self.first > 1
        ):
            self._drop_oldest()
        if entries[self._dead].at < entry.at - self._max_age_s:
            self.expire(entry.at)
        return self.bytes - before

    def expire(self, now: float) -> None:
        """Let go of what is older than the age bound, but for the newest entry and the state of a topic of deltas."""
        horizon = now - self._max_age_s
        keep_from = self.end - 1 if self._base is None else self._base
        while self.first < keep_from and self._entries[self._dead].at < horizon:
            self._drop_oldest()

    def shrink(self) -> int:
        """Let go of the older half; the hub asks when all rings together are over their bound. Returns the bytes
        freed."""
        before = self.bytes
        for _ in range(len(self) // 2):
            self._drop_oldest()
        return before - self.bytes

    def clear(self) -> int:
        """Let go of everything: nobody will ask again. Returns the bytes freed."""
        freed, end = self.bytes, self.end
        self._entries.clear()
        self._dead = self.bytes = 0
        self.first, self._base = end, None
        return freed

    def _drop_oldest(self) -> None:
        oldest = self._entries[self._dead]
        if self._base is not None and self._base == oldest.offset:
            self._base = None
        if type(oldest) is GapMark:
            self.last_gap_gone = oldest.offset
        if self._ledger is not None:
            self._ledger.add(oldest.serial, len(self))
        self.bytes -= oldest.size
        self.first += 1
        self._entries[self._dead] = _GONE
        self._dead += 1
        if self._dead >= _CUT_ENTRIES and self._dead * 2 > len(self._entries):
            del self._entries[: self._dead]
            self._dead = 0

    def after(self, offset: int) -> Iterator[Entry]:
        """The held entries that follow `offset`, oldest first. Read it out before the ring changes."""
        entries = self._entries
        for index in range(self._dead + max(0, offset + 1 - self.first), len(entries)):
            yield entries[index]

    def keep_ledger(self) -> None:
        """Remember the serials of what is let go from now on: some reader will come back with a serial. Idempotent."""
        if self._ledger is None:
            self._ledger = Ledger(self.first)

    def offset_at(self, serial: int) -> int | None:
        """The offset of the newest entry with a serial up to this one, held or not; None when nobody can know."""
        index = bisect_right(self._entries, serial, lo=self._dead, key=_serial_of)
        held = index - self._dead
        if held or self.first == 1:
            return self.first + held - 1
        return None if self._ledger is None else self._ledger.offset_at(serial)

    def newest(self) -> Publication | None:
        """The latest publication, whatever marks follow it."""
        for index in range(len(self._entries) - 1, self._dead - 1, -1):
            entry = self._entries[index]
            if type(entry) is Publication:
                return entry
        return None

    def start_for_newcomer(self) -> int | None:
        """The offset after which a newcomer reads to have the state, or None when the ring cannot tell it.

        Without deltas that is just before the newest publication; with them, just before the newest snapshot.
        """
        if self._deltas:
            return None if self._base is None else self._base - 1
        newest = self.newest()
        return None if newest is None else newest.offset - 1


def _serial_of(entry: Entry) -> int:
    return entry.serial
