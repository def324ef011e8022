"""Tests of relayd.io.dialling: what a name leads to is judged at the connect, for WebSockets and for HTTP alike."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from twisted.internet import reactor as real_reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IReactorPluggableNameResolver
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface.verify import verifyObject

from relayd.core.dial_rules import DialRules
from relayd.core.feed.outcome import HttpRequest
from relayd.io.dialling import AddressRefused, DiallingReactor
from relayd.io.names import Names
from relayd.io.tls import trust_root
from relayd.io.upstream_http import NoReply, call
from tests.io.test_upstream import UpstreamCase
from tests.support.feed_server import FeedFactory

reactor: Any = real_reactor


class Dns:
    """A resolver whose answers can be changed, and which hangs on names that begin with `slow`."""

    def __init__(self) -> None:
        self.answers: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.hold = threading.Event()

    def __call__(self, name: str, port: int, family: int, kind: int) -> list[Any]:
        self.asked.append(name)
        if name.startswith("slow"):
            self.hold.wait(55)
            raise socket.gaierror("no answer")
        found = self.answers.get(name, [])
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, kind, 6, "", (one, 0)) for one in found]


class Page(Resource):
    """A page that is counted, and one that sends elsewhere."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.hits = 0

    def render_GET(self, request: Any) -> bytes:
        self.hits += 1
        if request.path == b"/moved":
            request.redirect(b"/elsewhere")
        return b"page"


class DiallingTests(TestCase):
    """One look-up after the other."""

    timeout = 10

    def setUp(self) -> None:
        self.dns = Dns()
        self.addCleanup(self.dns.hold.set)

    def dialler(self, *allowed: str, under: Any = reactor) -> DiallingReactor:
        return DiallingReactor(under, Names(reactor, self.dns), DialRules.parse(allowed, "connect.allow_addresses"))

    async def why(self, dialler: DiallingReactor, host: str) -> str:
        """Why an endpoint does not connect."""
        try:
            await HostnameEndpoint(dialler, host, 80, timeout=5).connect(Factory.forProtocol(Protocol))
        except ConnectError as error:
            return str(error)
        raise AssertionError("it was connected")

    async def test_refused(self) -> None:
        """By a name, and written as an address."""
        self.dns.answers["feed.example"] = ["169.254.169.254"]
        self.dns.answers["0x7f.1"] = ["0.0.0.0"]  # what some resolvers make of it
        for host, why in (
            ("feed.example", "169.254.169.254 is a link-local address"),
            ("169.254.169.254", "169.254.169.254 is a link-local address"),
            ("fd00:ec2::254", "fd00:ec2::254 is an address of a cloud"),
            ("0x7f.1", "0.0.0.0 is this host without a name"),
        ):
            self.assertIn(why, await self.why(self.dialler(), host))

    async def test_rebinding(self) -> None:
        """A name that was good a moment ago is judged anew: by what is connected to, not by what it is called."""
        port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        dialler = self.dialler()
        self.dns.answers["feed.example"] = ["127.0.0.1"]
        endpoint = HostnameEndpoint(dialler, "feed.example", port.getHost().port)
        protocol = await endpoint.connect(Factory.forProtocol(Protocol))
        protocol.transport.loseConnection()
        self.dns.answers["feed.example"] = ["169.254.169.254"]
        with self.assertRaises(AddressRefused):
            await endpoint.connect(Factory.forProtocol(Protocol))

    async def test_one_address_of_several(self) -> None:
        """The others are dialled: IPv6 that leads nowhere does not hold up IPv4 either."""
        port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.dns.answers["feed.example"] = ["fe80::1", "::ffff:169.254.169.254", "127.0.0.1"]
        endpoint = HostnameEndpoint(self.dialler(), "feed.example", port.getHost().port, attemptDelay=0.01)
        protocol = await endpoint.connect(Factory.forProtocol(Protocol))
        self.assertEqual(protocol.transport.getPeer().host, "127.0.0.1")
        protocol.transport.loseConnection()

    async def test_families_race(self) -> None:
        """An address that does not answer gets a head start of 0.3 s, then the next one is dialled beside it."""
        memory = MemoryReactorClock()
        self.dns.answers["feed.example"] = ["2001:db8::1", "192.0.2.1"]
        endpoint = HostnameEndpoint(self.dialler(under=memory), "feed.example", 443)
        connecting = endpoint.connect(Factory.forProtocol(Protocol))
        connecting.addErrback(lambda failure: None)
        while not memory.tcpClients:
            await until_next_turn()
        self.assertEqual([client[0] for client in memory.tcpClients], ["2001:db8::1"])
        memory.advance(0.3)
        self.assertEqual([client[:2] for client in memory.tcpClients], [("2001:db8::1", 443), ("192.0.2.1", 443)])
        connecting.cancel()

    async def test_allowed(self) -> None:
        """The reactor's own connectTCP is reached."""
        memory = MemoryReactorClock()
        dialler = self.dialler("169.254.7.0/24", under=memory)
        dialler.connectTCP("169.254.7.7", 80, ClientFactory.forProtocol(Protocol), timeout=3)
        self.assertEqual(memory.tcpClients[0][:2] + memory.tcpClients[0][3:4], ("169.254.7.7", 80, 3))
        with self.assertRaises(AddressRefused):
            dialler.connectTCP("169.254.8.8", 80, ClientFactory.forProtocol(Protocol))
        with self.assertRaises(AddressRefused):
            dialler.connectTCP("feed.example", 80, ClientFactory.forProtocol(Protocol))

    async def test_http(self) -> None:
        """HTTP steps, key sets and the webhook dial by the same way, and are not sent elsewhere."""
        page = Page()
        site = Site(page)
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.dns.answers["api.example"] = ["127.0.0.1"]
        url = f"http://api.example:{port.getHost().port}/"
        dialler = self.dialler()

        async def get(path: str) -> Any:
            request = HttpRequest("GET", url + path)
            return await Deferred.fromCoroutine(call(dialler, request, trust_root(None), "relayd"))

        self.assertEqual((await get("")).body, b"page")
        reply = await get("moved")
        self.assertEqual((reply.status, page.hits), (302, 2))
        self.dns.answers["api.example"] = ["169.254.169.254"]
        with self.assertRaises(NoReply) as caught:
            await get("")
        self.assertIn("169.254.169.254 is a link-local address", str(caught.exception))
        self.assertEqual(page.hits, 2)

    def test_one_way_out(self) -> None:
        """What is a reactor's otherwise is there; other ways to connect are not."""
        dialler = self.dialler()
        verifyObject(IReactorPluggableNameResolver, dialler)
        names = dialler.nameResolver
        self.assertIs(dialler.installNameResolver(names), names)
        self.assertEqual(dialler.callLater, reactor.callLater)
        for way in ("connectSSL", "connectUNIX", "connectUNIXDatagram", "connectWith"):
            self.assertFalse(hasattr(dialler, way), way)


def until_next_turn() -> Deferred[None]:
    """Fires in a later turn of the reactor."""
    later: Deferred[None] = Deferred()
    reactor.callLater(0.001, later.callback, None)
    return later


class DeadResolverTests(UpstreamCase):
    """Half of a hundred names hang."""

    timeout = 50

    async def test_the_others_reconnect(self) -> None:
        """All fifty within 2 s of work, in whatever order they were dialled, while no hanging look-up is given up."""
        dns = Dns()
        self.addCleanup(dns.hold.set)
        names = Names(reactor, dns, within_s=60.0)
        feed = FeedFactory(reactor)
        port = self.listen(feed)
        services = []
        for number in range(100):
            host = f"{'slow' if number % 2 else 'good'}{number}.example"
            dns.answers[host] = ["127.0.0.1"]
            services.append(self.dial(f"ws://{host}:{port}/", names=names))
        await self.until(lambda: len(feed.open) == 50)
        started_s = time.process_time()
        for protocol in list(feed.open):
            protocol.transport.abortConnection()
        await self.until(lambda: len(feed.requests) == 100 and len(feed.open) == 50)
        self.assertLess(time.process_time() - started_s, 2.0)
        self.assertEqual(sum(name.startswith("slow") for name in dns.asked), 50)
        self.assertEqual(sum(names.hangs(name) for name in dns.answers), 50)
        dns.hold.set()
        await DeferredList([service.stopService() for service in services])
