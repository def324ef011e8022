"""Who may do something with a topic (`access`): everybody, nobody, or whose claims have certain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import PlainValidator, WithJsonSchema

from relayd.config.scalars import Refusals, refuse

Claims: TypeAlias = "Mapping[str, tuple[str, ...]]"
"""Claim -> the values it may have; `$name` is a field of the topic, `$$` at the start a dollar sign."""


def parse_who(value: Any) -> Literal["public", "nobody"] | Claims:
    """`public`, `nobody`, or a table claim -> value or list of values, which become text.

    Raises PydanticCustomError for anything else.
    """
    expected = "public, nobody, or claims such as {role: operator}"
    if value == "public" or value == "nobody":
        return "public" if value == "public" else "nobody"
    if not isinstance(value, Mapping):
        raise refuse("not who may", expected)
    if not value:
        raise refuse("no claim: that would be everybody who is known, or nobody", expected)
    refusals = Refusals()
    claims: dict[str, tuple[str, ...]] = {}
    for name, one in value.items():
        claims[str(name)] = refusals.read(name, _parse_values, one) or ()
    refusals.finish()
    return claims


def _parse_values(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        return (_parse_value(value),)
    if not value:
        raise refuse("an empty list is nobody", "one value or more, or access: nobody")
    refusals = Refusals()
    texts = [refusals.read(at, _parse_value, one) for at, one in enumerate(value)]
    refusals.finish()
    return tuple(text for text in texts if text is not None)


def _parse_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str) or not value:
        raise refuse("not the value of a claim", "text, a whole number, true or false")
    return value


_VALUE: Final[dict[str, Any]] = {
    "anyOf": [{"type": "string", "minLength": 1}, {"type": "integer"}, {"type": "boolean"}]
}
_CLAIMS: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": {"anyOf": [_VALUE, {"type": "array", "items": _VALUE, "minItems": 1}]},
    "minProperties": 1,
}

Who = Annotated[
    Literal["public", "nobody"] | Claims,
    PlainValidator(parse_who),
    WithJsonSchema({"anyOf": [{"enum": ["public", "nobody"]}, _CLAIMS]}),
]
"""Who may."""
