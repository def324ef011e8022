"""How long each step of a connection may take: to connect, to shake hands, to log in, to send first, to say goodbye."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from relayd.core.upstream.effects import Loss, LossKind
from relayd.core.upstream.policy import UpstreamPolicy
from relayd.core.upstream.states import State

#: What was too late when the deadline of a step passes.
TOO_LATE: Mapping[State, str] = {
    State.CONNECTING: "connecting took too long",
    State.HANDSHAKING: "the handshake took too long",
    State.LOGIN: "the login took too long",
    State.DRAINING: "our close was not answered",
}
FIRST_SEND_TOO_LATE = "limits kept everything back for longer than limits.first_send"


class Steps:
    """The deadline of the present step, in the seconds of `now`; infinity = it may take for ever."""

    __slots__ = ("_policy", "by")

    def __init__(self, policy: UpstreamPolicy) -> None:
        self._policy = policy
        self.by = inf

    def connecting(self, within_s: float, now: float) -> None:
        """A request before the dial, or the dial itself."""
        self.by = now + within_s

    def handshaking(self, now: float) -> None:
        """TCP stands."""
        self.by = now + self._policy.handshake_within_s

    def logging_in(self, now: float) -> None:
        """The connection is open."""
        self.by = now + self._policy.login_within_s

    def ready(self, open_at: float, *, sent: bool) -> None:
        """The login is done; a feed that cuts the silent waits for our first message from `open_at` on."""
        first_send_s = self._policy.first_send_s
        self.by = inf if sent or first_send_s is None else open_at + first_send_s

    def leaving(self, now: float) -> None:
        """Our close frame is on its way."""
        self.by = now + self._policy.goodbye_within_s

    def done(self) -> None:
        """Nothing more is waited for."""
        self.by = inf

    def too_late(self, state: State, now: float) -> Loss | None:
        """The end of a connection whose step in this state took too long."""
        if now < self.by:
            return None
        return Loss(LossKind.DEADLINE, text=TOO_LATE.get(state, FIRST_SEND_TOO_LATE))
