"""The bounded memory of a topic."""

from __future__ import annotations

import gc
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from relayd.core.publication import RETAINED_OVERHEAD_BYTES, Entry, GapMark, Publication
from relayd.core.ring import Ring

TOPIC: Any = object()


def ring(**changes: Any) -> Ring:
    """A ring with room for everything but what the test narrows."""
    settings: dict[str, Any] = {"max_count": 1000, "max_bytes": 1 << 30, "max_age_s": 1e9, "deltas": False}
    return Ring(**(settings | changes))


def put(to: Ring, *, at: float = 0.0, snapshot: bool = False, size: int = 1) -> Publication:
    """Append a publication."""
    entry = Publication(TOPIC, to.end, to.end, b"x" * size, True, snapshot, at, size + RETAINED_OVERHEAD_BYTES)
    to.append(entry)
    return entry


def mark(to: Ring, at: float = 0.0) -> GapMark:
    """Append a gap mark."""
    entry = GapMark(TOPIC, to.end, to.end, None, "upstream", at)
    to.append(entry)
    return entry


def offsets(of: Ring, after: int = 0) -> list[int]:
    """What it holds after an offset."""
    return [entry.offset for entry in of.after(after)]


class RingTests:
    """Bounds, positions, and what a newcomer gets."""

    def test_empty(self) -> None:
        """Nothing to read, nobody to serve."""
        empty = ring()
        assert (len(empty), empty.first, empty.end, empty.bytes) == (0, 1, 1, 0)
        assert offsets(empty) == []
        assert empty.newest() is None
        assert empty.start_for_newcomer() is None

    def test_count(self) -> None:
        """The oldest goes; offsets go on."""
        small = ring(max_count=3)
        for _ in range(5):
            put(small)
        assert offsets(small) == [3, 4, 5]
        assert (small.first, small.end, len(small)) == (3, 6, 3)

    def test_bytes(self) -> None:
        """A payload over the bound stays alone: the newest is never dropped."""
        small = ring(max_bytes=1000 + 2 * RETAINED_OVERHEAD_BYTES)
        put(small, size=400)
        put(small, size=400)
        assert offsets(small) == [1, 2]
        put(small, size=5000)
        assert offsets(small) == [3]
        assert small.bytes == 5000 + RETAINED_OVERHEAD_BYTES

    def test_append_tells_the_change_of_bytes(self) -> None:
        """What the hub sums up."""
        small = ring(max_count=1)
        put(small, size=100)
        entry = Publication(TOPIC, small.end, 2, b"x" * 30, True, False, 0.0, 30 + RETAINED_OVERHEAD_BYTES)
        assert small.append(entry) == -70

    def test_age(self) -> None:
        """Old ones go when a new one comes or time is told, the newest never."""
        old = ring(max_age_s=10)
        put(old, at=0)
        put(old, at=5)
        put(old, at=11)
        assert offsets(old) == [2, 3]
        old.expire(100)
        assert offsets(old) == [3]

    def test_age_spares_the_state(self) -> None:
        """From the newest snapshot on, a topic of deltas keeps what count and bytes allow."""
        book = ring(max_age_s=10, deltas=True)
        put(book, at=0)
        put(book, at=1, snapshot=True)
        put(book, at=2)
        book.expire(1000)
        assert offsets(book) == [2, 3]
        assert book.start_for_newcomer() == 1

    def test_snapshot_goes_with_the_count(self) -> None:
        """When the deltas outgrow the ring there is no state to hand out."""
        book = ring(max_count=3, deltas=True)
        put(book, snapshot=True)
        for _ in range(2):
            put(book)
        assert book.start_for_newcomer() == 0
        put(book)
        assert book.start_for_newcomer() is None

    def test_gap_ends_the_state(self) -> None:
        """What was missed may have changed anything; the next snapshot begins anew."""
        book = ring(deltas=True)
        put(book, snapshot=True)
        mark(book)
        assert book.start_for_newcomer() is None
        put(book, snapshot=True)
        assert book.start_for_newcomer() == 2

    def test_newest_is_a_publication(self) -> None:
        """Marks are no value."""
        plain = ring()
        put(plain)
        mark(plain)
        newest = plain.newest()
        assert newest is not None and newest.offset == 1
        assert plain.start_for_newcomer() == 0

    def test_gap_marks_that_went_are_remembered(self) -> None:
        """From before the last of them on, nobody can count."""
        small = ring(max_count=1)
        mark(small)
        assert small.last_gap_gone == 0
        put(small)
        assert small.last_gap_gone == 1

    def test_dead_entries_are_cut(self) -> None:
        """The list does not grow with what has gone."""
        small = ring(max_count=2)
        for _ in range(500):
            put(small)
        assert offsets(small) == [499, 500]
        assert len(small._entries) < 200

    def test_what_was_let_go_is_not_kept_until_the_cut(self) -> None:
        """Each entry that some object still refers to is one that the ring counts."""
        large = ring(max_count=50)
        for _ in range(120):
            put(large)
        held = {id(entry) for entry in large.after(0)}
        assert {id(one) for one in gc.get_referents(large._entries) if isinstance(one, Publication)} == held

    def test_clear(self) -> None:
        """Nothing is held, and what comes next has the next offset."""
        of = ring()
        for _ in range(3):
            put(of)
        held, end = of.bytes, of.end
        assert of.clear() == held
        assert (len(of), of.bytes, of.end, of.newest()) == (0, 0, end, None)
        put(of)
        assert [entry.offset for entry in of.after(0)] == [end]

    def test_shrink(self) -> None:
        """The older half goes."""
        full = ring()
        for _ in range(10):
            put(full, size=10)
        assert full.shrink() == 5 * (10 + RETAINED_OVERHEAD_BYTES)
        assert offsets(full) == [6, 7, 8, 9, 10]

    @given(
        st.integers(1, 70),
        st.booleans(),
        st.lists(st.tuples(st.sampled_from(["put", "snapshot", "mark"]), st.integers(0, 3)), max_size=300),
    )
    def test_model(self, max_count: int, deltas: bool, script: list[tuple[str, int]]) -> None:
        """Against a list that forgets: same entries, same base, whatever the order."""
        tried = ring(max_count=max_count, max_age_s=20, deltas=deltas)
        kept: list[Entry] = []
        now = 0.0
        for what, passes_s in script:
            now += passes_s
            kept.append(mark(tried, now) if what == "mark" else put(tried, at=now, snapshot=what == "snapshot"))
            kept = kept[-max_count:]
            base = _base(kept) if deltas else None
            spared = kept[-1].offset if base is None else base
            kept = [entry for entry in kept if entry.offset >= spared or entry.at >= now - 20]
            assert list(tried.after(0)) == kept
            assert (tried.first, tried.end) == (kept[0].offset, kept[-1].offset + 1)
            if deltas:
                assert tried.start_for_newcomer() == (None if base is None else base - 1)


class SerialTests:
    """Where somebody stands who knows a serial."""

    def test_held(self) -> None:
        """The newest entry up to it."""
        of = ring()
        assert of.offset_at(7) == 0
        for serial in (10, 20, 30):
            of.append(Publication(TOPIC, of.end, serial, b"", True, False, 0.0, RETAINED_OVERHEAD_BYTES))
        assert [of.offset_at(serial) for serial in (9, 10, 25, 99)] == [0, 1, 2, 3]

    def test_let_go(self) -> None:
        """Known where a ledger was kept."""
        of = ring(max_count=2)
        for _ in range(5):
            put(of)
        assert (of.offset_at(3), of.offset_at(4)) == (None, 4)
        of.keep_ledger()
        of.keep_ledger()
        for _ in range(5):
            put(of)
        assert [of.offset_at(serial) for serial in (3, 4, 7, 9)] == [None, 4, 7, 9]


def _base(kept: list[Entry]) -> int | None:
    for entry in reversed(kept):
        if isinstance(entry, GapMark):
            return None
        if entry.snapshot:
            return entry.offset
    return None
