"""The way up of one upstream: what clients publish goes to its connection at once, or is refused. Nothing waits here.

While the upstream's send buffer is full, whoever publishes is paused: the browser's own transport stops reading, so
that what it sends next waits in its own kernel. What had been read before that still goes up, up to a bound; beyond it
is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from relayd.core.feed.publish import Upward
from relayd.core.mishap import WAY_UP, Report, let_it_out
from relayd.core.routes import TopicRefused

OVER_MOST_BYTES: Final = 1 << 20
"""What an upstream whose buffer is full is still given, of all clients together: what had been read of them when they
were paused. One read is 64 KiB, so 16 clients that send as fast as they can (guess); others are refused."""


class WayUp:
    """What one upstream takes from clients. `filled` and `drained` are said by its connection."""

    def __init__(self, speak: Callable[[Upward], None], report: Report = let_it_out) -> None:
        """`speak` hands something to the upstream's connection (`UpstreamSession.publish`), or raises TopicRefused."""
        self._report = report
        self.full = False
        """The connection's send buffer is over its bound."""
        self._speak = speak
        self._over_bytes = 0
        self._paused: dict[object, Callable[[], None]] = {}

    def send(self, upward: Upward) -> None:
        """Hand it over.

        Raises TopicRefused: `unavailable` while the upstream is away or takes nothing, `rate_limited` by its
        `limits.send`, `bad_request` for what its messages cannot hold.
        """
        if self.full:
            if self._over_bytes + len(upward.payload) > OVER_MOST_BYTES:
                raise TopicRefused("unavailable", "the upstream does not take what is sent to it", retry_s=1.0)
            self._over_bytes += len(upward.payload)
        self._speak(upward)

    def pause(self, owner: object, resume: Callable[[], None]) -> None:
        """Call `resume` when there is room again, or the connection is gone; `owner` waits once."""
        self._paused[owner] = resume

    def leave(self, owner: object) -> None:
        """It waits no more. Idempotent."""
        self._paused.pop(owner, None)

    @property
    def paused(self) -> int:
        """How many wait."""
        return len(self._paused)

    def filled(self) -> None:
        """The connection's send buffer went over its bound."""
        self.full = True

    def drained(self) -> None:
        """It is empty, or gone with its connection. Idempotent."""
        self.full = False
        self._over_bytes = 0
        paused, self._paused = self._paused, {}
        for resume in paused.values():
            try:
                resume()
            except Exception:  # the others wait as well
                self._report(WAY_UP)
