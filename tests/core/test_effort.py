"""What one connection may make relayd do."""

from __future__ import annotations

import pytest

from relayd.core.effort import Effort


class EffortTests:
    """Units of one topic."""

    def test_a_first_request_passes(self) -> None:
        """However much it is: it is counted when it is done."""
        effort = Effort(128, 100.0)
        assert effort.owed_s(100.0) == 0.0
        effort.spend(5_000, 100.0)
        assert effort.owed_s(100.0) == pytest.approx((5_000 - 4 * 128) / 256)

    def test_a_pace_that_lasts(self) -> None:
        """All topics left and as many taken, each second, for ever; twice as much soon not."""
        effort = Effort(128, 0.0)
        for second in range(100):
            assert effort.owed_s(float(second)) == 0.0
            effort.spend(256, float(second))
        effort.spend(512, 101.0)
        assert effort.owed_s(101.0) == pytest.approx(0.0)
        effort.spend(512, 102.0)
        assert effort.owed_s(102.0) == pytest.approx(1.0)
        assert effort.owed_s(103.0) == pytest.approx(0.0)

    def test_who_was_closed_begins_with_less(self) -> None:
        """Half, a quarter; never less than all topics once and some requests, and with time as much as anybody."""
        for closed_before, units in ((0, 512), (1, 256), (2, 160), (3, 160), (1000, 160)):
            effort = Effort(128, 0.0, closed_before)
            effort.spend(units, 0.0)
            assert effort.owed_s(0.0) == 0.0
            effort.spend(1, 0.0)
            assert effort.owed_s(0.0) > 0.0
        effort = Effort(128, 0.0, 9)
        effort.spend(512, 10.0)
        assert effort.owed_s(10.0) == 0.0

    def test_rest_is_no_credit(self) -> None:
        """A day of silence allows no more than the beginning did."""
        effort = Effort(128, 0.0)
        effort.spend(513, 86_400.0)
        assert effort.owed_s(86_400.0) > 0

    def test_where_hardly_any_topics_are_allowed(self) -> None:
        """A request is a unit of its own, so there is a least."""
        effort = Effort(1, 0.0)
        effort.spend(128, 0.0)
        assert effort.owed_s(0.0) == 0.0
        effort.spend(1, 0.0)
        assert effort.owed_s(0.0) == pytest.approx(1 / 64)
