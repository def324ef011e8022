"""Published faults of other WebSocket servers that the guard and what stands behind it must not have, one test each.

The classes are in the order of what is attacked: the request, the frames, the client that relayd is towards its
upstreams.
"""

from __future__ import annotations

import importlib.metadata
import json
import struct
import time
import tracemalloc
import zlib
from typing import Any

import pytest
from autobahn.websocket.compress import PERMESSAGE_COMPRESSION_EXTENSION
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.web.pages import notFound
from twisted.web.resource import Resource
from twisted.web.server import Site

from relayd.core.guard import GuardCounters, GuardSettings
from relayd.core.meter import MeterLimits
from relayd.core.origin import OriginPolicy
from relayd.core.upstream.effects import DialRequest, LossKind
from relayd.io.guard import GuardFactory
from relayd.io.upstream_plan import plan
from relayd.io.upstream_protocol import UpstreamFactory
from tests.conformance.peers import EchoGuardFactory, EchoOwner
from tests.support.portions import portions_of
from tests.support.wire import Transport, connect

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
MIB = 1 << 20
BROWSER = IPv4Address("TCP", "127.0.0.1", 50000)


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """One frame of a client, masked with zeros."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack("!H", size)
    return bytes([(0x80 if fin else 0) | rsv | opcode]) + length + bytes(4) + payload


def close_of(frames: bytes) -> tuple[int, str]:
    """Code and reason of the one close frame that ends these bytes."""
    at = frames.rindex(b"\x88")
    assert len(frames) == at + 2 + frames[at + 1]
    return int.from_bytes(frames[at + 2 : at + 4]), frames[at + 4 :].decode("ascii")


class Relay:
    """An echo behind the guard with the limits of production."""

    def __init__(self, extra: bytes = b"") -> None:
        self.clock = Clock()
        self.factory = EchoGuardFactory(self.clock, self.clock.seconds, meter=MeterLimits())
        self.factory.doStart()
        self.guard = self.factory.buildProtocol(BROWSER)
        self.transport = connect(self.guard)
        if extra:
            self.guard.dataReceived(HANDSHAKE[:-2] + extra)

    def send(self, data: bytes, size: int = 1 << 16) -> bytes:
        """What is answered to this, after the head of the handshake's answer."""
        for portion in portions_of(data, size):
            self.guard.dataReceived(portion)
        return bytes(self.transport.written).partition(b"\r\n\r\n")[2]


def ask(request: bytes, site: Resource | None = None, settings: GuardSettings | None = None) -> bytes:
    """What a plain request is answered, by this site or by one without pages."""
    root = site or notFound()
    clock = Clock()
    factory = GuardFactory(
        websocket=lambda head: pytest.fail("no WebSocket was asked for"),
        site=Site(root, reactor=clock),
        settings=settings or GuardSettings(),
        reactor=clock,
        monotonic=clock.seconds,
        counters=GuardCounters(),
    )
    guard = factory.buildProtocol(BROWSER)
    transport = connect(guard)
    guard.dataReceived(request)
    return bytes(transport.written)


class Page(Resource):
    """Counts how often it is asked for, and by whom."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[bytes, str | None]] = []

    def render(self, request: Any) -> bytes:
        self.seen.append((request.uri, request.getHeader("x-forwarded-for")))
        return b"page"


class RequestTests:
    """Heads."""

    @pytest.mark.parametrize("target", ["/?redirect=https://evil.com", "/ws?redirect=https://evil.com&after=x"])
    def test_autobahn_cve_2020_35678_status_page_redirects(self, target: str) -> None:
        """Autobahn's status page redirects anywhere and fails on `after=x`; it is never shown."""
        answer = ask(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 426 "))
        assert b"evil.com" not in answer.partition(b"\r\n\r\n")[0]

    def test_twisted_cve_2024_41671_pipelined_requests(self) -> None:
        """Answers out of order cannot be: a connection serves one request."""
        page = Page()
        answer = ask(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", page)
        assert page.seen == [(b"/1", "127.0.0.1")]
        assert answer.count(b"HTTP/1.1 200 ") == 1

    @pytest.mark.parametrize(
        "lines",
        [
            b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello",
            b"Content-Length: +5\r\n\r\nhello",
            b"Content-Length: 0_5\r\n\r\nhello",
            b"Content-Length: -1\r\n\r\n",
            b"Content-Length : 5\r\n\r\nhello",
            b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        ],
    )
    def test_twisted_cve_2022_24801_smuggling(self, lines: bytes) -> None:
        """Lengths that two parsers read in two ways (also Tornado GHSA-qppv-j76h-2rpx): refused, and the site never
        asked.
        """
        page = Page()
        assert ask(b"POST / HTTP/1.1\r\nHost: a\r\n" + lines, page).startswith(b"HTTP/1.1 400 ")
        assert page.seen == []

    @pytest.mark.parametrize("host", [b"<script>", b"a/<b>", b"a\xe9", b"[::1", b"a b", b"%3Cscript>"])
    def test_twisted_cve_2022_39348_host_in_the_error_page(self, host: bytes) -> None:
        """A Host that is none is refused by a fixed text (also websocket-driver CVE-2026-61666: it crashed)."""
        answer = ask(b"GET /missing HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert host not in answer

    def test_ws_cve_2024_37890_more_headers_than_allowed(self) -> None:
        """431, for different names and for one name again and again (cowboy CVE-2026-65624)."""
        for line in (b"X-%d: a\r\n", b"X-%.0d: a\r\n"):
            lines = b"".join(line % number for number in range(1000))
            assert ask(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n").startswith(b"HTTP/1.1 431 ")

    @pytest.mark.parametrize(
        "line",
        [
            b"Sec-WebSocket-Protocol: " + b"a" * 3000 + b" " * 3000 + b",",
            b"Sec-WebSocket-Protocol: " + b" ," * 3000,
            b'Sec-WebSocket-Extensions: a; b="' + b'\\"' * 3000,
            b"Sec-WebSocket-Extensions: a" + b"; b" * 2000 + b";",
            b"Sec-WebSocket-Extensions: a" + b" " * 7000 + b"b",
        ],
    )
    def test_ws_cve_2021_32640_expressions_that_explode(self, line: bytes) -> None:
        """Protocol and extension lists are read in linear time (also websocket-extensions CVE-2020-7662)."""
        started = time.process_time()
        answer = ask(HANDSHAKE[:-2].replace(b"/ws", b"/nowhere") + line + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 404 ")
        relay = Relay()
        relay.guard.dataReceived(HANDSHAKE[:-2] + line + b"\r\n\r\n")
        assert relay.transport.written.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 101 "))
        assert time.process_time() - started < 0.1

    @pytest.mark.parametrize("name", [b"constructor", b"__proto__", b"toString", b"hasOwnProperty; a=b"])
    def test_ws_ghsa_5v72_names_that_mean_something_to_the_language(self, name: bytes) -> None:
        """Declined, as any other extension (also engine.io GHSA-gr94-w7qr-f4j3)."""
        relay = Relay(b"Sec-WebSocket-Extensions: " + name + b"\r\n\r\n")
        assert b"Sec-WebSocket-Extensions" not in relay.transport.written
        assert relay.send(frame(1, b"hello")) == b"\x81\x05hello"

    def test_granian_subprotocol_beyond_ascii(self) -> None:
        """Panicked a worker there; 400 here."""
        relay = Relay(b"Sec-WebSocket-Protocol: relayd.v1\xff\r\n\r\n")
        assert relay.transport.written.startswith(b"HTTP/1.1 400 ")

    @pytest.mark.parametrize("line", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
    def test_aiohttp_cve_2026_69243_upgrade_with_a_body(self, line: bytes) -> None:
        """A body before the protocol switches is smuggling."""
        relay = Relay(line + b"\r\n\r\nhello")
        assert relay.transport.written.startswith(b"HTTP/1.1 400 ")

    @pytest.mark.parametrize(
        "origin", ["https://evil-example.com", "https://example.com.evil.com", "https://xexample.com"]
    )
    def test_phoenix_cve_2022_42975_wildcard_origins(self, origin: str) -> None:
        """A wildcard stands for whole labels."""
        policy = OriginPolicy.parse(["https://*.example.com"])
        assert policy.refuse(origin, "relay.example.com", secure=True) is not None
        assert policy.refuse("https://a.example.com", "relay.example.com", secure=True) is None

    def test_centrifugo_cve_2026_71485_forged_forwarding(self) -> None:
        """What names the client is written by the guard alone."""
        page = Page()
        forged = b"X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\r\n"
        ask(b"GET / HTTP/1.1\r\nHost: a\r\n" + forged, page)
        assert page.seen == [(b"/", "127.0.0.1")]

    @pytest.mark.parametrize("version", [b"0", b"7", b"8", b"14", b"13, 8"])
    def test_netty_ghsa_4mp9_old_versions(self, version: bytes) -> None:
        """Another handshake than the one of RFC 6455 is told the version and opens nothing."""
        relay = Relay()
        relay.guard.dataReceived(HANDSHAKE.replace(b"Version: 13", b"Version: " + version))
        head = bytes(relay.transport.written)
        assert head.startswith(b"HTTP/1.1 426 ")
        assert b"\r\nSec-WebSocket-Version: 13\r\n" in head

    def test_tornado_cve_2025_67724_reason_phrase(self) -> None:
        """Nothing a client sends gets into the status line, or anywhere else in an answer."""
        for canary in (b"canary<b>", b"canary\r\nSet-Cookie: a=b"):
            relay = Relay()
            relay.guard.dataReceived(HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", canary))
            answer = bytes(relay.transport.written)
            assert answer.startswith((b"HTTP/1.1 400 Bad Request\r\n", b"HTTP/1.1 426 Upgrade Required\r\n"))
            assert b"canary" not in answer
            json.loads(answer.partition(b"\r\n\r\n")[2])

    def test_websocket_driver_cve_2026_54465_memory_of_a_head(self) -> None:
        """An endless head is refused at 8 KiB and kept by nobody."""
        relay = Relay()
        tracemalloc.start()
        relay.guard.dataReceived(b"GET /ws HTTP/1.1\r\nHost: a\r\n")
        for _ in range(1000):
            relay.guard.dataReceived(b"A: " + b"a" * 1000 + b"\r\n")
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert relay.transport.written.startswith(b"HTTP/1.1 431 ")
        assert held < 64 << 10


class FrameTests:
    """After the handshake."""

    @pytest.mark.parametrize("blown_up_bytes", [65 << 10, 50 * MIB])
    def test_autobahn_cve_2026_77528_bomb(self, blown_up_bytes: int) -> None:
        """The limit holds for what a compressed message becomes (also websockets CVE-2018-1000518, NATS
        CVE-2026-27571).
        """
        relay = Relay(DEFLATE)
        compress = zlib.compressobj(9, zlib.DEFLATED, -15)
        bomb = compress.compress(bytes(blown_up_bytes)) + compress.flush(zlib.Z_SYNC_FLUSH)
        tracemalloc.start()
        answer = relay.send(frame(2, bomb[:-4], rsv=0x40))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert close_of(answer) == (1009, "too-big")
        assert most < 2 * MIB

    def test_autobahn_1908_limit_that_truncates(self) -> None:
        """A compressed message within the limit comes out whole, to the last byte."""
        relay = Relay(DEFLATE)
        message = bytes(range(256)) * 256
        compress = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = (compress.compress(message) + compress.flush(zlib.Z_SYNC_FLUSH))[:-4]
        assert relay.send(frame(2, packed, rsv=0x40)) == b"\x82\x7f" + struct.pack("!Q", len(message)) + message

    def test_autobahn_cve_2026_116579_brotli(self) -> None:
        """Only permessage-deflate gets past the guard, and Autobahn is one that bounds it."""
        offered = ", ".join(PERMESSAGE_COMPRESSION_EXTENSION).encode()
        relay = Relay(b"Sec-WebSocket-Extensions: " + offered + b", permessage-brotli\r\n\r\n")
        agreed = bytes(relay.transport.written).partition(b"Sec-WebSocket-Extensions: ")[2].partition(b"\r\n")[0]
        assert agreed == b"permessage-deflate"
        version = tuple(map(int, importlib.metadata.version("autobahn").split(".")[:3]))
        assert version >= (26, 10, 1)

    @pytest.mark.parametrize("piece", [b"", b"a"])
    @pytest.mark.parametrize("size", [1, 1 << 16])
    def test_ws_cve_2026_48779_tiny_fragments(self, piece: bytes, size: int) -> None:
        """64 fragments, whole or half sent (CVE-2026-62389), however small (also Bandit GHSA-pf94-94m9-536p)."""
        relay = Relay(b"\r\n")
        flood = frame(1, piece, fin=False) + frame(0, piece, fin=False) * 100
        assert close_of(relay.send(flood, size)) == (1009, "too-big")

    def test_ws_cve_2026_62389_fragments_that_stay(self) -> None:
        """A message under the number of fragments that never ends is ended for it."""
        relay = Relay(b"\r\n")
        relay.send(frame(1, b"a", fin=False) * 1)
        for _ in range(50):
            relay.clock.advance(0.25)
        assert close_of(relay.send(b"")) == (1008, "policy")

    def test_aiohttp_cve_2026_54274_a_payload_that_stays_away(self) -> None:
        """The limit holds for the declared length, before a byte of it is there."""
        relay = Relay(b"\r\n")
        assert close_of(relay.send(b"\x81\xff" + struct.pack("!Q", 1 << 40) + bytes(4))) == (1009, "too-big")

    def test_aiohttp_cve_2026_123817_one_object_per_read(self) -> None:
        """A message byte by byte costs about its own size."""
        relay = Relay(b"\r\n")
        message = frame(1, b" " * 60_000)
        tracemalloc.start()
        for portion in portions_of(message[:-1], 1):
            relay.guard.dataReceived(portion)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < MIB
        assert relay.send(message[-1:]).endswith(b" " * 60_000)

    def test_aiohttp_cve_2026_59881_compressed_without_agreement(self) -> None:
        """RSV1 is an error unless deflate was agreed to."""
        assert close_of(Relay(b"\r\n").send(frame(1, b"a", rsv=0x40))) == (1002, "protocol")

    @pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1, (1 << 63) - 1, 1 << 62, 1 << 32])
    def test_gorilla_cve_2020_27813_lengths_that_overflow(self, length: int) -> None:
        """Closed at the header (also undici CVE-2026-1528)."""
        code, _ = close_of(Relay(b"\r\n").send(b"\x82\xff" + struct.pack("!Q", length) + bytes(4) + b"a" * 100))
        assert code == (1002 if length >> 63 else 1009)

    def test_engine_io_cve_2022_41940_one_crafted_packet(self) -> None:
        """A fault of ours on one connection is 1011 there, and the next connection does not notice."""
        relay = Relay(b"\r\n")
        [client] = relay.factory.clients.open.values()
        client.onMessage = None
        assert close_of(relay.send(frame(1, b"a"))) == (1011, "internal")
        other = relay.factory.buildProtocol(None)
        transport = connect(other)
        other.dataReceived(HANDSHAKE + frame(1, b"hello"))
        assert transport.written.endswith(b"\x81\x05hello")

    def test_aiohttp_cookies_that_fill_the_log(self) -> None:
        """One connection, however strange what it sends, writes a handful of lines."""
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        try:
            relay = Relay(b"Cookie: " + b"=;" * 2000 + b"\r\n\r\n")
            relay.send(frame(0xA, b"unasked") * 4 + frame(1, b"x") * 190 + frame(9, b"p") * 100)
        finally:
            globalLogPublisher.removeObserver(events.append)
        assert len(events) <= 10


class UpstreamTests:
    """relayd as the client."""

    @pytest.mark.parametrize(
        "line",
        [
            b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99",
            b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=x",
            b"Sec-WebSocket-Extensions: permessage-deflate",
            b"Sec-WebSocket-Extensions: constructor",
        ],
    )
    def test_undici_cve_2026_2229_what_a_server_may_answer(self, line: bytes) -> None:
        """An extension that was not offered is a refused handshake, whatever its parameters."""
        losses = []

        class Owner(EchoOwner):
            def lost(self, protocol: Any, loss: Any) -> None:
                losses.append(loss)

        dial = plan(DialRequest("ws://127.0.0.1:9/"), None, "relayd")
        protocol = UpstreamFactory(Owner(echo=False), dial, Clock(), 1 << 20).buildProtocol(None)
        transport: Transport = connect(protocol)
        protocol.dataReceived(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + line + b"\r\n\r\n"
        )
        assert [loss.kind for loss in losses] == [LossKind.HANDSHAKE]
        assert transport.ended
