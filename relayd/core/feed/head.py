"""Numbers at the head of a large object, read without going through the rest of it.

A book of 6 KB begins with `{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":157,"u":160,"b":[...`. The whole was checked when
its slice was taken; going through it once more for two numbers would double the cost. So what stands before the first
bracket is cut off at its last comma, closed with a brace, and decoded by itself. A cut that falls into a text leaves
that text open, and one inside a table leaves the table open: neither is JSON, and then the whole is decoded after all.

The numbers of a stream keep their length for long. So the comma is looked for where it stood in the message before: any
comma at which the cut gives whole JSON will do.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TypeAlias

import msgspec

from relayd.core.feed.outcome import Number

Head: TypeAlias = Callable[[bytes], Number | None]

# Below this, decoding the whole is as fast (measured: 0.5 us for two numbers, 0.5 us per KB decoded).
LARGE_BYTES = 1024

COMMA = ord(",")


def compile_head(keys: tuple[str, ...]) -> Head:
    """Reads the whole numbers of one or two keys from the head of an object; None where they do not all stand there."""
    places = [f"n{at}" for at in range(len(keys))]
    names = dict(zip(places, keys, strict=True))
    kind = msgspec.defstruct("Head", [(place, int) for place in places], frozen=True, rename=names)
    decode = msgspec.json.Decoder(kind).decode
    numbers, comma = attrgetter(*places), 0

    def read(payload: bytes) -> Number | None:
        nonlocal comma
        try:
            if payload[comma] == COMMA:
                found: Number = numbers(decode(payload[:comma] + b"}"))
                return found
        except (msgspec.MsgspecError, IndexError):
            pass
        cut = payload.rfind(b",", 0, payload.find(b"["))
        if cut < 0:
            return None
        try:
            found = numbers(decode(payload[:cut] + b"}"))
        except msgspec.MsgspecError:
            return None
        comma = cut
        return found

    return read
