"""The small languages inside an upstream block: paths, matches, templates, close codes, market hours.

They are checked for shape here and compiled elsewhere; placeholders such as `${env.X}` stay as they are written, so
that the model never holds a secret.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar, cast

from pydantic import BeforeValidator, PlainValidator, Strict, WithJsonSchema

from relayd.config.scalars import Refusals, parse_duration, refuse
from relayd.core import hours
from relayd.core.feed import path
from relayd.core.feed.errors import Malformed
from relayd.core.hours import Hours

T = TypeVar("T")

Scalar = str | int | float | bool | None
"""What a match compares with: a JSON scalar."""

FIELD_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*", re.ASCII)
#: msgspec, which reads messages, has no field of such a name.
_UNNAMEABLE: Final = re.compile(r'[\x00-\x1f"\\]')
_CODES: Final = re.compile(r"([0-9]{3,4})(?:-([0-9]{3,4}))?", re.ASCII)

RECONNECT_WORDS: Final = ("stop", "retry", "wait", "forget-cursor")


@dataclass(frozen=True, slots=True)
class CodeRange:
    """Close codes or HTTP statuses from `first` to `last`, both included."""

    first: int
    last: int


def parse_path(value: Any) -> str:
    """A path as text: dotted (`data.0.symbol`), `.` (the whole), a JSON Pointer (`/a~1b`), or a position (`-1`)."""
    expected = "a path such as data.0.symbol, a position such as 0 or -1, or a JSON Pointer such as /a/b"
    if isinstance(value, float):
        raise refuse("a number where a path is meant", f'quotes: "{value}"')
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise refuse("not a path", expected)
    if isinstance(value, str) and _UNNAMEABLE.search(value):
        raise refuse("a key with a quote, a backslash or a control character cannot be named", expected)
    try:
        return path.parse_path(value).text
    except Malformed as error:
        raise refuse(str(error)) from None


def parse_paths(value: Any) -> tuple[str, ...]:
    """One path or a list of paths, the first that exists counts."""
    if isinstance(value, list | tuple):
        if not value:
            raise refuse("an empty list of paths", "one path or more")
        return _members(value, parse_path)
    return (parse_path(value),)


def _members(values: list[Any] | tuple[Any, ...], parse: Callable[[Any], T]) -> tuple[T, ...]:
    refusals = Refusals()
    found = tuple(refusals.read(at, parse, one) for at, one in enumerate(values))
    refusals.finish()
    return cast(tuple[T, ...], found)


def _table(values: Mapping[Any, Any], parse_key: Callable[[Any], str], parse: Callable[[Any], T]) -> dict[str, T]:
    refusals = Refusals()
    found = {refusals.read(key, parse_key, key): refusals.read(key, parse, one) for key, one in values.items()}
    refusals.finish()
    return cast(dict[str, T], found)


def parse_at(value: Any) -> Any:
    """Where names stand: a path, a list of paths, or a table field -> path."""
    if not isinstance(value, Mapping):
        return parse_paths(value)
    if not value:
        raise refuse("an empty table of fields", "field: path, such as {symbol: product_id}")
    return _table(value, parse_field, parse_paths)


def parse_field(value: Any) -> str:
    """A field's name."""
    if not isinstance(value, str) or FIELD_NAME.fullmatch(value) is None:
        raise refuse("not a field name", "lower-case letters, digits and _, such as symbol")
    return value


def parse_match(value: Any) -> Any:
    """A whole text frame (`pong`) or a list of them, or path -> value or list of values; lists come out as tuples."""
    expected = "path: value, such as {type: snapshot}, or the whole text of a frame"
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(one, str) and one for one in value):
        return tuple(value)
    if not isinstance(value, Mapping) or not value:
        raise refuse("not a match", expected)
    return _table(value, parse_path, _scalars)


def _scalars(value: Any) -> tuple[Scalar, ...]:
    if not isinstance(value, list | tuple):
        return (_scalar(value),)
    if not value:
        raise refuse("an empty list matches nothing", "a value or a list of values")
    return _members(value, _scalar)


def _scalar(value: Any) -> Scalar:
    if value is None or isinstance(value, str | int | float):
        return value
    raise refuse("not a value that can be compared", "a text, a number, true, false or null")


def parse_fields_match(value: Any) -> Mapping[str, tuple[str, ...]]:
    """`for:` field -> glob or list of globs; the globs come out as a tuple."""
    if not isinstance(value, Mapping) or not value:
        raise refuse("not a table of fields", "field: value, such as {channel: book}")
    return _table(value, parse_field, _globs)


def _globs(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        return (_glob(value),)
    if not value:
        raise refuse("an empty list matches nothing", "a value or a list of values")
    return _members(value, _glob)


def _glob(value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    raise refuse("a field is compared as text", 'a text such as book, "depth*" or "1"')


def parse_template(value: Any) -> Any:
    """A JSON value whose texts and keys may hold placeholders; kept as it stands."""
    if isinstance(value, Mapping):
        return _table(value, _template_key, parse_template)
    if isinstance(value, list | tuple):
        return list(_members(value, parse_template))
    if isinstance(value, float) and not math.isfinite(value):
        raise refuse("JSON has no such number", "a finite number")
    if value is None or isinstance(value, str | int | float):
        return value
    raise refuse("not a value of JSON", 'quotes, such as "off"')


def _template_key(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise refuse("a number where a key is meant: keys are text", f'quotes: "{value}"')


def parse_codes(value: Any) -> CodeRange:
    """`1008` or `4400-4499`."""
    expected = "a code such as 1008 or 429, or a range such as 4400-4499"
    hit = _CODES.fullmatch(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else None
    if hit is None:
        raise refuse("not a code", expected)
    first, last = int(hit[1]), int(hit[2] or hit[1])
    if last < first:
        raise refuse("a range that ends before it starts", expected)
    return CodeRange(first, last)


def parse_reconnect(value: Any) -> str | float:
    """`stop`, `retry`, `wait`, `forget-cursor`, or a duration in seconds."""
    if isinstance(value, str) and value in RECONNECT_WORDS:
        return value
    expected = f"{', '.join(RECONNECT_WORDS)} or a duration such as 2m"
    if isinstance(value, str) and value[:1].isdigit():
        return parse_duration(value)
    raise refuse("not something to do after a close", expected)


def parse_every(value: Any) -> str | float:
    """A duration in seconds, or a template that becomes one when the connection is open (`${ping_ms}ms`)."""
    return value if isinstance(value, str) and "$" in value else parse_duration(value)


def parse_hours(value: Any) -> Hours:
    """`09:00-15:30 Asia/Tokyo mon-fri`; spans and days may be lists with commas."""
    expected = 'spans, zone and days, such as "09:00-15:30 Asia/Tokyo mon-fri"'
    if not isinstance(value, str):
        raise refuse("not market hours", expected)
    try:
        return hours.parse_hours(value)
    except Malformed as error:
        raise refuse(str(error), expected) from None


_PATH_SCHEMA: Final[dict[str, Any]] = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer"}]}
_PATHS_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [*_PATH_SCHEMA["anyOf"], {"type": "array", "items": _PATH_SCHEMA, "minItems": 1}]
}
_AT_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [*_PATHS_SCHEMA["anyOf"], {"type": "object", "additionalProperties": _PATHS_SCHEMA, "minProperties": 1}]
}
_SCALAR_SCHEMA: Final[dict[str, Any]] = {"type": ["string", "number", "boolean", "null"]}
_SCALARS_SCHEMA: Final[dict[str, Any]] = {"type": "array", "items": _SCALAR_SCHEMA, "minItems": 1}
_TEXT_SCHEMA: Final[dict[str, Any]] = {"type": "string", "minLength": 1}
_MATCH_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        _TEXT_SCHEMA,
        {"type": "array", "items": _TEXT_SCHEMA, "minItems": 1},
        {"type": "object", "minProperties": 1, "additionalProperties": {"anyOf": [_SCALAR_SCHEMA, _SCALARS_SCHEMA]}},
    ]
}
_GLOBS_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [_TEXT_SCHEMA, {"type": "array", "items": _TEXT_SCHEMA, "minItems": 1}]
}
_FOR_SCHEMA: Final[dict[str, Any]] = {"type": "object", "additionalProperties": _GLOBS_SCHEMA, "minProperties": 1}
_EVERY_SCHEMA: Final[dict[str, Any]] = {"type": "string", "examples": ["20s", "${ping_ms}ms"]}
_DO_SCHEMA: Final[dict[str, Any]] = {"type": "string", "examples": [*RECONNECT_WORDS, "2m"]}
_HOURS_SCHEMA: Final[dict[str, Any]] = {"type": "string", "examples": ["09:00-15:30 Asia/Tokyo mon-fri"]}

Path = Annotated[str, PlainValidator(parse_path), WithJsonSchema(_PATH_SCHEMA)]
"""Where a value stands in a message."""
Paths = Annotated[tuple[str, ...], PlainValidator(parse_paths), WithJsonSchema(_PATHS_SCHEMA)]
"""Where a value stands: the first of these paths that exists."""
At = Annotated[tuple[str, ...] | Mapping[str, tuple[str, ...]], PlainValidator(parse_at), WithJsonSchema(_AT_SCHEMA)]
"""Where a feed name (tuple of paths) or fields (table field -> tuple of paths) stand."""
Match = Annotated[
    str | tuple[str, ...] | Mapping[str, tuple[Scalar, ...]], PlainValidator(parse_match), WithJsonSchema(_MATCH_SCHEMA)
]
"""What a message must be: the whole text of a frame (or any of several), or path -> any of these values."""
For = Annotated[Mapping[str, tuple[str, ...]], PlainValidator(parse_fields_match), WithJsonSchema(_FOR_SCHEMA)]
"""To which fields a variant applies: field -> any of these globs."""
Field_ = Annotated[
    str, PlainValidator(parse_field), WithJsonSchema({"type": "string", "pattern": f"^{FIELD_NAME.pattern}$"})
]
"""A field's name."""
Template = Annotated[Any, PlainValidator(parse_template), WithJsonSchema({})]
"""A JSON value with placeholders (`$name`, `${env.X}`), rendered when it is sent."""
Codes = Annotated[
    CodeRange,
    PlainValidator(parse_codes),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{3,4}(-[0-9]{3,4})?$"}),
]
"""Close codes or statuses."""
AfterClose = Annotated[str | float, PlainValidator(parse_reconnect), WithJsonSchema(_DO_SCHEMA)]
"""`stop`, `retry`, `wait`, `forget-cursor`, or seconds."""
Every = Annotated[str | float, PlainValidator(parse_every), WithJsonSchema(_EVERY_SCHEMA)]
"""Seconds, or a template that becomes a duration."""
MarketHours = Annotated[Hours, PlainValidator(parse_hours), WithJsonSchema(_HOURS_SCHEMA)]
"""When a market is open."""


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, Mapping) else value


class VariantsSchema:
    """Tells the JSON Schema that one block may stand where a list may."""

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        several: dict[str, Any] = handler(core_schema)
        return {"anyOf": [several["items"], several]}


Variants = Annotated[tuple[T, ...], Strict(False), BeforeValidator(_listed), VariantsSchema()]
"""A list of variants; one block may stand alone."""

__all__ = [
    "RECONNECT_WORDS",
    "AfterClose",
    "At",
    "CodeRange",
    "Codes",
    "Every",
    "Field_",
    "For",
    "Hours",
    "MarketHours",
    "Match",
    "Path",
    "Paths",
    "Scalar",
    "Template",
    "Variants",
]
