"""Numbers at the head of a large object, read without going through the rest of it.

A book of 6 KB begins with `{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":157,"u":160,"b":[...`. The whole was checked when
its slice was taken; going through it once more for two numbers would double the cost. So what stands before the first
bracket is cut off at its last comma, closed with a brace, and decoded by itself. A cut that falls into a text leaves
that text open, and one inside a table leaves the table open: neither is JSON, and then the whole is decoded after all.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import UNSET, UnsetType

# Below this, decoding the whole is as fast (measured: 0.5 us for two numbers, 0.5 us per KB decoded).
LARGE_BYTES = 1024


def compile_head(keys: tuple[str, ...]) -> Callable[[bytes], tuple[int, ...] | None]:
    """Reads the whole numbers of one or two keys from the head of an object; None where they do not all stand there."""
    places = [f"n{at}" for at in range(len(keys))]
    members = [(place, int | UnsetType, UNSET) for place in places]
    names = dict(zip(places, keys, strict=True))
    decode = msgspec.json.Decoder(msgspec.defstruct("Head", members, frozen=True, rename=names)).decode

    def read(payload: bytes) -> tuple[int, ...] | None:
        cut = payload.rfind(b",", 0, payload.find(b"["))
        if cut < 0:
            return None
        try:
            found = msgspec.structs.astuple(decode(payload[:cut] + b"}"))
        except msgspec.MsgspecError:
            return None
        return None if UNSET in found else found

    return read
