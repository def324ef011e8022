"""Percentiles, medians and ratios of measurements. Pure: a benchmark is worth what its arithmetic is worth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Latencies:
    """A histogram as the load generator prints it: (largest value of the bucket in ns, count), ascending."""

    buckets: tuple[tuple[int, int], ...]

    @classmethod
    def merged(cls, parts: Iterable[Iterable[Sequence[int]]]) -> Latencies:
        """The histograms of several load processes as one."""
        counts: dict[int, int] = {}
        for part in parts:
            for top_ns, count in part:
                counts[top_ns] = counts.get(top_ns, 0) + count
        return cls(tuple(sorted(counts.items())))

    @property
    def count(self) -> int:
        """How many latencies were recorded."""
        return sum(count for _, count in self.buckets)

    def percentile_ms(self, percent: float) -> float:
        """The smallest bucket top, in ms, that at least `percent` of the values do not exceed; NaN of none."""
        needed = max(1, math.ceil(self.count * percent / 100))
        seen = 0
        for top_ns, count in self.buckets:
            seen += count
            if seen >= needed:
                return top_ns / 1e6
        return math.nan


def median(values: Sequence[float]) -> float:
    """The middle value (of an even number the mean of the two middle ones); NaN of none. NaN counts as infinite."""
    if not values:
        return math.nan
    ranked = sorted(math.inf if math.isnan(value) else value for value in values)
    middle = len(ranked) // 2
    return ranked[middle] if len(ranked) % 2 else (ranked[middle - 1] + ranked[middle]) / 2


def ratio(ours: float, theirs: float) -> float:
    """ours / theirs; infinite when theirs is 0, NaN when neither says anything."""
    if math.isnan(ours) or math.isnan(theirs) or (ours == 0 and theirs == 0):
        return math.nan
    return math.inf if theirs == 0 else ours / theirs


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median over the rounds of ours/theirs of the same round: what slows a whole round leaves it alone.

    The two must be of equal length; ValueError otherwise.
    """
    return median([ratio(mine, other) for mine, other in zip(ours, theirs, strict=True)])


def spread(values: Sequence[float]) -> float:
    """(worst - best) / median: how far the rounds lie apart. 0 for fewer than two."""
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return 0.0
    return ratio(max(finite) - min(finite), median(finite))
