"""What keeps an upstream wanted while clients publish, and the words while it is away."""

from __future__ import annotations

from math import inf

import pytest

from relayd.core.upstream.speaking import AWAY, KEPT_S, RETRY_S, TAKES, Speaking, away
from relayd.core.upstream.states import State


class SpeakingTests:
    """Somebody spoke of late, or not."""

    def test_kept_a_while(self) -> None:
        """From the last time on."""
        speaking = Speaking()
        assert (speaking.wanted, speaking.next_deadline()) == (False, inf)
        speaking.spoke(10.0)
        speaking.spoke(20.0)
        speaking.tick(20.0 + KEPT_S - 1)
        assert (speaking.wanted, speaking.next_deadline()) == (True, 20.0 + KEPT_S)
        speaking.tick(20.0 + KEPT_S)
        assert (speaking.wanted, speaking.next_deadline()) == (False, inf)


class AwayTests:
    """A refusal for every state that takes nothing."""

    def test_total(self) -> None:
        """Each state is in one of the two."""
        assert set(AWAY) | TAKES == set(State)
        assert not set(AWAY) & TAKES

    @pytest.mark.parametrize(
        ("state", "due", "retry_s"),
        [
            (State.IDLE, 100.0, RETRY_S),
            (State.LOGIN, inf, RETRY_S),
            (State.BACKOFF, 107.0, 7.0),
            (State.BACKOFF, 99.0, RETRY_S),
            (State.REFUSED, 400.0, 300.0),
            (State.REFUSED, inf, None),
            (State.STOPPED, 100.0, None),
        ],
    )
    def test_when_to_come_again(self, state: State, due: float, retry_s: float | None) -> None:
        """Where that helps."""
        refused = away(state, due, 100.0)
        assert (refused.code, refused.message, refused.retry_s) == ("unavailable", AWAY[state], retry_s)
