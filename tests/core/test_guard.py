"""What a request is for, from its head alone. The long table of handshakes is in tests/handshake/."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from relayd.core.guard import OFFERS_MAX, GuardCounters, GuardSettings, Handshake, Plain, Stream, judge
from relayd.core.head import HeadLimits, HeadParser, RequestHead
from relayd.core.origin import OriginPolicy
from relayd.core.refusal import (
    BAD_EXTENSION,
    BAD_KEY,
    BAD_LENGTH,
    BAD_METHOD,
    BAD_SUBPROTOCOL,
    BAD_VERSION,
    BAD_WEBSOCKET_METHOD,
    BAD_WEBSOCKET_VERSION,
    BATCH_TOO_LARGE,
    BODY_TOO_LARGE,
    CHUNKED,
    NO_CONNECTION_UPGRADE,
    NO_SUBPROTOCOL,
    NO_UPGRADE,
    NO_WEBSOCKET_HERE,
    ORIGIN_REFUSED,
    UNWANTED_BODY,
    HttpRefusal,
)

FIELDS = {
    "host": "relay.example.com",
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
}
CLEAN = (
    b"GET /ws HTTP/1.1\r\nHost: relay.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
SETTINGS = GuardSettings()


def handshake(
    target: str = "/ws",
    *,
    method: str = "GET",
    version: str = "1.1",
    settings: GuardSettings = SETTINGS,
    **changes: str | None,
) -> Handshake | Plain | HttpRefusal:
    """A good handshake with these headers changed (None: left out; `_` for `-`), judged."""
    changed = FIELDS | {name.replace("_", "-"): value for name, value in changes.items()}
    present = tuple((name, value) for name, value in changed.items() if value is not None)
    return judge(RequestHead(method, target, version, present), settings)


def plain(
    target: str = "/topics", method: str = "GET", version: str = "1.1", client: str = "", **changes: str
) -> object:
    """A plain request with these headers, judged."""
    present = (("host", "a"), *((name.replace("_", "-"), value) for name, value in changes.items()))
    return judge(RequestHead(method, target, version, present, client), SETTINGS)


class HandshakeTests:
    """A WebSocket that may open, and why it may not."""

    def test_clean_head(self) -> None:
        """What goes on is written anew: nothing but what was judged, and not the Origin."""
        answer = handshake(
            origin="https://relay.example.com", cookie="secret=1", user_agent="x", x_forwarded_for="1.2.3.4", via="y"
        )
        assert answer == Handshake(CLEAN + b"\r\n")

    @pytest.mark.parametrize(
        ("prefix", "target"),
        [
            ("", "/ws"),
            ("", "/ws?topics=a"),
            ("", "/raw/market/ticker/BTC-USD"),
            ("", "/raw/a?b"),
            ("/feed", "/feed/ws"),
            ("/feed", "/feed/raw/a"),
        ],
    )
    def test_paths(self, prefix: str, target: str) -> None:
        """/ws and /raw/TOPIC below the prefix."""
        answer = handshake(target, settings=replace(SETTINGS, prefix=prefix))
        assert isinstance(answer, Handshake)
        assert answer.clean.startswith(f"GET {target} HTTP/1.1\r\n".encode())

    @pytest.mark.parametrize(
        ("prefix", "target"),
        [
            ("", "/"),
            ("", "/ws/"),
            ("", "/wss"),
            ("", "/WS"),
            ("", "/%77s"),
            ("", "/raw"),
            ("", "/raw/"),
            ("", "/topics"),
            ("/feed", "/ws"),
            ("/feed", "/feedws"),
        ],
    )
    def test_other_paths(self, prefix: str, target: str) -> None:
        """No WebSocket there."""
        assert handshake(target, settings=replace(SETTINGS, prefix=prefix)) is NO_WEBSOCKET_HERE

    @pytest.mark.parametrize(
        ("changes", "refusal"),
        [
            ({"method": "POST"}, BAD_WEBSOCKET_METHOD),
            ({"method": "HEAD"}, BAD_WEBSOCKET_METHOD),
            ({"version": "1.0"}, BAD_VERSION),
            ({"upgrade": None}, NO_UPGRADE),
            ({"upgrade": "h2c"}, NO_UPGRADE),
            ({"connection": None}, NO_CONNECTION_UPGRADE),
            ({"connection": "keep-alive"}, NO_CONNECTION_UPGRADE),
            ({"transfer_encoding": "chunked"}, CHUNKED),
            ({"transfer_encoding": "identity"}, CHUNKED),
            ({"content_length": "1"}, UNWANTED_BODY),
            ({"content_length": ""}, UNWANTED_BODY),
            ({"content_length": "-0"}, UNWANTED_BODY),
            ({"sec_websocket_version": None}, BAD_WEBSOCKET_VERSION),
            ({"sec_websocket_version": "8"}, BAD_WEBSOCKET_VERSION),
            ({"sec_websocket_version": "13, 8"}, BAD_WEBSOCKET_VERSION),
            ({"sec_websocket_version": "013"}, BAD_WEBSOCKET_VERSION),
            ({"sec_websocket_key": None}, BAD_KEY),
            ({"sec_websocket_key": ""}, BAD_KEY),
            ({"sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ="}, BAD_KEY),
            ({"sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ"}, BAD_KEY),
            ({"sec_websocket_key": "dGhlIHNhbXBsZSBub25j ZQ=="}, BAD_KEY),
            ({"origin": "https://evil.com"}, ORIGIN_REFUSED),
            ({"sec_websocket_protocol": "chat"}, NO_SUBPROTOCOL),
            ({"sec_websocket_protocol": "relayd.v1, relayd.v1"}, BAD_SUBPROTOCOL),
            ({"sec_websocket_protocol": "relayd v1"}, BAD_SUBPROTOCOL),
            ({"sec_websocket_protocol": ",".join(["relayd.v1", *map(str, range(OFFERS_MAX))])}, BAD_SUBPROTOCOL),
            ({"sec_websocket_extensions": 'permessage-deflate; client_max_window_bits="15'}, BAD_EXTENSION),
            ({"sec_websocket_extensions": "permessage-deflate;"}, BAD_EXTENSION),
            ({"sec_websocket_extensions": "a; b=c d"}, BAD_EXTENSION),
            ({"sec_websocket_extensions": ",".join("a" * (OFFERS_MAX + 1))}, BAD_EXTENSION),
        ],
    )
    def test_refused(self, changes: dict[str, str | None], refusal: HttpRefusal) -> None:
        """One thing wrong at a time."""
        assert handshake(**changes) is refusal

    @pytest.mark.parametrize(
        "changes",
        [
            {"upgrade": "WebSocket"},
            {"upgrade": "h2c, websocket"},
            {"connection": "keep-alive, UPGRADE"},
            {"content_length": "0"},
            {"origin": "https://relay.example.com"},
        ],
    )
    def test_let_through(self, changes: dict[str, str]) -> None:
        """What clients and proxies do write."""
        assert handshake(**changes) == Handshake(CLEAN + b"\r\n")

    def test_subprotocol(self) -> None:
        """On /ws ours alone goes on; on /raw all do, since none of them is ours to judge."""
        offered = "chat, relayd.v1"
        assert handshake(sec_websocket_protocol=offered) == Handshake(
            CLEAN + b"Sec-WebSocket-Protocol: relayd.v1\r\n\r\n"
        )
        raw = handshake("/raw/a", sec_websocket_protocol=offered)
        assert isinstance(raw, Handshake)
        assert b"\r\nSec-WebSocket-Protocol: chat, relayd.v1\r\n" in raw.clean

    def test_extensions(self) -> None:
        """Offers of permessage-deflate go on, whatever their values; others are declined by leaving them out."""
        offered = 'constructor, Permessage-Deflate; client_max_window_bits; a="7", x-webkit-deflate-frame'
        assert handshake(sec_websocket_extensions=offered) == Handshake(
            CLEAN + b'Sec-WebSocket-Extensions: Permessage-Deflate; client_max_window_bits; a="7"\r\n\r\n'
        )
        assert handshake(sec_websocket_extensions="__proto__") == Handshake(CLEAN + b"\r\n")

    def test_clean_head_is_judged_the_same(self) -> None:
        """Written out and read again, a clean head gives itself."""
        answer = handshake(sec_websocket_protocol="relayd.v1", sec_websocket_extensions="permessage-deflate; a=1")
        assert isinstance(answer, Handshake)
        again = HeadParser(HeadLimits()).feed(answer.clean)
        assert isinstance(again, RequestHead)
        assert judge(again, SETTINGS) == answer

    def test_the_listeners_origins_decide(self) -> None:
        """Its own policy, and whether it speaks TLS."""
        named = replace(SETTINGS, origins=OriginPolicy.parse(["https://app.example.com"]))
        assert isinstance(handshake(origin="https://app.example.com", settings=named), Handshake)
        http = {"origin": "http://relay.example.com"}
        assert isinstance(handshake(**http), Handshake)
        assert handshake(settings=replace(SETTINGS, secure=True), **http) is ORIGIN_REFUSED


class PlainTests:
    """Every other request."""

    def test_clean_request(self) -> None:
        """Fields of one hop are gone, the client's address is vouched for, and there is no second request."""
        answer = plain(
            client="198.51.100.1",
            cookie="a=b",
            connection="keep-alive, Cookie",
            upgrade="h2c",
            te="trailers",
            x_forwarded_for="1.1.1.1",
            forwarded="for=1.1.1.1",
            x_real_ip="1.1.1.1",
            expect="100-continue",
        )
        assert answer == Plain(
            b"GET /topics HTTP/1.1\r\nhost: a\r\ncookie: a=b\r\nexpect: 100-continue\r\n"
            b"x-forwarded-for: 198.51.100.1\r\nconnection: close\r\n\r\n",
            0,
        )

    def test_without_an_address(self) -> None:
        """From a unix socket nobody is forwarded."""
        assert plain() == Plain(b"GET /topics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 0)

    def test_old_http(self) -> None:
        """Proxies ask with HTTP/1.0; a plain answer is theirs."""
        answer = plain(version="1.0")
        assert isinstance(answer, Plain)
        assert answer.clean.startswith(b"GET /topics HTTP/1.0\r\n")

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
    def test_methods(self, method: str) -> None:
        """The four that mean something here."""
        assert isinstance(plain(method=method), Plain)

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "CONNECT", "TRACE", "get", "X"])
    def test_other_methods(self, method: str) -> None:
        """And none else."""
        assert plain(method=method) is BAD_METHOD

    def test_body(self) -> None:
        """A POST has a body of the length it says, within the bound."""
        answer = plain(method="POST", content_length="12")
        assert isinstance(answer, Plain)
        assert answer.body_bytes == 12
        assert b"content-length: 12\r\n" in answer.clean
        batch = 1024 * 1024
        for path, most, refusal in (("/topics/a", 65536, BODY_TOO_LARGE), ("/topics", batch, BATCH_TOO_LARGE)):
            assert isinstance(plain(path, method="POST", content_length=str(most)), Plain)
            assert plain(path, method="POST", content_length=str(most + 1)) is refusal

    @pytest.mark.parametrize("length", ["", "+1", "-1", "1_0", "0x1", "1 1", "1,1", "1.0", "9" * 19])
    def test_bad_length(self, length: str) -> None:
        """Digits, and not too many."""
        assert plain(method="POST", content_length=length) is BAD_LENGTH

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
    def test_no_body_where_none_belongs(self, method: str) -> None:
        """A GET with a body is how requests are smuggled."""
        assert plain(method=method, content_length="1") is UNWANTED_BODY
        assert isinstance(plain(method=method, content_length="0"), Plain)

    @pytest.mark.parametrize("coding", ["chunked", "identity", "gzip, chunked", ""])
    def test_no_transfer_coding(self, coding: str) -> None:
        """Whatever it is."""
        assert plain(method="POST", transfer_encoding=coding) is CHUNKED


class StreamTests:
    """A request for an event stream."""

    @staticmethod
    def stream(method: str = "GET", **changes: str) -> object:
        """One from a page, judged by a listener that names that page."""
        present = (("host", "a"), *((name.replace("_", "-"), value) for name, value in changes.items()))
        settings = GuardSettings(origins=OriginPolicy.parse(["https://app.example.com", "any"]), prefix="/feed")
        return judge(RequestHead(method, "/feed/sse?topics=t", "1.1", present), settings)

    def test_of_no_page(self) -> None:
        """Nothing is to be said to a browser."""
        assert self.stream() == Stream(())

    def test_of_a_page(self) -> None:
        """It may read; with its cookies where it is named."""
        named = self.stream(origin="https://app.example.com")
        assert isinstance(named, Stream)
        assert named.cors == (
            ("Access-Control-Allow-Origin", "https://app.example.com"),
            ("Vary", "Origin"),
            ("Access-Control-Allow-Credentials", "true"),
        )
        other = self.stream(origin="https://other.example")
        assert isinstance(other, Stream)
        assert len(other.cors) == 2

    def test_refused(self) -> None:
        """A page that is not let in, or a body."""
        assert plain("/sse?topics=t", origin="https://evil.example") is ORIGIN_REFUSED
        assert isinstance(self.stream(content_length="3"), HttpRefusal)

    def test_other_methods(self) -> None:
        """Are plain requests."""
        assert isinstance(self.stream("HEAD"), Plain)


class GuardCountersTests:
    """Described as in core/counters.py."""

    def test_every_field_says_what_it_is(self) -> None:
        """A kind and a meaning, and a label where there is a table."""
        counters = GuardCounters()
        for entry in fields(counters):
            assert entry.metadata["kind"] == "counter"
            assert entry.metadata["meaning"]
            assert ("label" in entry.metadata) == isinstance(getattr(counters, entry.name), dict)
        assert set(counters.refused.values()) == set(counters.breaches.values()) == {0}

    def test_failed(self):
        """Each exception behind a guard is one."""
        counters = GuardCounters()
        counters.failed()
        assert counters.errors == 1
