"""The graceful stop: how the clients of a process that is going down are sent away, so that nobody notices much.

First only the readiness is gone, for balancers to look elsewhere (`notice`). Then nobody comes in any more, and who is
in is closed a few at a time over `over`, because thousands that are closed together would come back together. Each is
told how long to wait: until the successor is there. Who is left at the end has a moment to answer its close frame.

The stages are a table in which every stage meets every event; time and the number of clients come in from outside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

#: Clients closed a second at the least: a crowd of this size need not be spread, a handshake costs 30-200 us. So a
#: relay with a handful of browsers ends at once, whatever `over` is.
LEAST_PER_S: Final = 100.0
#: How often `look` is called; so much of the pace is due at the first look.
LOOK_EVERY_S: Final = 0.1
#: How long the last ones have for their answer to the close frame (docs/protocol.md).
LEAVE_WITHIN_S: Final = 2.0
#: What a new process needs until it listens: imports take about 1 s on an idle core, and RestartSec= adds 1 s.
RETURN_AFTER_S: Final = 2.0


class Stage(Enum):
    """How far the stop is."""

    SERVING = "serving"
    NOTICE = "notice"  # not ready any more, but still serving everybody
    CLOSING = "closing"  # nobody comes in; some at a time are closed
    LEAVING = "leaving"  # everybody was closed; some have not hung up
    GONE = "gone"


class Event(Enum):
    """What moves it on."""

    BEGIN = "begin"  # SIGTERM
    TIME = "time"  # the stage has had its time
    EMPTY = "empty"  # nobody is left
    HURRY = "hurry"  # SIGTERM once more


S, E = Stage, Event
#: Every stage meets every event.
NEXT: Final[Mapping[tuple[Stage, Event], Stage]] = MappingProxyType({
    (S.SERVING, E.BEGIN): S.NOTICE,
    (S.SERVING, E.TIME): S.SERVING,
    (S.SERVING, E.EMPTY): S.SERVING,
    (S.SERVING, E.HURRY): S.LEAVING,
    (S.NOTICE, E.BEGIN): S.NOTICE,
    (S.NOTICE, E.TIME): S.CLOSING,
    (S.NOTICE, E.EMPTY): S.NOTICE,  # the balancer may be sending somebody just now
    (S.NOTICE, E.HURRY): S.LEAVING,
    (S.CLOSING, E.BEGIN): S.CLOSING,
    (S.CLOSING, E.TIME): S.LEAVING,
    (S.CLOSING, E.EMPTY): S.GONE,
    (S.CLOSING, E.HURRY): S.LEAVING,
    (S.LEAVING, E.BEGIN): S.LEAVING,
    (S.LEAVING, E.TIME): S.GONE,
    (S.LEAVING, E.EMPTY): S.GONE,
    (S.LEAVING, E.HURRY): S.GONE,
    (S.GONE, E.BEGIN): S.GONE,
    (S.GONE, E.TIME): S.GONE,
    (S.GONE, E.EMPTY): S.GONE,
    (S.GONE, E.HURRY): S.GONE,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class DrainSettings:
    """The `drain` block, in seconds. Without `retry_s` clients come back when the successor should be there."""

    notice_s: float = 0.0
    over_s: float = 10.0
    retry_s: float | None = None

    @property
    def longest_s(self) -> float:
        """From the first signal to the end, at most."""
        return self.notice_s + self.over_s + LEAVE_WITHIN_S


class Drain:
    """One process's stop. `look` is to be called every 0.1 s from `begin` on, until the stage is GONE."""

    def __init__(self, settings: DrainSettings) -> None:
        self.settings = settings
        self.stage = Stage.SERVING
        self._since = 0.0  # when the stage began
        self._ends_at = math.inf  # when all is over, as far as that is known
        self._per_s = 0.0
        self._due = 0  # clients that should have been closed so far

    def begin(self, now: float) -> None:
        """The first signal; a second `begin` does nothing."""
        if self.stage is Stage.SERVING:
            self._ends_at = now + self.settings.notice_s + self.settings.over_s
        self._meet(Event.BEGIN, now)

    def hurry(self, now: float) -> None:
        """A further signal: close everybody who is left now; one more, and nobody is waited for."""
        self._ends_at = min(self._ends_at, now)
        self._meet(Event.HURRY, now)

    def look(self, now: float, left: int) -> int:
        """How many more clients to close now, of the `left` that are not gone. Stages whose time is over are left."""
        while self.stage not in (Stage.SERVING, Stage.GONE):
            before = self.stage
            if not left:
                self._meet(Event.EMPTY, now)
            if self.stage is before and now - self._since >= self._lasts_s():
                self._meet(Event.TIME, now)
            if self.stage is before:
                break
        if self.stage is Stage.LEAVING:
            return left
        if self.stage is not Stage.CLOSING:
            return 0
        if not self._per_s:
            self._per_s = max(left / max(self.settings.over_s, LOOK_EVERY_S), LEAST_PER_S)
        due = math.ceil(self._per_s * (now - self._since + LOOK_EVERY_S))
        more, self._due = due - self._due, due
        return more

    def retry_s(self, now: float) -> int:
        """What a client that is closed now is asked to wait, in whole seconds."""
        if self.settings.retry_s is not None:
            return math.ceil(self.settings.retry_s)
        left_s = max(0.0, self._ends_at - now) if self._ends_at < math.inf else 0.0
        return math.ceil(left_s + RETURN_AFTER_S)

    def not_ready(self) -> str | None:
        """Why nobody should be sent here, or None."""
        return None if self.stage is Stage.SERVING else "relayd is going down"

    def _lasts_s(self) -> float:
        if self.stage is Stage.NOTICE:
            return self.settings.notice_s
        return self.settings.over_s if self.stage is Stage.CLOSING else LEAVE_WITHIN_S

    def _meet(self, event: Event, now: float) -> None:
        following = NEXT[self.stage, event]
        if following is not self.stage:
            self.stage, self._since = following, now
