"""relayd.v1 on the wire: RFC 6455 frames, the envelope of a publication, control messages (docs/protocol.md).

A publication is encoded at most once per encoding; the bytes hang on the publication and are shared by every reader.
Frames from a server are never masked (RFC 6455 5.1), so a frame is a header of 2, 4 or 10 bytes and the payload as
it is.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import msgspec

from relayd.core.publication import Encoding, Entry, Publication, TopicState
from relayd.core.routes import Form, Mode

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
"""Opcodes (RFC 6455 5.2)."""

MAX_SAFE_INTEGER = 2**53 - 1
"""Numbers a script can hold exactly; offsets and serials stay below (ECMA-262, Number.MAX_SAFE_INTEGER)."""

_json = msgspec.json.Encoder()
_whole_json = msgspec.json.Decoder(msgspec.Raw)


def frame(opcode: int, payload: bytes) -> bytes:
    """One unmasked, unfragmented frame."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


def message(**members: Any) -> bytes:
    """A control message as a text frame, its keys in the order given."""
    return frame(TEXT, _json.encode(members))


def is_json(payload: bytes) -> bool:
    """Whether the bytes are one whole JSON value that a browser's JSON.parse would take."""
    try:
        _whole_json.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return True


def v1_frame(pub: Publication, *, as_snapshot: bool) -> bytes:
    """The envelope: topic, offset, flags, payload, in that order. The payload's own bytes stand in it unchanged."""
    flags = b',"snapshot":true' if as_snapshot or pub.snapshot else b""
    if pub.at_ms is not None:
        flags += b',"at":%d' % pub.at_ms
    payload = pub.payload
    if not pub.is_text:
        member = b',"base64":"' + base64.b64encode(payload) + b'"}'
    elif pub.topic.route.delivery.form is not Form.TEXT and is_json(payload):
        member = b',"data":' + payload + b"}"
    else:
        member = b',"text":' + _json.encode(payload.decode("utf-8", "replace")) + b"}"
    # The grammar of topics leaves no character that JSON would escape.
    head = b'{"topic":"%b","offset":%d' % (pub.topic.name_bytes, pub.offset)
    return frame(TEXT, b"%b%b%b" % (head, flags, member))


def encode(entry: Entry, encoding: Encoding) -> bytes:
    """The entry's frame, made at the first asking. A gap mark is b"" for RAW readers, who are closed instead, and on a
    conflated topic, where the jump in offsets is the notice."""
    made = entry.frames[encoding]
    if made is None:
        if not isinstance(entry, Publication):
            if encoding is Encoding.RAW or entry.topic.route.delivery.mode is Mode.CONFLATE:
                made = b""
            else:
                made = lost(entry.topic.name, entry.offset - 1, entry.offset + 1, entry.missed, entry.why)
        elif encoding is Encoding.RAW:
            made = frame(TEXT if entry.is_text else BINARY, entry.payload)
        else:
            made = v1_frame(entry, as_snapshot=encoding is Encoding.V1_SNAPSHOT)
        entry.frames[encoding] = made
    return made


def lost(topic: str, after: int, following: int, count: int | None, why: str) -> bytes:
    """What a reader did not get: it has `after`, continues with `following`; `count` is None when nobody can know."""
    return message(op="lost", topic=topic, after=after, next=following, count=count, why=why)


def state(topic: str, new: TopicState, why: str) -> bytes:
    """A topic's state, with the reason where there is one."""
    if why:
        return message(op="state", topic=topic, state=new.value, why=why)
    return message(op="state", topic=topic, state=new.value)


def error(
    code: str,
    text: str,
    *,
    request: int | str | None = None,
    topic: str | None = None,
    retry_s: float | None = None,
) -> bytes:
    """A refusal, in answer to a request (`id`), for one topic where it is about one, with when to try again where that
    helps."""
    members: dict[str, Any] = {"op": "error"}
    if request is not None:
        members["id"] = request
    members |= {"code": code, "message": text}
    if topic is not None:
        members["topic"] = topic
    if retry_s is not None:
        members["retry_ms"] = math.ceil(retry_s * 1000)
    return message(**members)


def reply(op: str, request: int | str | None, **members: Any) -> bytes:
    """The one final answer to a request; `id` only where the request had one."""
    answer: dict[str, Any] = {"op": op}
    if request is not None:
        answer["id"] = request
    return message(**answer, **members)


class Command(msgspec.Struct):
    """What a browser may say, all operations in one shape. Unknown keys are ignored, as the protocol promises."""

    op: str
    id: int | str | None = None
    topics: list[str] | None = None
    since: Mapping[str, str] | None = None
    max_hz: float | None = None
    token: str | None = None
    topic: str | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Its bytes as they came: what is published is never read."""


class BadCommand(ValueError):
    """A message that is no command. The text may be shown to its sender."""


_command = msgspec.json.Decoder(Command)


def decode_command(payload: bytes) -> Command:
    """Raises BadCommand for anything that is not a JSON object with a text `op` and members of the right types."""
    try:
        command = _command.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BadCommand(f"not a command: {fault}") from None
    if isinstance(command.id, int) and abs(command.id) > MAX_SAFE_INTEGER:
        raise BadCommand("id: an integer below 2^53, or a string of up to 64 characters")
    if isinstance(command.id, str) and len(command.id) > 64:
        raise BadCommand("id: an integer below 2^53, or a string of up to 64 characters")
    return command
