"""One problem of a configuration file, and the place in the file where it stands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from relayd.config.scalars import OFF

Key = str | int
"""A key of a table or a position in a list."""
KeyPath = tuple[Key, ...]
"""The way from the top of the file to a value."""

#: Inside an upstream these may hold a secret, written out in place of `${env.X}`: their values are never shown.
SECRET_KEYS: Final = frozenset(
    ("url", "query", "headers", "json", "form", "send", "set", "login", "topics", "before", "refresh")
)
_QUOTED: Final = re.compile(r"""^(['"]).*\1: (?=a placeholder is )""", re.DOTALL)
_NO_PLACEHOLDER: Final = re.compile(r"^\$\{.*\} (?=is no placeholder)", re.DOTALL)
#: Longer values are cut: an error is one line.
MAX_SHOWN_CHARACTERS: Final = 40
MAX_LINE_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line and column, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, where, what stands there, what should, and a known name that is close; "" is not shown."""

    file: str
    place: Place
    path: KeyPath
    what: str
    got: str = ""
    expected: str = ""
    meant: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.place.line}:{self.place.column}: "
        path = f"{spell(self.path)}: " if self.path else ""
        told = ", ".join(f"{word} {text}" for word, text in (("got", self.got), ("expected", self.expected)) if text)
        meant = f"; did you mean {self.meant}?" if self.meant else ""
        return _printable(f"{where}{path}{self.what}{f' ({told})' if told else ''}{meant}", MAX_LINE_CHARACTERS)


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was read: its name, its data, and where every key and value stands."""

    name: str
    data: Any
    keys: Mapping[KeyPath, Place]
    values: Mapping[KeyPath, Place]

    def problem(
        self, path: KeyPath, what: str, *, got: str = "", expected: str = "", meant: str = "", key: bool = False
    ) -> Problem:
        """A Problem at this path, or at the nearest one above it that stands in the file (at its key where `key`)."""
        return Problem(self.name, self.place(path, key=key), path, what, got, expected, meant)

    def written(self, base: KeyPath, place: KeyPath) -> KeyPath:
        """The path in the file of a place in the model below `base`.

        In the model variants are a list; the position of one that stands alone in the file is left out.
        """
        path, value = base, self.at(base)
        for step in place:
            if isinstance(step, int) and isinstance(value, Mapping):
                continue
            path = (*path, step)
            value = self.at(path)
        return path

    def at(self, path: KeyPath) -> Any:
        """What stands at a path, or None."""
        value = self.data
        for step in path:
            try:
                value = value[step]
            except (LookupError, TypeError):
                return None
        return value

    def place(self, path: KeyPath, *, key: bool = False) -> Place:
        """Where a value (or its key) stands; the nearest value above it where it does not stand in the file."""
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Place(1, 1))


def spell(path: KeyPath) -> str:
    """A path as people write it: `routes[0].allow.symbol`, `map["a.b"]`."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif key.replace("_", "a").replace("-", "a").isalnum():
            text += f".{key}" if text else key
        else:
            text += f'["{_printable(key)}"]'
    return text


def shown(path: KeyPath, value: Any) -> str:
    """A value for an error message: short, printable, and only its kind where it may be a secret."""
    if value is OFF:
        return "off"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if may_be_secret(path):
        return "text" if isinstance(value, str) else "a number"
    return f'"{_printable(value)}"' if isinstance(value, str) else _printable(str(value))


def may_be_secret(path: KeyPath) -> bool:
    """Whether what stands here could be a token, a password or a URL that holds one."""
    if path[:1] == ("auth",):
        return path[-1] in ("url", "jwks")
    return path[:1] == ("upstreams",) and not SECRET_KEYS.isdisjoint(path[2:])


def without_values(text: str) -> str:
    """A message about a template without the template: somebody may have written a secret into it."""
    return _QUOTED.sub("", _NO_PLACEHOLDER.sub("${...} ", text))


def closest(word: object, known: Iterable[str]) -> str:
    """The known name that a person most likely meant, or ""."""
    near = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return near[0] if near else ""


def alternatives(words: Iterable[str]) -> str:
    """`a`, `a or b`, `a, b or c`; "" of none."""
    *first, last = list(words) or [""]
    return f"{', '.join(first)} or {last}" if first else last


def _printable(text: str, size: int = MAX_SHOWN_CHARACTERS) -> str:
    cut = text if len(text) <= size else text[: size - 1] + "…"
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in cut)
