"""The search for a ceiling, with servers that keep up to a certain rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bench.arithmetic import Latencies
from bench.cpu import Cost
from bench.figures.ceiling import STEPS_MAX, climb
from bench.figures.throughput import _against
from bench.rig import FAULTS, Sample, Window
from bench.workload import Workload

P99_MAX_MS = 60.0


def sample(rate: int, *, share: float = 1.0, p99_ms: float = 5.0, load_share: float = 0.5, **final: int) -> Sample:
    """What a server did at `rate` with 10 clients: 4 s, 1 CPU second."""
    window = Window(
        4.0,
        Cost(1.0, None),
        4 * load_share,
        round(rate * 10 * 4 * share),
        0,
        0,
        0,
        Latencies(((int(p99_ms * 1e6), 1),)),
    )
    counts: dict[str, Any] = {**dict.fromkeys(FAULTS, 0), "lost": 0, **final}
    return Sample("some", Workload(connections=10, rate=rate), window, rate * 4, counts, 0, None, 0, 0, 0, 0)


def ends_at(most: int, **beyond: Any) -> Callable[[int], Sample]:
    """A server that keeps up to a rate, and beyond it does as said."""
    return lambda rate: sample(rate) if rate <= most else sample(rate, **beyond)


class ClimbTests:
    """Which rate is found."""

    @pytest.mark.parametrize("beyond", [{"share": 0.98}, {"p99_ms": 61.0}, {"lost": 1}, {"doubled": 1}])
    def test_up(self, beyond: dict[str, Any]) -> None:
        """By fifths, to the last rate before anything was short, late, lost or wrong."""
        found = climb(ends_at(1800, **beyond), 1000, P99_MAX_MS)
        assert [one.workload.rate for one in found.samples] == [1000, 1200, 1440, 1728, 2074]
        assert found.best is not None and found.best.workload.rate == 1728
        assert found.why.startswith("at 2,074/s offered: ")
        assert found.curve[-1][0] == found.samples[-1].window.delivered_per_s

    def test_down(self) -> None:
        """Who does not keep up at the start is asked for less, until it does."""
        found = climb(ends_at(700, share=0.5), 1000, P99_MAX_MS)
        assert [one.workload.rate for one in found.samples] == [1000, 833, 694]
        assert found.best is found.samples[-1]
        assert found.why.startswith("at 833/s offered: 50.0% delivered")
        assert found.curve[0][0] == pytest.approx(6940)

    def test_without_end(self) -> None:
        """The steps are bounded in both directions."""
        high = climb(ends_at(10**9), 1000, P99_MAX_MS)
        assert len(high.samples) == STEPS_MAX and high.best is high.samples[-1]
        assert high.why == f"not reached in {STEPS_MAX} steps"
        low = climb(ends_at(0, share=0.1), 1000, P99_MAX_MS)
        assert len(low.samples) == STEPS_MAX and low.best is None

    def test_tells_of_a_busy_load_generator(self) -> None:
        """It may be what ended."""
        assert "the load generator used 95%" in climb(ends_at(1000, share=0.5, load_share=0.95), 1000, P99_MAX_MS).why


class AgainstTests:
    """The targets."""

    def test_ratios(self) -> None:
        """Rate by rate, CPU by CPU; the medians of the rounds."""
        rounds = {"relayd": [sample(3600)] * 3, "nats": [sample(1000)] * 3}
        rate, us = _against("nats", rounds)
        assert rate.value == pytest.approx(3.6) and rate.met
        assert us.value == pytest.approx(1 / 3.6) and not us.met

    def test_without_a_ceiling(self) -> None:
        """Nothing can be said: nothing is met."""
        assert [check.met for check in _against("nats", {"relayd": [sample(1000)]})] == [False, False]
