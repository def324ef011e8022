"""Sequences: losses seen, and losses that are none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.feed.path import Scope, parse_path
from relayd.core.feed.sequence import ConnectionCounter, Counter, Sequence, end_of, whole

STEP = Sequence(at=parse_path("n"), step=1)
RANGE = Sequence(first=parse_path("U"), last=parse_path("u"))
LINK = Sequence(prev=parse_path("p"), at=parse_path("n"))


class NumberTests:
    """Reading."""

    @pytest.mark.parametrize(
        ("rule", "doc", "number"),
        [
            (STEP, {"n": 5}, 5),
            (STEP, {"n": "5"}, 5),
            (STEP, {"n": None}, None),
            (STEP, {}, None),
            (RANGE, {"U": 1, "u": 3}, (1, 3)),
            (RANGE, {"U": 1}, None),
            (RANGE, {"u": 1}, None),
            (LINK, {"p": -1, "n": "7"}, (-1, 7)),
        ],
    )
    def test_reads(self, rule: Sequence, doc: Any, number: Any) -> None:
        """Numbers, also written as texts."""
        assert rule.read(Scope(doc)) == number

    @pytest.mark.parametrize("wrong", [True, 1.5, "1.5", "", "x", "--1", "1-", "٥", "1" * 30, None, []])
    def test_what_is_no_whole_number(self, wrong: Any) -> None:
        """It is as if nothing stood there."""
        assert whole(wrong) is None

    def test_end(self) -> None:
        """What the next one follows."""
        assert end_of(4) == 4 and end_of((2, 9)) == 9


class GapTests:
    """Comparing."""

    @pytest.mark.parametrize(
        ("rule", "last", "number", "gap"),
        [
            (STEP, None, 5, (False, None)),
            (STEP, 5, 6, (False, None)),
            (STEP, 5, 5, (False, None)),
            (STEP, 5, 1, (False, None)),
            (STEP, 5, 9, (True, 3)),
            (Sequence(at=parse_path("n"), step=2), 4, 6, (False, None)),
            (Sequence(at=parse_path("n"), step=2), 4, 7, (True, None)),
            (Sequence(at=parse_path("n"), step=2), 4, 10, (True, 2)),
            (Sequence(at=parse_path("n")), 4, 100, (False, None)),
            (RANGE, 160, (161, 165), (False, None)),
            (RANGE, 165, (164, 166), (False, None)),
            (RANGE, 166, (170, 171), (True, None)),
            (RANGE, 166, (1, 3), (False, None)),
            (LINK, 100, (100, 103), (False, None)),
            (LINK, 103, (103, 103), (False, None)),
            (LINK, 103, (110, 111), (True, None)),
            (LINK, 103, (101, 104), (True, None)),
            (LINK, 103, (1, 3), (False, None)),
        ],
    )
    def test_gaps(self, rule: Sequence, last: int | None, number: Any, gap: tuple[bool, int | None]) -> None:
        """Overlaps, repeats and smaller numbers are none."""
        assert rule.gap(last, number) == gap

    def test_a_snapshot_starts_anew(self) -> None:
        """Whatever its number is."""
        assert STEP.gap(5, 1000, snapshot=True) == (False, None)

    @given(st.integers(0, 100), st.lists(st.integers(0, 5), min_size=1, max_size=20))
    def test_counting_finds_every_hole(self, start: int, holes: list[int]) -> None:
        """Each hole with the number of messages in it."""
        last = start
        for hole in holes:
            assert STEP.gap(last, last + 1 + hole) == ((True, hole) if hole else (False, None))
            last += 1 + hole


class StrideTests:
    """What follows as it should is no gap."""

    def test_of_each_kind(self) -> None:
        """Counting, growing, ranges, links."""
        at, to = parse_path("n"), parse_path("u")
        kinds = [Sequence(at=at, step=2), Sequence(at=at), Sequence(first=at, last=to), Sequence(prev=at, at=to)]
        assert [one.stride for one in kinds] == [2, None, 1, 0]

    @given(st.integers(-99, 99), st.integers(1, 5), st.integers(0, 9))
    def test_never_another_answer(self, last: int, step: int, width: int) -> None:
        """A message that lies `stride` above the last is none after which something is missing."""
        at, to = parse_path("n"), parse_path("u")
        assert Sequence(at=at, step=step).gap(last, last + step) == (False, None)
        assert Sequence(first=at, last=to).gap(last, (last + 1, last + 1 + width)) == (False, None)
        assert Sequence(prev=at, at=to).gap(last, (last, last + width)) == (False, None)


class CounterTests:
    """What is due next."""

    @pytest.mark.parametrize(
        ("rule", "number", "due"),
        [(STEP, 4, 5), (RANGE, (3, 9), 10), (LINK, (3, 9), 9), (Sequence(at=parse_path("n")), 4, None)],
    )
    def test_due(self, rule: Sequence, number: Any, due: int | None) -> None:
        """Behind the first message; any number will do where numbers only grow."""
        counter = Counter(rule)
        assert counter.due is None
        assert counter.follow(number) == (False, None) and counter.due == due

    def test_a_snapshot(self) -> None:
        """Is no gap, and what is due follows it."""
        counter = Counter(STEP)
        counter.follow(1)
        assert counter.follow(9, snapshot=True) == (False, None) and counter.due == 10

    @given(st.lists(st.tuples(st.integers(-3, 12), st.integers(0, 3)), min_size=1, max_size=12))
    def test_says_what_the_sequence_says(self, numbers: list[tuple[int, int]]) -> None:
        """Of each message after the one before."""
        for rule in (STEP, RANGE, LINK):
            counter, last = Counter(rule), None
            for start, width in numbers:
                number = start if rule is STEP else (start, start + width)
                assert counter.follow(number) == rule.gap(last, number)
                last = end_of(number)


class ConnectionCounterTests:
    """One sequence for all messages of a connection."""

    def test_losses_are_told_once(self) -> None:
        """By whoever asks next."""
        counter = ConnectionCounter(STEP)
        counter.count(1)
        counter.count(2)
        assert counter.tell() == (False, None)
        counter.count(5)
        assert counter.gap and counter.tell() == (True, 2)
        assert counter.tell() == (False, None) and not counter.gap

    def test_several_losses_before_anybody_asks(self) -> None:
        """There is one gap, of a size that nobody can tell."""
        counter = ConnectionCounter(STEP)
        for number in (1, 3, 5):
            counter.count(number)
        assert counter.tell() == (True, None)
