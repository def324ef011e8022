"""Tests of relayd.core.deadlines."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from relayd.core.deadlines import Deadlines

ACTIONS = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 5), st.sampled_from([0.0, 1.0, 2.5, 10.0])),
    st.tuples(st.just("discard"), st.integers(0, 5), st.just(0.0)),
    st.tuples(st.just("take"), st.just(0), st.floats(0, 5)),
    st.tuples(st.just("clear"), st.just(0), st.just(0.0)),
)


class DeadlinesTests:
    """A deadline for each key, found without looking at all."""

    def test_in_order_of_time(self) -> None:
        """Whatever the lengths, the nearest comes first; a new deadline replaces the old."""
        deadlines: Deadlines[str] = Deadlines()
        assert (deadlines.next(), len(deadlines)) == (inf, 0)
        deadlines.set("slow", 10, 0)
        deadlines.set("quick", 1, 5)
        deadlines.set("late", 1, 5.5)
        assert (deadlines.next(), len(deadlines)) == (6, 3)
        deadlines.set("quick", 10, 6)
        assert deadlines.take_due(10) == ["late", "slow"]
        assert "quick" in deadlines
        assert deadlines.take_due(15.9) == []
        assert deadlines.take_due(16) == ["quick"]

    def test_discard_says_whether(self) -> None:
        """Who cancels learns whether there was something to cancel."""
        deadlines: Deadlines[str] = Deadlines()
        deadlines.set("a", 1, 0)
        assert deadlines.discard("a")
        assert not deadlines.discard("a")
        assert deadlines.next() == inf

    @given(st.lists(ACTIONS, max_size=60))
    def test_as_a_plain_table_would(self, actions: list[tuple[str, int, float]]) -> None:
        """Against a dictionary that is searched whole."""
        deadlines: Deadlines[int] = Deadlines()
        plain: dict[int, float] = {}
        now = 0.0
        for action, key, seconds in actions:
            if action == "set":
                deadlines.set(key, seconds, now)
                plain[key] = now + seconds
            elif action == "discard":
                assert deadlines.discard(key) == (plain.pop(key, None) is not None)
            elif action == "clear":
                deadlines.clear()
                plain.clear()
            else:
                now += seconds
                due = deadlines.take_due(now)
                assert sorted(due) == sorted(key for key, at in plain.items() if at <= now)
                times = [plain.pop(key) for key in due]
                assert times == sorted(times)
            assert (deadlines.next(), len(deadlines)) == (min(plain.values(), default=inf), len(plain))
