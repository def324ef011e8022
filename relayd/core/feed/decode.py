"""From a frame to messages: `decode.binary` unpacks it, `decode.split` takes it apart.

Payloads are slices of the frame's bytes and never encoded anew.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec

from relayd.core.feed.path import MISSING, Path, Scope
from relayd.core.utf8 import is_utf8

JSON: Final = "json"
MSGPACK: Final = "msgpack"
UNPACKERS: Final = ("gzip", "inflate")
STEPS: Final = (*UNPACKERS, JSON, MSGPACK)

#: The default of `limits.payload`: what a small frame may unpack to, so that a bomb costs no more than an honest frame.
MAX_UNPACKED_BYTES: Final = 16 << 20

_GZIP = 31
_ZLIB = 15
_RAW = -15


class Undecodable(ValueError):
    """The frame is not what `decode` promises."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A frame without its packing."""

    payload: bytes
    is_text: bool
    codec: str = JSON


@dataclass(slots=True)
class Message:
    """One message of a frame: its bytes, and its value with its surroundings."""

    payload: bytes
    is_text: bool
    codec: str
    scope: Scope
    is_json: bool = False
    """It was decoded as JSON, and so is one value of it."""


@dataclass(frozen=True, slots=True)
class Decode:
    """A `decode` block."""

    binary: tuple[str, ...] = ()
    split: Path | None = None
    separator: str | None = None
    """`split` as a text that stands between (or behind) messages, such as a line break."""

    def unpack(self, payload: bytes, is_text: bool) -> Unpacked:
        """Takes off what `binary` says. Raises Undecodable."""
        if is_text or not self.binary:
            return Unpacked(payload, is_text)
        for step in self.binary:
            if step == MSGPACK:
                return Unpacked(payload, False, MSGPACK)
            if step in UNPACKERS:
                payload = _inflate(payload, step)
        if not is_utf8(payload):
            raise Undecodable("the unpacked text is not UTF-8")
        return Unpacked(payload, True)

    def messages(self, payload: bytes, is_text: bool, sse: object = MISSING) -> list[Message] | Message:
        """The messages of a frame: a list where it was split, else the one. What cannot be decoded has no value."""
        try:
            frame = self.unpack(payload, is_text)
        except Undecodable:
            return Message(payload, is_text, JSON, Scope(MISSING, sse=sse))
        if self.separator is not None:
            parts = [part for part in frame.payload.split(self.separator.encode()) if part]
            return [self._message(Unpacked(part, frame.is_text, frame.codec), sse) for part in parts]
        whole = self._message(frame, sse)
        if self.split is None:
            return whole
        whole.scope.outer = whole.scope.doc
        array = self.split.find(whole.scope.doc)
        if not isinstance(array, list):
            return whole
        slices = slice_of(frame.payload, self.split, frame.codec, list[msgspec.Raw])
        outer = whole.scope.doc
        return [
            Message(bytes(part), frame.is_text, frame.codec, Scope(doc, None, outer, sse), frame.codec == JSON)
            for part, doc in zip(slices, array, strict=True)
        ]

    def _message(self, frame: Unpacked, sse: object) -> Message:
        doc = decode_value(frame.payload, frame.codec)
        text = frame.payload.decode("utf-8", "replace") if frame.is_text else None
        is_json = frame.codec == JSON and doc is not MISSING
        if doc is MISSING and text is not None:
            # A text that is no JSON (`pong`, or a line of a text protocol) is its own value: `.` finds it.
            doc = text
        return Message(frame.payload, frame.is_text, frame.codec, Scope(doc, text, sse=sse), is_json)


def _inflate(payload: bytes, step: str) -> bytes:
    if step == "gzip":
        sizes: tuple[int, ...] = (_GZIP,)
    else:
        # `inflate` is sent with a zlib header or without; two feeds of the studied ones do either.
        sizes = (_ZLIB, _RAW)
    for wbits in sizes:
        unpacker = zlib.decompressobj(wbits)
        try:
            unpacked = unpacker.decompress(payload, MAX_UNPACKED_BYTES)
        except zlib.error:
            continue
        if unpacker.unconsumed_tail:
            raise Undecodable("the frame unpacks to more than the limit")
        if not unpacker.eof and wbits != _RAW:
            continue
        return unpacked
    raise Undecodable(f"the frame is not {step}")


def decode_value(payload: bytes, codec: str) -> object:
    """The value as Python's objects, or MISSING where the bytes are not whole JSON (or MessagePack)."""
    try:
        return _DECODERS[codec](payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return MISSING


_DECODERS: Final[dict[str, Callable[[bytes], object]]] = {JSON: msgspec.json.decode, MSGPACK: msgspec.msgpack.decode}


@lru_cache(maxsize=64)
def decoder(codec: str, kind: Any) -> Callable[[bytes | msgspec.Raw], Any]:
    """A compiled decoder of this codec for this type."""
    make = msgspec.json.Decoder if codec == JSON else msgspec.msgpack.Decoder
    decode: Callable[[bytes | msgspec.Raw], Any] = make(kind).decode
    return decode


def slice_of(payload: bytes, path: Path, codec: str, kind: Any = msgspec.Raw) -> Any:
    """The raw bytes (or, with `kind`, another type) of what stands at the path.

    For paths that were found in the decoded value. Raises msgspec.MsgspecError where the two differ, which they cannot.
    """
    raw: bytes | msgspec.Raw = payload
    for part in path.parts:
        if isinstance(part, int) and _first_byte_is_array(raw, codec):
            raw = decoder(codec, list[msgspec.Raw])(raw)[part]
        else:
            table = decoder(codec, dict[Any, msgspec.Raw])(raw)
            raw = table[str(part)] if str(part) in table else table[part]
    return decoder(codec, kind)(raw)


def _first_byte_is_array(raw: bytes | msgspec.Raw, codec: str) -> bool:
    first = bytes(raw[:1] if isinstance(raw, bytes) else raw)[:1]
    if codec == MSGPACK:
        return first[0] & 0xF0 == 0x90 or first in (b"\xdc", b"\xdd")
    return bytes(raw).lstrip()[:1] == b"["
