"""When an open connection is ended in good order and opened anew: the upstream asks for it, it is too old, or its URL
names the wrong topics."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from relayd.core.upstream.policy import UpstreamPolicy

ASKED = "the upstream asked us to come anew"

AGE_JITTER = 0.1
"""The share of `max_age` that a connection may end early, so that many do not end together."""


def never_renewed(why: str, url: str | None) -> bool:
    """There is no other session: a connection ends before the next one begins."""
    return False


class Renewal:
    """The end of one connection after the other, in the seconds of `now`.

    `different` is whether what is wanted is not what the connection asked for: it counts where the topics stand in the
    URL, and changes of it are gathered for a while.
    """

    __slots__ = ("_change_by", "_change_s", "_ends_at", "_in_url", "_max_age_s", "_random", "asked")

    def __init__(self, policy: UpstreamPolicy, random: Callable[[], float]) -> None:
        self._in_url = policy.topics_in_url
        self._change_s = policy.change_s
        self._max_age_s = policy.max_age_s
        self._random = random
        self.ended()

    def opened(self, now: float) -> None:
        """A connection is open."""
        self._ends_at = now + self._max_age_s * (1 - AGE_JITTER * self._random())

    def ended(self) -> None:
        """There is no connection."""
        self._change_by = self._ends_at = inf
        self.asked = False
        """The upstream says that the connection will end."""

    def ask(self) -> None:
        """The upstream says that the connection will end."""
        self.asked = True

    def due(self, different: bool, now: float) -> str | None:
        """Why the connection is to be ended now, or None."""
        if self.asked:
            return ASKED
        if not (different and self._in_url):
            self._change_by = inf
        elif self._change_by == inf:
            self._change_by = now + self._change_s
        if now >= self._change_by:
            return "the topics in its URL changed"
        return "it has reached connect.max_age" if now >= self._ends_at else None

    def next_deadline(self, different: bool) -> float:
        """When to ask `due`: -infinity = at once, infinity = not before something changes."""
        if self.asked or (different and self._in_url and self._change_by == inf):
            return -inf
        return min(self._change_by, self._ends_at)
