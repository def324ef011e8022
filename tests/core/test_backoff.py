"""Tests of relayd.core.backoff."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.backoff import Backoff


class BackoffTests:
    """Full jitter between nothing and a doubling ceiling."""

    def test_ceiling_doubles_to_the_last(self) -> None:
        """1, 2, 4 ... 32, then 60 for ever."""
        backoff = Backoff(lambda: 0.5)
        ceilings = []
        for _ in range(9):
            ceilings.append(backoff.ceiling_s())
            assert backoff.next_delay_s() == ceilings[-1] / 2
        assert ceilings == [1, 2, 4, 8, 16, 32, 60, 60, 60]

    def test_reset_begins_again(self) -> None:
        """After a reset the first ceiling holds again."""
        backoff = Backoff(lambda: 1.0)
        for _ in range(5):
            backoff.next_delay_s()
        assert backoff.attempts == 5
        backoff.reset()
        assert (backoff.attempts, backoff.next_delay_s()) == (0, 1.0)

    def test_a_year_of_failures_stays_cheap(self) -> None:
        """The exponent is bounded: no overflow and no growing integer."""
        backoff = Backoff(lambda: 1.0)
        backoff.attempts = 10_000_000
        assert backoff.next_delay_s() == 60.0

    @given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=40))
    def test_never_outside_the_ceiling(self, draws: list[float]) -> None:
        """Whatever the draws, 0 <= delay <= ceiling <= 60."""
        source = iter(draws)
        backoff = Backoff(lambda: next(source))
        for _ in draws:
            ceiling_s = backoff.ceiling_s()
            assert 0 <= backoff.next_delay_s() <= ceiling_s <= 60

    @pytest.mark.parametrize(("least_s", "most_s"), [(0, 60), (-1, 60), (2, 1)])
    def test_nonsense_is_refused(self, least_s: float, most_s: float) -> None:
        """A backoff without a delay would be a storm."""
        with pytest.raises(ValueError, match="0 < least_s <= most_s"):
            Backoff(lambda: 0.0, least_s=least_s, most_s=most_s)
