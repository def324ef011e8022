"""The figure of browsers that come back at once, small, against relayd itself."""

from __future__ import annotations

import math

from bench.figure import Figure
from bench.figures.accept import ACCEPT_US_MAX, Storm, judge, row, storm
from bench.peers.relayd import Relayd
from bench.workload import Workload


class StormTests:
    """One measurement."""

    def test_relayd(self) -> None:
        """Everybody is in, at a cost, and gets all that is published afterwards."""
        one = storm(Relayd(), Workload(connections=50, rate=10))
        assert 0 < one.accept_us < 1e6
        assert one.accepts_per_s > 0
        assert (one.lost, one.faults) == (0, 0)


class JudgeTests:
    """Rows and targets."""

    def test_medians_and_targets(self) -> None:
        """The median counts for the cost, the worst round for a loss."""
        storms = [Storm(cost, 1.5, 1e6 / cost, 2048, lost, 0) for cost, lost in ((200.0, 0), (250.0, 0), (9000.0, 3))]
        assert row("relayd", storms) == ["relayd", "250", "1.50", "4,000", "2.0"]
        figure = Figure("accept", "", ())
        judge(figure, storms)
        assert [check.met for check in figure.checks] == [True, False, True]
        judge(figure, [Storm(math.nextafter(ACCEPT_US_MAX, math.inf), None, 1, 1, 0, 1)])
        assert [check.met for check in figure.checks[3:]] == [False, True, False]
