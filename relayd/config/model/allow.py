"""The values a field may have on a route (`allow`), and the topics that are kept without a browser (`pin`)."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import PlainValidator, WithJsonSchema

from relayd.config.scalars import refuse

#: A full match with a hostile pattern is bounded by the length of what it meets (docs: config.md, Routes).
MAX_REGEX_VALUE_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True)
class AllowList:
    """Exactly these values."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AllowGlob:
    """Values that match a glob (`*`, `?`, `[...]`), compared with case."""

    pattern: str


@dataclass(frozen=True, slots=True)
class AllowRegex:
    """Values of at most 64 characters that match a regular expression from start to end."""

    pattern: str


@dataclass(frozen=True, slots=True)
class AllowAny:
    """Every value."""


AllowRule = AllowList | AllowGlob | AllowRegex | AllowAny


def allows(rule: AllowRule, value: str) -> bool:
    """Whether a rule lets this raw field value through."""
    match rule:
        case AllowList(values):
            return value in values
        case AllowGlob(pattern):
            return fnmatch.fnmatchcase(value, pattern)
        case AllowRegex(pattern):
            return len(value) <= MAX_REGEX_VALUE_CHARACTERS and re.fullmatch(pattern, value) is not None
        case AllowAny():
            return True


def parse_allow(value: Any) -> AllowRule:
    """A list of texts, a glob, `{regex: ...}` or `any`. Raises PydanticCustomError for anything else."""
    expected = "a list of values, a glob such as *-USD, {regex: ...} or any"
    if value == "any":
        return AllowAny()
    if isinstance(value, str) and value:
        return AllowGlob(value)
    if isinstance(value, list | tuple):
        return _parse_list(value)
    if isinstance(value, Mapping) and set(value) == {"regex"}:
        return _parse_regex(value["regex"])
    raise refuse("not a rule for a field's values", expected)


def _parse_list(values: list[Any] | tuple[Any, ...]) -> AllowList:
    if not values:
        raise refuse("an empty list allows nothing", "one value or more")
    for one in values:
        if not isinstance(one, str):
            raise refuse(f"{one!r} is not text: field values are compared as text", f'quotes: "{one}"')
        if not one:
            raise refuse("an empty value is no topic segment", "a text")
    if len(set(values)) != len(values):
        raise refuse("a value stands twice in the list", "each value once")
    return AllowList(tuple(values))


def _parse_regex(pattern: Any) -> AllowRegex:
    if not isinstance(pattern, str) or not pattern:
        raise refuse("not a regular expression", "a text such as [A-Z]{3,6}")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as problem:
        raise refuse(f"not a regular expression: {problem}", "a pattern of Python's re") from None
    return AllowRegex(pattern)


def parse_pin(value: Any) -> bool | tuple[str, ...]:
    """`true`, `false`, or a list of topics. Raises PydanticCustomError for anything else."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) and one for one in value):
        raise refuse("not something to pin", "true, or a list of topics such as [market/ticker/BTC-USD]")
    if len(set(value)) != len(value):
        raise refuse("a topic stands twice in the list", "each topic once")
    return tuple(value)


_TEXTS: Final[dict[str, Any]] = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "uniqueItems": True}
_REGEX: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"regex": {"type": "string", "format": "regex"}},
    "required": ["regex"],
    "additionalProperties": False,
}

Allow = Annotated[
    AllowRule,
    PlainValidator(parse_allow),
    WithJsonSchema({"anyOf": [_TEXTS, {"type": "string", "minLength": 1}, _REGEX]}),
]
"""The values a field may have."""
Pin = Annotated[
    bool | tuple[str, ...],
    PlainValidator(parse_pin),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {**_TEXTS, "minItems": 0}]}),
]
"""Topics kept without a browser: all (True), none (False), or these."""
