"""Tests of relayd.io.upstream, upstream_protocol and tls: real loopback sockets, real certificates."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet import reactor as real_reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase

from relayd.core.feed.spec import HeartbeatSpec
from relayd.core.upstream import UpstreamSession
from relayd.core.upstream_policy import UpstreamPolicy
from relayd.core.upstream_states import State
from relayd.io.ticker import Ticker
from relayd.io.upstream import UpstreamService
from tests.support import certs
from tests.support.feed_server import FeedFactory, RawFactory, RawProtocol, server_tls
from tests.support.upstream import NO_FIELDS, TinyTalk, WritingHub

reactor: Any = real_reactor


class UpstreamCase(TestCase):
    """A service and the servers it dials; everything is stopped and counted at the end."""

    timeout = 10

    def setUp(self) -> None:
        self.hub = WritingHub()
        self.events: list[dict[str, Any]] = []
        self.ticker = Ticker(reactor, time.monotonic)
        self.ticker.startService()
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        self.addCleanup(self.ticker.stopService)

    def listen(self, factory: Any, certificate: certs.Certificate | None = None, interface: str = "127.0.0.1") -> int:
        """Serve on a port of the system's choice."""
        if certificate is None:
            port = reactor.listenTCP(0, factory, interface=interface)
        else:
            port = reactor.listenSSL(0, factory, server_tls(certificate), interface=interface)
        self.addCleanup(port.stopListening)
        self.addCleanup(self.hang_up, factory)
        return port.getHost().port

    def hang_up(self, factory: Any) -> Any:
        for protocol in list(getattr(factory, "connections", [])) + list(getattr(factory, "open", [])):
            protocol.transport.abortConnection()
        return self.until(lambda: not getattr(factory, "connections", []) and not getattr(factory, "open", []))

    def dial(
        self,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        protocols: tuple[str, ...] = (),
        ca: bool = True,
        payload_most_bytes: int = 16 << 20,
        talk: dict[str, Any] | None = None,
        **policy: Any,
    ) -> UpstreamService:
        """A running service that wants the topic `a`."""
        ca_file = Path(self.mktemp())
        ca_file.write_bytes(certs.authority().pem)
        policy.setdefault("heartbeat", None)
        session: UpstreamSession[str] = UpstreamSession(
            "feed",
            UpstreamPolicy(**policy),
            self.hub,
            converse=lambda saved: TinyTalk(url, headers=headers or {}, protocols=protocols, **(talk or {})),
            random=Random(7).random,
        )
        service = UpstreamService(
            session,
            reactor,
            time.monotonic,
            self.ticker,
            ca=str(ca_file) if ca else None,
            payload_most_bytes=payload_most_bytes,
        )
        session.want("a", NO_FIELDS, 0.0)
        service.startService()
        self.addCleanup(service.stopService)
        return service

    def until(self, true: Callable[[], Any]) -> Deferred[None]:
        """Fires when the condition holds."""
        done: Deferred[None] = Deferred()

        def look() -> None:
            if true():
                done.callback(None)
            else:
                reactor.callLater(0.005, look)

        look()
        return done

    async def loss_of(self, service: UpstreamService) -> str:
        """Why the first connection, or attempt, ended."""
        await self.until(lambda: service.session.why)
        return service.session.why


class ConnectionTests(UpstreamCase):
    """What works."""

    async def test_from_the_first_dial_to_the_last_goodbye(self) -> None:
        """Subscribe, publish, unsubscribe, close with 1000, stopped."""
        feed = FeedFactory(reactor, ["two"])
        port = self.listen(feed)
        service = self.dial(f"ws://127.0.0.1:{port}/feed?key=s3cret", headers={"X-Key": "hidden"}, protocols=("one", "two"))
        await self.until(lambda: "a=0" in self.hub.heard)
        self.assertEqual(self.hub.read(), ["a pending", "a live", "a=0"])
        [request] = feed.requests
        self.assertEqual((request.path, request.params), ("/feed", {"key": ["s3cret"]}))
        self.assertEqual(request.headers["x-key"], "hidden")
        self.assertEqual(request.headers["user-agent"], "relayd")
        self.assertEqual(request.headers["host"], f"127.0.0.1:{port}")
        self.assertNotIn("sec-websocket-extensions", request.headers)
        self.assertEqual(request.protocols, ["one", "two"])
        service.session.want("b", NO_FIELDS, 0.0)
        self.ticker.wake()
        await self.until(lambda: "b=0" in self.hub.heard)
        await service.stopService()
        self.assertEqual(service.session.state, State.STOPPED)
        self.assertEqual(feed.heard, ["+a", "+b"])
        await self.until(lambda: feed.closes)
        self.assertEqual(feed.closes, [(1000, None)])
