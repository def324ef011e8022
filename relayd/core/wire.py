"""relayd.v1 on the wire: the envelope of a publication, control messages, and what carries them (docs/protocol.md).

A publication is encoded at most once per encoding; the bytes hang on the publication and are shared by every reader.
Messages are JSON; `dress` puts one into what a reader's encoding carries it in: a WebSocket frame, or an event of a
text/event-stream. Frames from a server are never masked (RFC 6455 5.1), so a frame is a header of 2, 4 or 10 bytes and
the payload as it is.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from relayd.core.publication import UNFRAMED, Encoding, Entry, GapMark, Publication, TopicState
from relayd.core.routes import Form, Mode

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
"""Opcodes (RFC 6455 5.2)."""

MAX_SAFE_INTEGER = 2**53 - 1
"""Numbers a script can hold exactly; offsets and serials stay below (ECMA-262, Number.MAX_SAFE_INTEGER)."""

SNAPSHOT_BIT: Final = 1 << 63
"""In the offset of a binary frame: this publication replaces what was known of the topic."""
_REFERENCE: Final = struct.Struct(">IQ")

# As in core/hub.py: an enum's member is dear to look up.
_V1: Final = Encoding.V1
_AS_TEXT: Final = Form.TEXT

_json = msgspec.json.Encoder()
_whole_json = msgspec.json.Decoder(msgspec.Raw)


def frame(opcode: int, payload: bytes) -> bytes:
    """One unmasked, unfragmented frame."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return bytes((0x80 | opcode, 126, size >> 8, size & 0xFF)) + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


def unframed(data: bytes) -> bytes:
    """The payload of one frame that `frame` made."""
    return data[{126: 4, 127: 10}.get(data[1], 2) :]


def payloads(data: bytes) -> Iterator[bytes]:
    """The payloads of several such frames in a row."""
    at, end = 0, len(data)
    while at < end:
        size, start = data[at + 1], at + 2
        if size == 126:
            size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
        elif size == 127:
            size, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
        at = start + size
        yield data[start:at]


def event(text: bytes, *, name: bytes = b"", place: bytes = b"") -> bytes:
    """One event of a text/event-stream (HTML, 9.2.5). Line ends in `text`, which in JSON are white space between
    tokens, become lines of their own; the reader puts them together again. `place` is an id line.
    """
    if b"\n" in text or b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\ndata: ")
    head = b"event: %b\n" % name if name else b""
    return b"%b%bdata: %b\n\n" % (place, head, text)


def without_id(data: bytes) -> bytes:
    """An event of a publication without its id, which stands first."""
    return data[data.index(b"\n") + 1 :]


def dress(text: bytes, encoding: Encoding) -> bytes:
    """A message, which is JSON, as the readers of this encoding get it."""
    return event(text) if encoding is Encoding.SSE else frame(TEXT, text)


def message(**members: Any) -> bytes:
    """A control message, its keys in the order given."""
    return _json.encode(members)


def is_json(payload: bytes) -> bool:
    """Whether the bytes are one whole JSON value that a browser's JSON.parse would take."""
    try:
        _whole_json.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return True


def envelope(pub: Publication, *, as_snapshot: bool) -> bytes:
    """The envelope: topic, offset, flags, payload, in that order. The payload's own bytes stand in it unchanged."""
    flags = b',"snapshot":true' if as_snapshot or pub.snapshot else b""
    if pub.at_ms is not None:
        flags += b',"at":%d' % pub.at_ms
    key, value = b"data", pub.payload
    if not pub.is_text:
        key, value = b"base64", b'"%b"' % base64.b64encode(value)
    elif pub.topic.route.delivery.form is _AS_TEXT or not (pub.is_json or is_json(value)):
        key, value = b"text", _json.encode(value.decode("utf-8", "replace"))
    # The grammar of topics leaves no character that JSON would escape.
    return b'{"topic":"%b","offset":%d%b,"%b":%b}' % (pub.topic.name_bytes, pub.offset, flags, key, value)


def binary_frame(pub: Publication, *, as_snapshot: bool) -> bytes:
    """A binary payload by reference: the topic's number (uint32), the offset (uint64, its top bit the snapshot flag),
    the payload; big-endian.
    """
    place = pub.offset | SNAPSHOT_BIT if as_snapshot or pub.snapshot else pub.offset
    return frame(BINARY, _REFERENCE.pack(pub.topic.ref, place) + pub.payload)


def encode(entry: Entry, encoding: Encoding) -> bytes:
    """The entry as the readers of this encoding get it, made at the first asking. A gap mark is b"" for RAW readers,
    who are closed instead, and on a conflated topic, where the jump in offsets is the notice."""
    made = entry.frames[encoding]
    if made is None:
        if type(entry) is not Publication:
            made = _encode_gap(entry, encoding)
        elif encoding is _V1:  # nearly always
            made = frame(TEXT, envelope(entry, as_snapshot=False))
        else:
            made = _encode(entry, encoding)
        if entry.frames is UNFRAMED:
            entry.frames = [*UNFRAMED]
        entry.frames[encoding] = made
    return made


def encode_snapshot(pub: Publication, encoding: Encoding) -> bytes:
    """As `encode`, with the snapshot flag: for a newcomer to a topic without deltas. `/raw` has no flags."""
    if encoding is Encoding.RAW:
        return encode(pub, encoding)
    if encoding is Encoding.BINARY and not pub.is_text:
        return binary_frame(pub, as_snapshot=True)
    flagged = encode(pub, Encoding.V1_SNAPSHOT)
    return event(unframed(flagged), place=_id_of(pub)) if encoding is Encoding.SSE else flagged


def _id_of(entry: Entry) -> bytes:
    """Where a reader of a stream stands once it has the entry: the hub's numbering and the hub-wide serial."""
    return b"id: %b.%d\n" % (entry.topic.hub.epoch.encode("ascii"), entry.serial)


def _encode(pub: Publication, encoding: Encoding) -> bytes:
    if encoding is Encoding.RAW:
        return frame(TEXT if pub.is_text else BINARY, pub.payload)
    if encoding is Encoding.SSE:
        return event(unframed(encode(pub, Encoding.V1)), place=_id_of(pub))
    if encoding is Encoding.BINARY:
        return encode(pub, Encoding.V1) if pub.is_text else binary_frame(pub, as_snapshot=False)
    return frame(TEXT, envelope(pub, as_snapshot=True))


def _encode_gap(mark: GapMark, encoding: Encoding) -> bytes:
    if encoding is Encoding.RAW or mark.topic.route.delivery.mode is Mode.CONFLATE:
        return b""
    text = lost(mark.topic.name, mark.offset - 1, mark.offset + 1, mark.missed, mark.why)
    return event(text, place=_id_of(mark)) if encoding is Encoding.SSE else frame(TEXT, text)


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
    binary: bool = False
    window: int | None = None
    offset: int | None = None
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
