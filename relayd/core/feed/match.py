"""Matches: what a message (`when unless expect fail`) or a table of fields (`for`) must be.

Path -> value; a list means any of them. `*` in a text stands for anything, so `"*"` alone means that something stands
there, null included. Numbers do not equal texts, true is not 1, nothing is not null. A bare string is compared with the
whole text frame.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from relayd.core.feed.errors import Malformed
from relayd.core.feed.path import MISSING, Path, Scope, parse_path

Scalar: TypeAlias = str | int | float | bool | None

PRESENT = "*"


@cache
def glob(pattern: str) -> re.Pattern[str]:
    """A text in which only `*` is special."""
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)


def _equals(want: Scalar, value: object) -> bool:
    if isinstance(want, str):
        return isinstance(value, str) and (glob(want).fullmatch(value) is not None if "*" in want else want == value)
    if want is None or isinstance(want, bool):
        return value is want
    return isinstance(value, int | float) and not isinstance(value, bool) and value == want


@dataclass(frozen=True, slots=True)
class Condition:
    """One path of a match."""

    path: Path
    values: tuple[Scalar, ...]
    """Any of these."""

    @property
    def presence(self) -> bool:
        """Whether anything at all will do."""
        return PRESENT in self.values

    def accepts(self, value: object) -> bool:
        """Whether what stands at the path will do."""
        if value is MISSING:
            return False
        return self.presence or any(_equals(want, value) for want in self.values)


@dataclass(frozen=True, slots=True)
class Match:
    """Conditions that must all hold, or a whole text frame."""

    conditions: tuple[Condition, ...] = ()
    texts: tuple[str, ...] = ()
    """Not empty: the frame is one of these, and there are no conditions."""

    def holds(self, scope: Scope) -> bool:
        """Whether the message matches."""
        if self.texts:
            return scope.text is not None and any(_equals(want, scope.text) for want in self.texts)
        return all(condition.accepts(scope.get(condition.path)) for condition in self.conditions)


def parse_match(value: object, roots: Collection[str] = ()) -> Match:
    """A match from the file. Raises Malformed."""
    if isinstance(value, str) and value:
        return Match(texts=(value,))
    if isinstance(value, list | tuple) and value and all(isinstance(one, str) and one for one in value):
        return Match(texts=tuple(value))
    if not isinstance(value, Mapping) or not value:
        raise Malformed("write path: value, such as {type: snapshot}, or the whole text of a frame")
    return Match(tuple(Condition(parse_path(path, roots), _scalars(path, one)) for path, one in value.items()))


def _scalars(path: object, value: object) -> tuple[Scalar, ...]:
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not values or not all(one is None or isinstance(one, str | int | float) for one in values):
        raise Malformed(f"{path}: compare with a text, a number, true, false or null, or with a list of them")
    return values


ALWAYS = Match()
"""Every message."""


@dataclass(frozen=True, slots=True)
class For:
    """To which fields a variant applies; without conditions to all."""

    globs: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields it asks for."""
        return tuple(name for name, _ in self.globs)

    def holds(self, fields: Mapping[str, str | None]) -> bool:
        """Whether the variant applies; a field that is not there matches nothing."""
        return all(any(_equals(one, fields.get(name)) for one in globs) for name, globs in self.globs)


FOR_ALL = For()
"""All fields."""


def parse_for(value: object) -> For:
    """`for:` from the file; None (left out) applies to all. Raises Malformed."""
    if value is None:
        return FOR_ALL
    if not isinstance(value, Mapping) or not value:
        raise Malformed("write field: value, such as {channel: book}")
    globs = []
    for name, one in value.items():
        texts = tuple(one) if isinstance(one, list | tuple) else (one,)
        if not texts or not all(isinstance(text, str) for text in texts):
            raise Malformed(f"{name} is compared as text: quote the value")
        globs.append((str(name), texts))
    return For(tuple(globs))
