from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.closecode import CLOSE_CODES
from relayd.core.counters import (
    CLOSE_CAUSES,
    RTT_BOUNDS_S,
    Histogram,
    HubCounters,
    ListenerCounters,
    UpstreamCounters,
    added,
    samples,
)

ALL = [ListenerCounters, HubCounters, UpstreamCounters]


class HistogramTests:
    """Round-trip times by bucket."""

    def test_a_bound_belongs_to_its_bucket(self) -> None:
        """A value equal to a bound counts at that bound ("at or below"), one above in the next."""
        histogram = Histogram((1.0, 2.0))
        for value in (0.5, 1.0, 1.5, 2.0, 2.5):
            histogram.observe(value)
        assert histogram.counts == [2, 2, 1]
        assert histogram.sum_s == 7.5

    @given(st.lists(st.floats(0, 20, allow_nan=False)))
    def test_every_value_is_counted_once(self, values: list[float]) -> None:
        """The buckets together hold as many values as were observed."""
        histogram = Histogram(RTT_BOUNDS_S)
        for value in values:
            histogram.observe(value)
        assert histogram.count == len(values)
        assert histogram.counts[-1] == sum(value > RTT_BOUNDS_S[-1] for value in values)

    def test_bounds_ascend(self) -> None:
        """The search in the bounds needs them sorted."""
        assert list(RTT_BOUNDS_S) == sorted(set(RTT_BOUNDS_S))


class CountersTests:
    """The objects and what the admin listener reads from them."""

    @pytest.mark.parametrize("cls", ALL)
    def test_every_field_explains_itself(self, cls: type) -> None:
        """A field without a kind and a meaning would be a metric that nobody can read."""
        for sample in samples(cls()):
            assert sample.kind in {"counter", "gauge", "histogram"}
            assert len(sample.meaning) > 5

    @pytest.mark.parametrize("cls", ALL)
    def test_all_fields_in_order(self, cls: type) -> None:
        """Nothing that is counted stays hidden."""
        assert [sample.name for sample in samples(cls())] == [entry.name for entry in fields(cls)]

    def test_samples_follow_the_numbers(self) -> None:
        """Samples show what the object holds at that moment."""
        counters = ListenerCounters()
        counters.opened += 3
        counters.closed["slow"] += 1
        found = {sample.name: sample for sample in samples(counters)}
        assert found["opened"].value == 3
        assert found["closed"].label == "cause"
        assert found["closed"].value == {cause: int(cause == "slow") for cause in CLOSE_CAUSES}

    def test_every_close_code_is_a_cause(self) -> None:
        """A close that is not in the table could not be counted."""
        assert {close.name for close in CLOSE_CODES} < set(CLOSE_CAUSES)

    def test_objects_share_nothing(self) -> None:
        """Each object has its own families and histogram."""
        one, other = ListenerCounters(), ListenerCounters()
        one.closed["done"] += 1
        one.rtt.observe(0.1)
        assert other.closed["done"] == 0
        assert other.rtt.count == 0


class SumTests:
    """Several connections of one upstream."""

    def test_added(self) -> None:
        """Field by field; of none it is nothing."""
        total = added([UpstreamCounters(received=2, connected=1), UpstreamCounters(received=3, sent=4)])
        assert (total.received, total.connected, total.sent, total.gaps) == (5, 1, 4, 0)
        assert added([]) == UpstreamCounters()
