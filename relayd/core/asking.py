"""What a plain HTTP request asks to read: topics, a rate, where it left off, how long it will wait (docs/protocol.md).

    GET /sse?topics=a,b&max_hz=5&last_event_id=E.7
    GET /poll?topics=a,b&since={"a":"e:41"}&wait=25s
    POST /poll  {"topics":["a","b"],"since":{"a":"e:41"},"max_hz":5,"wait_s":25}

A refusal has a fixed text; nothing that a client wrote is said back to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs

import msgspec

from relayd.core.refusal import HttpRefusal

#: Rates a reader may ask for: below, a topic would look dead; above, a rate limit is no limit (guess).
MIN_HZ: Final = 0.01
MAX_HZ: Final = 1000.0
BAD_HZ: Final = f"max_hz: a number from {MIN_HZ:g} to {MAX_HZ:g}"

#: A poll that nothing comes for: less than the 30 s after which some proxies call a request dead (guess).
WAIT_S: Final = 25.0
WAIT_MAX_S: Final = 30.0
#: Fields of one query: five are known, and a page may add its own (guess).
FIELDS_MAX: Final = 32

_DURATION: Final = re.compile(r"([0-9]{1,5})(ms|s)")

_BAD_QUERY: Final = HttpRefusal(
    400, "bad_request", "bad_query", "the query has more than 32 fields, or a malformed one"
)
_NO_TOPICS: Final = HttpRefusal(
    400, "bad_request", "no_topics", "topics: a list of topics or patterns, such as ?topics=a,b"
)
_BAD_HZ: Final = HttpRefusal(400, "bad_request", "bad_hz", BAD_HZ)
_BAD_SINCE: Final = HttpRefusal(
    400, "bad_request", "bad_since", 'since: an object of positions by topic, such as {"a":"epoch:41"}'
)
_BAD_WAIT: Final = HttpRefusal(
    400, "bad_request", "bad_wait", "wait is a duration from 0s to 30s, such as 25s or 500ms"
)
_BAD_BODY: Final = HttpRefusal(
    400,
    "bad_request",
    "bad_body",
    'the body is an object such as {"topics":["a"],"since":{"a":"epoch:41"},"wait_s":25}',
)

#: HTTP status by the protocol's error code.
STATUS: Final[Mapping[str, int]] = {
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "unknown_topic": 404,
    "too_large": 413,
    "too_many_topics": 400,
    "rate_limited": 429,
    "unavailable": 503,
}
#: RFC 9110 11.6.1: every 401 says what is asked for.
CHALLENGE: Final = (("WWW-Authenticate", "Bearer"),)
#: When to come back where nothing better is known (guess).
RETRY_AFTER_S: Final = 5


@dataclass(frozen=True, slots=True)
class Asking:
    """A request that was understood. `since` are positions by topic."""

    topics: tuple[str, ...]
    max_hz: float | None = None
    since: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = WAIT_S
    last_event_id: str | None = None


class _Body(msgspec.Struct):
    topics: list[str] = []
    since: dict[str, str] = {}
    max_hz: float | None = None
    wait_s: float = WAIT_S


_body = msgspec.json.Decoder(_Body)
_since = msgspec.json.Decoder(dict[str, str])


def of_query(query: str, last_event_id: str | None = None) -> Asking | HttpRefusal:
    """What the query asks for. A header `Last-Event-ID` goes before the query's: it is the newer one."""
    try:
        fields = parse_qs(query, keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        return _BAD_QUERY
    first = {name: values[0] for name, values in fields.items()}
    since: Mapping[str, str] = {}
    if text := first.get("since"):
        try:
            since = _since.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return _BAD_SINCE
    wait_s = _seconds(first.get("wait"))
    if wait_s is None:
        return _BAD_WAIT
    max_hz = None
    if (hz := first.get("max_hz")) is not None:
        try:
            max_hz = float(hz)
        except ValueError:
            return _BAD_HZ
    names = [name for value in fields.get("topics", ()) for name in value.split(",")]
    return _checked(names, max_hz, since, wait_s, last_event_id or first.get("last_event_id") or None)


def of_body(body: bytes) -> Asking | HttpRefusal:
    """What the JSON body of a POST asks for. Members that are not known are ignored."""
    try:
        asked = _body.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _BAD_BODY
    return _checked(asked.topics, asked.max_hz, asked.since, asked.wait_s, None)


def refusal_of(code: str, message: str, label: str = "topic") -> HttpRefusal:
    """What an error of the protocol is in HTTP."""
    status = STATUS.get(code, 400)
    headers = CHALLENGE if status == 401 else ()
    return HttpRefusal(status, code, label, message, headers, RETRY_AFTER_S if status in (429, 503) else None)


def _checked(
    names: list[str], max_hz: float | None, since: Mapping[str, str], wait_s: float, last_event_id: str | None
) -> Asking | HttpRefusal:
    unique = dict.fromkeys(names)  # without a step of Python for each: a body has room for ten thousand
    unique.pop("", None)
    topics = tuple(unique)
    if not topics:
        return _NO_TOPICS
    if max_hz is not None and not MIN_HZ <= max_hz <= MAX_HZ:
        return _BAD_HZ
    if not 0 <= wait_s <= WAIT_MAX_S:
        return _BAD_WAIT
    return Asking(topics, max_hz, since, wait_s, last_event_id)


def _seconds(text: str | None) -> float | None:
    if text is None:
        return WAIT_S
    hit = _DURATION.fullmatch(text)
    if hit is None:
        return None
    return int(hit[1]) / (1000 if hit[2] == "ms" else 1)
