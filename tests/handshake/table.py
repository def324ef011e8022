"""Opening handshakes, one line each: what is sent, and what the guard makes of it.

`ok` is a WebSocket that opens; anything else is the label of a refusal in core/refusal.py. The first part is what
clients and proxies of this world really send, the rest what they do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

OK: Final = "ok"
KEY: Final = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
BASE: Final = (
    "GET /ws HTTP/1.1",
    "Host: relay.example.com",
    "Upgrade: websocket",
    "Connection: Upgrade",
    KEY,
    "Sec-WebSocket-Version: 13",
)
HOST, UPGRADE, CONNECTION, KEY_LINE, VERSION = 1, 2, 3, 4, 5


@dataclass(frozen=True, slots=True)
class Case:
    """One head and the answer it gets."""

    name: str
    head: bytes
    answer: str


def _join(lines: tuple[str, ...] | list[str]) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def replaced(at: int, line: str | None) -> bytes:
    """The base with one line replaced, or left out."""
    return _join(
        [kept for index, kept in enumerate(BASE) if index != at]
        if line is None
        else [*BASE[:at], line, *BASE[at + 1 :]]
    )


def added(*lines: str) -> bytes:
    """The base with lines after its own."""
    return _join([*BASE, *lines])


def clients() -> Iterator[Case]:
    """Heads as they were seen, shortened where that changes nothing."""
    key, version, upgrade, connection = KEY, "Sec-WebSocket-Version: 13", "Upgrade: websocket", "Connection: Upgrade"
    host, origin = "Host: relay.example.com", "Origin: https://relay.example.com"
    deflate = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
    seen: dict[str, list[str]] = {
        "chrome": [
            host, connection, "Pragma: no-cache", "Cache-Control: no-cache",
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/149.0.0.0",
            upgrade, origin, version, "Accept-Encoding: gzip, deflate, br, zstd", "Accept-Language: en-US,en;q=0.9",
            "Cookie: session=abc; theme=dark", key, deflate,
        ],
        "firefox": [
            host, "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0", "Accept: */*",
            "Accept-Language: de,en-US;q=0.7,en;q=0.3", "Accept-Encoding: gzip, deflate, br, zstd", version, origin,
            "Sec-WebSocket-Extensions: permessage-deflate", key, "Connection: keep-alive, Upgrade",
            "Sec-Fetch-Dest: empty", "Sec-Fetch-Mode: websocket", "Sec-Fetch-Site: same-origin", "Pragma: no-cache",
            "Cache-Control: no-cache", upgrade,
        ],
        "safari": [
            host, "Upgrade: websocket", "Accept-Encoding: gzip, deflate", "Connection: Upgrade", origin,
            "Sec-WebSocket-Extensions: permessage-deflate", "Sec-Fetch-Mode: websocket", version, key,
            "Sec-Fetch-Dest: websocket",
        ],
        "browser with subprotocol": [host, connection, upgrade, origin, version, key,
        "Sec-WebSocket-Protocol: relayd.v1"],
        "python websockets": [
            host, upgrade, connection, key, version,
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
            "User-Agent: Python/3.12 websockets/15.0",
        ],
        "websocket-client": [upgrade, host, "Origin: http://relay.example.com", key, version, connection],
        "lomond": [host, upgrade, connection, version, key, "User-Agent: Lomond/0.3.3"],
        "aiohttp": [
            "Host: relay.example.com:8080", upgrade, connection, version, key,
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
            "Accept: */*", "Accept-Encoding: gzip, deflate", "User-Agent: Python/3.12 aiohttp/3.13",
        ],
        "node ws": [version, key, connection, upgrade, deflate, host],
        "gorilla": [host, "User-Agent: Go-http-client/1.1", connection, key, version, upgrade],
        "okhttp": [
            upgrade, connection, key, version, "Sec-WebSocket-Extensions: permessage-deflate", host,
            "Accept-Encoding: gzip",
            "User-Agent: okhttp/5.0.0",
        ],
        "tungstenite": [host, connection, upgrade, version, key],
        "dotnet": [host, connection, upgrade, version, key, "Sec-WebSocket-Protocol: relayd.v1,other"],
        "java": [connection, host, "Content-Length: 0", key, version, upgrade, "User-Agent: Java-http-client/21"],
        "curl": [host, "User-Agent: curl/8.14.1", "Accept: */*", upgrade, version, key, connection],
        "autobahn": [host, "User-Agent: AutobahnPython/26.10.2", "Upgrade: WebSocket", connection, "Pragma: no-cache",
                     "Cache-Control: no-cache", key, version],
        "behind nginx": [
            "Upgrade: websocket", "Connection: upgrade", host, "X-Real-IP: 198.51.100.7",
            "X-Forwarded-For: 198.51.100.7",
            "X-Forwarded-Proto: https", origin, version, key,
        ],
        "behind haproxy": ["host: relay.example.com", "upgrade: websocket", "connection: upgrade",
        "origin: https://relay.example.com",
                           "sec-websocket-version: 13", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
                           "x-forwarded-for: 198.51.100.7"],
        "behind cloudflare": [
            host, "Connection: Upgrade", "Upgrade: websocket", "CF-RAY: 8a1-FRA", 'CF-Visitor: {"scheme":"https"}',
            "CF-Connecting-IP: 198.51.100.7", "X-Forwarded-For: 198.51.100.7, 10.0.0.1", origin, version, key, deflate,
        ],
        "behind an AWS balancer": [
            "X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: https", "X-Forwarded-Port: 443", host,
            "X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678", origin, upgrade, connection, version, key,
        ],
        "behind envoy": ["host: relay.example.com", "upgrade: websocket", "connection: Upgrade",
        "sec-websocket-version: 13",
                         "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "x-request-id: 7a1c", "content-length: 0"],
        "by IPv6": ["Host: [2001:db8::1]:8080", upgrade, connection, key, version],
        "by address": ["Host: 192.0.2.1:8080", upgrade, connection, key, version],
        "with a token": [host, upgrade, connection, key, version,
        "Authorization: Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln"],
    }  # fmt: skip
    for name, lines in seen.items():
        yield Case(name, _join(["GET /ws HTTP/1.1", *lines]), OK)


def accepted() -> Iterator[Case]:
    """What the grammar leaves free."""
    for target in (
        "/ws?topics=market/ticker/BTC-USD,a",
        "/ws?",
        "/ws?a=b?c=%20{|}^`[]'()*!;:@$&+",
        "/raw/a",
        "/raw/kraken/ticker/BTC~2FUSD",
    ):
        yield Case(f"target {target}", replaced(0, f"GET {target} HTTP/1.1"), OK)
    for line in (
        "Upgrade: WEBSOCKET",
        "Upgrade:websocket",
        "Upgrade: \t websocket \t",
        "upgrade: websocket",
        "Upgrade: h2c, websocket",
    ):
        yield Case(line, replaced(UPGRADE, line), OK)
    for line in (
        "Connection: upgrade",
        "Connection: keep-alive, Upgrade",
        "Connection:Upgrade,",
        "Connection: ,,Upgrade",
    ):
        yield Case(line, replaced(CONNECTION, line), OK)
    for line in ("Host: A.B.C", "Host: localhost", "Host: a_b:1", "Host: [::1]", "Host: 127.0.0.1:65535"):
        yield Case(line, replaced(HOST, line), OK)
    yield Case("Connection twice", added("Connection: keep-alive"), OK)
    yield Case("empty field", added("X-Empty:"), OK)
    yield Case("every character of a name", added("!#$%&'*+-.^_`|~09azAZ: b"), OK)
    yield Case("every character of a value", added("A: " + "".join(map(chr, range(0x21, 0x7F)))), OK)
    yield Case("64 header lines", added(*[f"X-{number}: a" for number in range(59)]), OK)
    yield Case("8 KiB", added("A: " + "a" * (8192 - len(added("A: ")))), OK)
    yield Case("target of 2 KiB", replaced(0, f"GET /ws?{'a' * 2044} HTTP/1.1"), OK)
    yield Case("no length", added("Content-Length: 0"), OK)
    for offer in (
        "relayd.v1",
        "chat, relayd.v1",
        "relayd.v1,chat",
        ",relayd.v1,",
        ", ".join(["relayd.v1", *map(str, range(15))]),
    ):
        yield Case(f"subprotocol {offer}", added(f"Sec-WebSocket-Protocol: {offer}"), OK)
    yield Case(
        "subprotocols in two lines", added("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: relayd.v1"), OK
    )
    for offer in (
        "permessage-deflate", "permessage-deflate; server_no_context_takeover; client_max_window_bits=10",
        'permessage-deflate; client_max_window_bits="15"', "permessage-deflate;client_max_window_bits = 8",
        "permessage-deflate; client_max_window_bits=7", "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=15abc", "permessage-deflate; a; a; a=1",
        "permessage-deflate; unknown",
        "x-webkit-deflate-frame", "constructor", "__proto__; toString=1", "permessage-brotli",
        "permessage-bzip2; level=9",
        ", ".join(["permessage-deflate"] * 16), "a;b;c=d,e",
    ):  # fmt: skip
        yield Case(f"extension {offer}", added(f"Sec-WebSocket-Extensions: {offer}"), OK)


def malformed() -> Iterator[Case]:
    """What is no HTTP/1.1 head."""
    for byte in [*range(9), *range(11, 13), *range(14, 32), 127, 128, 0xA0, 0xC3, 0xE9, 0xFF]:
        character = chr(byte)
        yield Case(f"byte {byte:#04x} in a value", added(f"A: b{character}c"), "bad_byte")
        yield Case(f"byte {byte:#04x} in a name", added(f"A{character}: b"), "bad_byte")
        yield Case(f"byte {byte:#04x} in the target", replaced(0, f"GET /ws{character} HTTP/1.1"), "bad_byte")
    for character in '"(),/;<=>?@[\\]{}':
        yield Case(f"{character} in a name", added(f"A{character}B: c"), "bad_field")
    for name in ("", " A", "A ", "A\t", "A B"):
        label = "folded_field" if name.startswith(" ") else "bad_field"
        yield Case(f"name {name!r}", added(f"{name}: b"), label)
    yield Case("no colon", added("A"), "bad_field")
    yield Case("a space before the colon of Host", replaced(HOST, "Host : a"), "bad_field")
    yield Case("folded", added("A: b", " c"), "folded_field")
    yield Case("folded by a tab", added("A: b", "\tc"), "folded_field")
    yield Case("folded first line", _join([BASE[0], " Host: a", *BASE[1:]]), "folded_field")
    yield Case("bare LF after the request line", _join(list(BASE)).replace(b"1.1\r\n", b"1.1\n"), "bad_byte")
    yield Case("bare LF after a field", added("A: b\nB: c"), "bad_byte")
    yield Case("bare LF everywhere", _join(list(BASE)).replace(b"\r\n", b"\n"), "bad_byte")
    yield Case("bare CR", added("A: b\rB: c"), "bad_byte")
    yield Case("CR CR LF", added("A: b\r"), "bad_byte")
    yield Case("LF CR", _join(list(BASE)).replace(b"\r\n", b"\n\r"), "bad_byte")
    yield Case("an empty line first", b"\r\n" + _join(list(BASE)), "bad_request_line")
    yield Case("byte order mark", b"\xef\xbb\xbf" + _join(list(BASE)), "bad_byte")
    yield Case("a TLS client", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32), "bad_byte")
    yield Case("a PROXY header", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + _join(list(BASE)), "bad_request_line")
    yield Case("SSH", b"SSH-2.0-OpenSSH_9.2\r\n", "bad_request_line")
    yield Case("Redis", b"*1\r\n$4\r\nPING\r\n", "bad_request_line")
    yield Case("SMTP", b"EHLO a\r\n", "bad_request_line")
    yield Case("flash policy", b"<policy-file-request/>\x00", "bad_byte")
    for line in (
        "GET /ws", "GET  /ws HTTP/1.1", "GET /ws  HTTP/1.1", "GET /ws HTTP/1.1 ", "GET\t/ws\tHTTP/1.1",
        "GET /ws HTTP/1", "GET /ws HTTP/11",
        "GET /ws HTTP/1.1.1", "GET /ws HTTP/1.10", "GET /ws HTTP/01.1", "GET /ws http/1.1", "GET /ws HTP/1.1",
        "GET /ws HTTP 1.1", "GET /ws x HTTP/1.1",
        "/ws HTTP/1.1", " GET /ws HTTP/1.1", "G(T /ws HTTP/1.1", "GET: /ws HTTP/1.1", "HTTP/1.1 101 Switching", "",
        "GET /ws HTTPS/1.1", "GET /ws HTTP/+1.1",
    ):  # fmt: skip
        yield Case(f"request line {line!r}", replaced(0, line), "bad_request_line")
    for version in ("0.9", "1.2", "1.9", "2.0", "2.1", "3.0", "9.9", "0.0"):
        yield Case(f"HTTP/{version}", replaced(0, f"GET /ws HTTP/{version}"), "http_version")
    yield Case("HTTP/1.0", replaced(0, "GET /ws HTTP/1.0"), "http_version")
    yield Case("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http_version")
    for target in (
        "*", "ws", "http://relay.example.com/ws", "https://a/ws", "ws://a/ws", "//evil/ws", "//ws",
        "relay.example.com:80",
        "/ws#fragment", '/ws"', "/ws<script>", "/ws\\..", "\\ws", "?topics=a", "#", "./ws", "../ws", "%2fws",
    ):  # fmt: skip
        yield Case(f"target {target}", replaced(0, f"GET {target} HTTP/1.1"), "bad_target")


def too_much() -> Iterator[Case]:
    """Bounds, one beyond."""
    yield Case("65 header lines", added(*[f"X-{number}: a" for number in range(60)]), "too_many_fields")
    yield Case("a header 1,000 times", added(*["A: b"] * 1000), "too_many_fields")
    yield Case("8 KiB and a byte", added("A: " + "a" * (8193 - len(added("A: ")))), "head_too_large")
    yield Case("an endless value", _join(list(BASE))[:-2] + b"A: " + b"a" * 20_000, "head_too_large")
    yield Case("an endless name", _join(list(BASE))[:-2] + b"a" * 20_000, "head_too_large")
    yield Case("endless blanks", _join(list(BASE))[:-2] + b"A:" + b" " * 20_000, "head_too_large")
    yield Case("a target of 2 KiB and a byte", replaced(0, f"GET /{'a' * 2048} HTTP/1.1"), "target_too_long")
    yield Case("an endless target", b"GET /" + b"a" * 20_000, "target_too_long")
    yield Case("an endless method", b"G" * 20_000, "target_too_long")
    yield Case(
        "1,000 subprotocols", added("Sec-WebSocket-Protocol: " + ",".join(map(str, range(1000)))), "bad_subprotocol"
    )
    yield Case(
        "17 subprotocols",
        added("Sec-WebSocket-Protocol: " + ",".join(["relayd.v1", *map(str, range(16))])),
        "bad_subprotocol",
    )
    yield Case("1,000 extensions", added("Sec-WebSocket-Extensions: " + ",".join(["a"] * 1000)), "bad_extension")
    yield Case(
        "17 extensions", added("Sec-WebSocket-Extensions: " + ",".join(["permessage-deflate"] * 17)), "bad_extension"
    )
    yield Case("a long row of semicolons", added("Sec-WebSocket-Extensions: a" + ";" * 5000), "bad_extension")
    yield Case("a long row of parameters", added("Sec-WebSocket-Extensions: a" + ";b=c" * 1500 + "!="), "bad_extension")
    yield Case("a long row of blanks", added("Sec-WebSocket-Extensions: a;" + " " * 5000 + ";"), "bad_extension")


def repeated() -> Iterator[Case]:
    """What may stand once."""
    for line in (BASE[HOST], KEY, BASE[VERSION]):
        yield Case(f"twice {line}", added(line), "repeated_field")
        yield Case(f"twice {line.lower()}", added(line.lower()), "repeated_field")
    for name in (
        "Origin",
        "Content-Length",
        "Transfer-Encoding",
        "Authorization",
        "Cookie",
        "Content-Type",
        "Last-Event-ID",
    ):
        yield Case(f"twice {name}", added(f"{name}: 0", f"{name}: 0"), "repeated_field")


def handshakes() -> Iterator[Case]:
    """Good heads that are no handshake for us."""
    yield Case("no Host", replaced(HOST, None), "no_host")
    for host in (
        "",
        "a b",
        "a:b",
        "a:",
        ":80",
        "a:65536",
        "a:-1",
        "a,b",
        "a/b",
        "a@b",
        "[::1",
        "::1",
        "[::g]",
        "[]",
        "http://a",
        "a?b",
        "a%00",
        "<a>",
    ):
        yield Case(f"Host {host!r}", replaced(HOST, f"Host: {host}"), "bad_host")
    yield Case("no Upgrade", replaced(UPGRADE, None), "no_upgrade")
    for value in ("", "h2c", "web socket", "websockets", "websocket/13", "TLS/1.0"):
        yield Case(f"Upgrade {value!r}", replaced(UPGRADE, f"Upgrade: {value}"), "no_upgrade")
    yield Case("no Connection", replaced(CONNECTION, None), "no_connection_upgrade")
    for value in ("", "keep-alive", "close", "Upgraded", "Up grade", "Upgrade;a"):
        yield Case(f"Connection {value!r}", replaced(CONNECTION, f"Connection: {value}"), "no_connection_upgrade")
    yield Case("no Key", replaced(KEY_LINE, None), "bad_key")
    for value in (
        "", "a", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZQ==,", "dGhlIHNhbXBsZSBub25j!Q==",
        "dGhlIHNhbXBsZSBub25jZQ== dGhl", "dGhlIHNhbXBsZSBub25jZWE=", "dGhlIHNhbXBsZSBub25jZWFh",
        "====================", "dGhlIHNhbXBsZSBub25jZQ-_",
        "=" * 24, "A" * 24, "A" * 22, "A" * 1000, "<script>alert(1)</script>",
    ):  # fmt: skip
        yield Case(f"Key {value!r}", replaced(KEY_LINE, f"Sec-WebSocket-Key: {value}"), "bad_key")
    yield Case("no version", replaced(VERSION, None), "websocket_version")
    for value in (
        "",
        "0",
        "7",
        "8",
        "12",
        "14",
        "99",
        "013",
        "13.0",
        "+13",
        "-13",
        "13, 8",
        "13,13",
        "8, 13",
        "1 3",
        "0xd",
        "thirteen",
        str(2**64),
        str(2**64 + 13),
    ):
        yield Case(f"version {value!r}", replaced(VERSION, f"Sec-WebSocket-Version: {value}"), "websocket_version")
    for method in (
        "POST",
        "HEAD",
        "PUT",
        "DELETE",
        "OPTIONS",
        "CONNECT",
        "TRACE",
        "PATCH",
        "get",
        "Get",
        "GETT",
        "X" * 20,
    ):
        yield Case(f"method {method}", replaced(0, f"{method} /ws HTTP/1.1"), "websocket_method")
    for target in (
        "/",
        "/ws/",
        "/wss",
        "/WS",
        "/%77s",
        "/ws%20",
        "/raw",
        "/raw/",
        "/topics",
        "/../ws",
        "/./ws",
        "/x/ws",
        "/ws;a",
        "/ws%00",
        "/ws&a",
    ):
        yield Case(f"path {target}", replaced(0, f"GET {target} HTTP/1.1"), "no_websocket_here")
    for value in ("1", "00", "-1", "+0", "0x0", "1_0", "1e1", "", "0, 0", "0 0", "99999999999999999999"):
        yield Case(f"Content-Length {value!r}", added(f"Content-Length: {value}"), "unwanted_body")
    for value in ("chunked", "identity", "gzip, chunked", "", "xchunked", "chunked, identity", "CHUNKED"):
        yield Case(f"Transfer-Encoding {value!r}", added(f"Transfer-Encoding: {value}"), "chunked")
    yield Case("both lengths", added("Content-Length: 0", "Transfer-Encoding: chunked"), "chunked")
    for value in (
        "https://evil.com", "null", "https://relay.example.com.evil.com", "https://evil-relay.example.com",
        "http://relay.example.com:81",
        "https://relay.example.com:8443", "https://xn--rlay-5sa.example.com", "chrome-extension://relay.example.com",
    ):  # fmt: skip
        yield Case(f"Origin {value}", added(f"Origin: {value}"), "origin")
    for value in (
        "", "relay.example.com", "https://relay.example.com/", "https://relay.example.com@evil.com",
        "https://evil.com https://relay.example.com",
        "https://relay.example.com,https://evil.com", "https://relay.example.com:", "//relay.example.com",
        "https:relay.example.com", "*",
    ):  # fmt: skip
        yield Case(f"Origin {value!r}", added(f"Origin: {value}"), "bad_origin")
    for value in ("chat", "relayd.v2", "RELAYD.V1", "relayd.v1.0", "relayd"):
        yield Case(f"subprotocol {value!r}", added(f"Sec-WebSocket-Protocol: {value}"), "no_subprotocol")
    for value in (
        "relayd.v1, relayd.v1",
        "a, a",
        "relayd v1",
        "relayd.v1; q=1",
        '"relayd.v1"',
        "relayd.v1, a/b",
        "(relayd.v1)",
    ):
        yield Case(f"subprotocol {value!r}", added(f"Sec-WebSocket-Protocol: {value}"), "bad_subprotocol")
    for value in (
        'permessage-deflate; a="', 'permessage-deflate; a="b', 'a; b=""', 'a; b="c d"', "a; b=c=d", "a b", ";a",
        "a;;b", "a; =b", "a; b=", "=a", "permessage-deflate;",
        "permessage-deflate; client_max_window_bits=(15)", '"permessage-deflate"', "a/b", 'a; b="c\\"d"', "a; b = ",
    ):  # fmt: skip
        yield Case(f"extension {value!r}", added(f"Sec-WebSocket-Extensions: {value}"), "bad_extension")


CASES: Final[tuple[Case, ...]] = tuple(
    case for part in (clients, accepted, malformed, too_much, repeated, handshakes) for case in part()
)
