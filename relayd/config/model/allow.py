"""The values a field may have on a route (`allow`), and the topics that are kept without a browser (`pin`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import PlainValidator, WithJsonSchema

from relayd.config.scalars import Refusals, refuse
from relayd.core.routes import AllowAny, AllowGlob, AllowRegex, AllowValues

AllowRule = AllowValues | AllowGlob | AllowRegex | AllowAny


def parse_allow(value: Any) -> AllowRule:
    """A list of texts, a glob, `{regex: ...}` or `any`. Raises PydanticCustomError for anything else."""
    if value == "any":
        return AllowAny()
    if isinstance(value, str) and value:
        return AllowGlob(value)
    if isinstance(value, list | tuple):
        return _parse_values(value)
    if isinstance(value, Mapping) and set(value) == {"regex"}:
        return _parse_regex(value["regex"])
    raise refuse("not a rule for a field's values", "a list of values, a glob such as *-USD, {regex: ...} or any")


def _parse_values(values: list[Any] | tuple[Any, ...]) -> AllowValues:
    if not values:
        raise refuse("an empty list allows nothing", "one value or more")
    return AllowValues(_distinct(values))


def _distinct(values: list[Any] | tuple[Any, ...]) -> tuple[str, ...]:
    refusals = Refusals()
    seen: set[str] = set()
    for at, one in enumerate(values):
        text = refusals.read(at, _text, one)
        if text in seen:
            refusals.read(at, _twice, one)
        seen.add(text or "")
    refusals.finish()
    return tuple(values)


def _text(value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    if value == "":
        raise refuse("an empty value is no topic segment", "text")
    raise refuse("not text: values of fields are compared as text", "quotes")


def _twice(value: Any) -> str:
    raise refuse("stands twice in the list", "each once")


def _parse_regex(pattern: Any) -> AllowRegex:
    if not isinstance(pattern, str) or not pattern:
        raise refuse("not a regular expression", "a text such as [A-Z]{3,6}")
    try:
        return AllowRegex(re.compile(pattern))
    except (re.error, OverflowError, RecursionError) as problem:
        raise refuse(f"not a regular expression: {problem}", "a pattern of Python's re") from None


def parse_pin(value: Any) -> bool | tuple[str, ...]:
    """`true`, `false`, or a list of topics. Raises PydanticCustomError for anything else."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, list | tuple):
        raise refuse("not something to pin", "true, or a list of topics such as [market/ticker/BTC-USD]")
    return _distinct(value)


_TEXT: Final[dict[str, Any]] = {"type": "string", "minLength": 1}
_TEXTS: Final[dict[str, Any]] = {"type": "array", "items": _TEXT, "minItems": 1, "uniqueItems": True}
_REGEX: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"regex": {"type": "string", "format": "regex"}},
    "required": ["regex"],
    "additionalProperties": False,
}

Allow = Annotated[AllowRule, PlainValidator(parse_allow), WithJsonSchema({"anyOf": [_TEXTS, _TEXT, _REGEX]})]
"""The values a field may have."""
Pin = Annotated[
    bool | tuple[str, ...],
    PlainValidator(parse_pin),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {**_TEXTS, "minItems": 0}]}),
]
"""Topics kept without a browser: all (True), none (False), or these."""
