"""The graceful stop: stages, pace, hints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.drain import (
    LEAVE_WITHIN_S,
    LOOK_EVERY_S,
    NEXT,
    RETURN_AFTER_S,
    Drain,
    DrainSettings,
    Event,
    Stage,
)


class TableTests:
    """Every stage meets every event."""

    def test_total(self):
        """No pair is missing, and none is too many."""
        assert set(NEXT) == {(stage, event) for stage in Stage for event in Event}

    def test_only_onwards(self):
        """No event leads back."""
        order = list(Stage)
        assert all(order.index(after) >= order.index(before) for (before, _), after in NEXT.items())

    @pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.SERVING])
    def test_hurry_ends_it(self, stage):
        """Asked once more, and once more again, it is over."""
        assert NEXT[NEXT[stage, Event.HURRY], Event.HURRY] is Stage.GONE


def closes(drain: Drain, now: float, clients: int, seconds: float) -> list[int]:
    """What each look says while every closed client hangs up at once; ends when it is over."""
    found = []
    for step in range(round(seconds / LOOK_EVERY_S)):
        more = min(drain.look(now + step * LOOK_EVERY_S, clients), clients)
        clients -= more
        found.append(more)
        if drain.stage is Stage.GONE:
            break
    return found


class PaceTests:
    """How many are closed when."""

    def test_spread(self):
        """A crowd goes evenly over the time, the first at once."""
        drain = Drain(DrainSettings(over_s=10.0))
        drain.begin(1000.0)
        found = closes(drain, 1000.0, 10_000, 20.0)
        assert all(99 <= one <= 101 for one in found[:-2])
        assert sum(found) == 10_000
        assert len(found) * LOOK_EVERY_S == pytest.approx(10.1, abs=0.11)
        assert drain.stage is Stage.GONE

    def test_few_go_at_once(self):
        """Ten browsers are no crowd."""
        drain = Drain(DrainSettings(over_s=60.0))
        drain.begin(0.0)
        assert closes(drain, 0.0, 10, 5.0) == [10, 0]

    def test_nobody(self):
        """Over before it began."""
        drain = Drain(DrainSettings())
        drain.begin(5.0)
        assert drain.look(5.0, 0) == 0
        assert drain.stage is Stage.GONE

    def test_without_time(self):
        """`over: 0s`: all at once."""
        drain = Drain(DrainSettings(over_s=0.0))
        drain.begin(0.0)
        assert drain.look(0.0, 5000) >= 5000
        assert drain.stage is Stage.LEAVING

    def test_notice(self):
        """Nobody is closed, and nothing ends, while the balancer looks elsewhere."""
        drain = Drain(DrainSettings(notice_s=5.0))
        drain.begin(0.0)
        for now in (0.0, 2.0, 4.9):
            assert drain.look(now, 0) == 0
            assert drain.stage is Stage.NOTICE
        assert drain.look(5.0, 7) == 10
        assert drain.stage is Stage.CLOSING

    def test_who_does_not_hang_up(self):
        """Has two seconds after everybody was closed; then it is over."""
        drain = Drain(DrainSettings(over_s=1.0))
        drain.begin(0.0)
        drain.look(0.0, 3)
        assert drain.look(1.0, 3) == 3
        assert drain.stage is Stage.LEAVING
        assert drain.look(1.0 + LEAVE_WITHIN_S - 0.01, 3) == 3
        assert drain.look(1.0 + LEAVE_WITHIN_S, 3) == 0
        assert drain.stage is Stage.GONE

    def test_before_and_after(self):
        """Nothing is due while relayd serves, nor when it is over; a second beginning changes nothing."""
        drain = Drain(DrainSettings(over_s=5.0))
        assert (drain.look(0.0, 9), drain.not_ready()) == (0, None)
        drain.begin(0.0)
        drain.begin(4.0)
        assert drain.not_ready() == "relayd is going down"
        drain.look(0.0, 0)
        assert drain.look(99.0, 9) == 0

    def test_hurry(self):
        """The rest at once, then nobody is waited for."""
        drain = Drain(DrainSettings(over_s=60.0))
        drain.begin(0.0)
        drain.look(0.0, 10_000)
        drain.hurry(1.0)
        assert drain.look(1.0, 9_000) == 9_000
        drain.hurry(1.1)
        assert drain.stage is Stage.GONE

    @given(
        st.floats(0, 20), st.floats(0, 60), st.integers(0, 20_000), st.integers(0, 100),
        st.lists(st.floats(0.01, 3.0), min_size=1, max_size=40),
    )  # fmt: skip
    def test_always_ends_in_time(self, notice_s, over_s, clients, stubborn, steps):
        """However seldom it is asked, all are closed once and it is over when it must be."""
        drain = Drain(DrainSettings(notice_s, over_s))
        drain.begin(0.0)
        now, open_, stayed = 0.0, clients, 0
        closed = 0
        while drain.stage is not Stage.GONE:
            more = min(drain.look(now, open_ + stayed), open_)
            closed += more
            open_ -= more
            stayed = min(stubborn, closed)
            late = steps[closed % len(steps)]
            assert now <= drain.settings.longest_s + 3 * max(steps)
            now += late
        assert closed == clients or not clients


class HintTests:
    """When clients should come back."""

    def test_when_the_successor_is_there(self):
        """The first wait longest, and all come back after the end."""
        drain = Drain(DrainSettings(notice_s=1.0, over_s=10.0))
        drain.begin(100.0)
        assert drain.retry_s(101.0) == 10 + RETURN_AFTER_S
        assert drain.retry_s(111.0) == RETURN_AFTER_S
        assert drain.retry_s(115.0) == RETURN_AFTER_S

    def test_sooner_in_a_hurry(self):
        """The end is near then."""
        drain = Drain(DrainSettings(over_s=60.0))
        assert drain.retry_s(0.0) == RETURN_AFTER_S
        drain.begin(0.0)
        drain.hurry(1.0)
        assert drain.retry_s(1.0) == RETURN_AFTER_S

    def test_as_configured(self):
        """`retry` decides, rounded up."""
        drain = Drain(DrainSettings(retry_s=0.5))
        drain.begin(0.0)
        assert drain.retry_s(0.0) == 1
