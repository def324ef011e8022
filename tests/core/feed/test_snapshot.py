"""A fetched snapshot and the deltas that follow it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.feed import snapshot as module
from relayd.core.feed.outcome import Data, Number
from relayd.core.feed.path import parse_path
from relayd.core.feed.sequence import Sequence
from relayd.core.feed.snapshot import Joining

RANGE = Sequence(first=parse_path("U"), last=parse_path("u"))
STEP = Sequence(at=parse_path("n"), step=1)


def delta(number: Number | None, payload: bytes = b"d") -> Data[str]:
    """A delta."""
    return Data(("t",), payload, True, seq=number)


def snapshot(last: int | None) -> Data[str]:
    """A snapshot that holds everything up to `last`."""
    return Data(("t",), b"s", True, snapshot=True, seq=last)


def joined(rule: Sequence | None, last: int | None, *numbers: Number | None) -> list[Number | None] | None:
    """The numbers of the deltas that follow."""
    joining = Joining[str](rule)
    for number in numbers:
        joining.hold(delta(number))
    following = joining.join(snapshot(last))
    return None if following is None else [one.seq for one in following]


class JoiningTests:
    """Putting the two together."""

    def test_inside_before_and_behind(self) -> None:
        """`U` <= last + 1 <= `u`."""
        deltas = (157, 160), (161, 165), (166, 170)
        assert joined(RANGE, 162, *deltas) == [(161, 165), (166, 170)]
        assert joined(RANGE, 156, *deltas) == list(deltas)
        assert joined(RANGE, 170, *deltas) == []
        assert joined(RANGE, 200, *deltas) == []
        assert joined(STEP, 4, 3, 4, 5) == [5]

    def test_too_old(self) -> None:
        """Another one is asked for; what came waits for it."""
        joining = Joining[str](RANGE)
        joining.hold(delta((157, 160)))
        assert joining.join(snapshot(100)) is None
        joining.hold(delta((161, 165)))
        following = joining.join(snapshot(158))
        assert following is not None and [one.seq for one in following] == [(157, 160), (161, 165)]

    def test_without_numbers(self) -> None:
        """What came since it was asked for follows."""
        assert joined(None, None, None, None) == [None, None]
        assert joined(RANGE, None, (1, 2)) == [(1, 2)]
        assert joined(RANGE, 5, None) == [None]
        assert joined(RANGE, 5) == []

    @pytest.mark.parametrize("bound", ["MAX_DELTAS", "MAX_DELTA_BYTES"])
    def test_more_than_is_kept(self, bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The snapshot is too old, then: the oldest are gone."""
        monkeypatch.setattr(module, bound, 3)
        assert joined(STEP, 0, 1, 2, 3, 4) is None
        assert joined(STEP, 3, 1, 2, 3, 4) == [4]
        assert joined(STEP, 9, 1, 2, 3, 4) is None
        assert joined(None, None, None, None, None, None) is None

    @given(st.lists(st.integers(1, 3), min_size=1, max_size=30), st.integers(0, 60))
    def test_no_hole_and_no_double(self, widths: list[int], last: int) -> None:
        """Contiguous ranges, a snapshot anywhere: what follows begins where the snapshot ends, and goes on."""
        ranges, start = [], 1
        for width in widths:
            ranges.append((start, start + width - 1))
            start += width
        following = joined(RANGE, last, *ranges)
        assert following is not None
        reached = last
        for number in following:
            assert isinstance(number, tuple) and number[0] <= reached + 1 and number[1] > reached
            reached = number[1]
        assert reached == max(last, start - 1)
