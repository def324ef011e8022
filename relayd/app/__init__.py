"""The composition root: from a configuration to a service that runs. The one room that sees all the others.

`build` opens nothing and dials nothing; that is done when the service starts. Its parts start in order: the hub and its
upstreams first, then the listeners, so that a browser never meets a relay that has no idea of its feeds.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger
from twisted.web.resource import IResource

from relayd import __version__
from relayd.app import collector
from relayd.app.bridges import build_bridges
from relayd.app.feeds import Feeds
from relayd.app.life import Life
from relayd.config import model
from relayd.config.compile import compile_routes
from relayd.core.auth.access import Anyone
from relayd.core.auth.credentials import Places
from relayd.core.auth.door import Door, Visitor
from relayd.core.beat import next_beat
from relayd.core.bridge import NOTHING_BROUGHT, Brought
from relayd.core.counters import HubCounters
from relayd.core.downstream import DownstreamSession
from relayd.core.guard import GuardCounters, Stream
from relayd.core.head import RequestHead
from relayd.core.hub import Hub, HubLimits
from relayd.core.mishap import MishapCounters
from relayd.core.refusal import HttpRefusal
from relayd.core.routes import RouteTable
from relayd.core.shown import shown_address
from relayd.core.subscriber import Sink
from relayd.io.admin import AdminSources, build_admin
from relayd.io.auth import AuthService
from relayd.io.downstream_factory import DownstreamFactory
from relayd.io.fleet import FleetService
from relayd.io.gate import AdminGate, Gate, LocalGate
from relayd.io.guard import GuardFactory
from relayd.io.http import build_site
from relayd.io.limits import fit_limits, resident_bytes
from relayd.io.listener import ClientsService, ListenerService, guard_settings
from relayd.io.logs import LogCounters
from relayd.io.mishaps import Mishaps
from relayd.io.names import Names
from relayd.io.reactor import next_turn_of
from relayd.io.sse import EventStreamFactory
from relayd.io.state import StateService
from relayd.io.ticker import Ticker
from relayd.io.volley import KernelVolley

#: Ages, stale topics and clients without progress are looked at this often: `slow_after` and `stale_after` are seconds.
HUB_TICK_S: Final = 0.5
#: 8 characters of base 36 make two runs of a relay with the same epoch a matter of 10^12 restarts.
EPOCH_CHARS: Final = 8
#: 48 bits, written as 12 characters, make two of 20,000 browsers with the same id a matter of 10^6 full houses.
ID_BYTES: Final = 6

log = Logger()


def build(
    config: model.Config,
    reactor: Any,
    monotonic: Callable[[], float] = time.monotonic,
    *,
    environ: Mapping[str, str] | None = None,
    extra: Mapping[bytes, IResource] | None = None,
    log_counters: LogCounters | None = None,
) -> MultiService:
    """Everything that a checked configuration asks for, ready to start. Raises the soft descriptor limit, and lowers
    audibly what the system has no room for (relayd/io/limits.py).

    Args:
        config: as `config.load.load` returns it.
        reactor: Twisted's.
        monotonic: seconds that no step of the wall clock moves.
        environ: where `${env.X}` is looked up; the process's own by default.
        extra: further resources of every listener by their first path segment, `b""` for the page at `/`.
        log_counters: those of the log that relayd writes, if it does.
    """
    collector.calm()
    config = config.model_copy(update={"limits": fit_limits(config.limits, resident_bytes())})
    return Relay(config, reactor, monotonic, os.environ if environ is None else environ, extra or {}, log_counters)


class Relay(MultiService):
    """A relay and its parts, which tests and the demo may look at."""

    def __init__(
        self,
        config: model.Config,
        reactor: Any,
        monotonic: Callable[[], float],
        environ: Mapping[str, str],
        extra: Mapping[bytes, IResource],
        log_counters: LogCounters | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self._log_counters = log_counters
        self._reactor = reactor
        self._monotonic = monotonic
        self._environ = environ
        self._names = Names(reactor)
        self.ticker = Ticker(reactor, monotonic)
        self.ticker.setServiceParent(self)
        self._volley = KernelVolley()
        self.state: StateService | None = None
        self.mishaps = Mishaps(MishapCounters())
        self.ticker.report = self.mishaps.report
        self.hub = self._build_hub()
        self.upstreams = self._build_upstreams()
        self._pin()
        self.door = None if config.auth is None else self._build_door(config.auth)
        self.listeners = MultiService()
        self.life = Life(
            config,
            self.hub,
            self.upstreams,
            self.ticker,
            monotonic,
            next_turn_of(reactor),
            environ,
            self.bridges.bridges.counters,
        )
        self.draining = self.life.draining
        self.clients = self.life.clients
        self._build_listeners(extra)
        self.listeners.setServiceParent(self)
        self.life.notify.setServiceParent(self)
        self.ticker.add(_HubClock(self.hub, monotonic))

    def startService(self) -> None:
        """Starts every part, and says so once all listeners are open."""
        super().startService()
        self.life.notify.ready()

    def stopService(self) -> Deferred[None]:
        """Sends the clients away as the `drain` block says, and then stops every part; feeds flow until then."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self.life.end()
        await maybeDeferred(super().stopService)
        self._volley.close()

    # -- the hub and its upstreams ------------------------------------------------------------------------------------

    def _build_hub(self) -> Hub:
        limits = self.config.limits
        return Hub(
            RouteTable(compile_routes(self.config)),
            HubLimits(
                topics=limits.topics,
                topics_per_client=limits.topics_per_client,
                ring_bytes=limits.ring_bytes,
                message_bytes=limits.message_bytes,
                publications=limits.publish.count,
                publications_per_s=limits.publish.period_s,
            ),
            monotonic=self._monotonic,
            wall=time.time,
            call_later=self._reactor.callLater,
            next_turn=next_turn_of(self._reactor),
            epoch=_random_text(EPOCH_CHARS),
            counters=HubCounters(),
            volley=self._volley,
            report=self.mishaps.report,
        )

    def _build_upstreams(self) -> dict[str, FleetService]:
        feeds = Feeds(self.hub, self.ticker, self._reactor, self._monotonic, self._environ, self._names)
        payload_bytes = self.config.limits.payload_bytes
        self.clocks = feeds.clocks
        exclusive = {route.upstream for route in self.hub.routes.routes if route.exclusive}
        built = {
            name: feeds.build(name, block, payload_most_bytes=payload_bytes)
            for name, block in self.config.upstreams.items()
            if name not in exclusive
        }
        self.bridges = build_bridges(
            {name: block for name, block in self.config.upstreams.items() if name in exclusive},
            feeds,
            self.config.limits,
            self._reactor,
            self._monotonic,
            self.mishaps.report,
        )
        self.bridges.lines.setServiceParent(self)
        if self.config.state is not None:
            # Before the upstreams: what an earlier run has used up counts for the first dial.
            self.state = feeds.build_state(self.config.state)
            self.state.setServiceParent(self)
        for service in built.values():
            service.setServiceParent(self)
        return built

    def _pin(self) -> None:
        for route in self.hub.routes.routes:
            if route.upstream is not None:
                for name in route.pin:
                    self.upstreams[route.upstream].demand.pin(self.hub.topic(name))

    def _build_door(self, auth: model.Auth) -> Door:
        judges = AuthService(
            auth, self._reactor, self._monotonic, time.time, user_agent=f"relayd/{__version__}", names=self._names
        )
        judges.report = self.mishaps.report
        judges.setServiceParent(self)
        door = Door(
            judges.verifiers,
            Places.parse(auth.from_),
            within_s=auth.within_s,
            strangers_welcome=any(
                Anyone.PUBLIC in (route.access.subscribe, route.access.publish) for route in self.hub.routes.routes
            ),
            monotonic=self._monotonic,
            wall=time.time,
            random=random.random,
        )
        self.ticker.add(judges)
        self.ticker.add(door)
        return door

    # -- the listeners ------------------------------------------------------------------------------------------------

    def _build_listeners(self, extra: Mapping[bytes, IResource]) -> None:
        config = self.config
        self.guards = GuardCounters()
        ClientsService(self.clients, self._reactor, self._monotonic).setServiceParent(self.listeners)
        for listener in config.listeners:
            factory = self._guard_factory(listener, extra)
            self.life.factories.append(factory)
            service = ListenerService(
                listener.endpoint, factory, self._reactor, listener.tls, self._volley, self.life.backlog
            )
            service.setServiceParent(self.listeners)
            self.life.doors.append(service)
        services = list(self.life.doors)
        if config.admin is not None:
            sources = AdminSources(
                hub=self.hub,
                clients=self.clients,
                guards=self.guards,
                upstreams={name: service.fleet for name, service in self.upstreams.items()},
                monotonic=self._monotonic,
                not_ready=self.life.not_ready(),
                bridges=self.bridges.bridges.counters,
                overload=self.life.overload.overload.counters,
                mishaps=self.mishaps.counters,
                auth=None if self.door is None else self.door.counters,
                certificates=lambda: self._certificates(services),
                clocks=self.clocks,
                state=None if self.state is None else self.state.counters,
                log=self._log_counters,
            )
            site = build_admin(sources, self._reactor, self._build_gate(config.admin))
            services.append(ListenerService(config.admin.endpoint, site, self._reactor, config.admin.tls))
            services[-1].setServiceParent(self.listeners)
        for service in services:
            self.ticker.add(service)

    def _build_gate(self, admin: model.Admin) -> Gate | None:
        if admin.tokens is None:
            has_login = admin.tls is not None and admin.tls.client_ca is not None
            # No page reaches a unix socket; what else is neither open nor asks for a login is on this machine alone.
            return None if admin.open or has_login or admin.endpoint.startswith("unix:") else LocalGate()
        gate = AdminGate(admin.tokens, time.time)
        self.ticker.add(gate)
        return gate

    def _certificates(self, listeners: Sequence[ListenerService]) -> Iterator[tuple[str, str, float]]:
        """Whose certificates are known, and when they end."""
        for listener in listeners:
            if listener.tls is not None:
                yield "listener", listener.endpoint, listener.tls.ends_at
        for name, upstream in self.upstreams.items():
            if upstream.certificate_ends_at is not None:
                yield "upstream", name, upstream.certificate_ends_at

    def _guard_factory(self, listener: model.Listener, extra: Mapping[bytes, IResource]) -> GuardFactory:
        routes = self.hub.routes.routes
        publishes = any(route.access.publish is not Anyone.NOBODY for route in routes)
        settings = guard_settings(listener, self.config.limits, publishes=publishes)
        websocket = DownstreamFactory(
            self.clients,
            self._make_session,
            new_id=partial(secrets.token_hex, ID_BYTES),
            message_bytes=self.config.limits.message_bytes,
            reactor=self._reactor,
            prefix=listener.prefix,
            show_address=self._show,
            door=self.door,
            query_names=self.bridges.query_names,
            foresee=partial(self.bridges.bridges.foresee, self.hub.routes),
        )

        streams = EventStreamFactory(
            self.hub,
            self.clients,
            new_id=partial(secrets.token_hex, ID_BYTES),
            random=random.random,
            show_address=self._show,
            door=self.door,
        )

        def choose(head: RequestHead) -> IProtocolFactory:
            return websocket.of(head, settings)

        def choose_stream(head: RequestHead, stream: Stream) -> IProtocolFactory | HttpRefusal:
            return streams.of(head, stream, settings)

        return GuardFactory(
            websocket=choose,
            stream=choose_stream,
            site=build_site(
                self.hub,
                settings.origins,
                self._reactor,
                secure=settings.secure,
                prefix=listener.prefix,
                extra=extra,
                door=self.door,
                on_error=self.guards.failed,
            ),
            settings=settings,
            show_address=self._show,
            reactor=self._reactor,
            monotonic=self._monotonic,
            counters=self.guards,
            admission=self.life.admission,
            repeaters=self.clients.repeaters,
            turns=self.clients.turns,
        )

    def _show(self, address: str) -> str:
        """An address, as the log may hold it."""
        return shown_address(address, self.config.log.addresses)

    def _make_session(
        self,
        sink: Sink,
        *,
        raw_topic: str | None,
        session_id: str,
        visitor: Visitor | None,
        brought: Brought = NOTHING_BROUGHT,
        closed_before: int = 0,
    ) -> DownstreamSession:
        return DownstreamSession(
            self.hub,
            sink,
            raw_topic=raw_topic,
            session_id=session_id,
            visitor=visitor,
            bridges=self.bridges.bridges,
            brought=brought,
            closed_before=closed_before,
        )


class _HubClock:
    """The hub's place in the ticker."""

    def __init__(self, hub: Hub, monotonic: Callable[[], float]) -> None:
        self._hub = hub
        self._due = monotonic() + HUB_TICK_S

    def next_deadline(self) -> float:
        return self._due

    def tick(self, now: float) -> None:
        self._due = next_beat(now, HUB_TICK_S)
        self._hub.tick(now)


def _random_text(length: int) -> str:
    """In base 36."""
    number, text = secrets.randbelow(36**length), ""
    for _ in range(length):
        number, digit = divmod(number, 36)
        text += "0123456789abcdefghijklmnopqrstuvwxyz"[digit]
    return text
