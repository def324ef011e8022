"""Publishing over HTTP: one publication or a batch, and the same answer to the same question asked twice.

    POST /topics/chat/lobby   the body is the payload, its Content-Type says of which kind
    POST /topics              {"publications":[{"topic":"t","data":{}},{"topic":"u","text":"hello"}]}

For application servers, which know what a database has just changed. What is published goes the way of `publish` on
`/ws` (core/posting.py): at once or not at all, and nobody waits for browsers. A request whose answer got lost may be
sent again with its `Idempotency-Key`: then it is answered as before, and published once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from relayd.core import wire
from relayd.core.address import client_key
from relayd.core.asking import refusal_of
from relayd.core.auth.verdict import Identity
from relayd.core.hub import Hub
from relayd.core.posting import Posted, post
from relayd.core.refusal import HttpRefusal
from relayd.core.routes import TopicRefused
from relayd.core.utf8 import is_utf8
from relayd.core.windows import SlidingWindow

#: Publications in one batch: 10 ms of work (guess; 10 us each, measured).
BATCH_MAX: Final = 1_000
#: How long an answer is kept for a request that comes again; retries of well-known clients end within a minute or two.
KEPT_S: Final = 300.0
#: Answers that are kept, and their bytes in all; beyond, the oldest go, and are counted.
KEPT_MAX: Final = 10_000
KEPT_BYTES: Final = 16 * 1024 * 1024
#: What an answer costs beside its bytes: keys, digest, dictionary (sys.getsizeof, rounded up).
_KEPT_OVERHEAD_BYTES: Final = 512
#: Publishers whose pace is remembered; the one that has been silent for longest goes.
PUBLISHERS_MAX: Final = 10_000

_KEY: Final = re.compile(r"[\x21-\x7e]{1,64}")
_TEXT_TYPE: Final = re.compile(r"text/plain(\s*;\s*charset=\"?utf-8\"?)?", re.IGNORECASE)
_JSON_TYPE: Final = re.compile(r"application/json(\s*;\s*charset=\"?utf-8\"?)?", re.IGNORECASE)
_BYTES_TYPE: Final = "application/octet-stream"

_BAD_KEY: Final = HttpRefusal(
    400, "bad_request", "bad_idempotency_key", "Idempotency-Key: 1 to 64 visible ASCII characters"
)
_KEY_REUSED: Final = HttpRefusal(
    409, "bad_request", "idempotency_key_reused", "this Idempotency-Key was used for another request: choose a new one"
)
_BAD_TYPE: Final = HttpRefusal(
    415,
    "bad_request",
    "content_type",
    "Content-Type is application/json, text/plain (UTF-8) or application/octet-stream",
)
_BAD_BATCH_TYPE: Final = HttpRefusal(
    415, "bad_request", "content_type", "a batch is application/json; one publication goes to /topics/TOPIC"
)
_BAD_JSON: Final = HttpRefusal(400, "bad_request", "bad_json", "the body is not one JSON value")
_BAD_UTF8: Final = HttpRefusal(400, "bad_request", "bad_utf8", "the body is not UTF-8")
_BAD_BATCH: Final = HttpRefusal(
    400,
    "bad_request",
    "bad_batch",
    'the body is {"publications":[{"topic":"t","data":...}]}, each with one of data, text, base64',
)
_LONG_BATCH: Final = HttpRefusal(413, "too_large", "long_batch", f"a batch has at most {BATCH_MAX} publications")


@dataclass(frozen=True, slots=True)
class Publisher:
    """Who publishes: an identity with a name, or somebody at an address."""

    identity: Identity | None
    client: str

    @property
    def name(self) -> tuple[str, str]:
        """What its pace and its keys are kept under. A stranger is its address, in IPv6 its /64: one customer has all
        of that. Claims without `sub` name nobody, and are somebody else at another address."""
        if self.identity is not None and self.identity.subject:
            return "sub", self.identity.subject
        return "stranger" if self.identity is None else "nameless", client_key(self.client) or ""


@dataclass(frozen=True, slots=True)
class Reply:
    """A status of success and its JSON body."""

    status: int
    body: bytes


class _Item(msgspec.Struct):
    topic: str
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    text: str | msgspec.UnsetType = msgspec.UNSET
    base64: str | msgspec.UnsetType = msgspec.UNSET


class _Batch(msgspec.Struct):
    publications: list[_Item]


_batch = msgspec.json.Decoder(_Batch)
_json = msgspec.json.Encoder()
_Key = tuple[tuple[str, str], str]


class HttpPosts:
    """What is published over HTTP on one listener."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._kept: dict[_Key, tuple[float, bytes, Reply]] = {}
        """Until when, the digest of the request, its answer; the oldest first."""
        self._kept_bytes = 0
        self._paces: dict[tuple[str, str], SlidingWindow] = {}
        """By publisher; who published last is the last."""

    def one(
        self, name: str, body: bytes, content_type: str, publisher: Publisher, key: str | None = None
    ) -> Reply | HttpRefusal:
        """Publish the body on the topic."""
        what = (name, content_type)
        return self._once(publisher, key, what, body, lambda: self._one(name, body, content_type, publisher))

    def batch(
        self, body: bytes, content_type: str, publisher: Publisher, key: str | None = None
    ) -> Reply | HttpRefusal:
        """Publish each of a batch; what one of them comes to does not touch the others."""
        return self._once(publisher, key, ("", content_type), body, lambda: self._many(body, content_type, publisher))

    # -- once ---------------------------------------------------------------------------------------------------------

    def _once(
        self,
        publisher: Publisher,
        key: str | None,
        what: tuple[str, str],
        body: bytes,
        publish: Callable[[], Reply | HttpRefusal],
    ) -> Reply | HttpRefusal:
        if key is None:
            return self._at_pace(publisher, publish)
        if _KEY.fullmatch(key) is None:
            return _BAD_KEY
        digest = hashlib.sha256("\n".join(what).encode() + b"\n" + body).digest()
        self._expire()
        place = (publisher.name, key)
        if (kept := self._kept.get(place)) is not None:
            if kept[1] != digest:
                return _KEY_REUSED
            self._hub.counters.posts_repeated += 1
            return kept[2]
        reply = self._at_pace(publisher, publish)
        if isinstance(reply, Reply):  # what was refused has changed nothing, and may be tried again
            self._keep(place, digest, reply)
        return reply

    def _keep(self, place: _Key, digest: bytes, reply: Reply) -> None:
        self._kept[place] = (self._hub.now() + KEPT_S, digest, reply)
        self._kept_bytes += _size(reply)
        while len(self._kept) > KEPT_MAX or self._kept_bytes > KEPT_BYTES:
            self._drop_oldest()
            self._hub.counters.idempotency_keys_dropped += 1

    def _expire(self) -> None:
        now = self._hub.now()
        while self._kept and next(iter(self._kept.values()))[0] <= now:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, _, reply = self._kept.pop(next(iter(self._kept)))
        self._kept_bytes -= _size(reply)

    # -- at which pace ------------------------------------------------------------------------------------------------

    def _at_pace(self, publisher: Publisher, publish: Callable[[], Reply | HttpRefusal]) -> Reply | HttpRefusal:
        """`limits.publish` counts the requests of one publisher, however many publications each holds."""
        limits, now = self._hub.limits, self._hub.now()
        pace = self._paces.pop(publisher.name, None) or SlidingWindow(limits.publications, limits.publications_per_s)
        self._paces[publisher.name] = pace
        if len(self._paces) > PUBLISHERS_MAX:
            del self._paces[next(iter(self._paces))]
        if pace.take(now):
            return publish()
        self._hub.counters.posts_refused["rate_limited"] += 1
        what = f"limits.publish is reached: {limits.publications} requests in {limits.publications_per_s:g} s"
        return refusal_of("rate_limited", f"{what}; a batch is one request").later(math.ceil(pace.free_at(now) - now))

    # -- publishing ---------------------------------------------------------------------------------------------------

    def _one(self, name: str, body: bytes, content_type: str, publisher: Publisher) -> Reply | HttpRefusal:
        is_text = content_type.lower() != _BYTES_TYPE
        if _JSON_TYPE.fullmatch(content_type) is not None:
            if not wire.is_json(body):
                return _BAD_JSON
        elif _TEXT_TYPE.fullmatch(content_type) is not None:
            if not is_utf8(body):
                return _BAD_UTF8
        elif is_text:
            return _BAD_TYPE
        try:
            posted = post(self._hub, name, body, is_text, publisher.identity)
        except TopicRefused as refused:
            refusal = refusal_of(refused.code, refused.message)
            return refusal if refused.retry_s is None else refusal.later(math.ceil(refused.retry_s))
        return Reply(202 if posted.position is None else 200, _json.encode(_said(posted)))

    def _many(self, body: bytes, content_type: str, publisher: Publisher) -> Reply | HttpRefusal:
        if _JSON_TYPE.fullmatch(content_type) is None:
            return _BAD_BATCH_TYPE
        try:
            items = _batch.decode(body).publications
            payloads = [_payload(item) for item in items]
        except (msgspec.DecodeError, ValueError, RecursionError):
            return _BAD_BATCH
        if len(items) > BATCH_MAX:
            return _LONG_BATCH
        results: list[dict[str, object]] = []
        for item, (payload, is_text) in zip(items, payloads, strict=True):
            try:
                results.append(_said(post(self._hub, item.topic, payload, is_text, publisher.identity)))
            except TopicRefused as refused:
                error: dict[str, object] = {"code": refused.code, "message": refused.message}
                if refused.retry_s is not None:
                    error["retry_ms"] = math.ceil(refused.retry_s * 1000)
                results.append({"topic": item.topic, "error": error})
        return Reply(200, _json.encode({"results": results}))


def _said(posted: Posted) -> dict[str, object]:
    said: dict[str, object] = {"topic": posted.topic}
    if posted.position is not None:
        said["position"] = posted.position
    return said


def _payload(item: _Item) -> tuple[bytes, bool]:
    """The payload, and whether it is text. Raises ValueError unless there is exactly one."""
    given = [one for one in (item.data, item.text, item.base64) if not isinstance(one, msgspec.UnsetType)]
    if len(given) != 1:
        raise ValueError("one of data, text, base64")
    if isinstance(item.text, str):
        return item.text.encode(), True
    if isinstance(item.base64, str):
        try:
            return base64.b64decode(item.base64, validate=True), False
        except binascii.Error as fault:
            raise ValueError("base64") from fault
    assert isinstance(item.data, msgspec.Raw)
    return bytes(item.data), True


def _size(reply: Reply) -> int:
    return len(reply.body) + _KEPT_OVERHEAD_BYTES
