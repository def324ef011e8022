"""The browsers' side of relayd, whole, on a port of loopback: listener, guard, WebSocket, HTTP, and a real hub behind.

Nothing is faked but time, where the test asks for that: `Relay(clock=...)` drives pings and deadlines by a clock of the
test's own.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol

from relayd.config.model import ListenerTls
from relayd.core.auth.door import Door
from relayd.core.counters import HubCounters, ListenerCounters
from relayd.core.downstream import DownstreamSession
from relayd.core.guard import GuardCounters, GuardSettings
from relayd.core.hub import Hub, HubLimits
from relayd.core.mishap import MishapCounters
from relayd.core.poll import Polls
from relayd.core.routes import Route, RouteTable
from relayd.io.clients import Clients
from relayd.io.downstream_factory import DownstreamFactory
from relayd.io.guard import GuardFactory
from relayd.io.http import build_site
from relayd.io.listener import ClientsService, ListenerService
from relayd.io.mishaps import Mishaps
from relayd.io.sse import EventStreamFactory
from tests.support.browser import Browser, handshake
from tests.support.hub_rig import FakeDemand, route

reactor: Any = global_reactor


class Relay:
    """Start it with `open`, stop it with `await close()`."""

    def __init__(
        self,
        *routes: Route,
        endpoint: str = "tcp:0:interface=127.0.0.1",
        tls: ListenerTls | None = None,
        settings: GuardSettings | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        make_session: Any = None,
        door: Door | None = None,
    ) -> None:
        self.demand = FakeDemand()
        self.mishaps = Mishaps(MishapCounters())
        self.hub = Hub(
            RouteTable(routes or (route("t/$name"),)),
            HubLimits(topics=1000, topics_per_client=128, ring_bytes=64 << 20),
            monotonic=monotonic,
            wall=time.time,
            call_later=reactor.callLater,
            epoch="e",
            counters=HubCounters(),
            report=self.mishaps.report,
        )
        self.hub.demands["up"] = self.demand
        self.settings = settings or GuardSettings(secure=tls is not None)
        self.clients = Clients(ListenerCounters(), monotonic, partial(reactor.callLater, 0))
        ids = itertools.count(1)
        self.factory = DownstreamFactory(
            self.clients,
            make_session or partial(DownstreamSession, self.hub),
            new_id=lambda: f"s{next(ids)}",
            message_bytes=64 << 10,
            reactor=reactor,
            prefix=self.settings.prefix,
            door=door,
        )
        self.polls = Polls(self.hub, reactor.callLater)
        counters = GuardCounters()
        self.site = build_site(
            self.hub,
            self.settings.origins,
            reactor,
            secure=self.settings.secure,
            prefix=self.settings.prefix,
            door=door,
            polls=self.polls,
            on_error=counters.failed,
        )
        self.streams = EventStreamFactory(
            self.hub, self.clients, new_id=lambda: f"s{next(ids)}", random=lambda: 0.0, door=door
        )
        self.guards = GuardFactory(
            stream=lambda head, stream: self.streams.of(head, stream, self.settings),
            websocket=lambda head: self.factory.of(head, self.settings),
            site=self.site,
            settings=self.settings,
            reactor=reactor,
            monotonic=monotonic,
            counters=counters,
            repeaters=self.clients.repeaters,
            turns=self.clients.turns,
        )
        self.service = ListenerService(endpoint, self.guards, reactor, tls)
        self.clients_service = ClientsService(self.clients, reactor, monotonic)
        self._browsers: list[Browser] = []
        self._closed = False

    def open(self) -> None:
        """Listen."""
        self.clients_service.startService()
        self.service.startService()

    async def close(self) -> None:
        """Stop listening, close the clients, and wait until every connection is gone on both sides. Idempotent."""
        if self._closed:
            return
        self._closed = True
        await self.service.stopService()
        await self.clients_service.stopService()
        for browser in self._browsers:
            if browser.lost is None:
                browser.transport.abortConnection()
        for browser in self._browsers:
            await browser.until(lambda browser=browser: browser.lost is not None)
        while self.polls.is_sweeping:
            await turn(0.01)
        while self.guards._call is not None:  # its last look at deadlines need not be waited for
            self.guards._call.reset(0)
            await turn()

    @property
    def place(self) -> str:
        """Where it listens, as a client endpoint."""
        address: Any = self.service.port.getHost()
        if not hasattr(address, "port"):
            return f"unix:{address.name.decode()}"
        host = address.host.replace(":", "\\:")
        return f"tcp:{'127.0.0.1' if host == '0.0.0.0' else host}:{address.port}"

    async def dial(self, place: str | None = None, **manners: bool) -> Browser:
        """A connection that has said nothing."""
        browser = await connectProtocol(clientFromString(reactor, place or self.place), Browser(**manners))
        self.adopt(browser)
        return browser

    def adopt(self, browser: Browser) -> None:
        """Hang it up at the end."""
        self._browsers.append(browser)

    async def browse(self, target: str, *headers: str, **manners: bool) -> Browser:
        """A connection whose handshake has been answered."""
        browser = await self.dial(**manners)
        browser.transport.write(handshake(target, *headers))
        await browser.until(lambda: browser.head is not None or browser.lost)
        return browser

    def publish(self, name: str, payload: bytes = b"1", **how: Any) -> None:
        """One text message on a topic."""
        self.hub.publish(self.hub.topic(name), payload, True, **how)


def turn(seconds: float = 0.0) -> Deferred[None]:
    """Fires on a later turn of the reactor."""
    later: Deferred[None] = Deferred()
    reactor.callLater(seconds, later.callback, None)
    return later


async def eventually(condition: Callable[[], Any], within_s: float = 30.0) -> None:
    """Waits, turn by turn, until the condition holds. Raises AssertionError when it does not in time."""
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, "it did not come true"
        await turn(0.005)
