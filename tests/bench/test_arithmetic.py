"""The benchmark's own sums."""

from __future__ import annotations

import math
import random
import socket
import statistics
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.arithmetic import Latencies, median, paired_ratio, ratio, spread
from tests.bench.ticks import frame, hear_out, server, shake, speaker, tick


class LatenciesTests:
    """Percentiles of merged histograms."""

    def test_merging_adds_counts(self) -> None:
        """The same bucket of two load processes is one bucket."""
        merged = Latencies.merged([[[10, 2], [30, 1]], [[10, 3], [20, 4]]])
        assert merged == Latencies(((10, 5), (20, 4), (30, 1)))
        assert merged.count == 10

    def test_percentiles(self) -> None:
        """A percentile is the smallest value that so many do not exceed."""
        ten = Latencies(tuple((i * 1_000_000, 1) for i in range(1, 11)))
        assert [ten.percentile_ms(p) for p in (1, 10, 11, 50, 90, 99, 100)] == [1, 1, 2, 5, 9, 10, 10]

    def test_of_nothing(self) -> None:
        """No value, no percentile."""
        assert math.isnan(Latencies(()).percentile_ms(99))

    @given(st.lists(st.integers(0, 10**9), min_size=1, max_size=200), st.integers(1, 100))
    def test_against_sorting(self, values: list[int], percent: int) -> None:
        """The same as counting in the sorted list."""
        counted = Latencies.merged([[[value, 1]] for value in values])
        expected = sorted(values)[math.ceil(len(values) * percent / 100) - 1]
        assert counted.percentile_ms(percent) == expected / 1e6


class HistogramTests:
    """The buckets of the load generator."""

    def test_within_one_percent(self) -> None:
        """Latencies from a second to minutes come back at most 0.8 % too high (and the way here), never lower."""
        chance = random.Random(1)
        ages_ns = sorted(int(10 ** chance.uniform(9, 13)) for _ in range(200))

        def script(connection: socket.socket) -> None:
            shake(connection)
            now = time.monotonic_ns()
            connection.sendall(b"".join(frame(tick(0, n, max(0, now - age))) for n, age in enumerate(ages_ns)))
            hear_out(connection)

        now = time.monotonic_ns()
        ages_ns = [age for age in ages_ns if age < now]
        with server(script) as port, speaker("load", port=port) as load:
            load.hear("ready")
            load.ask(f"finish {len(ages_ns)} 5000", "final")
            window = load.ask("end", "window")
        tops = [top for top, count in window["latency_ns"] for _ in range(count)]
        assert len(tops) == len(ages_ns) > 50
        for age, top in zip(ages_ns, tops, strict=True):
            assert age <= top <= age * 1.0079 + 200_000_000


class MedianTests:
    """Medians and ratios."""

    @given(st.lists(st.floats(-1e9, 1e9), min_size=1))
    def test_as_statistics_has_it(self, values: list[float]) -> None:
        """The standard library agrees."""
        assert median(values) == pytest.approx(statistics.median(values))

    def test_unmeasured_counts_as_infinite(self) -> None:
        """A round without a figure makes the median worse, never better."""
        assert median([1.0, math.nan, 2.0]) == 2.0
        assert median([1.0, math.nan, math.nan]) == math.inf
        assert math.isnan(median([]))

    def test_ratio(self) -> None:
        """Nothing divided by nothing is unknown."""
        assert ratio(1, 4) == 0.25
        assert ratio(1, 0) == math.inf
        assert math.isnan(ratio(0, 0))
        assert math.isnan(ratio(math.nan, 1))

    def test_paired_ratio_survives_a_slow_round(self) -> None:
        """A round in which everything took ten times as long changes nothing."""
        assert paired_ratio([2.0, 20.0, 2.2], [1.0, 10.0, 1.0]) == 2.0

    def test_paired_ratio_needs_pairs(self) -> None:
        """Rounds that do not belong together are refused."""
        with pytest.raises(ValueError, match="shorter"):
            paired_ratio([1.0, 2.0], [1.0])

    def test_spread(self) -> None:
        """(worst - best) / median."""
        assert spread([1.0, 2.0, 4.0]) == 1.5
        assert spread([3.0]) == 0.0
