"""A reactor on epoll: Twisted's own, with a shorter way from an event to who waits for it. For Linux alone.

A relay sleeps between two publications and wakes with its caches gone; then a call that is spared saves two to three
microseconds (docs/design/fan-out.md). Twisted puts a log context around each event, nine calls, for log lines of the
old kind, which relayd writes none of. What is to be done on the next turn goes through the heap of timed calls; here
it is done when the events of this turn are. And between two turns Twisted looks for timed calls and for those of other
threads, ten calls to find none; here comparisons find that.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from select import EPOLLIN
from typing import Any, Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionLost
from twisted.internet.main import CONNECTION_LOST
from twisted.logger import Logger
from twisted.python.failure import Failure

log = Logger()

#: What is leant on and not promised. The first two are described in the docstring of Twisted's reactor, the next two
#: are what its own `doPoll` calls; whether they still do what they did is seen by `serves`. The others are what its
#: main loop looks at between two turns.
LEANS_ON: Final = (
    "_poller", "_selectables", "_doReadOrWrite", "_disconnectSelectable",
    "_started", "_justStopped", "_newTimedCalls", "_pendingTimedCalls", "threadCallQueue",
)  # fmt: skip

#: epoll_wait(2) takes its wait as a C int of milliseconds. Twisted's `timeout` cuts what is longer.
LONGEST_WAIT_S: Final = 2**31 // 1000 - 1


class Reactor(EPollReactor):
    """Twisted's, but for its turns."""

    def __init__(self) -> None:
        super().__init__()
        self._soon: list[Callable[[], object]] = []
        self.next_turn: Callable[[Callable[[], object]], object] = self._soon.append
        """Takes what is to be called once the events of this turn are done, or those of the next one if they are."""

    def mainLoop(self) -> None:
        """Turns until the end: as Twisted's, whose name it has. While nothing is due but what sockets bring, Twisted is
        not asked what is."""
        seconds = self.seconds
        # Not `while self._started`: CPython 3.11 does not specialise what is entered once and loops by a condition, so
        # that each attribute would be looked up in the class for ever.
        while True:
            if not self._started:
                return
            try:
                pending = self._pendingTimedCalls
                wait_s = pending[0].time - seconds() if pending else 0.0
                asked = self._newTimedCalls or self.threadCallQueue or self._justStopped or not self.running
                if not asked and 0.0 < wait_s < LONGEST_WAIT_S:
                    self.doPoll(wait_s)
                else:
                    self.runUntilCurrent()
                    self.doPoll(self.timeout() if self.running else 0.0)
            except BaseException:  # whatever it is: as Twisted's loop, which nothing ends but `stop`
                log.failure("in a turn")

    def doPoll(self, timeout: float | None) -> None:
        """One turn: as Twisted's, whose name it has."""
        soon = self._soon
        selectables = self._selectables
        for descriptor, event in self._poller.poll(0 if soon else -1 if timeout is None else timeout):
            selectable = selectables.get(descriptor)
            if selectable is None:
                continue  # it went while another's event was handled
            why = None
            if event == EPOLLIN:  # nearly always
                try:
                    why = selectable.doRead()
                except BaseException as error:  # whatever it is: as Twisted, for which the connection has ended by it
                    log.failure("in an event of a connection")
                    why = error
                if not why:
                    continue
            self._by_twisted(selectable, descriptor, event, why)
        if soon:
            calls = soon[:]
            del soon[:]
            for call in calls:
                try:
                    call()
                except Exception:
                    log.failure("in what was to be done soon")

    doIteration = doPoll

    def _by_twisted(self, selectable: Any, descriptor: int, event: int, why: Any) -> None:
        """An end that was met in reading, and why; or any event but that there is something to read."""
        try:
            if why:
                self._disconnectSelectable(selectable, why, True)
            else:
                self._doReadOrWrite(selectable, descriptor, event)
        except Exception:
            log.failure("in an event of a connection")


def serves(reactor: Reactor) -> bool:
    """Whether events come to who waits for them, by two turns of a reactor that does not run yet. A Twisted that has
    changed what is leant on is found here, before any client is."""
    if not all(hasattr(reactor, name) for name in LEANS_ON):
        return False
    near, far = socket.socketpair()
    with near, far:
        trial = _Trial(reactor, near)
        trial.startWriting()
        reactor.doPoll(0)
        trial.stopWriting()
        trial.startReading()
        far.send(b"x")
        reactor.doPoll(0)
        trial.stopReading()
    return trial.heard == ["write", "read", "lost"]


class _Trial(FileDescriptor):
    """Can write, reads one byte, and is lost by it."""

    def __init__(self, reactor: Reactor, end: socket.socket) -> None:
        super().__init__(reactor)
        self._end = end
        self.heard: list[str] = []

    def fileno(self) -> int:
        return self._end.fileno()

    def doWrite(self) -> None:
        self.heard.append("write")

    def doRead(self) -> ConnectionLost:
        self._end.recv(1)
        self.heard.append("read")
        return CONNECTION_LOST

    def connectionLost(self, reason: Failure) -> None:
        self.heard.append("lost")
