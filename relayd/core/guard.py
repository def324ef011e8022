"""What a request on a listener is for: a WebSocket that may open, a plain HTTP request, or neither (RFC 6455 4.2,
RFC 9112 6).

Everything that can be said from the head alone is said here, before anything is built for the connection. The head
that goes on to the WebSocket library or to the web server is written anew from what was understood, so that nothing
behind the guard reads what it did not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from relayd.core.address import TrustedProxies
from relayd.core.admission import AdmissionLimits
from relayd.core.handshake import write_clean
from relayd.core.head import HeadLimits, RequestHead, is_token
from relayd.core.meter import BREACHES, MeterLimits
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
    REFUSALS,
    UNWANTED_BODY,
    HttpRefusal,
)

SUBPROTOCOL: Final = "relayd.v1"
#: Names in Sec-WebSocket-Protocol and offers in Sec-WebSocket-Extensions; browsers send one or two (guess).
OFFERS_MAX: Final = 16
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{22}==")
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_HTTP_METHODS: Final = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
_BODYLESS_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFLATE: Final = "permessage-deflate"
_TOKEN_TEXT: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER: Final = rf"[ \t]*;[ \t]*{_TOKEN_TEXT}(?:[ \t]*=[ \t]*(?:{_TOKEN_TEXT}|\"{_TOKEN_TEXT}\"))?"
_OFFER: Final = re.compile(rf"({_TOKEN_TEXT})((?:{_PARAMETER})*)")
#: Fields of one hop (RFC 9110 7.6.1), and who-is-it fields that only a trusted proxy may write: neither passes the
#: guard.
_NOT_PASSED_ON: Final = frozenset(
    {
        "connection",
        "forwarded",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "x-forwarded-for",
        "x-real-ip",
    }
)


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """What one listener's guard goes by. Compiled from the `listeners` and `limits` blocks."""

    head: HeadLimits = field(default_factory=HeadLimits)
    origins: OriginPolicy = field(default_factory=OriginPolicy)
    trusted_proxies: TrustedProxies = field(default_factory=TrustedProxies)
    proxy_protocol: bool = False
    prefix: str = ""  # listener.prefix, such as /feed; empty or a path without a slash at its end
    secure: bool = False  # the listener speaks TLS itself
    meter: MeterLimits = field(default_factory=MeterLimits)
    admission: AdmissionLimits = field(default_factory=AdmissionLimits)
    body_bytes: int = 64 * 1024  # of a POST; limits.message
    batch_bytes: int = 1024 * 1024  # of a POST that holds many publications; 16 times limits.message
    request_within_s: float = 10.0  # from the connection's first moment to its whole request, TLS and PROXY included
    pressed_within_s: float = 5.0  # the same while half of `pending` are waiting
    stalled_after_s: float = 10.0  # a client that takes nothing of an answer for so long is cut (deliver.slow_after)
    linger_s: float = 2.0  # how long a refused client has for reading why
    pending: int = 4_096  # connections without a whole request; the oldest goes (nginx has 512 by default)
    pending_per_address: int = 64  # of them from one address, while half are taken; trusted proxies excepted


@dataclass(slots=True)
class GuardCounters:
    """What the guards of all listeners count, described as in core/counters.py."""

    accepted: int = field(default=0, metadata={"kind": "counter", "meaning": "connections accepted"})
    handshakes: int = field(default=0, metadata={"kind": "counter", "meaning": "WebSocket handshakes let through"})
    streams: int = field(default=0, metadata={"kind": "counter", "meaning": "requests for event streams let through"})
    http_requests: int = field(default=0, metadata={"kind": "counter", "meaning": "HTTP requests let through"})
    refused: dict[str, int] = field(
        default_factory=lambda: {refusal.label: 0 for refusal in REFUSALS},  # a closed set that starts at zero
        metadata={"kind": "counter", "meaning": "requests refused, by why", "label": "why"},
    )
    breaches: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(BREACHES, 0),
        metadata={"kind": "counter", "meaning": "WebSockets closed for what they sent, by the limit", "label": "limit"},
    )
    rests: int = field(
        default=0, metadata={"kind": "counter", "meaning": "rests of WebSockets that said too much, instead of a close"}
    )
    waits: int = field(
        default=0,
        metadata={
            "kind": "counter",
            "meaning": "WebSockets that had to wait before they were let in: one of their address was just closed",
        },
    )
    evicted: int = field(
        default=0, metadata={"kind": "counter", "meaning": "half-sent requests that gave way to newer ones"}
    )
    stalled: int = field(
        default=0, metadata={"kind": "counter", "meaning": "HTTP clients cut because they did not take their answer"}
    )
    unproxied: int = field(
        default=0, metadata={"kind": "counter", "meaning": "connections without a good PROXY header"}
    )
    errors: int = field(
        default=0, metadata={"kind": "counter", "meaning": "exceptions behind the guard, each closed one connection"}
    )

    def failed(self) -> None:
        """An exception behind the guard."""
        self.errors += 1


class Handshake(NamedTuple):
    """A WebSocket that may open. `clean` is the head that the WebSocket library gets."""

    clean: bytes


@dataclass(frozen=True, slots=True)
class Plain:
    """An HTTP request. `clean` is the head that the web server gets, `body_bytes` what follows it."""

    clean: bytes
    body_bytes: int


@dataclass(frozen=True, slots=True)
class Stream:
    """A request for an event stream. `cors` are the headers by which a browser lets the page that asks read it."""

    cors: tuple[tuple[str, str], ...]


def judge(head: RequestHead, settings: GuardSettings) -> Handshake | Stream | Plain | HttpRefusal:
    """Say what a request is for. `head.client` is to be filled in before."""
    path, prefix = head.path, settings.prefix
    raw = f"{prefix}/raw/"
    wants_websocket = head.has_token("upgrade", "websocket")
    if path == f"{prefix}/ws" or (path.startswith(raw) and path != raw):
        return _judge_websocket(head, settings, wants_websocket, is_raw=path.startswith(raw))
    if wants_websocket:
        return NO_WEBSOCKET_HERE
    plain = _judge_plain(head, settings)
    if head.method == "GET" and path == f"{prefix}/sse" and isinstance(plain, Plain):
        return _judge_stream(head, settings)
    return plain


def _judge_stream(head: RequestHead, settings: GuardSettings) -> Stream | HttpRefusal:
    origin, host = head.get("origin"), head.get("host") or ""
    if origin is None:
        return Stream(())  # a page's own requests carry none, and `require_origin` is about WebSockets
    refusal = settings.origins.refuse(origin, host, secure=settings.secure)
    if refusal is not None:
        return refusal
    cors = [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]
    if settings.origins.vouches(origin, host, secure=settings.secure):
        cors.append(("Access-Control-Allow-Credentials", "true"))
    return Stream(tuple(cors))


def _judge_websocket(
    head: RequestHead, settings: GuardSettings, wants_websocket: bool, is_raw: bool
) -> Handshake | HttpRefusal:
    if head.method != "GET":
        return BAD_WEBSOCKET_METHOD
    if head.version != "1.1":
        return BAD_VERSION
    if not wants_websocket:
        return NO_UPGRADE
    if not head.has_token("connection", "upgrade"):
        return NO_CONNECTION_UPGRADE
    if head.get("transfer-encoding") is not None:
        return CHUNKED
    if head.get("content-length") not in (None, "0"):
        return UNWANTED_BODY
    if head.get("sec-websocket-version") != "13":
        return BAD_WEBSOCKET_VERSION
    if _KEY.fullmatch(head.get("sec-websocket-key") or "") is None:
        return BAD_KEY
    refusal = settings.origins.refuse(head.get("origin"), head.get("host") or "", secure=settings.secure)
    if refusal is not None:
        return refusal
    protocols = head.items("sec-websocket-protocol")
    if len(protocols) > OFFERS_MAX or len(set(protocols)) < len(protocols) or not all(map(is_token, protocols)):
        return BAD_SUBPROTOCOL
    if protocols and not is_raw:
        if SUBPROTOCOL not in protocols:
            return NO_SUBPROTOCOL
        protocols = [SUBPROTOCOL]
    deflate = _read_extensions(head.items("sec-websocket-extensions"))
    if deflate is None:
        return BAD_EXTENSION
    # The Origin has done its duty and stays behind.
    host, key = head.get("host") or "", head.get("sec-websocket-key") or ""
    return Handshake(write_clean(head.target, host, key, protocols, deflate))


def _judge_plain(head: RequestHead, settings: GuardSettings) -> Plain | HttpRefusal:
    if head.method not in _HTTP_METHODS:
        return BAD_METHOD
    if head.get("transfer-encoding") is not None:
        return CHUNKED
    length = head.get("content-length")
    if length is None:
        length = "0"
    elif _LENGTH.fullmatch(length) is None:
        return BAD_LENGTH
    body_bytes = int(length)
    if body_bytes and head.method in _BODYLESS_METHODS:
        return UNWANTED_BODY
    is_batch = head.method == "POST" and head.path in (f"{settings.prefix}/topics", f"{settings.prefix}/topics/")
    if body_bytes > (settings.batch_bytes if is_batch else settings.body_bytes):
        return BATCH_TOO_LARGE if is_batch else BODY_TOO_LARGE
    return Plain(_clean_request(head), body_bytes)


def _read_extensions(offers: list[str]) -> list[str] | None:
    """The offers of permessage-deflate among `offers`, in order; None where one is malformed. Their values are
    judged by who accepts them.
    """
    if len(offers) > OFFERS_MAX:
        return None
    deflate = []
    for offer in offers:
        match = _OFFER.fullmatch(offer)
        if match is None:
            return None
        if match[1].lower() == _DEFLATE:
            deflate.append(offer)
    return deflate


def _clean_request(head: RequestHead) -> bytes:
    """The request without fields of one hop, for one answer and no second request; X-Forwarded-For says who
    `client` is, or is absent.
    """
    lines = [f"{head.method} {head.target} HTTP/{head.version}"]
    lines += [f"{name}: {value}" for name, value in head.fields if name not in _NOT_PASSED_ON]
    if head.client:
        lines.append(f"x-forwarded-for: {head.client}")
    lines.append("connection: close")
    return "\r\n".join([*lines, "", ""]).encode("ascii")
