"""The HTTP requests of one upstream that are under way: each ends in a reply or a loss, or is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from relayd.core.feed.outcome import HttpRequest
from relayd.core.mishap import UPSTREAM
from relayd.core.upstream.effects import Loss, LossKind
from relayd.io.ticker import Ticker
from relayd.io.tls import TrustUnreadable, trust_root
from relayd.io.upstream_http import NoReply, Reply, call


class Calls:
    """Those of the present connection. How many there may be is the affair of the session, which asks."""

    def __init__(
        self,
        reactor: Any,
        ticker: Ticker,
        *,
        ca: str | None,
        user_agent: str,
        ended: Callable[[int, Reply | Loss], object],
        failed: Callable[[Failure], object],
    ) -> None:
        """
        Args:
            ticker: reports what nobody foresaw in a request; that is a loss like any other.
            ca: a PEM file of authorities; None = those of the system.
            ended: told each request's number, with what became of it.
            failed: told what `ended` raised.
        """
        self._reactor = reactor
        self._ticker = ticker
        self._ca = ca
        self._user_agent = user_agent
        self._ended = ended
        self._failed = failed
        self._open: set[Deferred[Reply]] = set()

    def make(self, request: HttpRequest) -> None:
        """Asks."""
        try:
            trust = trust_root(self._ca)
        except TrustUnreadable as error:
            self._ended(request.number, Loss(LossKind.CONFIG, text=str(error)))
            return
        called = Deferred.fromCoroutine(call(self._reactor, request, trust, self._user_agent))
        self._open.add(called)
        called.addBoth(self._end, called, request.number).addErrback(self._failed)

    def forget(self) -> None:
        """Their replies would be read as those of another connection."""
        called, self._open = self._open, set()
        for one in called:
            one.cancel()

    def _end(self, result: Reply | Failure, called: Deferred[Reply], number: int) -> None:
        if called in self._open:
            self._open.discard(called)
            self._ended(number, result if isinstance(result, Reply) else self._loss(result))

    def _loss(self, failure: Failure) -> Loss:
        if isinstance(failure.value, NoReply):
            return failure.value.loss
        try:
            failure.raiseException()
        except Exception:
            self._ticker.report(UPSTREAM)
        return Loss(LossKind.BROKEN, text="relayd failed on a request")
