"""The PROXY header before TLS, over real sockets. Before a guard without TLS: tests/io/test_guard.py."""

from __future__ import annotations

import socket
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.threads import deferToThread
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from relayd.core.address import TrustedProxies
from relayd.core.guard import GuardCounters, GuardSettings
from relayd.io.certificates import ServerTls
from relayd.io.guard import GuardFactory
from relayd.io.proxied import ProxiedFactory, address_of, host_of
from relayd.io.transport import transport_for
from tests.support import certs

reactor: Any = global_reactor
V1 = b"PROXY TCP4 198.51.100.7 127.0.0.1 5 443\r\n"
V2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes([198, 51, 100, 7, 127, 0, 0, 1, 0, 5, 1, 187])


class Who(Resource):
    """Says who asks."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        return (request.getHeader("x-forwarded-for") or "").encode()


def ask(port: int, header: bytes, size: int) -> bytes:
    """The last line of the answer to a GET over TLS, after this header in portions of so many bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(header), size):
            raw.sendall(header[at : at + size])
            if size < len(header):
                time.sleep(0.001)
        context = ssl.create_default_context(cadata=certs.authority().pem.decode())
        with context.wrap_socket(raw, server_hostname="localhost") as secure:
            secure.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while data := secure.recv(4096):
                answer += data
    return answer.rpartition(b"\r\n")[2]


class BeforeTlsTests(TestCase):
    """A listener that speaks TLS behind a load balancer that does not."""

    def listen(self, trusted: str) -> Deferred[Any]:
        """Guards behind TLS behind PROXY headers."""
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        folder = Path(temporary.name)
        (folder / "cert.pem").write_bytes(certs.good().pem)
        (folder / "key.pem").write_bytes(certs.good().key_pem)
        self.guards = GuardFactory(
            websocket=lambda head: self.fail("no WebSocket was asked for"),
            site=Site(Who(), reactor=reactor),
            settings=GuardSettings(secure=True, proxy_protocol=True, trusted_proxies=TrustedProxies.parse([trusted])),
            reactor=reactor,
            monotonic=time.monotonic,
            counters=GuardCounters(),
        )
        tls = ServerTls(str(folder / "cert.pem"), str(folder / "key.pem"))
        factory = ProxiedFactory(self.guards, TLSMemoryBIOFactory(tls, False, self.guards, reactor))

        def listening(port: Any) -> int:
            port.transport = transport_for(port)
            self.addCleanup(port.stopListening)
            return port.getHost().port

        return TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory).addCallback(listening)

    def test_tells_the_client(self) -> Deferred[None]:
        """Version 1 and 2, at once and byte by byte: the site is told the client of the header."""

        async def talk() -> None:
            port = await self.listen("127.0.0.1")
            for header in (V1, V2):
                for size in (1, 1000):
                    self.assertEqual(await deferToThread(ask, port, header, size), b"198.51.100.7")
            self.assertEqual(self.guards.counters.accepted, 4)
            while self.guards.admission.sockets:
                await deferToThread(time.sleep, 0.01)
            self.assertEqual(self.guards.admission.connections, 0)

        return Deferred.fromCoroutine(talk())

    def test_ends_who_does_not_begin_with_it(self) -> Deferred[None]:
        """TLS at once is no PROXY header; and one of a stranger does not count."""

        async def talk() -> None:
            for trusted, header in (("127.0.0.1", b""), ("192.0.2.1", V1)):
                port = await self.listen(trusted)
                with self.assertRaises(OSError):
                    await deferToThread(ask, port, header, 1000)
                self.assertEqual(self.guards.counters.unproxied, 1)

        return Deferred.fromCoroutine(talk())


class AddressTests(TestCase):
    """Addresses as Twisted writes them."""

    def test_text_and_back(self) -> None:
        """IPv4, IPv6; without an address the peer stays, and has none as text."""
        peer = IPv4Address("TCP", "127.0.0.1", 7)
        self.assertEqual(address_of("198.51.100.7", peer), IPv4Address("TCP", "198.51.100.7", 7))
        self.assertEqual(address_of("2001:db8::1", None), IPv6Address("TCP", "2001:db8::1", 0))
        self.assertEqual(address_of("", peer), peer)
        self.assertEqual(host_of(IPv6Address("TCP", "::ffff:198.51.100.7", 7)), "198.51.100.7")
        self.assertEqual([host_of(peer), host_of(UNIXAddress(b"/a")), host_of(None)], ["127.0.0.1", "", ""])
