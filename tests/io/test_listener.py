"""Listeners as services: they open, or refuse to start, and end in good order; with TLS, on every kind of address."""

from __future__ import annotations

import shutil
import socket
import ssl
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

from OpenSSL import SSL
from twisted.application.service import MultiService
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, CertificateOptions, optionsForClientTLS
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from relayd.config.model import Limits, Listener, ListenerTls
from relayd.core.closecode import CLOSE_RESTART, CLOSE_SLOW
from relayd.core.counters import ListenerCounters
from relayd.core.heartbeat import LOOK_EVERY_S
from relayd.core.origin import OriginPolicy
from relayd.core.refusal import ORIGIN_REFUSED
from relayd.core.routes import Route
from relayd.io import listener as listener_module
from relayd.io import transport
from relayd.io.certificates import CertificateError
from relayd.io.clients import CLOSE_WITHIN_S, DEAF_CLOSE_WITHIN_S, Clients
from relayd.io.endpoints import ListenError
from relayd.io.listener import RETRY_AFTER_RESTART_S, ClientsService, ListenerService, guard_settings
from relayd.io.transport import DirectServer, find_direct
from tests.support import certs
from tests.support.browser import TEXT, Browser, client_frame, handshake
from tests.support.hub_rig import delivery, route
from tests.support.relay_rig import Relay, clientFromString, connectProtocol, eventually, turn

reactor: Any = global_reactor


class ListenerTestCase(TestCase):
    """Relays that end with the test."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="relayd"))
        self.addCleanup(shutil.rmtree, self.folder)

    def relay(self, routes: tuple[Route, ...] = (), **kwargs: Any) -> Relay:
        relay = Relay(*routes, **kwargs)
        relay.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(relay.close()))
        return relay

    def tls(self) -> ListenerTls:
        cert, key = self.folder / "cert.pem", self.folder / "key.pem"
        cert.write_bytes(certs.good().pem + certs.authority().pem)
        key.write_bytes(certs.good().key_pem)
        return ListenerTls(cert=str(cert), key=str(key))


class ServiceTests(ListenerTestCase):
    """Start and stop."""

    def test_ready_when_open(self) -> None:
        """Not before the start, and not after the stop."""
        relay = Relay(endpoint="tcp:0:interface=127.0.0.1")
        assert relay.service.not_ready() == "the listener tcp:0:interface=127.0.0.1 is not open"
        relay.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(relay.close()))
        assert relay.service.not_ready() is None

    def test_opens_while_privileged(self) -> None:
        """The port is opened before privileges are dropped, and only once."""
        relay = self.relay()
        port = relay.service.port
        relay.service.privilegedStartService()
        relay.service.startService()
        assert relay.service.port is port

    def test_a_port_in_use_is_fatal(self) -> None:
        """The start of the whole program fails with the sentence."""
        taken = self.relay().service.port.getHost().port
        program = MultiService()
        second = Relay(endpoint=f"tcp:{taken}:interface=127.0.0.1")
        second.service.setServiceParent(program)
        with self.assertRaises(ListenError) as caught:
            program.startService()
        assert f"cannot listen on tcp:{taken}:interface=127.0.0.1: the port is in use" in str(caught.exception)

    def test_a_bad_certificate_is_fatal(self) -> None:
        """Before the port is opened."""
        tls = ListenerTls(cert=str(self.folder / "none"), key=str(self.folder / "none"))
        service = ListenerService("tcp:0", Relay().guards, reactor, tls)
        with self.assertRaises(CertificateError):
            service.startService()
        assert service.port is None

    def test_stop_without_start(self) -> None:
        """Nothing to do."""
        relay = Relay()
        assert relay.service.stopService() is None
        self.successResultOf(relay.clients_service.stopService())

    async def test_missing_option_is_announced(self) -> None:
        """A system without TCP_NOTSENT_LOWAT is said to be one, once for each listener."""
        from twisted.logger import globalLogPublisher

        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.patch(transport, "TCP_NOTSENT_LOWAT", None)
        relay = self.relay()
        await relay.browse("/ws")
        await relay.browse("/ws")
        assert sum("TCP_NOTSENT_LOWAT" in str(event.get("log_format")) for event in events) == 1


class CertificateTests(ListenerTestCase):
    """A certificate is replaced while the listener runs."""

    async def presented(self, service: ListenerService) -> str:
        """The name of the certificate that a new connection is shown."""
        assert service.port is not None
        at: Any = service.port.getHost()
        options = CertificateOptions()  # whatever certificate it is
        endpoint = wrapClientTLS(_Unchecked(options), HostnameEndpoint(reactor, "127.0.0.1", at.port))
        browser = await connectProtocol(endpoint, Browser())
        browser.transport.write(handshake("/ws"))
        await browser.until(lambda: browser.head is not None)
        shown = browser.transport.getPeerCertificate().to_cryptography()
        browser.transport.abortConnection()
        return str(shown.subject.rfc4514_string())

    async def test_read_anew(self) -> None:
        """At the next look; a key that does not fit is told once, and nothing changes until it does."""
        events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        tls = self.tls()
        service = self.relay(tls=tls).service
        service.tick(0.0)
        assert service.next_deadline() == listener_module.LOOK_EVERY_S
        assert await self.presented(service) == "CN=localhost"
        Path(tls.cert).write_bytes(certs.wrong_host().pem)
        service.tick(5.0)
        service.tick(10.0)
        assert await self.presented(service) == "CN=localhost"
        Path(tls.key).write_bytes(certs.wrong_host().key_pem)
        service.tick(15.0)
        assert await self.presented(service) == "CN=other.example"
        told = [event["log_format"] for event in events if "certificate" in str(event.get("log_format"))]
        assert told == ["a new certificate cannot be used, the old one stays", "the certificate was read anew"]

    async def test_proxied(self) -> None:
        """The PROXY header stands before TLS."""
        settings = guard_settings(
            Listener(
                endpoint="tcp:0", tls=self.tls(), proxy_protocol=True, trusted_proxies=["127.0.0.1"], origins=["any"]
            ),
            Limits(),
        )
        relay = self.relay(tls=self.tls(), settings=settings)
        at: Any = relay.service.port.getHost()

        def ask() -> bytes:
            context = ssl.create_default_context(cadata=certs.authority().pem.decode())
            with socket.create_connection(("127.0.0.1", at.port), timeout=5) as raw:
                for octet in b"PROXY TCP6 2001:db8::7 2001:db8::1 50000 443\r\n":
                    raw.sendall(bytes([octet]))
                with context.wrap_socket(raw, server_hostname="localhost") as over_tls:
                    over_tls.sendall(b"GET /topics HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    return over_tls.recv(1 << 16)

        assert (await deferToThread(ask)).startswith(b"HTTP/1.1 200 ")


@implementer(IOpenSSLClientConnectionCreator)
class _Unchecked:
    def __init__(self, options: CertificateOptions) -> None:
        self._context = options.getContext()

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        return SSL.Connection(self._context, None)


class PaceTests(TestCase):
    """How often the clients are looked at."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.clients = Clients(ListenerCounters(), self.clock.seconds, partial(self.clock.callLater, 0))
        self.looks: list[float] = []
        sound = self.clients.tick
        self.patch(self.clients, "tick", lambda now: (self.looks.append(now), sound(now)))
        self.service = ClientsService(self.clients, self.clock, self.clock.seconds)
        self.service.startService()
        self.addCleanup(self.service.stopService)

    def pass_time(self) -> list[float]:
        """When they are looked at within a second."""
        begin = self.clock.seconds()
        self.looks.clear()
        self.clock.pump([0.125] * 8)
        return [look - begin for look in self.looks]

    def test_nothing_to_do(self) -> None:
        """Every half second, at the same times as others."""
        self.clock.advance(0.125)
        assert self.pass_time() == [0.375, 0.875]

    def test_somebody_is_to_hang_up(self) -> None:
        """Every quarter, until it has or is dropped; that it has come is seen at the next look."""
        sink: Any = SimpleNamespace(busy=True)
        for cause, within_s in ((None, CLOSE_WITHIN_S), (CLOSE_SLOW.name, DEAF_CLOSE_WITHIN_S)):
            client = Mock()
            self.clients.expect_end(client, cause, sink)
            begin = self.clock.seconds()
            assert self.pass_time()[:2] == [0.5, 0.75 if within_s > 0.5 else 1.0]
            while not client.abort_if_not_lost.called:
                self.pass_time()
            assert self.clock.seconds() - begin < within_s + 1.0
            assert self.pass_time() == [0.5, 1.0]

    def test_a_pong_waits(self) -> None:
        """Every quarter, until it is sent."""
        client = Mock()
        client.pong.return_value = False
        self.clients.pong_later(client, b"")
        assert self.pass_time() == [0.5, 0.75, 1.0]
        client.pong.return_value = True
        assert self.pass_time() == [0.25, 0.5, 1.0]

    def test_streams_and_pings(self) -> None:
        """The look at which one is due is not left out."""
        stream: Any = Mock()
        self.clients.heartbeats.join(stream, 1000.0 - LOOK_EVERY_S + 1.25)
        assert self.pass_time() == [0.5, 1.0]
        assert self.pass_time() == [0.25, 0.5, 1.0]
        stream.beat.assert_called_once_with()
        client = Mock()
        client.subscriber.port = 0
        self.clients.sweep.join(client)
        steps = [look for _ in range(25) for look in self.pass_time()]
        assert client.ping.call_count == 1
        assert len(steps) < 60

    def test_the_end(self) -> None:
        """When nobody is left, and then never again."""
        client = Mock()
        client.close.side_effect = lambda *_: self.clients.expect_end(client, None, None)
        self.clients.open["a"] = client
        self.pass_time()
        ended = self.service.stopService()
        client.close.assert_called_once_with(CLOSE_RESTART, RETRY_AFTER_RESTART_S)
        self.assertNoResult(ended)
        self.clients.open.clear()
        self.clock.advance(0.25)
        self.successResultOf(ended)
        assert self.clock.getDelayedCalls() == []
        self.successResultOf(self.service.stopService())


class DrainTests(ListenerTestCase):
    """The end: nobody new, a close for everybody, and no waiting for those who do not answer."""

    async def test_polite_clients(self) -> None:
        """1012 with a hint; gone as soon as they have answered."""
        relay = self.relay()
        browsers = [await relay.browse("/ws") for _ in range(3)]
        started = reactor.seconds()
        await relay.close()
        assert [browser.close for browser in browsers] == [(1012, "restart; retry=2")] * 3
        assert reactor.seconds() - started < CLOSE_WITHIN_S
        assert relay.clients.counters.aborted == 0

    async def test_rude_clients(self) -> None:
        """Whoever does not answer is dropped 2 s later, and then the service has stopped."""
        self.patch(listener_module, "CLOSE_WITHIN_S", 0.2)
        relay = self.relay()
        browser = await relay.browse("/ws", answer_close=False)
        await relay.close()
        assert browser.close == (1012, "restart; retry=2")
        assert relay.clients.open == {}
        assert relay.clients.counters.aborted == 1

    async def test_nobody_new(self) -> None:
        """The port is closed first."""
        relay = self.relay()
        place = relay.place
        await relay.close()
        dialling = Deferred.fromCoroutine(relay.dial(place))
        await eventually(lambda: dialling.called)
        self.failureResultOf(dialling)

    async def test_a_fault_in_the_sweep(self) -> None:
        """It is logged, and the sweep goes on."""
        relay = self.relay()
        calls = []

        def tick(now: float) -> None:
            calls.append(now)
            if len(calls) == 1:
                raise RuntimeError("boom")

        self.patch(relay.clients, "tick", tick)
        await eventually(lambda: len(calls) >= 2)
        assert len(self.flushLoggedErrors(RuntimeError)) == 1


class AddressTests(ListenerTestCase):
    """The same service over IPv6, unix sockets and TLS."""

    async def talk(self, relay: Relay) -> None:
        browser = await relay.browse("/ws?topics=t/a")
        await browser.until(lambda: len(browser.messages) == 2)
        relay.publish("t/a", b"1")
        await browser.until(lambda: len(browser.messages) == 4)
        assert browser.messages[-1]["data"] == 1

    async def test_ipv6(self) -> None:
        """On ::1."""
        await self.talk(self.relay(endpoint="tcp6:0:interface=\\:\\:1"))

    async def test_unix(self) -> None:
        """On a unix socket."""
        await self.talk(self.relay(endpoint=f"unix:{self.folder}/s"))

    async def dial_tls(self, relay: Relay, **manners: bool) -> Browser:
        options = optionsForClientTLS("localhost", trustRoot=Certificate.loadPEM(certs.authority().pem))
        browser = await connectProtocol(
            wrapClientTLS(options, clientFromString(reactor, relay.place)), Browser(**manners)
        )
        relay.adopt(browser)
        return browser

    async def test_tls(self) -> None:
        """A megabyte under TLS: the sink knows what waits, and nothing goes out in plain text."""
        relay = self.relay(tls=self.tls())
        browser = await self.dial_tls(relay)
        browser.transport.write(handshake("/raw/t/a"))
        await browser.until(lambda: browser.head is not None)
        (client,) = relay.clients.open.values()
        assert type(find_direct(client.transport)) is DirectServer
        sent = [b"%04d" % number + b"x" * 10_000 for number in range(100)]
        for payload in sent:
            relay.publish("t/a", payload)
            await turn()
        await browser.until(lambda: len(browser.frames) == len(sent))
        assert browser.frames == [(TEXT, payload) for payload in sent]

    async def test_a_stream_that_nobody_acknowledges(self) -> None:
        """The kernel gives it up after a minute, in the clear and under TLS: a stream has no pongs."""
        for relay in (self.relay(), self.relay(tls=self.tls())):
            browser = await (self.dial_tls(relay) if relay.settings.secure else relay.dial())
            browser.transport.write(b"GET /sse?topics=t/a HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await browser.until(lambda browser=browser: browser.head is not None)
            (stream,) = relay.clients.open.values()
            held = find_direct(stream.transport).socket
            assert held.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000

    async def test_a_lagging_client_under_tls(self) -> None:
        """It does not read: bounded in memory, marked as busy; then it reads, and has everything in order."""
        relay = self.relay(routes=(route("t/$name", delivery(history_bytes=32 << 20)),), tls=self.tls())
        browser = await self.dial_tls(relay)
        browser.transport.write(handshake("/raw/t/a"))
        await browser.until(lambda: browser.head is not None)
        (client,) = relay.clients.open.values()
        browser.transport.pauseProducing()
        for number in range(95):
            relay.publish("t/a", b"%04d" % number + b"x" * 100_000)
            await turn()
        held = find_direct(client.transport).buffered_bytes
        assert 0 < held < 400_000
        browser.transport.resumeProducing()
        await browser.until(lambda: len(browser.frames) == 95)
        assert [int(payload[:4]) for _, payload in browser.frames] == list(range(95))

    async def test_a_handshake_that_waits(self) -> None:
        """Its address was closed for too much: it is let in later, and what it said too early is not lost."""
        relay = self.relay(tls=self.tls())
        relay.clients.repeaters.closed("127.0.0.1")
        browser = await self.dial_tls(relay)
        browser.transport.write(handshake("/ws") + client_frame(TEXT, b'{"op":"ping","id":1}'))
        await browser.until(lambda: any(one.get("op") == "pong" for one in browser.messages))
        assert relay.guards.counters.waits == relay.clients.counters.repeaters == 1

    async def test_plain_text_on_a_tls_port(self) -> None:
        """It is hung up on, and nobody else notices."""
        relay = self.relay(tls=self.tls())
        browser = await relay.dial()
        browser.transport.write(handshake("/ws"))
        await browser.until(lambda: browser.lost)
        assert relay.clients.open == {}


class GuardSettingsTests(TestCase):
    """From relay.yaml to the guard."""

    def test_everything_arrives(self) -> None:
        """Each key has its place."""
        listener = Listener(
            endpoint="tcp:8080",
            origins=["https://app.example.com"],
            require_origin=True,
            trusted_proxies=["10.0.0.0/8"],
            proxy_protocol=True,
            prefix="/feed",
        )
        limits = Limits.model_validate(
            {"connections": 7, "per_address": 3, "message": "2KiB", "head": "4KiB", "handshakes": "5/2s"}
        )
        settings = guard_settings(listener, limits)
        assert settings.head.head_bytes == 4096
        assert settings.meter.message_bytes == settings.body_bytes == 2048
        assert settings.prefix == "/feed"
        assert settings.proxy_protocol
        assert not settings.secure
        assert settings.trusted_proxies.trusts("10.1.2.3")
        assert settings.origins.refuse("https://app.example.com", "x", secure=False) is None
        assert settings.origins.refuse("https://other.example", "other.example", secure=True) is ORIGIN_REFUSED
        assert settings.origins.required
        admission = settings.admission
        assert (admission.connections, admission.per_address) == (7, 3)
        assert (admission.handshakes, admission.handshakes_per_s) == (5, 2.0)

    def test_who_publishes(self) -> None:
        """At `limits.publish`, whatever that is, and is never closed for being faster."""
        limits = Limits.model_validate({"publish": "5000/10s"})
        meter = guard_settings(Listener(endpoint="tcp:1"), limits, publishes=True).meter
        assert (meter.frames_per_s, meter.is_paced) == (700, True)
        assert not guard_settings(Listener(endpoint="tcp:1"), limits).meter.is_paced

    def test_any_origin(self) -> None:
        """`any` is every page."""
        settings = guard_settings(Listener(endpoint="tcp:1", origins=["any"]), Limits())
        assert settings.origins == OriginPolicy.parse(["*"])

    def test_tls_is_secure(self) -> None:
        """Behind TLS the scheme of the same origin is https."""
        listener = Listener(endpoint="tcp:1", tls=ListenerTls(cert="c", key="k"))
        assert guard_settings(listener, Limits()).secure
