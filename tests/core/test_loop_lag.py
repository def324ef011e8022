"""The worst lag of the loop."""

from __future__ import annotations

from relayd.core.loop_lag import WorstLag


class WorstLagTests:
    """Heard, and taken."""

    def test_worst(self):
        """Of all since it was asked last."""
        lag = WorstLag()
        assert lag.take() == 0.0
        for late_s in (0.1, 0.5, 0.2):
            lag.hear(late_s)
        assert lag.take() == 0.5
        assert lag.take() == 0.0
