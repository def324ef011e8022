"""The values a field may have on a route (`allow`), and the topics that are kept without a browser (`pin`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import PlainValidator, WithJsonSchema

from relayd.config.scalars import refuse
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
    for one in values:
        if not isinstance(one, str):
            raise refuse(f"{one!r} is not text: field values are compared as text", f'quotes: "{one}"')
        if not one:
            raise refuse("an empty value is no topic segment", "a text")
    if len(set(values)) != len(values):
        raise refuse("a value stands twice in the list", "each value once")
    return AllowValues(tuple(values))


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
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) and one for one in value):
        raise refuse("not something to pin", "true, or a list of topics such as [market/ticker/BTC-USD]")
    if len(set(value)) != len(value):
        raise refuse("a topic stands twice in the list", "each topic once")
    return tuple(value)


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
