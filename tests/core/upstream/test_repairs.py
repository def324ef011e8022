"""Tests of relayd.core.upstream.repairs."""

from __future__ import annotations

from relayd.core.upstream.repairs import RepairBudget


class RepairBudgetTests:
    """Three times in five minutes, each subject by itself."""

    def test_each_by_itself(self) -> None:
        """A topic that gaps all the time does not use up another's repairs."""
        budget = RepairBudget()
        assert [budget.take("a", 0.0) for _ in range(5)] == [True, True, True, False, False]
        assert budget.take("b", 0.0)
        assert budget.take(None, 0.0)
        assert not budget.take("a", 300.0)
        assert budget.take("a", 301.0)

    def test_told_once(self) -> None:
        """Whoever is out of repairs is news only the first time, and again after it had one."""
        budget = RepairBudget()
        for _ in range(3):
            assert budget.share(["a", "b"], 0.0) == (["a", "b"], 0)
        assert budget.share(["a", "c"], 1.0) == (["c"], 1)
        assert budget.share(["a", "b", "c"], 2.0) == (["c"], 1)
        assert budget.share(["a", "b"], 3.0) == ([], 0)
        assert budget.share(["a"], 301.0) == (["a"], 0)
        budget.take("a", 301.0)
        budget.take("a", 301.0)
        assert budget.share(["a"], 302.0) == ([], 1)
