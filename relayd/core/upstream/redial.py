"""When to dial again: after a loss, a refusal, or a goodbye of our own.

A server that accepts and drops at once is no success: only a connection that proved itself resets the backoff, and no
rule of `reconnect` makes a second failure in a row faster than the backoff. No connection is opened beside another: a
feed that allows one (`limits.connections: 1`) would close either for the other, for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from relayd.core.backoff import Backoff
from relayd.core.upstream.effects import Loss
from relayd.core.upstream.policy import (
    MOST_DOUBLINGS,
    REFUSED,
    REFUSED_MOST_S,
    REFUSED_S,
    RETRY_AFTER_MOST_S,
    WAIT_S,
    UpstreamPolicy,
)
from relayd.core.windows import Windows

CLOSING_MOST_S = 5.0
"""How long a dial waits for the end of the old socket: two owners of one slot kick each other for ever."""


class Redial:
    """The time of the next dial of one upstream, in the seconds of `now`."""

    __slots__ = ("_closed_by", "_from", "_policy", "_sockets", "_windows", "backoff", "refusals")

    def __init__(self, policy: UpstreamPolicy, windows: Windows, random: Callable[[], float]) -> None:
        self._policy = policy
        self._windows = windows
        self._from = -inf
        self._sockets = 0
        self._closed_by = -inf
        """By when the socket of the last connection is taken for closed."""
        self.backoff = Backoff(random, least_s=policy.retry_least_s, most_s=policy.retry_most_s)
        self.refusals = 0
        """Refusals in a row."""

    def begin(self) -> None:
        """The daemon starts it afresh: what an earlier run was refused for may be mended."""
        self._from = -inf
        self.proved()

    def hurry_not(self, old: Redial, now: float) -> None:
        """The first dial is to take over from a connection that has not proved itself: an upstream that sends everybody
        on at once is not dialled at that pace."""
        self.backoff.attempts = old.backoff.attempts
        self._from = now + self.backoff.next_delay_s()

    def due(self) -> float:
        """When the next dial may begin: -infinity = at once, infinity = never."""
        return self._windows.dial_free_at(max(self._from, self._closed_by))

    @property
    def closed_by(self) -> float:
        """By when every socket is closed, or taken for closed; -infinity = they are."""
        return self._closed_by if self._sockets else -inf

    def socket_open(self) -> None:
        """TCP stands."""
        self._sockets += 1

    def socket_closed(self) -> None:
        """TCP has ended, of the last connection or of one before it."""
        self._sockets -= 1
        if not self._sockets:
            self._closed_by = -inf

    def dialled(self, now: float) -> None:
        """A dial begins."""
        self._windows.dialled(now)

    def proved(self) -> None:
        """The last connection was a good one."""
        self.backoff.reset()
        self.refusals = 0

    def refuses(self, loss: Loss) -> bool:
        """Whether coming back soon after this loss would be wrong."""
        return self._policy.verdict(loss) in (REFUSED, "stop")

    def after_goodbye(self, proved: bool, now: float) -> float:
        """We ended it ourselves; returns the pause in seconds: none, unless it had not proved itself."""
        return self._wait(0.0 if proved else self.backoff.next_delay_s(), now)

    def after(self, loss: Loss, now: float) -> float:
        """It ended otherwise; returns the pause in seconds."""
        verdict = self._policy.verdict(loss)
        if verdict == "stop":
            return self._wait(inf, now)
        asked_s = min(loss.retry_after_s or 0.0, RETRY_AFTER_MOST_S)
        if verdict == REFUSED:
            self.refusals += 1
            doublings = min(self.refusals - 1, MOST_DOUBLINGS)
            return self._wait(max(asked_s, min(REFUSED_MOST_S, REFUSED_S * 2.0**doublings)), now)
        first = self.backoff.attempts == 0
        pause_s = self.backoff.next_delay_s()
        if isinstance(verdict, float | int):
            pause_s = verdict if first else max(verdict, pause_s)
        elif verdict == "wait" and loss.retry_after_s is None:
            pause_s = max(pause_s, WAIT_S)
        return self._wait(max(pause_s, asked_s), now)

    def _wait(self, pause_s: float, now: float) -> float:
        self._from = now + pause_s
        if self._sockets:
            self._closed_by = now + CLOSING_MOST_S
        return pause_s
