"""The reactor of the daemon on Linux: Twisted's own on epoll, with a shorter way from an event to who waits for it.

A relay sleeps between two publications and wakes with its caches gone; then a call that is spared saves two to three
microseconds (docs/design/fan-out.md). Twisted puts a log context around each event, nine calls, for log lines of the
old kind, which relayd writes none of. And what is to be done on the next turn goes through the heap of timed calls;
here it is done when the events of this turn are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.main import installReactor
from twisted.logger import Logger

if sys.platform == "linux":
    from twisted.internet.epollreactor import EPollReactor
else:
    from twisted.internet.selectreactor import SelectReactor as EPollReactor

log = Logger()


class Reactor(EPollReactor):
    """What is documented of it is Twisted's; `_poller` and `_selectables` are described in its own docstring."""

    def __init__(self) -> None:
        super().__init__()
        self._soon: list[Callable[[], object]] = []

    def call_soon(self, call: Callable[[], object]) -> None:
        """Call it once the events of this turn are done, or those of the next one if they are."""
        self._soon.append(call)

    def doPoll(self, timeout: float | None) -> None:
        """One turn: as Twisted's, whose name it has."""
        if self._soon:
            timeout = 0
        selectables = self._selectables
        for descriptor, event in self._poller.poll(-1 if timeout is None else timeout, len(selectables)):
            selectable = selectables.get(descriptor)
            if selectable is None:
                continue  # it went while another's event was handled
            try:
                self._doReadOrWrite(selectable, descriptor, event)
            except Exception:
                log.failure("in an event of a connection")
        if self._soon:
            calls, self._soon = self._soon, []
            for call in calls:
                try:
                    call()
                except Exception:
                    log.failure("in what was to be done soon")

    doIteration = doPoll


def install() -> None:
    """Make it the process's reactor, where there is none yet (`twistd --reactor=...` wins) and the system has epoll."""
    if sys.platform == "linux" and "twisted.internet.reactor" not in sys.modules:
        installReactor(Reactor())


def next_turn(reactor: Any) -> Callable[[Callable[[], object]], object]:
    """What has something called on the next turn of this reactor, whichever it is."""
    return reactor.call_soon if isinstance(reactor, Reactor) else partial(reactor.callLater, 0)
