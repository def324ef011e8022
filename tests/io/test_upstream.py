"""Tests of relayd.io.upstream, upstream_protocol and tls: real loopback sockets, real certificates."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from twisted.internet import reactor as real_reactor
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from relayd.core.feed.connect import HttpStep
from relayd.core.feed.outcome import Frame, HttpRequest
from relayd.core.feed.path import parse_paths
from relayd.core.feed.resume import Resume
from relayd.core.feed.spec import HeartbeatSpec, SilenceSpec
from relayd.core.feed.url import parse_http
from relayd.core.feed.voice import Voice
from relayd.core.hours import parse_hours
from relayd.core.upstream.effects import DialRequest, Send
from relayd.core.upstream.places import Claim
from relayd.core.upstream.policy import UpstreamPolicy
from relayd.core.upstream.prepare import Preparation
from relayd.core.upstream.session import UpstreamSession
from relayd.core.upstream.states import State
from relayd.io import upstream as io_upstream
from relayd.io import upstream_protocol
from relayd.io.names import Names
from relayd.io.ticker import Ticker
from relayd.io.tls import TrustUnreadable, trust_root
from relayd.io.upstream import UpstreamService
from relayd.io.upstream_plan import Transport, plan
from tests.support import certs
from tests.support.feed_server import (
    SWITCHING,
    FeedFactory,
    FeedProtocol,
    RawFactory,
    RawProtocol,
    accept,
    server_tls,
)
from tests.support.relay_rig import eventually
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
        preparation: Preparation | None = None,
        ca_file: str | None = None,
        wall: Callable[[], float] = time.time,
        names: Names | None = None,
        transport: Transport = Transport.WEBSOCKET,
        **policy: Any,
    ) -> UpstreamService:
        """A running service that wants the topic `a`."""
        if ca_file is None:
            ca_file = self.mktemp()
            Path(ca_file).write_bytes(certs.authority().pem)
        policy = {"heartbeat": None, "goodbye_within_s": 0.05, **policy}
        session: UpstreamSession[str] = UpstreamSession(
            "feed",
            UpstreamPolicy(**policy),
            self.hub,
            converse=lambda saved: TinyTalk(
                url, headers=headers or {}, protocols=protocols, saved=saved, **(talk or {})
            ),
            random=Random(7).random,
            wall=wall,
            preparation=preparation,
        )
        service = UpstreamService(
            session,
            reactor,
            time.monotonic,
            self.ticker,
            ca=ca_file if ca else None,
            payload_most_bytes=payload_most_bytes,
            names=names,
            transport=transport,
        )
        session.want("a", NO_FIELDS, 0.0)
        service.startService()
        self.addCleanup(service.stopService)
        return service

    async def until(self, true: Callable[[], Any]) -> None:
        """Returns when the condition holds."""
        await eventually(true)

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
        url = f"ws://127.0.0.1:{port}/feed?key=s3cret"
        service = self.dial(url, headers={"X-Key": "hidden"}, protocols=("one", "two"))
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

    async def test_over_tls(self) -> None:
        """By name, by address, by IPv6 address: the certificate is checked against each."""
        feed = FeedFactory(reactor)
        four = self.listen(feed, certs.good())
        six = self.listen(feed, certs.good(), interface="::1")
        for host in (f"localhost:{four}", f"127.0.0.1:{four}", f"[::1]:{six}"):
            self.hub.read()
            service = self.dial(f"wss://{host}/")
            self.assertIsNone(service.certificate_ends_at)
            await self.until(lambda: "a=0" in self.hub.heard)
            ends = min(one.certificate.not_valid_after_utc for one in (certs.good(), certs.authority()))
            self.assertEqual(service.certificate_ends_at, ends.timestamp())
            await service.stopService()
        self.assertEqual(
            [request.headers["host"] for request in feed.requests],
            [f"localhost:{four}", f"127.0.0.1:{four}", f"[::1]:{six}"],
        )

    async def test_payloads_of_every_kind(self) -> None:
        """Text, binary, empty, 3 MiB: as they were sent."""
        feed = FeedFactory(reactor)
        got: list[tuple[bytes, bool]] = []
        self.hub.publish = lambda topic, payload, is_text, snapshot, is_json, at: got.append((payload, is_text))
        self.dial(f"ws://127.0.0.1:{self.listen(feed)}/")
        await self.until(lambda: got)
        big = "x" * (3 << 20)
        feed.open[0].sendMessage(b"a=")
        feed.open[0].sendMessage(b"a=\x00\x01", isBinary=True)
        feed.open[0].sendMessage(f"a={big}".encode(), fragmentSize=100_000)
        await self.until(lambda: len(got) == 4)
        self.assertEqual(got[1:3], [(b"", True), (b"\x00\x01", False)])
        self.assertTrue(got[3] == (big.encode(), True))

    async def test_frames_in_the_segment_of_the_handshake(self) -> None:
        """What follows the 101 at once is read."""
        raw = RawFactory(lambda protocol: protocol.switch(b"\x81\x03a=1\x81\x03a=2"))
        self.dial(f"ws://127.0.0.1:{self.listen(raw)}/", dial_at_start=True, unasked=True, talk={"unasked": True})
        await self.until(lambda: "a=2" in self.hub.heard)
        self.assertEqual(self.hub.read(), ["a pending", "a live", "a=1", "a=2"])

    async def test_a_handshake_byte_by_byte(self) -> None:
        """However the network cuts it."""

        def drip(protocol: RawProtocol) -> None:
            data = SWITCHING % accept(protocol.received) + b"\x81\x03a=1"
            for delay, at in enumerate(range(len(data))):
                reactor.callLater(delay * 0.0005, protocol.transport.write, data[at : at + 1])

        self.dial(f"ws://127.0.0.1:{self.listen(RawFactory(drip))}/", unasked=True, talk={"unasked": True})
        await self.until(lambda: "a=1" in self.hub.heard)

    async def test_pings(self) -> None:
        """Ours are answered and heard; theirs are answered and counted."""
        feed = FeedFactory(reactor)
        service = self.dial(
            f"ws://127.0.0.1:{self.listen(feed)}/",
            heartbeat=HeartbeatSpec(within_s=0.5),
            talk={"every_s": 0.02},
        )
        await self.until(lambda: "a=0" in self.hub.heard)
        counted: list[float] = []
        service.session.connection.ponged = counted.append
        feed.open[0].sendPing(b"theirs")
        await self.until(lambda: "pong" in feed.heard and counted)
        await self.until(lambda: service.session.connection.watch._answer_by > 1e9)
        self.assertEqual(service.session.state, State.LIVE)

    async def test_back_after_a_loss(self) -> None:
        """What is wanted is subscribed again, and the hole is marked."""
        feed = FeedFactory(reactor)
        self.dial(f"ws://127.0.0.1:{self.listen(feed)}/", retry_least_s=0.01, retry_most_s=0.05)
        await self.until(lambda: "a=0" in self.hub.heard)
        feed.open[0].transport.abortConnection()
        await self.until(lambda: self.hub.heard.count("a=0") == 2)
        self.assertEqual(
            self.hub.read(), ["a pending", "a live", "a=0", "a reconnecting", "a gap ? upstream", "a live", "a=0"]
        )


class LimitTests(UpstreamCase):
    """What the upstream allows, and when it sleeps."""

    async def test_more_topics_than_places(self) -> None:
        """They are not asked for, fail with the setting's name, and take the place that frees."""
        feed = FeedFactory(reactor)
        service = self.dial(
            f"ws://127.0.0.1:{self.listen(feed)}/",
            topics_most=2,
            claims_of=lambda fields: (Claim((fields.get("name", "a"),)),),
        )
        for name in ("b", "c"):
            service.session.want(name, {"name": name}, 0.0)
        await self.until(lambda: "b=0" in self.hub.heard)
        self.assertEqual(feed.heard, ["+a,b"])
        self.assertIn("c failed: limits.topics of upstream feed is reached (2)", self.hub.read())
        lines = [formatEvent(event) for event in self.events if event.get("log_namespace") == "upstream"]
        full = "limits.topics of upstream feed is reached (2): further topics fail until a place frees"
        self.assertEqual(lines, ["upstream feed is connected", full])
        service.session.unwant("a", 0.0)
        self.ticker.wake()
        await self.until(lambda: "c=0" in self.hub.heard)
        self.assertEqual(feed.heard, ["+a,b", "-a", "+c"])

    async def test_one_connection_at_a_time(self) -> None:
        """The old socket still has much to send to a feed that said goodbye and reads no more: no dial beside it."""
        self.patch(upstream_protocol, "GOODBYE_WITHIN_S", 0.2)
        raw = RawFactory(lambda protocol: protocol.switch())
        service = self.dial(f"ws://127.0.0.1:{self.listen(raw)}/", retry_least_s=0.001, retry_most_s=0.001)
        await self.until(lambda: service.session.state is State.SUBSCRIBING)
        raw.connections[0].transport.pauseProducing()
        service._protocol.send(Frame(b"x" * (12 << 20)))
        sockets_at_dials: list[int] = []
        endpoint = service._endpoint

        def connect(host: str, port: int) -> Any:
            sockets_at_dials.append(len(service._ending))
            return endpoint(host, port)

        service._endpoint = connect
        raw.connections[0].transport.write(b"\x88\x02\x03\xe8")
        self.assertEqual(await self.loss_of(service), "closed 1000")
        self.assertEqual(len(service._ending), 1)
        await self.until(lambda: raw.made == 2)
        self.assertEqual(sockets_at_dials[0], 0)

    async def test_a_market_that_is_closed(self) -> None:
        """No data is normal until it opens; then the silence is cut."""
        feed = FeedFactory(reactor)
        asked: list[float] = []
        friday = datetime(2025, 7, 25, 15, 30, tzinfo=ZoneInfo("Asia/Tokyo")).timestamp()
        self.wall_s = friday

        def wall() -> float:
            asked.append(self.wall_s)
            return self.wall_s

        hours = parse_hours("09:00-15:30 Asia/Tokyo mon-fri")
        service = self.dial(
            f"ws://127.0.0.1:{self.listen(feed)}/", wall=wall, silence=SilenceSpec(data_s=0.05, hours=hours)
        )
        await self.until(lambda: len(asked) >= 5)
        self.assertEqual((len(feed.requests), service.session.state), (1, State.LIVE))
        self.wall_s = friday - 60
        self.assertEqual(await self.loss_of(service), "deadline: no data for silence.data")


class CertificateTests(UpstreamCase):
    """Whoever is not proved to be the upstream gets nothing of ours, and the log says why."""

    async def refused(self, certificate: certs.Certificate, why: str, host: str = "localhost", ca: bool = True) -> None:
        feed = FeedFactory(reactor)
        service = self.dial(f"wss://{host}:{self.listen(feed, certificate)}/?token=s3cret", ca=ca)
        self.assertEqual(await self.loss_of(service), f"tls: {why}")
        self.assertEqual(feed.requests, [])
        [line] = [event for event in self.events if event.get("log_namespace") == "upstream"]
        self.assertEqual(formatEvent(line), f"upstream feed cannot be reached: tls: {why}")
        self.assertEqual(line["log_level"].name, "warn")

    async def test_expired(self) -> None:
        """Good until yesterday."""
        await self.refused(certs.expired(), "the certificate has expired")

    async def test_not_yet_valid(self) -> None:
        """Good from tomorrow."""
        await self.refused(certs.not_yet_valid(), "the certificate is not valid yet; is a clock wrong?")

    async def test_self_signed(self) -> None:
        """Nobody vouches for it."""
        remedy = "name it as connect.tls.ca if it is yours"
        await self.refused(certs.self_signed(), f"the certificate is self-signed; {remedy}")

    async def test_wrong_host(self) -> None:
        """Genuine, and somebody else's: by name."""
        await self.refused(certs.wrong_host(), "the certificate is not for localhost")

    async def test_wrong_address(self) -> None:
        """Genuine, and somebody else's: by address."""
        await self.refused(certs.wrong_host(), "the certificate is not for 127.0.0.1", host="127.0.0.1")

    async def test_unknown_authority(self) -> None:
        """Signed by a stranger."""
        remedy = "name it as connect.tls.ca if it is yours"
        await self.refused(certs.unknown_authority(), f"the certificate's authority is not known; {remedy}")

    async def test_the_system_does_not_know_ours(self) -> None:
        """Without `connect.tls.ca` only the system's authorities count."""
        remedy = "name it as connect.tls.ca if it is yours"
        await self.refused(certs.good(), f"the certificate's authority is not known; {remedy}", ca=False)

    async def test_no_tls_at_all(self) -> None:
        """A plain server behind wss://."""
        raw = RawFactory(lambda protocol: None)
        port = self.listen(raw)
        service = self.dial(f"wss://localhost:{port}/")
        await self.until(lambda: raw.connections and raw.connections[0].received)
        raw.connections[0].transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertIn("tls: the TLS handshake failed: ", await self.loss_of(service))

    async def test_a_ca_file_that_is_none(self) -> None:
        """Named with its path and what is wrong with it."""
        for content, wrong in ((None, "No such file or directory"), (b"hello", "holds no certificate in PEM form")):
            path = Path(self.mktemp())
            if content is not None:
                path.write_bytes(content)
            with self.assertRaisesRegex(TrustUnreadable, f"connect.tls.ca: {path}.*{wrong}"):
                trust_root(str(path))


class RefusedHandshakeTests(UpstreamCase):
    """Upstreams that answer something else than 101."""

    def answering(self, data: bytes, then: Callable[[RawProtocol], Any] | None = None) -> RawFactory:
        def answer(protocol: RawProtocol) -> None:
            protocol.transport.write(data)
            if then is not None:
                then(protocol)

        return RawFactory(answer)

    async def why(self, raw: RawFactory, **options: Any) -> str:
        service = self.dial(f"ws://127.0.0.1:{self.listen(raw)}/?token=s3cret", **options)
        why = await self.loss_of(service)
        self.assertNotIn("s3cret", "".join(formatEvent(event) or "" for event in self.events))
        return why

    async def test_401(self) -> None:
        """Refused: not soon again, and topics fail with the reason."""
        raw = self.answering(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 7\r\n\r\nbad key")
        self.assertEqual(await self.why(raw), "http 401: Unauthorized: bad key")
        self.assertEqual(self.hub.read()[-1], "a failed: the upstream refused: http 401: Unauthorized: bad key")

    async def test_429(self) -> None:
        """Retry-After is obeyed."""
        raw = self.answering(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 77\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(await self.why(raw), "http 429: Too Many Requests")
        [line] = [event for event in self.events if event.get("log_namespace") == "upstream"]
        self.assertEqual(line["again_in_s"], 77.0)

    async def test_503_with_a_page_that_never_ends(self) -> None:
        """The first 200 bytes are waited for, then a second at most."""
        raw = self.answering(b"HTTP/1.1 503 Service Unavailable\r\n\r\n<html>busy")
        self.assertEqual(await self.why(raw), "http 503: Service Unavailable: <html>busy")

    async def test_a_redirect_is_not_followed(self) -> None:
        """Where it points is not our affair, and not in the log."""
        head = b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/?token=s3cret\r\nContent-Length: 0\r\n\r\n"
        raw = self.answering(head)
        self.assertEqual(await self.why(raw), "http 302: Found")

    async def test_garbage(self) -> None:
        """What is no HTTP is told as it begins."""
        raw = self.answering(b"SSH-2.0-OpenSSH_9.2p1\r\n")
        self.assertEqual(await self.why(raw), "handshake: the answer is no HTTP/1.1, it begins 'SSH-2.0-OpenSSH_9.2p1'")

    async def test_a_wrong_accept(self) -> None:
        """A 101 that proves nothing."""
        raw = self.answering(SWITCHING % b"AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
        self.assertIn("handshake: HTTP Sec-WebSocket-Accept bogus value", await self.why(raw))

    async def test_an_extension_that_was_not_offered(self) -> None:
        """Compression that nobody asked for."""

        def answer(protocol: RawProtocol) -> None:
            extra = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
            protocol.transport.write((SWITCHING % accept(protocol.received))[:-2] + extra)

        self.assertIn("handshake: ", await self.why(RawFactory(answer)))

    async def test_no_answer(self) -> None:
        """A handshake that hangs ends at its deadline; the connection is aborted."""
        raw = RawFactory(lambda protocol: None)
        self.assertEqual(
            await self.why(raw, handshake_within_s=0.05, retry_least_s=5), "deadline: the handshake took too long"
        )
        await self.until(lambda: not raw.connections)

    async def test_closed_in_the_handshake(self) -> None:
        """Accepted and dropped, for ever: each time is counted, and none is faster than the backoff."""
        raw = RawFactory(lambda protocol: protocol.transport.abortConnection())
        self.assertIn("handshake: the connection ended in the handshake", await self.why(raw, retry_least_s=0.01))
        await self.until(lambda: raw.made >= 4)

    async def test_nobody_listens(self) -> None:
        """Refused by TCP."""
        port = reactor.listenTCP(0, RawFactory(print), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        service = self.dial(f"ws://127.0.0.1:{number}/")
        self.assertEqual(await self.loss_of(service), f"connect: 127.0.0.1:{number}: Connection refused")

    async def test_no_such_name(self) -> None:
        """Refused by DNS, or rather by its rules: no resolver is asked."""
        service = self.dial("ws://no-such-host.invalid/")
        self.assertEqual(await self.loss_of(service), "dns: the name no-such-host.invalid is not known")

    async def test_requests_that_cannot_be_sent(self) -> None:
        """Each says what is wrong with the configuration, and dials nothing."""
        for url, headers, why in (
            ("http://x/", {}, "connect.url is not of the form ws://host/ or wss://host/"),
            ("ws:///x", {}, "connect.url is not of the form ws://host/ or wss://host/"),
            ("ws://u:s3cret@x/", {}, "connect.url holds a user name; put it into connect.headers (Authorization)"),
            ("ws://x:99999/", {}, "the port in connect.url is not a number up to 65535"),
            ("ws://x/a b", {}, "connect.url or connect.query holds a character that must be percent-encoded"),
            ("ws://x/", {"Host": "y"}, "connect.headers: Host is written by the handshake itself"),
            ("ws://x/", {"X-A": "b\r\nc: s3cret"}, "connect.headers: X-A holds a control character"),
            ("wss://x/", {}, "connect.tls.ca: /no/such: No such file or directory"),
        ):
            with self.assertRaises((ValueError, TrustUnreadable)) as caught:
                plan(DialRequest(url, headers), "/no/such", "relayd")
            self.assertEqual(str(caught.exception), why)
        service = self.dial("http://x/")
        self.assertIn("config: connect.url is not of the form", await self.loss_of(service))


class EndedConnectionTests(UpstreamCase):
    """How an open connection can end."""

    def feed(self) -> FeedFactory:
        self.server = FeedFactory(reactor)
        self.service = self.dial(f"ws://127.0.0.1:{self.listen(self.server)}/", payload_most_bytes=1000)
        return self.server

    async def connected(self) -> FeedProtocol:
        feed = self.feed()
        await self.until(lambda: "a=0" in self.hub.heard)
        return feed.open[0]

    async def test_a_close_frame(self) -> None:
        """Code and reason are told; it is answered, and TCP is not waited for."""
        protocol = await self.connected()
        protocol.sendClose(4001, "go\u202eaway")
        self.assertEqual(await self.loss_of(self.service), "closed 4001: go away")
        await self.until(lambda: self.server.closes)
        self.assertEqual(self.server.closes[0][0], 1000)

    async def test_a_close_without_a_code(self) -> None:
        """1005 by RFC 6455."""
        protocol = await self.connected()
        protocol.sendClose()
        self.assertEqual(await self.loss_of(self.service), "closed 1005")

    async def test_a_reset(self) -> None:
        """TCP alone."""
        protocol = await self.connected()
        protocol.transport.abortConnection()
        self.assertTrue((await self.loss_of(self.service)).startswith("broken: "))

    async def test_an_end_without_a_close_frame(self) -> None:
        """FIN alone."""
        protocol = await self.connected()
        protocol.transport.loseConnection()
        self.assertEqual(await self.loss_of(self.service), "broken: the connection ended without a close frame")

    async def test_garbage_after_the_handshake(self) -> None:
        """Bytes that are no frame."""
        protocol = await self.connected()
        protocol.transport.write(b"\xff" * 20)
        self.assertTrue((await self.loss_of(self.service)).startswith("protocol: "))
        await self.until(lambda: not self.server.open)

    async def test_a_masked_frame(self) -> None:
        """A server must not mask."""
        protocol = await self.connected()
        protocol.transport.write(b"\x81\x81\x00\x00\x00\x00a")
        self.assertTrue((await self.loss_of(self.service)).startswith("protocol: "))

    async def test_bad_utf8(self) -> None:
        """In a text frame."""
        protocol = await self.connected()
        protocol.transport.write(b"\x81\x02\xc3\x28")
        self.assertTrue((await self.loss_of(self.service)).startswith("protocol: "))

    async def test_too_large(self) -> None:
        """Refused by its declared length."""
        protocol = await self.connected()
        protocol.transport.write(b"\x81\x7e\x03\xe9")
        self.assertTrue((await self.loss_of(self.service)).startswith("protocol: "))

    async def test_a_fault_of_ours(self) -> None:
        """An exception while reading ends the connection, and the log holds it."""
        protocol = await self.connected()

        def fail(*_: object) -> None:
            raise RuntimeError("a fault")

        self.service.session.connection._talk.message = fail
        protocol.sendMessage(b"a=1")
        self.assertEqual(
            await self.loss_of(self.service), "protocol: relayd failed on what the upstream sent"
        )
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    async def test_nothing_follows_a_loss(self) -> None:
        """Frames behind a close, or behind our own end, are not published."""
        raw = RawFactory(lambda protocol: protocol.switch(b"\x81\x03a=1\x88\x02\x0f\xa1\x81\x03a=2"))
        service = self.dial(
            f"ws://127.0.0.1:{self.listen(raw)}/", unasked=True, talk={"unasked": True}, retry_least_s=30
        )
        self.assertEqual(await self.loss_of(service), "closed 4001")
        self.assertNotIn("a=2", self.hub.heard)

    async def test_stop_when_the_goodbye_is_not_answered(self) -> None:
        """Two seconds, here less, then TCP is aborted."""
        raw = RawFactory(lambda protocol: protocol.switch(b"\x81\x03a=1"))
        service = self.dial(
            f"ws://127.0.0.1:{self.listen(raw)}/", unasked=True, talk={"unasked": True}, goodbye_within_s=0.05
        )
        await self.until(lambda: "a=1" in self.hub.heard)
        await service.stopService()
        self.assertEqual(service.session.state, State.STOPPED)
        self.assertEqual(service.session.why, "relayd stops")

    async def test_stop_while_dialling(self) -> None:
        """The attempt is given up, and leaves nothing behind."""
        raw = RawFactory(lambda protocol: None)
        service = self.dial(f"ws://127.0.0.1:{self.listen(raw)}/")
        await service.stopService()
        self.assertEqual(service.session.state, State.STOPPED)


class HttpStepTests(UpstreamCase):
    """HTTP before the connection, and beside it."""

    def token_from(self, port: int) -> Preparation:
        http = parse_http({"method": "POST", "url": f"http://127.0.0.1:{port}/token", "json": {"key": "k"}})

        def speak(saved: Any) -> Voice:
            return Voice(wall=time.time, uuid=str, secrets={}, saved=saved, resume=Resume())

        return Preparation((HttpStep(http, {"token": parse_paths("token")}),), speak)

    def serve(self, *replies: bytes) -> RawFactory:
        """Answers requests in order, and upgrades when asked to."""
        left = list(replies)

        def answer(protocol: RawProtocol) -> None:
            if b"Upgrade: websocket" in protocol.received or b"Upgrade: WebSocket" in protocol.received:
                protocol.switch(b"\x81\x03a=1")
            else:
                body = left.pop(0)
                protocol.transport.write(
                    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
                )
                protocol.transport.loseConnection()

        return RawFactory(answer)

    async def test_a_token_first(self) -> None:
        """Then the connection, made with what was saved."""
        raw = self.serve(b'{"token": "t1"}')
        port = self.listen(raw)
        service = self.dial(
            f"ws://127.0.0.1:{port}/", preparation=self.token_from(port), unasked=True, talk={"unasked": True}
        )
        await self.until(lambda: "a=1" in self.hub.heard)
        self.assertEqual(service.session.connection._talk.saved, {"token": "t1"})

    async def test_no_token(self) -> None:
        """A reply that holds none, and nobody who replies."""
        port = self.listen(self.serve(b"{}"))
        service = self.dial(f"ws://127.0.0.1:{port}/", preparation=self.token_from(port))
        self.assertEqual(
            await self.loss_of(service), "config: connect.before: the reply has nothing where save.token looks"
        )
        raw = RawFactory(lambda protocol: protocol.transport.abortConnection())
        service = self.dial(f"ws://127.0.0.1:{port}/", preparation=self.token_from(self.listen(raw)))
        self.assertTrue((await self.loss_of(service)).startswith("broken: "))

    async def test_stopped_meanwhile(self) -> None:
        """The request is cancelled, and leaves nothing behind."""
        raw = RawFactory(lambda protocol: None)
        port = self.listen(raw)
        service = self.dial(f"ws://127.0.0.1:{port}/", preparation=self.token_from(port))
        await self.until(lambda: raw.connections)
        await service.stopService()
        await self.until(lambda: not raw.connections)

    async def test_a_ca_file_that_is_none(self) -> None:
        """Told as what it is."""
        service = self.dial("ws://127.0.0.1:1/", preparation=self.token_from(1), ca_file="/no/such")
        self.assertEqual(await self.loss_of(service), "config: connect.tls.ca: /no/such: No such file or directory")

    async def test_a_request_of_the_conversation(self) -> None:
        """Its reply is a message like any other; one that comes to nothing is a failure."""
        feed = FeedFactory(reactor)
        replies = self.listen(self.serve(b"a=http"))
        service = self.dial(f"ws://127.0.0.1:{self.listen(feed)}/")
        await self.until(lambda: "a=0" in self.hub.heard)
        service._carry_out([Send(HttpRequest("GET", f"http://127.0.0.1:{replies}/", number=1))])
        await self.until(lambda: "a=http" in self.hub.heard)
        service._carry_out([Send(HttpRequest("GET", "ftp://x/", number=2))])
        await self.until(lambda: "a failed: HTTP status 503" in self.hub.heard)

    async def test_a_name_that_hangs(self) -> None:
        """It is told apart from one that is unknown."""
        hold = threading.Event()
        self.addCleanup(hold.set)

        def look_up(*_: object) -> list[Any]:
            hold.wait(5)
            return []

        slow = Names(reactor, look_up, within_s=0.02)
        self.patch(io_upstream, "Names", lambda reactor: slow)
        service = self.dial("ws://slow.example/")
        why = "dns: looking up the name slow.example takes longer than 5 s"
        self.assertEqual(await self.loss_of(service), why)
