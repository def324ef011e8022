"""Where a value stands in a message: `data.0.symbol`, `-1`, `.` (the whole), `/a~1b` (JSON Pointer).

A whole number is a position in an array and a key in an object; a negative one counts from the array's end. In a list
of paths the first that exists counts. Two roots lie outside the message: `outer.` is the frame that `decode.split` took
apart, `sse.` the id and event of a server-sent event.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from relayd.core.feed.errors import Malformed


class Missing(Enum):
    """Nothing stands there: not even null."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING

OUTER: Final = "outer"
SSE: Final = "sse"

_POSITION = re.compile(r"0|-?[1-9][0-9]{0,8}", re.ASCII)
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_BAD_POINTER_ESCAPE = re.compile(r"~(?![01])")


@dataclass(frozen=True, slots=True)
class Path:
    """One parsed path."""

    text: str
    """As written."""
    parts: tuple[str | int, ...]
    root: str = ""
    """`outer`, `sse`, or nothing: the message itself."""

    @property
    def is_negative(self) -> bool:
        """Whether a part counts from an array's end."""
        return any(isinstance(part, int) and part < 0 for part in self.parts)

    def find(self, value: object) -> object:
        """What stands there, or MISSING. The root is the caller's affair."""
        for part in self.parts:
            if isinstance(value, Mapping):
                # JSON's keys are texts; MessagePack has whole numbers too.
                value = value.get(str(part), MISSING) if str(part) in value else value.get(part, MISSING)
            elif isinstance(value, list) and isinstance(part, int) and -len(value) <= part < len(value):
                value = value[part]
            else:
                return MISSING
        return value


Paths = tuple[Path, ...]
"""The first that exists counts."""


def parse_path(value: object, roots: Collection[str] = ()) -> Path:
    """A path from the file. `roots` are those of `outer` and `sse` that this dialect knows; others are plain keys.

    Raises Malformed.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise Malformed(f"{value!r} is not a path; write one such as data.0.symbol")
    if value == ".":
        return Path(value, ())
    if value.startswith("/"):
        if _BAD_POINTER_ESCAPE.search(value):
            raise Malformed(f"{value!r}: in a JSON Pointer ~ is written ~0, and / in a key ~1")
        keys = [key.replace("~1", "/").replace("~0", "~") for key in value[1:].split("/")]
        return Path(value, tuple(int(key) if _INDEX.fullmatch(key) else key for key in keys))
    words = value.split(".")
    if "" in words:
        raise Malformed(f"{value!r} has an empty part; write one such as data.0.symbol")
    parts = tuple(int(word) if _POSITION.fullmatch(word) else word for word in words)
    if words[0] in roots:
        return Path(value, parts[1:], words[0])
    return Path(value, parts)


def parse_paths(value: object, roots: Collection[str] = ()) -> Paths:
    """One path, or a list of which the first that exists counts. Raises Malformed."""
    if isinstance(value, list | tuple):
        if not value:
            raise Malformed("an empty list of paths; write one path or more")
        return tuple(parse_path(one, roots) for one in value)
    return (parse_path(value, roots),)


@dataclass(slots=True)
class Scope:
    """A message that was decoded, and what surrounds it."""

    doc: object
    """The value; MISSING where the frame is not what `decode` promises."""
    text: str | None = None
    """The whole text frame, where it is one and was not split: what a bare string is compared with."""
    outer: object = MISSING
    sse: object = MISSING

    def get(self, path: Path) -> object:
        """What stands at the path, or MISSING."""
        if path.root == "":
            return path.find(self.doc)
        return path.find(self.outer if path.root == OUTER else self.sse)

    def first(self, paths: Iterable[Path]) -> object:
        """What stands at the first path that exists, or MISSING."""
        for path in paths:
            value = self.get(path)
            if value is not MISSING:
                return value
        return MISSING
