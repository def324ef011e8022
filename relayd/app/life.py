"""How a relay lives and goes down: what watches over it, what systemd hears of it, and its end."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred

from relayd.config import model
from relayd.core.admission import Admission
from relayd.core.counters import BridgeCounters, ListenerCounters
from relayd.core.drain import Drain, DrainSettings, Stage
from relayd.core.hub import Hub
from relayd.core.loop_lag import WorstLag
from relayd.core.overload import Overload, OverloadCounters
from relayd.io.clients import Clients
from relayd.io.drain import Draining
from relayd.io.fleet import FleetService
from relayd.io.guard import GuardFactory
from relayd.io.limits import memory_limit_bytes, resident_bytes
from relayd.io.listener import ListenerService, admission_limits
from relayd.io.notify import NotifyService
from relayd.io.overload import OverloadWatch
from relayd.io.ticker import Ticker
from relayd.io.transport import Backlog


class Life:
    """The clients of a process and the doors they come in by, the drain, the watch over memory and event loop, systemd.

    `doors` and `factories` are filled by whoever opens listeners.
    """

    def __init__(
        self,
        config: model.Config,
        hub: Hub,
        upstreams: Mapping[str, FleetService],
        ticker: Ticker,
        monotonic: Callable[[], float],
        next_turn: Callable[[Callable[[], None]], object],
        environ: Mapping[str, str],
        bridges: BridgeCounters,
    ) -> None:
        self._hub = hub
        self._upstreams = upstreams
        self._ticker = ticker
        self._monotonic = monotonic
        self._bridges = bridges
        self.backlog = Backlog(monotonic)
        self.clients = Clients(ListenerCounters(), monotonic, next_turn, hub.flusher.volley)
        self.admission = Admission(admission_limits(config.limits), started=monotonic(), random=random.random)
        self.doors: list[ListenerService] = []
        self.factories: list[GuardFactory] = []
        self.draining = self._build_draining(config.drain)
        self.overload = self._build_overload(config.limits)
        self.notify = self._build_notify(environ)
        for thing in (self.draining, self.overload, self.notify):
            ticker.add(thing)

    def not_ready(self) -> list[Callable[[], str | None]]:
        """Each says why nobody should be sent here, or None."""
        return [
            self.draining.drain.not_ready,
            self.overload.overload.not_ready,
            *(door.not_ready for door in self.doors),
        ]

    async def end(self) -> None:
        """Sends the clients away, as the `drain` block says."""
        self.notify.stopping()
        gone = self.draining.run()
        self._ticker.wake()
        await gone

    def _build_draining(self, block: model.Drain) -> Draining:
        return Draining(
            Drain(DrainSettings(block.notice_s, block.over_s, block.retry_s)),
            self.clients,
            self._monotonic,
            close_doors=self._close_doors,
            others=lambda: sum(factory.answers for factory in self.factories),
        )

    def _close_doors(self) -> Deferred[Any]:
        self.admission.draining = True
        return gatherResults([maybeDeferred(door.stopService) for door in self.doors])

    def _build_overload(self, limits: model.Limits) -> OverloadWatch:
        most_bytes = limits.memory_bytes or memory_limit_bytes(None)
        watch = OverloadWatch(
            Overload(most_bytes, limits.lag_s, OverloadCounters()),
            self._hub,
            self.admission,
            base_bytes=resident_bytes(),
            sockets=self._sockets,
            buffered_bytes=lambda: self.backlog.bytes,
            pairs=lambda: self._bridges.open,
            now=self._monotonic(),
        )
        self._ticker.on_lag.append(watch.hear_lag)
        return watch

    def _sockets(self) -> tuple[int, int]:
        """Connections in the clear, and over TLS."""
        secure = sum(factory.sockets for factory in self.factories if factory.settings.secure)
        return self.admission.sockets - secure, secure

    def _build_notify(self, environ: Mapping[str, str]) -> NotifyService:
        lag = WorstLag()
        self._ticker.on_lag.append(lag.hear)
        return NotifyService(
            environ,
            self._monotonic,
            lag_s=lag.take,
            trouble=self._trouble,
            status=self._status,
            stop_within_s=self.draining.drain.settings.longest_s,
        )

    def _trouble(self) -> str | None:
        """Why this process would be better started anew."""
        if self.draining.drain.stage is not Stage.SERVING:
            return None  # its listeners are closed on purpose
        return next((why for door in self.doors if (why := door.trouble()) is not None), None)

    def _status(self) -> str:
        """One line for `systemctl status`."""
        live = sum(service.fleet.connection is not None for service in self._upstreams.values())
        return (
            f"{len(self.clients.open)} browsers, {len(self._hub.topics)} topics, "
            f"{live} of {len(self._upstreams)} upstreams connected, load {self.overload.overload.load.value}"
        )
