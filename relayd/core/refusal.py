"""What relayd answers to a request that it does not serve: one fixed JSON body for each reason, nothing of the
client's bytes in it.

The table is the whole vocabulary of the guard and of admission. `code` is what a program reads (docs/protocol.md,
"Codes"), `message` names the setting that decides, `label` counts the reason in the metrics. Status lines and
reason phrases follow RFC 9110 15 and RFC 6585; a reason phrase is looked up here and never composed, because a
composed one is a way into the response head.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

PHRASES: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "Bad Request",
        401: "Unauthorized",
        403: "Forbidden",
        404: "Not Found",
        405: "Method Not Allowed",
        408: "Request Timeout",
        409: "Conflict",
        413: "Content Too Large",
        414: "URI Too Long",
        415: "Unsupported Media Type",
        426: "Upgrade Required",
        429: "Too Many Requests",
        431: "Request Header Fields Too Large",
        500: "Internal Server Error",
        503: "Service Unavailable",
        505: "HTTP Version Not Supported",
    }
)


@dataclass(frozen=True, slots=True)
class HttpRefusal:
    """A refused request: its status, what a program and a person read, and further header lines.

    `label` names the reason in the metrics; it is one of a fixed set. `retry_after_s` is sent as `Retry-After`
    (whole seconds).
    """

    status: int
    code: str
    label: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()
    retry_after_s: int | None = None

    def later(self, retry_after_s: int) -> HttpRefusal:
        """The same refusal with a `Retry-After` of so many seconds."""
        return replace(self, retry_after_s=retry_after_s)

    def with_headers(self, headers: tuple[tuple[str, str], ...]) -> HttpRefusal:
        """The same refusal with further header lines."""
        return replace(self, headers=self.headers + headers)

    def body(self) -> bytes:
        """The JSON body: `{"code": ..., "message": ...}`."""
        return json.dumps({"code": self.code, "message": self.message}).encode()

    def render(self) -> bytes:
        """The whole HTTP/1.1 response. It always says `Connection: close`: after a refusal nothing more is read as
        a request.
        """
        body = self.body()
        lines = [
            f"HTTP/1.1 {self.status} {PHRASES[self.status]}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "Connection: close" if self.status != 426 else "Connection: Upgrade, close",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        if self.retry_after_s is not None:
            lines.append(f"Retry-After: {self.retry_after_s}")
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _bad_request(label: str, message: str) -> HttpRefusal:
    return HttpRefusal(400, "bad_request", label, message)


# The request line and the header section (RFC 9112 2-5).
BAD_BYTE: Final = _bad_request(
    "bad_byte",
    "a request head is printable ASCII in lines that end in CR LF, and this one is not",
)
BAD_REQUEST_LINE: Final = _bad_request("bad_request_line", "the request line is not METHOD SP TARGET SP HTTP/1.1")
BAD_TARGET: Final = _bad_request(
    "bad_target", "the request target must be a path with an optional query, such as /ws?topics=a"
)
BAD_FIELD: Final = _bad_request("bad_field", "a header line is not NAME: VALUE, with no space before the colon")
FOLDED_FIELD: Final = _bad_request("folded_field", "a header line is folded over two lines, which HTTP/1.1 gave up")
REPEATED_FIELD: Final = _bad_request("repeated_field", "a header that may stand once stands twice")
NO_HOST: Final = _bad_request("no_host", "the Host header is missing")
BAD_HOST: Final = _bad_request("bad_host", "the Host header is not HOST or HOST:PORT")
BAD_LENGTH: Final = _bad_request("bad_length", "Content-Length is not a whole number of bytes")
CHUNKED: Final = _bad_request(
    "chunked", "a request body must come with Content-Length; Transfer-Encoding is not served"
)
UNWANTED_BODY: Final = _bad_request("unwanted_body", "this request has a body, and no body belongs here")
HEAD_TOO_LARGE: Final = HttpRefusal(431, "too_large", "head_too_large", "the request head is larger than limits.head")
TOO_MANY_FIELDS: Final = HttpRefusal(431, "too_large", "too_many_fields", "the request has more than 64 header lines")
TARGET_TOO_LONG: Final = HttpRefusal(
    414,
    "too_large",
    "target_too_long",
    "the request target is longer than 2 KiB; subscribe in messages instead of ?topics=",
)
BODY_TOO_LARGE: Final = HttpRefusal(
    413, "too_large", "body_too_large", "the request body is larger than limits.message"
)
BATCH_TOO_LARGE: Final = HttpRefusal(
    413, "too_large", "batch_too_large", "the batch is larger than 16 times limits.message: send several"
)
TOO_MANY_BODIES: Final = HttpRefusal(
    503, "unavailable", "bodies", "64 MiB of request bodies are under way already", retry_after_s=5
)
BAD_VERSION: Final = HttpRefusal(
    505, "bad_request", "http_version", "HTTP/1.1 is served here, and a WebSocket needs it"
)
REQUEST_TIMEOUT: Final = HttpRefusal(
    408,
    "bad_request",
    "request_timeout",
    "the request, head and body, was not complete in time (10 s, 5 s under pressure)",
)

# The WebSocket handshake (RFC 6455 4.2).
NO_UPGRADE: Final = HttpRefusal(
    426, "bad_request", "no_upgrade", "this path speaks WebSocket: send Upgrade: websocket", (("Upgrade", "websocket"),)
)
BAD_WEBSOCKET_VERSION: Final = HttpRefusal(
    426,
    "bad_request",
    "websocket_version",
    "version 13 of the WebSocket protocol is served here (RFC 6455)",
    (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")),
)
NO_CONNECTION_UPGRADE: Final = _bad_request(
    "no_connection_upgrade", "Connection: Upgrade is missing; a proxy before relayd must pass it on"
)
BAD_KEY: Final = _bad_request("bad_key", "Sec-WebSocket-Key must be 16 bytes in base64, once")
BAD_SUBPROTOCOL: Final = _bad_request("bad_subprotocol", "Sec-WebSocket-Protocol must list at most 16 different names")
NO_SUBPROTOCOL: Final = _bad_request(
    "no_subprotocol", "none of the subprotocols offered is served here: offer relayd.v1, or none at all"
)
BAD_EXTENSION: Final = _bad_request(
    "bad_extension", "Sec-WebSocket-Extensions must list at most 16 well-formed offers (RFC 6455 9.1)"
)
NO_WEBSOCKET_HERE: Final = HttpRefusal(
    404,
    "unknown_path",
    "no_websocket_here",
    "no WebSocket here: they are at /ws and /raw/TOPIC under the listener's prefix",
)
NO_STREAMS: Final = HttpRefusal(404, "unknown_path", "no_streams", "no event streams here")
BAD_METHOD: Final = HttpRefusal(
    405, "bad_request", "method", "this method is not served here", (("Allow", "GET, HEAD, POST, OPTIONS"),)
)
BAD_WEBSOCKET_METHOD: Final = HttpRefusal(
    405, "bad_request", "websocket_method", "a WebSocket begins with GET", (("Allow", "GET"),)
)

# Who may come in.
ORIGIN_REFUSED: Final = HttpRefusal(
    403, "forbidden", "origin", "pages of this Origin are not in the listener's origins"
)
ORIGIN_MISSING: Final = HttpRefusal(
    403, "forbidden", "no_origin", "a request without Origin is refused by the listener's require_origin"
)
ORIGIN_MALFORMED: Final = HttpRefusal(
    403, "forbidden", "bad_origin", "the Origin header is not SCHEME://HOST or SCHEME://HOST:PORT"
)
TOO_MANY_CONNECTIONS: Final = HttpRefusal(503, "unavailable", "connections", "limits.connections is reached")
TOO_MANY_FROM_ADDRESS: Final = HttpRefusal(
    429, "rate_limited", "per_address", "limits.per_address is reached for this address"
)
TOO_MANY_HANDSHAKES: Final = HttpRefusal(503, "unavailable", "handshakes", "limits.handshakes is reached")
DRAINING: Final = HttpRefusal(503, "unavailable", "draining", "relayd is going down or restarting")
OVERLOADED: Final = HttpRefusal(503, "unavailable", "overloaded", "limits.memory or limits.lag is reached")
INTERNAL: Final = HttpRefusal(500, "internal", "internal", "an error in relayd; its log says more")

#: Every refusal, in the order of this page; the labels of the metrics are taken from it.
REFUSALS: Final[tuple[HttpRefusal, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, HttpRefusal)
)
