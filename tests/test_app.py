"""The whole program in one process: a feed on one side, browsers on the other, real sockets between."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, readBody
from twisted.web.http_headers import Headers

from relayd.app import Relay, build
from relayd.config.load import loads
from relayd.config.model import Admin
from relayd.demo.exchange import make_exchange
from relayd.io.gate import AdminGate, LocalGate
from relayd.io.listener import ListenerService
from tests.support.relay_rig import eventually

reactor: Any = global_reactor

CONFIG = """
listeners:
  - endpoint: "tcp:0:interface=127.0.0.1"
upstreams:
  demo:
    connect: {url: "ws://127.0.0.1:${env.PORT}/"}
    topic:
      at: {channel: type, symbol: product_id}
      map: {channel: {snapshot: level2, l2update: level2}}
    subscribe: {each: $symbol, send: {type: $verb, channels: [{name: $channel, product_ids: $topics}]}}
    control:
      - {when: {type: subscriptions}, ack: {all: channels, at: {channel: name, symbol: product_ids}}}
      - {when: {type: error}, fail: {text: reason}}
    snapshot: {for: {channel: level2}, when: {type: snapshot}}
routes:
  - topic: t/$symbol
    upstream: demo
    allow: {channel: [ticker], symbol: [BTC-USD, ETH-USD]}
    pin: [t/ETH-USD]
    linger: 0s
  - {topic: b/$symbol, upstream: demo, allow: {channel: [level2], symbol: [BTC-USD]}, linger: 0s}
admin: {endpoint: "tcp:0:interface=127.0.0.1"}
"""


class RelayTests(TestCase):
    """What only all parts together can do."""

    def setUp(self) -> None:
        self.exchange = make_exchange(reactor, seed=1)
        port = self.exchange.bind()
        self.exchange.startService()
        self.addCleanup(self.exchange.stopService)
        config = loads(CONFIG, "relay.yaml", {"PORT": str(port)})
        relay = build(config, reactor, time.monotonic, environ={"PORT": str(port)})
        assert isinstance(relay, Relay)
        self.relay = relay
        relay.privilegedStartService()
        relay.startService()
        self.addCleanup(relay.stopService)
        self.ports = [
            service.port.getHost().port
            for service in relay.listeners
            if isinstance(service, ListenerService)
        ]

    async def get(self, path: str, *, admin: bool = False, host: str | None = None) -> tuple[int, Any]:
        """A request to the listener of browsers, or of operators."""
        url = f"http://127.0.0.1:{self.ports[admin]}{path}"
        headers = Headers({"Host": [host]} if host else {})
        response = await Agent(reactor).request(b"GET", url.encode(), headers)
        body = await readBody(response)
        return response.code, json.loads(body) if body.startswith(b"{") else body.decode()

    def test_a_topic_comes_and_goes_with_its_readers(self) -> Deferred[None]:
        """Asked for, subscribed upstream, answered; then, after the linger, let go and forgotten."""

        async def run() -> None:
            status, answer = await self.get("/topics/t/BTC-USD")
            assert (status, answer["state"]) == (200, "live")
            assert answer["snapshot"][0]["data"]["product_id"] == "BTC-USD"
            await eventually(lambda: "t/BTC-USD" not in self.relay.hub.topics)
            assert "t/ETH-USD" in self.relay.hub.topics  # pinned

        return Deferred.fromCoroutine(run())

    def test_a_state_and_its_changes(self) -> Deferred[None]:
        """The snapshot of a book stands first."""

        async def run() -> None:
            _, answer = await self.get("/topics/b/BTC-USD")
            assert answer["snapshot"][0]["snapshot"] is True
            assert answer["snapshot"][0]["data"]["type"] == "snapshot"

        return Deferred.fromCoroutine(run())

    def test_operators_see_it(self) -> Deferred[None]:
        """Ready, counted, and no topic among the labels."""

        async def run() -> None:
            topic = self.relay.hub.topics["t/ETH-USD"]
            await eventually(lambda: topic.last_at is not None)
            assert await self.get("/ready", admin=True) == (200, {"status": "ready"})
            _, metrics = await self.get("/metrics", admin=True)
            assert 'relayd_upstream_connected{upstream="demo"} 1.0' in metrics
            assert "ETH-USD" not in metrics

        return Deferred.fromCoroutine(run())

    def test_a_page_that_made_its_name_lead_here(self) -> Deferred[None]:
        """DNS rebinding: without a login it is told no, but for whether relayd lives."""

        async def run() -> None:
            for path in ("/metrics", "/status"):
                status, said = await self.get(path, admin=True, host="rebound.example:8081")
                assert (status, said["code"]) == (421, "forbidden")
                assert (await self.get(path, admin=True, host="localhost:8081"))[0] == 200
            assert (await self.get("/live", admin=True, host="rebound.example:8081"))[0] == 200

        return Deferred.fromCoroutine(run())

    def test_which_gate(self) -> None:
        """By what the file says of a login; no page reaches a unix socket."""
        file = Path(self.mktemp())
        file.write_text("")
        for block, gate in (
            ({"endpoint": "tcp:0:interface=127.0.0.1"}, LocalGate),
            ({"endpoint": "tcp:0:interface=127.0.0.1", "open": True}, type(None)),
            ({"endpoint": "unix:/run/x.sock"}, type(None)),
            ({"endpoint": "tcp:0", "tls": {"cert": "c", "key": "k", "client_ca": "a"}}, type(None)),
            ({"endpoint": "tcp:0", "tokens": str(file)}, AdminGate),
        ):
            assert type(self.relay._build_gate(Admin.model_validate(block))) is gate, block

    def test_a_feed_that_drops_us(self) -> Deferred[None]:
        """Every reader is told, the upstream comes back, what is pinned is asked for again, and the hole is marked."""

        async def run() -> None:
            topic = self.relay.hub.topics["t/ETH-USD"]
            await eventually(lambda: topic.last_at is not None)
            self.exchange.floor.drop()
            await eventually(lambda: topic.state.value == "reconnecting")
            await eventually(lambda: topic.state.value == "live", 8)
            assert self.relay.hub.counters.gaps >= 1

        return Deferred.fromCoroutine(run())
