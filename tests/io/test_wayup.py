"""Publishing through the whole program, to an upstream on a real socket."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.trial.unittest import TestCase

from relayd.app import Relay, build
from relayd.config.load import loads
from relayd.io.listener import ListenerService
from tests.support.browser import CLOSE, Browser, handshake
from tests.support.echo_server import EchoFactory
from tests.support.relay_rig import eventually

reactor: Any = global_reactor

CONFIG = """
listeners: [{endpoint: "tcp:0:interface=127.0.0.1"}]
upstreams:
  echo:
    connect: {url: "ws://127.0.0.1:${env.PORT}/"}
    topic: {at: {room: room}}
    dial: demand
    reconnect: {min: 50ms, max: 100ms}
routes:
  - topic: room/$room
    upstream: echo
    allow: {room: any}
    access: {publish: public}
    publish: {send: {room: $room, says: $data, id: $id}}
    linger: 0s
limits: {publish: 10000/1s}
"""


class PublishingCase(TestCase):
    """A relay and the upstream behind it."""

    timeout = 30
    config = CONFIG

    def setUp(self) -> None:
        self.echo = EchoFactory(reactor)
        self.port = self.listen()
        self.addCleanup(self.port.stopListening)
        self.addCleanup(self.hang_up)
        environ = {"PORT": str(self.port.getHost().port)}
        relay = build(loads(self.config, "relay.yaml", environ), reactor, time.monotonic, environ=environ)
        assert isinstance(relay, Relay)
        self.relay = relay
        relay.privilegedStartService()
        relay.startService()
        self.addCleanup(relay.stopService)
        self.browsers: list[Browser] = []
        self.addCleanup(self.leave)

    def listen(self) -> Any:
        """Open the upstream's port."""
        return reactor.listenTCP(0, self.echo, interface="127.0.0.1")

    def endpoint(self, port: int) -> Any:
        """How a browser reaches the relay."""
        return clientFromString(reactor, f"tcp:127.0.0.1:{port}")

    def hang_up(self) -> Any:
        for protocol in self.echo.open:
            protocol.transport.abortConnection()
        return ensureDeferred(eventually(lambda: not self.echo.open))

    def leave(self) -> Any:
        for browser in self.browsers:
            if browser.lost is None:
                browser.transport.abortConnection()
        return ensureDeferred(eventually(lambda: not self.relay.clients.open))

    async def browse(self, target: str = "/ws", *headers: str) -> Browser:
        """A browser with an open WebSocket."""
        [service] = [one for one in self.relay.listeners if isinstance(one, ListenerService)]
        port = service.port.getHost().port
        browser = Browser()
        await connectProtocol(self.endpoint(port), browser)
        self.browsers.append(browser)
        browser.transport.write(handshake(target, *headers))
        await browser.until(lambda: browser.head is not None)
        return browser

    async def ask(self, browser: Browser, **command: Any) -> dict[str, Any]:
        """The answer to a command, by its id."""
        browser.say(**command)
        found: list[dict[str, Any]] = []
        await browser.until(
            lambda: found.extend(one for one in browser.messages if one.get("id") == command["id"]) or found
        )
        return found[0]


class PublishingTests(PublishingCase):
    """To an upstream, and back from it."""

    def test_up_and_back(self) -> Deferred[None]:
        """In the feed's own words; what the feed answers is a publication like any other."""

        async def run() -> None:
            browser = await self.browse("/ws?topics=room/a")
            await eventually(lambda: self.echo.open)
            answer = await self.ask(browser, op="publish", id=1, topic="room/a", data={"x": 1.0})
            assert answer == {"op": "published", "id": 1, "topic": "room/a"}
            await browser.until(lambda: [one for one in browser.messages if "data" in one])
            assert [one["data"] for one in browser.messages if "data" in one] == [
                {"room": "a", "says": {"x": 1.0}, "id": 1}
            ]
            assert self.relay.hub.counters.posts_up == 1

        return Deferred.fromCoroutine(run())

    def test_dialled_for_who_speaks(self) -> Deferred[None]:
        """Nobody listens: the first publication is refused and dials, a later one is taken."""

        async def run() -> None:
            browser = await self.browse()
            answer = await self.ask(browser, op="publish", id=1, topic="room/a", data=1)
            assert (answer["code"], answer["message"]) == ("unavailable", "the upstream is being dialled")
            assert answer["retry_ms"] == 1000
            await eventually(lambda: self.relay.upstreams["echo"].fleet.connection is not None)
            assert (await self.ask(browser, op="publish", id=2, topic="room/a", data=1))["op"] == "published"
            await eventually(lambda: self.echo.heard == [b'{"room":"a","says":1,"id":1}'])

        return Deferred.fromCoroutine(run())

    def test_away(self) -> Deferred[None]:
        """Refused with the reason, and never said later."""

        async def run() -> None:
            browser = await self.browse("/ws?topics=room/a")
            await eventually(lambda: self.echo.open)
            self.port.stopListening()
            for protocol in list(self.echo.open):
                protocol.transport.abortConnection()
            await eventually(lambda: self.relay.upstreams["echo"].fleet.connection is None)
            answer = await self.ask(browser, op="publish", id=1, topic="room/a", data=1)
            assert answer["code"] == "unavailable"
            assert self.echo.heard == []

        return Deferred.fromCoroutine(run())

    def test_upstream_that_does_not_read(self) -> Deferred[None]:
        """Who publishes is paused before the buffer grows, and goes on when it reads again; nothing is lost."""

        async def run() -> None:
            self.echo.echoes = False
            self.echo.deaf = True
            browser = await self.browse("/ws?topics=room/a")
            await eventually(lambda: self.echo.open)
            service = self.relay.upstreams["echo"]
            transport = service.main._protocol.transport
            transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            sent = 0
            data = "x" * 8000
            for _ in range(75):  # 600 KB: more than a client may say in a second, of which most waits in its kernel
                browser.say(op="publish", topic="room/a", data=data)
                sent += 1
            await eventually(lambda: service.way.paused == 1)
            [client] = self.relay.clients.open.values()
            assert client._intake.is_held and self.relay.hub.counters.publishers_paused == 1
            assert len(transport.dataBuffer) + transport._tempDataLen < 300_000
            self.echo.listen_to(False)
            transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 128 << 10)
            await eventually(lambda: len(self.echo.heard) == sent)
            await eventually(lambda: not client._intake.is_held)
            assert not client._intake.is_held
            assert [one for one in browser.frames if one[0] == CLOSE] == []
            assert json.loads(self.echo.heard[-1])["id"] == sent

        return Deferred.fromCoroutine(run())

    def test_as_fast_as_the_file_allows(self) -> Deferred[None]:
        """`limits.publish` lets 10,000 a second in: a thousand at once are taken, and the connection stays."""

        async def run() -> None:
            browser = await self.browse("/ws?topics=room/a")
            await eventually(lambda: self.echo.open)
            self.echo.echoes = False
            for number in range(1000):
                browser.say(op="publish", topic="room/a", data=number)
            await eventually(lambda: len(self.echo.heard) == 1000)
            assert [json.loads(one)["says"] for one in self.echo.heard] == list(range(1000))
            assert self.relay.guards.rests == 0 and browser.close is None

        return Deferred.fromCoroutine(run())
