"""What pydantic found, as a Problem: at its place in the file, in a person's words, with the nearest known name."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic_core import ErrorDetails

from relayd.config.model import Block, Config
from relayd.config.problem import KeyPath, Problem, Source, alternatives, closest, may_be_secret, shown
from relayd.config.scalars import OFF

#: pydantic's name of a problem -> what is wrong, and what was expected, with the names of pydantic's context.
_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "bool_type": ("not a switch", "true or false"),
    "int_type": ("not a whole number", "a whole number"),
    "string_type": ("not text", "text"),
    "string_too_short": ("an empty text", "text"),
    "greater_than_equal": ("too small", "a whole number from {ge}"),
    "less_than_equal": ("too large", "at most {le:g}"),
    "model_type": ("not a table", "keys with values"),
    "mapping_type": ("not a table", "names with values"),
    "tuple_type": ("not a list", "a list such as [a, b]"),
    "too_short": ("too few entries", "{min_length} or more"),
    "too_long": ("too many entries", "{max_length} at most"),
}
_WORD: Final = re.compile(r"'([^']*)'")


class Finding:
    """One error of pydantic, placed in the file."""

    def __init__(self, source: Source, details: ErrorDetails) -> None:
        self._source = source
        self._details = details
        self._kind = details["type"]
        self.is_missing = self._kind == "missing"
        self.is_too_short = self._kind == "too_short"
        self.is_unknown = self._kind == "extra_forbidden"
        self.path, self._is_key = _place_of(source.data, details["loc"])
        known = known_keys(details["loc"][:-1]) if self.is_unknown else ()
        self._known = tuple(sorted(known))
        self.meant = closest(details["loc"][-1], self._known) if self.is_unknown else ""

    def problem(self) -> Problem:
        """The Problem to print."""
        if self.is_missing:
            return self._source.problem(self.path[:-1], f"`{self.path[-1]}` is missing")
        if self.is_unknown:
            expected = "" if self.meant else alternatives(self._known)
            return self._source.problem(self.path, "unknown key", expected=expected, meant=self.meant, key=True)
        value = self._details["input"]
        got = shown(self.path, value)
        what, expected, meant = self._words(value)
        return self._source.problem(self.path, what, got=got, expected=expected, meant=meant, key=self._is_key)

    def _words(self, value: Any) -> tuple[str, str, str]:
        """What is wrong, what was expected, what was meant."""
        context = self._details.get("ctx", {})
        if self._kind == "relayd":
            what, expected = context["what"], context["expected"]
        elif self._kind == "literal_error":
            what, expected = "not one of the words known here", context["expected"].replace("'", "")
        elif self._kind in _WORDS:
            words = _WORDS[self._kind]
            what, expected = words[0], words[1].format(**context)
        else:
            what, expected = self._details["msg"], ""
        if value is OFF:
            what = "`off` is false in YAML 1.1 and text in YAML 1.2, and nothing can be switched off here"
        elif value is None:
            what = "nothing stands here"
        elif self._kind == "string_type" and isinstance(value, int | float):
            what = "a number where text is meant" if not isinstance(value, bool) else what
            expected = "quotes" if may_be_secret(self.path) else f'quotes: "{shown(self.path, value)}"'
        words_known = _WORD.findall(context.get("expected", "")) if self._kind == "literal_error" else ()
        return what, expected, closest(value, words_known) if isinstance(value, str) else ""


def _place_of(data: Any, loc: tuple[int | str, ...]) -> tuple[KeyPath, bool]:
    """The path in the file of pydantic's location, and whether the key itself is meant.

    pydantic's location also holds steps that the file has not: the position in a list where one block stands alone, the
    branch of a union.
    """
    path: list[int | str] = []
    for at, step in enumerate(loc, 1):
        if step == "[key]" and at == len(loc):
            return tuple(path), True
        if _holds(data, step):
            path.append(step)
            data = data[step]
        elif at == len(loc) and isinstance(data, Mapping) and isinstance(step, str):
            path.append(step)  # a key that is missing
    return tuple(path), False


def _holds(data: Any, step: int | str) -> bool:
    if isinstance(data, Mapping):
        return step in data
    return isinstance(data, list) and isinstance(step, int)


def known_keys(loc: tuple[int | str, ...]) -> set[str]:
    """The keys a block at this location of pydantic's may have."""
    kinds: list[Any] = [Config]
    for step in loc:
        kinds = [inner for kind in kinds for inner in _inside(kind, step)]
    return {
        info.alias or name
        for kind in kinds
        for block in _plain(kind)
        if isinstance(block, type) and issubclass(block, Block)
        for name, info in block.model_fields.items()
    }


def _inside(kind: Any, step: int | str) -> Iterator[Any]:
    """The annotations of what stands behind one step; the branch of a union is no step down."""
    for plain in _plain(kind):
        if isinstance(plain, type) and issubclass(plain, Block):
            fields = {info.alias or name: info.annotation for name, info in plain.model_fields.items()}
            yield fields.get(str(step), plain)
        elif get_origin(plain) in (tuple, Mapping):
            yield get_args(plain)[0 if get_origin(plain) is tuple else 1]


def _plain(kind: Any) -> Iterator[Any]:
    """An annotation without `Annotated`, each branch of a union for itself."""
    if get_origin(kind) is Annotated:
        yield from _plain(get_args(kind)[0])
    elif get_origin(kind) in (Union, types.UnionType):
        for one in get_args(kind):
            yield from _plain(one)
    else:
        yield kind
