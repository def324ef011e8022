"""What a program is given: publications, what is missing, states, refusals."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from relayd_client.states import State

#: A binary frame: uint32 topic reference, uint64 offset whose top bit is the snapshot flag, payload; big-endian.
BINARY_HEAD_BYTES: Final = 12
SNAPSHOT_BIT: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class Publication:
    """One message on a topic. Its payload stands under one of `data`, `text` and `binary`.

    Args:
        topic: which one; of interest with patterns.
        offset: numbers the publications of one topic.
        snapshot: this replaces what you knew of the topic.
        at_ms: when it came to relayd, in milliseconds since 1970, where the route has `stamp: true`.
        data: the upstream sent one JSON value; this is it (None is JSON's null where the others are None too).
        text: it sent another text.
        binary: it sent bytes.
        missed: how many are missing before this one, for whatever reason, in `async for`; None when nobody can know.
    """

    topic: str
    offset: int
    snapshot: bool = False
    at_ms: int | None = None
    data: Any = None
    text: str | None = None
    binary: bytes | None = None
    missed: int | None = 0


@dataclass(frozen=True, slots=True)
class Lost:
    """Publications that you will not get: you have those up to `after`, `next` comes next.

    Args:
        count: None when nobody can know.
        why: `slow`, `rate`, `upstream`, `epoch`, and what later versions may say.
    """

    topic: str
    after: int
    next: int
    count: int | None
    why: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """What became of a topic when the connection came back.

    Args:
        recovered: everything that was missed follows; else a `Lost` follows, then what there still is.
        position: `epoch:offset` of the newest publication.
    """

    topic: str
    recovered: bool
    position: str


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic is `pending`, `live`, `stale`, `reconnecting` or `failed`, and why."""

    topic: str
    state: str
    why: str


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """The connection is `connecting`, `open`, `waiting` (for `retry_s`) or `closed`, by this code and reason."""

    state: State
    code: int | None = None
    reason: str = ""
    retry_s: float | None = None


class RelayError(Exception):
    """What relayd refused, or why it is not there."""


class Refused(RelayError):
    """A request, or one topic of it, was refused.

    Attributes:
        code: one word, such as `forbidden` (docs/protocol.md); `token` when the token function failed,
            `unavailable` when there is no connection.
        message: for people; names the setting that decided.
        topic: where it is about one.
        retry_s: when the same will be taken, with `rate_limited`.
    """

    retry_s: float | None = None

    def __init__(self, code: str, message: str, topic: str | None = None) -> None:
        super().__init__(f"{code}: {message}" + (f" ({topic})" if topic else ""))
        self.code = code
        self.message = message
        self.topic = topic


class Closed(RelayError):
    """The connection is closed for good, by this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed: {code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class Garbled(ValueError):
    """What came is not relayd.v1."""


def publication(message: Mapping[str, Any]) -> Publication:
    """A publication from its JSON.

    Raises:
        Garbled: a member is missing or of another kind.
    """
    try:
        encoded = message.get("base64")
        binary = None if encoded is None else base64.b64decode(encoded, validate=True)
    except (TypeError, binascii.Error) as error:
        raise Garbled("base64") from error
    name, offset = message.get("topic"), message.get("offset")
    if not isinstance(name, str) or not isinstance(offset, int):
        raise Garbled("a publication without topic or offset")
    return Publication(
        topic=name,
        offset=offset,
        snapshot=message.get("snapshot") is True,
        at_ms=message.get("at"),
        data=message.get("data"),
        text=message.get("text"),
        binary=binary,
    )


def binary_publication(frame: bytes, topics: Mapping[int, str]) -> Publication | None:
    """A publication from a binary frame; None where the reference is unknown, such as of a topic just left.

    Raises:
        Garbled: the frame is shorter than its head.
    """
    if len(frame) < BINARY_HEAD_BYTES:
        raise Garbled("a binary frame without its head")
    name = topics.get(int.from_bytes(frame[:4], "big"))
    offset = int.from_bytes(frame[4:BINARY_HEAD_BYTES], "big")
    if name is None:
        return None
    return Publication(
        topic=name,
        offset=offset & ~SNAPSHOT_BIT,
        snapshot=bool(offset & SNAPSHOT_BIT),
        binary=bytes(frame[BINARY_HEAD_BYTES:]),
    )
