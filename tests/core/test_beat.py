"""When to look at what is looked at from time to time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relayd.core.beat import next_beat


@given(st.floats(0, 1e9), st.sampled_from([0.25, 0.5, 1.0, 5.0, 10.0]))
def test_after_now_and_within_the_period(now: float, every_s: float) -> None:
    """Never now, and never later than a period."""
    assert now < next_beat(now, every_s) <= now + every_s


def test_together() -> None:
    """Whoever began when, they meet; a look that comes late moves none of the next ones."""
    assert {next_beat(now, 0.25) for now in (12.76, 12.9, 12.75, 12.999)} == {13.0}
    assert next_beat(12.6, 0.5) == next_beat(12.1, 1.0) == 13.0
    assert next_beat(13.0, 0.25) == 13.25
