"""Carries out the graceful stop that core/drain.py decides: ports, clients, and the moment when all are gone."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from relayd.core.closecode import CLOSE_RESTART
from relayd.core.drain import LOOK_EVERY_S, Drain, Stage
from relayd.io.clients import Client, Clients

log = Logger()


class Draining:
    """One process's stop, woken by the ticker.

    `close_doors` lets nobody in any more, and may return a Deferred. `others` counts what else is worth waiting for,
    such as HTTP requests that are being answered.
    """

    def __init__(
        self,
        drain: Drain,
        clients: Clients,
        monotonic: Callable[[], float],
        *,
        close_doors: Callable[[], object],
        others: Callable[[], int],
    ) -> None:
        self.drain = drain
        self._clients = clients
        self._monotonic = monotonic
        self._close_doors = close_doors
        self._others = others
        self._remaining: list[Client] | None = None  # not yet closed; None while the doors are open
        self._began = 0.0
        self._told = 0
        self._next = inf
        self._gone: Deferred[None] | None = None

    def run(self) -> Deferred[None]:
        """Begin; fires when everybody is gone. To be called once."""
        self._gone = Deferred()
        self._began = self._monotonic()
        settings = self.drain.settings
        log.info("draining", clients=len(self._clients.open), notice_s=settings.notice_s, over_s=settings.over_s)
        self.drain.begin(self._began)
        gone = self._gone
        self.tick(self._began)
        return gone

    def hurry(self) -> None:
        """A further signal: no more spreading."""
        if self._gone is not None:
            log.info("draining faster: asked once more", clients=len(self._clients.open))
            self.drain.hurry(self._monotonic())
            self.tick(self._monotonic())

    def next_deadline(self) -> float:
        """When `tick` wants to be called."""
        return self._next

    def tick(self, now: float) -> None:
        """Look at the stage, and close whom it says."""
        if self._gone is None:
            return
        self._next = now + LOOK_EVERY_S
        more = self.drain.look(now, len(self._clients.open) + self._others())
        if self.drain.stage in (Stage.CLOSING, Stage.LEAVING) and self._remaining is None:
            maybeDeferred(self._close_doors).addErrback(_log_failure)
            self._remaining = list(reversed(self._clients.open.values()))  # who came first goes first, by pop()
        if more:
            self._close(more, now)
        if self.drain.stage is Stage.GONE:
            self._end(now)

    def _close(self, count: int, now: float) -> None:
        remaining, retry_s = self._remaining or [], self.drain.retry_s(now)
        for _ in range(min(count, len(remaining))):
            self._clients.close(remaining.pop(), CLOSE_RESTART, retry_s)
            self._told += 1

    def _end(self, now: float) -> None:
        self._next = inf
        gone, self._gone = self._gone, None
        cut = len(self._clients.open)
        self._clients.abort_all()
        log.info("drained", closed=self._told, cut=cut, seconds=round(now - self._began, 3))
        assert gone is not None
        gone.callback(None)


def _log_failure(failure: Failure) -> None:
    log.failure("a listener did not close in order", failure)
