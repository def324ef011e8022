"""What clients say to an upstream keeps it wanted for a while, and is refused in words while it cannot be said."""

from __future__ import annotations

from math import inf
from types import MappingProxyType
from typing import Final

from relayd.core.routes import TopicRefused
from relayd.core.upstream.states import State

KEPT_S: Final = 60.0
"""How long the connection outlives the last publication: a person types again within a minute (guess)."""

RETRY_S: Final = 1.0
"""When to try again where a connection is on its way: a dial with TLS and a login take about as long."""

TAKES: Final = frozenset({State.SUBSCRIBING, State.LIVE, State.STALE})
"""Where publications are taken."""

_DIALLED: Final = "the upstream is being dialled"
AWAY: Final = MappingProxyType(
    {
        State.STOPPED: "relayd is stopping",
        State.IDLE: _DIALLED,
        State.CONNECTING: _DIALLED,
        State.HANDSHAKING: _DIALLED,
        State.LOGIN: _DIALLED,
        State.BACKOFF: "the upstream is away",
        State.REFUSED: "the upstream refuses relayd",
        State.DRAINING: "the connection to the upstream is being renewed",
    }
)
"""Why nothing is taken, in words for a browser: every state that is not in TAKES."""


class Speaking:
    """Whether clients have published of late: then the upstream is wanted, also where nobody listens."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = -inf

    @property
    def wanted(self) -> bool:
        """As far as the last `tick` knows."""
        return self._until > -inf

    def spoke(self, now: float) -> None:
        """A client published, or would have."""
        self._until = now + KEPT_S

    def tick(self, now: float) -> None:
        """Forget who spoke too long ago."""
        if self._until <= now:
            self._until = -inf

    def next_deadline(self) -> float:
        """When `tick` has something to do; infinity = not before somebody speaks."""
        return self._until if self.wanted else inf


def away(state: State, due: float, now: float) -> TopicRefused:
    """The refusal while the upstream stands so and is dialled again at `due`."""
    retry_s: float | None = RETRY_S
    if state in (State.BACKOFF, State.REFUSED):
        retry_s = max(RETRY_S, due - now) if due < inf else None
    elif state is State.STOPPED:
        retry_s = None
    return TopicRefused("unavailable", AWAY[state], retry_s)
