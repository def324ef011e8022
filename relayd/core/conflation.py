"""What conflation goes by beside the topic: `deliver.key`, a path into the payload."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import msgspec

from relayd.core.feed.path import Missing, Path

_decode = msgspec.json.Decoder().decode


def key_reader(path: Path) -> Callable[[bytes], Hashable]:
    """A function from a payload to its key. What is not JSON, or has nothing there, shares the key None."""

    def read(payload: bytes) -> Hashable:
        try:
            value = path.find(_decode(payload))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if value is Missing.MISSING or isinstance(value, list | dict):
            return None
        assert isinstance(value, Hashable)  # a scalar of JSON
        return value

    return read
