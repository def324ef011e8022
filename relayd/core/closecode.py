"""Why relayd closes a WebSocket: the one table that the server, the client, the metrics and the documentation read.

A script sees the code and the reason of a close frame and nothing else, so the pair must say whether to come back:
4000-4499 come back, 4500-4999 do not come back as you are; for the codes of RFC 6455 the table decides. The reason is
the name, or `name; retry=SECONDS` where the server knows better than the client's own backoff. It is fixed ASCII and
never holds a byte that a client sent (source: docs/protocol.md, "Close codes").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

#: A control frame carries at most 125 bytes, two of them the code (RFC 6455 5.5, 5.5.1).
REASON_BYTES_MAX: Final = 123

#: The longest hint that is sent: more than a day is no hint, and it bounds the digits of a reason (guess).
RETRY_S_MAX: Final = 86_400


@dataclass(frozen=True, slots=True)
class CloseCode:
    """One row: the name of a close, its code, whether the client may come back as it is, and why it happens."""

    name: str
    code: int
    may_come_back: bool
    meaning: str


CLOSE_DONE: Final = CloseCode("done", 1000, False, "the connection has served its purpose")
CLOSE_PROTOCOL: Final = CloseCode("protocol", 1002, False, "what the client sent is not WebSocket (RFC 6455)")
CLOSE_BINARY: Final = CloseCode("binary", 1003, False, "a binary message where text is meant")
CLOSE_BAD_UTF8: Final = CloseCode("bad-utf8", 1007, False, "a text message or a compressed one that does not decode")
CLOSE_POLICY: Final = CloseCode("policy", 1008, True, "more frames, messages or bytes than the listener allows")
CLOSE_TOO_BIG: Final = CloseCode("too-big", 1009, False, "a message over limits.message, or in too many fragments")
CLOSE_INTERNAL: Final = CloseCode("internal", 1011, True, "an error in relayd; its log says more")
CLOSE_RESTART: Final = CloseCode("restart", 1012, True, "relayd drains or restarts")
CLOSE_OVERLOADED: Final = CloseCode("overloaded", 1013, True, "relayd has no room at the moment")
CLOSE_TOKEN_EXPIRED: Final = CloseCode("token-expired", 4005, True, "the token ran out; come back with a fresh one")
CLOSE_SLOW: Final = CloseCode("slow", 4008, True, "the client read nothing for deliver.slow_after")
CLOSE_POSITION_LOST: Final = CloseCode("position-lost", 4010, True, "a loss on a connection that cannot be told of it")
CLOSE_UPSTREAM: Final = CloseCode("upstream", 4011, True, "the upstream of this browser's own connection is gone")
CLOSE_NO_PONG: Final = CloseCode("no-pong", 4012, True, "two pings in a row had no answer")
CLOSE_BAD_TOKEN: Final = CloseCode("bad-token", 4500, False, "the token is not valid here")
CLOSE_BAD_REQUEST: Final = CloseCode("bad-request", 4501, False, "requests that relayd does not understand")
CLOSE_NO_AUTH: Final = CloseCode("no-auth", 4502, False, "no token within auth.within")
CLOSE_FORBIDDEN: Final = CloseCode("forbidden", 4503, False, "what was asked for is not open to this client")
CLOSE_TOO_MANY_CONNECTIONS: Final = CloseCode(
    "too-many-connections", 4504, False, "limits.connections or limits.per_address is reached"
)
CLOSE_TOO_MANY_TOPICS: Final = CloseCode("too-many-topics", 4505, False, "limits.topics_per_client is reached")

#: Every close that relayd sends, by ascending code.
CLOSE_CODES: Final[tuple[CloseCode, ...]] = (
    CLOSE_DONE,
    CLOSE_PROTOCOL,
    CLOSE_BINARY,
    CLOSE_BAD_UTF8,
    CLOSE_POLICY,
    CLOSE_TOO_BIG,
    CLOSE_INTERNAL,
    CLOSE_RESTART,
    CLOSE_OVERLOADED,
    CLOSE_TOKEN_EXPIRED,
    CLOSE_SLOW,
    CLOSE_POSITION_LOST,
    CLOSE_UPSTREAM,
    CLOSE_NO_PONG,
    CLOSE_BAD_TOKEN,
    CLOSE_BAD_REQUEST,
    CLOSE_NO_AUTH,
    CLOSE_FORBIDDEN,
    CLOSE_TOO_MANY_CONNECTIONS,
    CLOSE_TOO_MANY_TOPICS,
)

BY_CODE: Final[Mapping[int, CloseCode]] = MappingProxyType({close.code: close for close in CLOSE_CODES})


def reason(close: CloseCode, retry_s: int | None = None) -> str:
    """The text of the close frame: `slow`, or `restart; retry=7` where `retry_s` (whole seconds, 0-86,400) is given.

    Raises ValueError for a hint outside those bounds: it is computed here, never taken from a client.
    """
    if retry_s is None:
        return close.name
    if not 0 <= retry_s <= RETRY_S_MAX:
        raise ValueError(f"retry_s is {retry_s}, expected 0 to {RETRY_S_MAX} seconds")
    return f"{close.name}; retry={retry_s}"
