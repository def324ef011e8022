"""Deadlines in buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relayd.core.auth.sweep import Sweep

STEPS = st.lists(
    st.tuples(st.just("set"), st.integers(0, 5), st.floats(0, 50))
    | st.tuples(st.just("discard"), st.integers(0, 5), st.just(0.0))
    | st.tuples(st.just("take"), st.just(0), st.floats(0, 50)),
    max_size=30,
)


class SweepTests:
    """At most one deadline for each key."""

    @given(STEPS)
    def test_as_a_table(self, steps: list[tuple[str, int, float]]) -> None:
        """Never early, at most a second late, in order, and nothing is left over."""
        sweep: Sweep[int] = Sweep()
        table: dict[int, float] = {}
        for what, key, at in steps:
            if what == "set":
                sweep.set(key, at)
                table[key] = at
            elif what == "discard":
                sweep.discard(key)
                table.pop(key, None)
            else:
                taken = sweep.take_due(at)
                assert {key for key, due in table.items() if due <= at - 1} <= set(taken)
                for one in taken:
                    assert table.pop(one) <= at
            assert len(sweep) == len(table)
        assert sorted(sweep.take_due(100)) == sorted(table)
        assert not sweep._buckets

    def test_together(self) -> None:
        """Those of one second go one by one; the others of it stay."""
        sweep: Sweep[str] = Sweep()
        for key in ("a", "b", "c"):
            sweep.set(key, 1.5)
        sweep.discard("b")
        assert sweep.take_due(2) == ["a", "c"]
        assert not sweep._buckets

    def test_order(self) -> None:
        """By seconds."""
        sweep: Sweep[str] = Sweep()
        for key, at in (("c", 30.0), ("a", 1.5), ("b", 20.0)):
            sweep.set(key, at)
        assert sweep.take_due(30) == ["a", "b", "c"]
