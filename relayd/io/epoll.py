"""A reactor on epoll: Twisted's own, with a shorter way from an event to who waits for it. For Linux alone.

A relay sleeps between two publications and wakes with its caches gone; then a call that is spared saves two to three
microseconds (docs/design/fan-out.md). Twisted puts a log context around each event, nine calls, for log lines of the
old kind, which relayd writes none of. And what is to be done on the next turn goes through the heap of timed calls;
here it is done when the events of this turn are.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.epollreactor import EPollReactor
from twisted.logger import Logger

log = Logger()

#: What is leant on and not promised: the first two are described in the docstring of Twisted's reactor, the third is
#: what its own `doPoll` calls. Whether they still do what they did is seen by `serves`.
LEANS_ON: Final = ("_poller", "_selectables", "_doReadOrWrite")


class Reactor(EPollReactor):
    """Twisted's, but for one turn of it."""

    def __init__(self) -> None:
        super().__init__()
        self._soon: list[Callable[[], object]] = []

    def next_turn(self, call: Callable[[], object]) -> None:
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


def serves(reactor: Reactor) -> bool:
    """Whether an event comes to who waits for it, by a turn of a reactor that does not run yet. A Twisted that has
    changed what is leant on is found here, before any client is."""
    if not all(hasattr(reactor, name) for name in LEANS_ON):
        return False
    near, far = socket.socketpair()
    with near, far:
        reader = _Reader(reactor, near)
        reader.startReading()
        far.send(b"x")
        reactor.doPoll(0)
        reader.stopReading()
    return reader.has_heard


class _Reader(FileDescriptor):
    """Waits for one byte."""

    def __init__(self, reactor: Reactor, end: socket.socket) -> None:
        super().__init__(reactor)
        self._end = end
        self.has_heard = False

    def fileno(self) -> int:
        return self._end.fileno()

    def doRead(self) -> None:
        self._end.recv(1)
        self.has_heard = True
