"""Each callback of an upstream, and of what judges credentials, raises once: counted, one line, and all goes on."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet import reactor as real_reactor

from relayd.core.auth.keyring import KeyRing
from relayd.core.auth.webhook import Webhook
from relayd.core.mishap import AUTH, UPSTREAM
from relayd.core.upstream.effects import Loss, LossKind
from relayd.core.upstream.frames import FrameCutter
from relayd.core.upstream.session import UpstreamSession
from relayd.core.upstream.states import State
from relayd.core.wayup import WayUp
from relayd.io import upstream_calls
from relayd.io.upstream import UpstreamService
from relayd.io.upstream_calls import Calls
from relayd.io.upstream_http import NoReply, Reply
from relayd.io.upstream_plan import Transport
from relayd.io.upstream_protocol import UpstreamProtocol
from relayd.io.upstream_stream import StreamProtocol
from tests.io.test_auth import AuthTestCase
from tests.io.test_upstream import UpstreamCase
from tests.io.test_upstream_stream import CHUNKED, chunk
from tests.support.faults import Injected, inject
from tests.support.feed_server import FeedFactory, RawFactory
from tests.support.relay_rig import eventually
from tests.support.signing import jwk, jwks, sign

reactor: Any = real_reactor


async def nothing_there(*_: object) -> Reply:
    """No request leaves this machine."""
    raise NoReply(Loss(LossKind.DNS))


#: What runs while the service is started as well, where whoever starts it hears of a fault.
LATE = ("tick", "_carry_out_one")


class FeedFaultTests(UpstreamCase):
    """A second upstream, on the same ticker, is the witness."""

    def setUp(self) -> None:
        super().setUp()
        self.reported: list[str] = []
        log_it = self.ticker.report

        def report(place: str) -> None:
            self.reported.append(place)
            log_it(place)

        self.ticker.report = report
        self.patch(upstream_calls, "call", nothing_there)  # its address is a made-up name

    def prove(self) -> None:
        """Reported once, with one traceback."""
        assert len(self.reported) == 1, self.reported
        assert self.reported[0] in (UPSTREAM, "timer")
        assert len(self.flushLoggedErrors(Injected)) == 1

    async def suffer(self, owner: Any, name: str) -> None:
        """Data comes before and after the fault, which meets one of two upstreams; the other does not notice."""
        quiet = FeedFactory(reactor)
        witness = self.dial(f"ws://127.0.0.1:{self.listen(quiet)}/", retry_least_s=0.02, retry_most_s=0.05)
        await self.until(lambda: witness.session.state is State.LIVE)
        feed = FeedFactory(reactor)
        url = f"ws://127.0.0.1:{self.listen(feed)}/"
        raised = [] if name in LATE else inject(self, owner, name)
        service = self.dial(url, retry_least_s=0.02, retry_most_s=0.05, connect_within_s=0.5, handshake_within_s=0.5)
        await self.until(lambda: feed.open or raised)
        if not raised:
            await self.until(lambda: service.session.state is State.LIVE)
            protocol = feed.open[0]
            if name in LATE:
                raised = inject(self, owner, name)
            protocol.sendPing(b"x")
            protocol.sendPong(b"y")
            protocol.sendMessage(b"call")
            service.buffer_filled(service._protocol, True)
            service.buffer_filled(service._protocol, False)
            await self.until(lambda: raised or feed.heard.count("pong") or name in LATE)
            if name == "onCloseFrame":
                protocol.sendClose(4001)
            else:
                protocol.transport.loseConnection()
        await self.until(lambda: raised)
        await self.until(lambda: self.reported)
        self.hub.read()

        def arrives() -> bool:
            for protocol in feed.open:
                protocol.sendMessage(b"a=77")
            return "a=77" in self.hub.heard and service.session.state is State.LIVE

        await self.until(arrives)
        assert len(quiet.requests) == 1
        assert witness.session.state is State.LIVE
        self.prove()

    async def stream(self, owner: Any, name: str) -> None:
        """The same over an event stream."""
        feed = RawFactory(lambda protocol: protocol.transport.write(CHUNKED + chunk(b"data: a=1\n\n: beat\n\n")))
        raised = inject(self, owner, name)
        service = self.dial(
            f"http://127.0.0.1:{self.listen(feed)}/",
            transport=Transport.SSE,
            unasked=True,
            talk={"unasked": True},
            retry_least_s=0.02,
            retry_most_s=0.05,
            connect_within_s=0.5,
            handshake_within_s=0.5,
        )
        await self.until(lambda: raised or "a=1" in self.hub.heard)
        if not raised:
            feed.connections[0].transport.write(chunk(b": beat\n\n"))
            feed.connections[0].transport.loseConnection()
        await self.until(lambda: raised and self.reported)
        await self.until(lambda: service.session.state is State.LIVE and feed.connections and feed.made >= 2)
        self.hub.read()
        feed.connections[-1].transport.write(chunk(b"data: a=77\n\n"))
        await self.until(lambda: "a=77" in self.hub.heard)
        self.prove()


#: Owner, callback.
WEBSOCKET: tuple[tuple[Any, str], ...] = (
    (UpstreamSession, "tcp_up"),
    (UpstreamSession, "ws_open"),
    (UpstreamSession, "message"),
    (UpstreamSession, "pong"),
    (UpstreamSession, "ponged"),
    (UpstreamSession, "lost"),
    (UpstreamSession, "socket_closed"),
    (UpstreamSession, "tick"),
    (UpstreamSession, "replied"),
    (UpstreamSession, "unanswered"),
    (UpstreamService, "_dated"),
    (UpstreamService, "_carry_out_one"),
    (Calls, "forget"),
    (upstream_calls, "call"),
    (WayUp, "filled"),
    (WayUp, "drained"),
    (UpstreamProtocol, "_answered"),
    (FrameCutter, "feed"),
    (UpstreamProtocol, "_end"),
    (UpstreamProtocol, "onCloseFrame"),
)
STREAM: tuple[tuple[Any, str], ...] = (
    (StreamProtocol, "_take"),
    (StreamProtocol, "_open"),
    (StreamProtocol, "_read"),
    (StreamProtocol, "_end"),
    (StreamProtocol, "_keep_alive"),
    (UpstreamSession, "lost"),
    (UpstreamSession, "message"),
)


class AuthFaultTests(AuthTestCase):
    """A question that fails in relayd is no answer; the next one is asked."""

    async def again(self, relay: Any, header: str) -> None:
        self.judges.report = self.told
        browser = await relay.browse("/ws", header)
        await self.closed(browser)
        self.now += 60
        later = await relay.browse("/ws", header)
        await self.op(later, "welcome")
        await eventually(lambda: self.reported)
        assert self.reported == [AUTH]
        assert len(self.flushLoggedErrors(Injected)) <= 1

    def setUp(self) -> None:
        super().setUp()
        self.reported: list[str] = []

    def told(self, place: str) -> None:
        """As the relay's mishaps."""
        self.reported.append(place)

    async def test_key_set(self) -> None:
        """KeyRing.loaded raises."""
        self.server.keys = jwks(jwk("ES256", "a"))
        inject(self, KeyRing, "loaded")
        token = sign(exp=time.time() + 1000, header={"kid": "a"})
        relay = self.guarded(jwt={"jwks": f"{self.url}/jwks", "algorithms": ["ES256"]})
        await self.again(relay, f"Authorization: Bearer {token}")

    async def test_webhook(self) -> None:
        """Webhook.answered raises."""
        relay = self.guarded(webhook={"url": f"{self.url}/auth"})
        inject(self, Webhook, "answered")
        await self.again(relay, "Authorization: Bearer any")


def _add(owner: Any, name: str, way: str) -> None:
    async def test(self: FeedFaultTests) -> None:
        await getattr(self, way)(owner, name)

    where = owner.__name__.rsplit(".", 1)[-1]
    test.__doc__ = f"{where}.{name} raises."
    setattr(FeedFaultTests, f"test_{way}_{where}_{name.lstrip('_')}", test)


for _owner, _name in WEBSOCKET:
    _add(_owner, _name, "suffer")
for _owner, _name in STREAM:
    _add(_owner, _name, "stream")
