"""Tests of relayd.core.upstream.steps."""

from __future__ import annotations

from math import inf

import pytest

from relayd.core.upstream.policy import UpstreamPolicy
from relayd.core.upstream.states import State
from relayd.core.upstream.steps import Steps


class StepsTests:
    """Each step has its end."""

    def test_one_after_the_other(self) -> None:
        """A step takes the place of the one before it; when all is done nothing is waited for."""
        steps = Steps(UpstreamPolicy())
        assert steps.by == inf
        steps.connecting(15.0, 100.0)
        assert steps.by == 115
        steps.handshaking(103.0)
        assert steps.by == 113
        steps.logging_in(104.0)
        assert steps.by == 114
        steps.leaving(200.0)
        assert steps.by == 202
        steps.done()
        assert steps.too_late(State.LIVE, 1e9) is None

    def test_first_send(self) -> None:
        """From the opening on, where the feed cuts the silent and nothing was sent."""
        for first_send_s, sent, by in ((5.0, False, 105.0), (5.0, True, inf), (None, False, inf)):
            steps = Steps(UpstreamPolicy(first_send_s=first_send_s))
            steps.ready(100.0, sent=sent)
            assert steps.by == by

    @pytest.mark.parametrize(
        ("state", "why"),
        [
            (State.CONNECTING, "connecting took too long"),
            (State.DRAINING, "our close was not answered"),
            (State.SUBSCRIBING, "limits kept everything back for longer than limits.first_send"),
        ],
    )
    def test_why(self, state: State, why: str) -> None:
        """Told by the state in which it was too late."""
        steps = Steps(UpstreamPolicy())
        steps.connecting(15.0, 100.0)
        assert steps.too_late(state, 114.9) is None
        assert str(steps.too_late(state, 115.0)) == f"deadline: {why}"
