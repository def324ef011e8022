"""The states of an overload, and who must go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.overload import (
    CALM_S,
    CONNECTION_BYTES,
    EVICT_MOST,
    LAGGING_BYTES,
    LOOK_EVERY_S,
    NEXT,
    PAIR_BYTES,
    TLS_CONNECTION_BYTES,
    Holdings,
    Laggard,
    Load,
    Overload,
    OverloadCounters,
    Trend,
    slowest,
)

LIMIT = 1000 << 20


class TableTests:
    """Every state meets every trend."""

    def test_total(self):
        """No pair is missing, none is too many."""
        assert set(NEXT) == {(load, trend) for load in Load for trend in Trend}

    def test_one_step_at_a_time(self):
        """Readiness always goes first, and comes back last."""
        assert all(abs(after.level - before.level) <= 1 for (before, _), after in NEXT.items())


class Rig:
    """An overload and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.overload = Overload(LIMIT, 1.0, OverloadCounters())

    def look(self, share: float, lag_s: float = 0.0, times: int = 1) -> Load:
        """So much of the memory in use, so many looks."""
        for _ in range(times):
            self.now += LOOK_EVERY_S
            self.overload.look(self.now, round(LIMIT * share), lag_s)
        return self.overload.load


class MemoryTests:
    """Shares of the limit."""

    def test_way_up_and_down(self):
        """A step at each look up; down from a lower mark, when it has been calm for 5 s, a step each time."""
        rig = Rig()
        assert rig.look(0.69) is Load.NORMAL
        assert [rig.look(0.95) for _ in range(4)] == [Load.NOT_READY, Load.REFUSING, Load.EVICTING, Load.EVICTING]
        assert rig.look(0.86, times=30) is Load.EVICTING  # below the mark, not below its slack
        calm = round(CALM_S / LOOK_EVERY_S)
        assert rig.look(0.80, times=calm) is Load.EVICTING
        assert rig.look(0.80) is Load.REFUSING
        assert rig.look(0.1, times=calm) is Load.REFUSING
        assert rig.look(0.1) is Load.NOT_READY
        assert rig.look(0.1, times=calm + 1) is Load.NORMAL
        assert rig.look(0.1, times=50) is Load.NORMAL

    def test_calm_is_unbroken(self):
        """One look above the mark, and it begins anew."""
        rig = Rig()
        rig.look(0.71)
        for _ in range(5):
            assert rig.look(0.1, times=8) is Load.NOT_READY
            assert rig.look(0.66) is Load.NOT_READY

    def test_stops_where_it_is_enough(self):
        """Each state has its mark."""
        rig = Rig()
        assert rig.look(0.75, times=10) is Load.NOT_READY
        assert rig.look(0.85, times=10) is Load.REFUSING

    def test_told(self):
        """Counted, and said with its figures."""
        rig = Rig()
        assert rig.overload.not_ready() is None
        rig.look(0.75)
        assert rig.overload.not_ready() == "overload (not_ready): memory 750 of 1000 MiB, event loop 0.0 s late"
        counters = rig.overload.counters
        assert (counters.level, counters.entered["not_ready"]) == (1, 1)
        assert (counters.memory_bytes, counters.memory_limit_bytes) == (750 << 20, LIMIT)

    def test_excess(self):
        """Only while the slowest go, and down to where that ends."""
        rig = Rig()
        rig.look(0.95, times=2)
        assert rig.overload.excess_bytes == 0
        rig.look(0.95)
        assert rig.overload.excess_bytes == 100 << 20
        rig.look(0.85)
        assert rig.overload.excess_bytes == 0


class LagTests:
    """Multiples of limits.lag."""

    def test_one_pause_is_none(self):
        """Nor is one now and then."""
        rig = Rig()
        for _ in range(10):
            assert rig.look(0.1, 9.0) is Load.NORMAL
            assert rig.look(0.1, 0.0) is Load.NORMAL

    def test_two_in_a_row(self):
        """Not ready from the limit on, nobody new from three times that; never worse."""
        rig = Rig()
        rig.look(0.1, 1.5)
        assert rig.look(0.1, 1.5) is Load.NOT_READY
        assert rig.look(0.1, 1.5, times=20) is Load.NOT_READY
        assert rig.look(0.1, 60.0, times=20) is Load.REFUSING
        assert rig.look(0.1, 0.0, times=30) is Load.NORMAL


class AnyTests:
    """Whatever the figures do."""

    @given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 20)), max_size=80))
    def test_never_flaps(self, figures):
        """A step a look, and a step down at most every 5 s."""
        rig = Rig()
        changed_at, last = float("-inf"), 0
        for share, lag_s in figures:
            level = rig.look(share, lag_s).level
            assert abs(level - last) <= 1
            if level < last:
                assert rig.now - changed_at >= CALM_S
            if level != last:
                changed_at = rig.now
            last = level


class HoldingsTests:
    """The account."""

    def test_sum(self):
        """Each part at its price."""
        held = Holdings(1000, ring_bytes=10, connections=2, tls_connections=1, lagging=3, buffered_bytes=7, pairs=4)
        parts = 1000 + 20 + 2 * CONNECTION_BYTES + TLS_CONNECTION_BYTES + 3 * LAGGING_BYTES + 7 + 4 * PAIR_BYTES
        assert held.bytes == parts


class SlowestTests:
    """Who must go."""

    def test_order(self):
        """Who stood still longest, then who holds most; who makes progress last."""
        laggards = [
            Laggard("progressing, holds much", 0.4, 60_000),
            Laggard("just stopped", 1.2, 10),
            Laggard("still, holds little", 8.3, 100),
            Laggard("still, holds much", 8.1, 60_000),
        ]
        assert slowest(laggards, 1 << 30) == [
            "still, holds much", "still, holds little", "just stopped", "progressing, holds much",
        ]  # fmt: skip

    def test_no_more_than_needed(self):
        """Each frees what waits for it and what the connection costs."""
        laggards = [Laggard(number, 5.0, 64 << 10) for number in range(50)]
        each = (64 << 10) + LAGGING_BYTES + CONNECTION_BYTES
        assert len(slowest(laggards, 10 * each)) == 10
        assert len(slowest(laggards, 10 * each + 1)) == 11

    @pytest.mark.parametrize("excess", [0, -5])
    def test_nobody(self, excess):
        """Where nothing must be freed, nobody goes."""
        assert slowest([Laggard("a", 9.0, 1)], excess) == []

    def test_not_all_at_once(self):
        """A look takes a bounded time."""
        laggards = [Laggard(number, 5.0, 0) for number in range(5 * EVICT_MOST)]
        assert len(slowest(laggards, 1 << 40)) == EVICT_MOST
