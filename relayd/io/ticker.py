"""Wakes whatever has a deadline: one timer for the process, whatever the number of upstreams and clients.

A reactor's clock is wall time, and a step of it moves every timer. So the timer only wakes us, every `LONGEST_S` at
least; what is due is decided by an injected monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Protocol

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from relayd.core.mishap import TIMER, Report
from relayd.io.mishaps import log_it

LONGEST_S = 1.0
"""The longest sleep: what a step of the wall clock can add. One wake-up a second costs nothing that can be measured."""
SHORTEST_S = 0.001
"""The shortest sleep: a thing whose deadline does not move when it ticks must not hold the reactor."""


class Ticking(Protocol):
    """Something with deadlines, in monotonic seconds."""

    def next_deadline(self) -> float: ...
    def tick(self, now: float) -> object: ...


class Ticker(Service):
    """Calls `tick(now)` of each thing when its `next_deadline()` has come."""

    def __init__(self, reactor: IReactorTime, monotonic: Callable[[], float]) -> None:
        self._reactor = reactor
        self._monotonic = monotonic
        self._things: list[Ticking] = []
        self._call: IDelayedCall | None = None
        self._soon = False
        self.report: Report = log_it
        """Hears of a deadline that failed, while that is handled; and of what failed between two of them."""
        self._due = inf  # when the timer should fire
        self.on_lag: list[Callable[[float], None]] = []
        """Each is told how late the timer was, in seconds: what everything else on the reactor waits too."""

    def add(self, thing: Ticking) -> None:
        """Wake it from now on."""
        self._things.append(thing)
        self.wake()

    def remove(self, thing: Ticking) -> None:
        """Wake it no more. Idempotent."""
        self._things = [other for other in self._things if other is not thing]

    def wake(self) -> None:
        """A deadline may have come nearer: look at all of them in the next turn of the reactor. Cheap when repeated."""
        if self.running and not self._soon:
            self._soon = True
            self._sleep(0)

    def startService(self) -> None:
        super().startService()
        self.wake()

    def stopService(self) -> None:
        super().stopService()
        self._soon = False
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _sleep(self, seconds: float) -> None:
        if self._call is not None:
            self._call.cancel()
        self._due = self._monotonic() + seconds
        self._call = self._reactor.callLater(seconds, self._look)

    def _look(self) -> None:
        self._call = None
        self._soon = False
        now = self._monotonic()
        for hear in self.on_lag:
            hear(max(0.0, now - self._due))
        faulty = [thing for thing in tuple(self._things) if not self._tick(thing, now)]
        if not self.running or self._soon:
            return
        # Who failed has its next look when the others have theirs: a fault that stays must not hold the reactor.
        nearest = min([self._deadline_of(thing) for thing in self._things if thing not in faulty], default=inf)
        self._sleep(min(max(nearest - self._monotonic(), SHORTEST_S), LONGEST_S))

    def _tick(self, thing: Ticking, now: float) -> bool:
        """Whether that went well."""
        try:
            if thing.next_deadline() <= now:
                thing.tick(now)
        except Exception:
            self.report(TIMER)
            return False
        return True

    def _deadline_of(self, thing: Ticking) -> float:
        try:
            return thing.next_deadline()
        except Exception:
            self.report(TIMER)
            return inf
