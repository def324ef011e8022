"""Tests of relayd.core.upstream.clock."""

from __future__ import annotations

import pytest

from relayd.core.upstream.clock import FeedClock
from relayd.core.upstream.effects import Note

NOW_S = 1_700_000_000.5


class ClockTests:
    """One upstream, whose clock is told by its answers."""

    @pytest.mark.parametrize("off_s", [-1.9, 0.0, 1.4])
    def test_no_difference(self, off_s: float) -> None:
        """What a `Date` cannot tell is none."""
        clock = FeedClock(lambda: NOW_S)
        assert clock.heard(NOW_S + off_s) is None
        assert (clock.now(), clock.skew_s) == (NOW_S, 0.0)

    def test_no_date(self) -> None:
        """Nothing is known, or as before."""
        clock = FeedClock(lambda: NOW_S)
        clock.heard(NOW_S + 99.5)
        assert clock.heard(None) is None
        assert clock.now() == NOW_S + 100

    @pytest.mark.parametrize(("off_s", "ahead"), [(3600.0, "ahead of"), (-3600.0, "behind")])
    def test_a_difference_is_told_once(self, off_s: float, ahead: str) -> None:
        """And again when it changes, or is over."""
        ours_s = NOW_S
        clock = FeedClock(lambda: ours_s)
        theirs_s = NOW_S + off_s - 0.5
        assert clock.heard(theirs_s) == Note("skew", {"skew_s": 3600.0, "ahead": ahead}, warning=True)
        assert clock.now() == NOW_S + off_s
        assert clock.heard(theirs_s + 1) is None
        told = clock.heard(theirs_s + 9)
        assert told is not None and told.fields["skew_s"] == abs(off_s + 9)
        ours_s += off_s
        assert clock.heard(theirs_s) == Note("no skew", {})
        assert clock.heard(theirs_s) is None
        assert clock.now() == ours_s
