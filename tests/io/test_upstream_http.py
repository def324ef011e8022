"""Tests of relayd.io.upstream_http, and of HTTP steps end to end."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet import reactor as real_reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from relayd.core.feed.outcome import HttpRequest
from relayd.core.upstream.effects import Loss, LossKind
from relayd.io import upstream_http
from relayd.io.tls import trust_root
from relayd.io.upstream_http import NoReply, Reply, call
from tests.support import certs
from tests.support.feed_server import RawFactory, RawProtocol, server_tls

reactor: Any = real_reactor


class CallTests(TestCase):
    """One request, one bounded reply."""

    timeout = 10

    def setUp(self) -> None:
        self.requests: list[bytes] = []

    def serve(self, answer: bytes, certificate: certs.Certificate | None = None, then: str = "keep") -> int:
        """A server that says this, and then closes, aborts, or keeps the connection."""

        def respond(protocol: RawProtocol) -> None:
            reactor.callLater(0.01, finish, protocol)

        def finish(protocol: RawProtocol) -> None:
            self.requests.append(protocol.received)
            protocol.transport.write(answer)
            if then == "close":
                protocol.transport.loseConnection()

        factory = RawFactory(respond)
        if certificate is None:
            port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        else:
            port = reactor.listenSSL(0, factory, server_tls(certificate), interface="127.0.0.1")
        self.addCleanup(port.stopListening)

        def gone() -> Deferred[None]:
            for protocol in factory.connections:
                protocol.transport.abortConnection()
            done: Deferred[None] = Deferred()

            def look() -> None:
                done.callback(None) if not factory.connections else reactor.callLater(0.005, look)

            look()
            return done

        self.addCleanup(gone)
        return port.getHost().port

    async def call(self, request: HttpRequest) -> Reply:
        ca = self.mktemp()
        with open(ca, "wb") as file:
            file.write(certs.authority().pem)
        return await Deferred.fromCoroutine(call(reactor, request, trust_root(ca), "relayd/1"))

    async def loss(self, request: HttpRequest) -> Loss:
        with self.assertRaises(NoReply) as caught:
            await self.call(request)
        return caught.exception.loss

    async def test_a_whole_one(self) -> None:
        """Method, headers and body as they are; status, body and Retry-After come back."""
        port = self.serve(b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy")
        request = HttpRequest(
            "POST", f"http://127.0.0.1:{port}/token?a=b", (("X-Key", "k"),), b'{"a":1}', "application/json"
        )
        self.assertEqual(await self.call(request), Reply(429, b"busy", 7.0))
        [head] = self.requests
        self.assertTrue(head.startswith(b"POST /token?a=b HTTP/1.1\r\n"))
        for line in (b"X-Key: k", b"User-Agent: relayd/1", b"Content-Type: application/json", b"Content-Length: 7"):
            self.assertIn(line, head)
        self.assertTrue(head.endswith(b'\r\n\r\n{"a":1}'))

    async def test_without_a_body(self) -> None:
        """Over TLS, by name; a reply that ends with the connection is whole too."""
        port = self.serve(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", certs.good(), then="close")
        reply = await self.call(HttpRequest("GET", f"https://localhost:{port}/"))
        self.assertEqual(reply, Reply(200, b"hello", None))

    async def test_a_redirect_is_a_reply(self) -> None:
        """It is not followed."""
        port = self.serve(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual((await self.call(HttpRequest("GET", f"http://127.0.0.1:{port}/"))).status, 302)

    async def test_certificates(self) -> None:
        """Checked as for the WebSocket, and refused with the reason."""
        port = self.serve(b"", certs.expired())
        loss = await self.loss(HttpRequest("GET", f"https://localhost:{port}/"))
        self.assertEqual(loss, Loss(LossKind.TLS, text="the certificate has expired"))

    async def test_no_tls(self) -> None:
        """A plain server behind https:."""
        port = self.serve(b"HTTP/1.1 400 Bad\r\n\r\n")
        factory_loss = self.loss(HttpRequest("GET", f"https://localhost:{port}/"))
        self.patch(upstream_http, "WITHIN_S", 0.3)
        self.assertIn((await factory_loss).kind, (LossKind.TLS, LossKind.BROKEN))

    async def test_too_long(self) -> None:
        """Cut off at the bound."""
        self.patch(upstream_http, "REPLY_MOST_BYTES", 10)
        port = self.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n12345678901")
        loss = await self.loss(HttpRequest("GET", f"http://127.0.0.1:{port}/"))
        self.assertEqual(loss, Loss(LossKind.PROTOCOL, text="a reply is longer than 10 bytes"))

    async def test_ended_before_it_was_whole(self) -> None:
        """Half a reply is none."""
        port = self.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n123", then="close")
        loss = await self.loss(HttpRequest("GET", f"http://127.0.0.1:{port}/"))
        self.assertEqual(loss, Loss(LossKind.BROKEN, text="a reply ended before it was whole"))

    async def test_too_late(self) -> None:
        """No reply, or one whose body never comes."""
        self.patch(upstream_http, "WITHIN_S", 0.1)
        for answer in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n123"):
            port = self.serve(answer)
            begun = time.monotonic()
            self.assertIs((await self.loss(HttpRequest("GET", f"http://127.0.0.1:{port}/"))).kind, LossKind.BROKEN)
            self.assertLess(time.monotonic() - begun, 1.0)

    async def test_nobody_there(self) -> None:
        """Refused by TCP; unknown; no URL of HTTP."""
        port = reactor.listenTCP(0, RawFactory(print), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        for url, kind in (
            (f"http://127.0.0.1:{number}/", LossKind.CONNECT),
            ("http://no-such-host.invalid/", LossKind.DNS),
            ("ftp://127.0.0.1/", LossKind.CONFIG),
            ("http://127.0.0.1/\u20ac", LossKind.CONFIG),
        ):
            self.assertIs((await self.loss(HttpRequest("GET", url))).kind, kind, url)
