"""Scalars with a unit: durations, sizes, rates, histories, and the two ways of saying "nothing".

Every type here takes what stands in the file (`1m30s`, `64KiB`, `5/1s`, `100/5m/1MiB`) and yields a number in the unit
of the attribute's name (seconds, bytes). Whatever does not fit is refused with a `PydanticCustomError` whose context
holds `expected`.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar, cast

from pydantic import BeforeValidator, Field, PlainValidator, Strict, WithJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

T = TypeVar("T")
P = TypeVar("P")

#: Longer than any session lives; bounds what a deadline computes with (guess: 10 years).
MAX_DURATION_S: Final = 10 * 366 * 86_400.0
#: More than any machine of today holds; a typo such as `64TiB` is caught here (guess).
MAX_SIZE_BYTES: Final = 1 << 40

_UNITS_S: Final = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_UNITS_BYTES: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "": 1}
DURATION_PATTERN: Final = r"(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m(?!s))?([0-9]+(\.[0-9]{1,3})?s)?([0-9]+ms)?"
SIZE_PATTERN: Final = r"[0-9]+(B|KiB|MiB|GiB)?"
_DURATION: Final = re.compile(DURATION_PATTERN, re.ASCII)
_DURATION_PART: Final = re.compile(r"([0-9.]+)([a-z]+)")
_SIZE: Final = re.compile(r"([0-9]{1,18})(B|KiB|MiB|GiB)?", re.ASCII)


class Off(enum.Enum):
    """The plain word `off`, false in YAML 1.1 and text in 1.2: kept apart, so that only a switch takes it."""

    OFF = "off"


OFF: Final = Off.OFF


def refuse(what: str, expected: str = "") -> PydanticCustomError:
    """The error of a validator: what is wrong in a person's words, and what was expected ("" = the words say it)."""
    return PydanticCustomError("relayd", "{what}", {"what": what, "expected": expected})


class Refusals:
    """Gathers what is wrong with the members of a table or list, each at its own place."""

    def __init__(self) -> None:
        self._found: list[InitErrorDetails] = []

    def read(self, key: str | int, parse: Callable[[Any], P], value: Any) -> P | None:
        """The member as `parse` reads it, or None where it was refused."""
        try:
            return parse(value)
        except PydanticCustomError as error:
            self._found.append(InitErrorDetails(type=error, loc=(key,), input=value))
        except ValidationError as error:
            for inner in error.errors(include_url=False):
                told = refuse(inner["ctx"]["what"], inner["ctx"]["expected"])
                self._found.append(InitErrorDetails(type=told, loc=(key, *inner["loc"]), input=inner["input"]))
        return None

    def finish(self) -> None:
        """Raises ValidationError, which pydantic merges with its own, if anything was refused."""
        if self._found:
            raise ValidationError.from_exception_data("relay.yaml", self._found)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in any window of `period_s` seconds: a strict sliding window, not a bucket."""

    count: int
    period_s: float


@dataclass(frozen=True, slots=True)
class History:
    """How much of its past a topic keeps: whichever of the three bounds is met first lets the oldest go."""

    count: int
    age_s: float
    bytes: int


def parse_duration(value: Any) -> float:
    """Seconds of a text such as `500ms`, `1m30s`, `23h30m`, `89d`; the units fall and none stands twice.

    Raises PydanticCustomError for anything else, a bare number included: it does not say its unit.
    """
    expected = "a duration such as 500ms, 30s, 1m30s or 23h30m"
    if not isinstance(value, str):
        raise refuse("a duration needs its unit" if _is_number(value) else "not a duration", expected)
    if not value or _DURATION.fullmatch(value) is None:
        raise refuse("not a duration", expected)
    total = sum(float(count) * _UNITS_S[unit] for count, unit in _DURATION_PART.findall(value))
    if total > MAX_DURATION_S:
        raise refuse("longer than ten years", expected)
    return round(total, 3)


def parse_size(value: Any) -> int:
    """Bytes of a text such as `64KiB`, or of a bare whole number. Raises PydanticCustomError for anything else."""
    expected = "a size such as 512, 64KiB, 8MiB or 1GiB"
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    hit = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if hit is None:
        raise refuse("not a size", expected)
    total = int(hit[1]) * _UNITS_BYTES[hit[2] or ""]
    if total > MAX_SIZE_BYTES:
        raise refuse("larger than 1 TiB", expected)
    return total


def parse_rate(value: Any) -> Rate:
    """A Rate of a text such as `5/1s`. Raises PydanticCustomError for anything else, and for a rate of nothing."""
    expected = "a rate such as 5/1s (five in any second) or 300/5m"
    if not isinstance(value, str):
        raise refuse("a rate needs its period" if _is_number(value) else "not a rate", expected)
    count, slash, period = value.partition("/")
    if not slash or not _is_count(count):
        raise refuse("not a rate", expected)
    try:
        period_s = parse_duration(period)
    except PydanticCustomError:
        raise refuse("not a rate", expected) from None
    if int(count) == 0 or period_s == 0:
        raise refuse("a rate of nothing would stop everything", expected)
    return Rate(int(count), period_s)


def parse_history(value: Any) -> History:
    """A History of a text such as `100/5m/1MiB`. Raises PydanticCustomError for anything else."""
    expected = "publications/age/size, such as 100/5m/1MiB"
    parts = value.split("/") if isinstance(value, str) else []
    if len(parts) != 3 or not _is_count(parts[0]):
        raise refuse("not a history", expected)
    try:
        history = History(int(parts[0]), parse_duration(parts[1]), parse_size(parts[2]))
    except PydanticCustomError as problem:
        raise refuse(f"not a history: {problem.message()}", expected) from None
    if history.count == 0:
        raise refuse("a history keeps at least one publication, the newest", expected)
    return history


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(text: str) -> bool:
    # Nine digits: no count of anything here is larger, and int() of a very long text is refused by Python itself.
    return text.isascii() and text.isdigit() and len(text) <= 9


def parse_positive(value: Any) -> float:
    """A finite number above 0, whole ones kept whole. Raises PydanticCustomError for anything else."""
    if not _is_number(value) or not math.isfinite(value) or value <= 0:
        raise refuse("not a number above 0", "a number above 0, such as 10 or 0.5")
    return cast(float, value)


def _present(value: Any) -> Any:
    if value is None:
        raise refuse("nothing stands here", "a value, or the key left out")
    return value


def _off(value: Any) -> Any:
    return None if value is OFF or value == "off" else _present(value)


def from_text(parse: Callable[[Any], Any], pattern: str, example: str) -> tuple[Any, ...]:
    """The annotations of a type read by `parse`; `pattern` and `example` are what an editor is told."""
    schema = {"type": "string", "pattern": f"^{pattern}$", "examples": [example]}
    return PlainValidator(parse), WithJsonSchema(schema)


class OffSchema:
    """Tells the JSON Schema that a switch takes `off` where the model holds None."""

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        schema: dict[str, Any] = handler(core_schema)
        return {"anyOf": [*(one for one in schema["anyOf"] if one != {"type": "null"}), {"const": "off"}]}


class GivenSchema:
    """Tells the JSON Schema that a key may be left out but not be null."""

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        schema: dict[str, Any] = handler(core_schema)
        kinds = [one for one in schema["anyOf"] if one != {"type": "null"}]
        return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


_SIZE_SCHEMA: Final = {"anyOf": [{"type": "string", "pattern": f"^{SIZE_PATTERN}$"}, {"type": "integer", "minimum": 0}]}
_RATE_PATTERN: Final = rf"[0-9]{{1,9}}/{DURATION_PATTERN}"
_HISTORY_PATTERN: Final = rf"[0-9]{{1,9}}/{DURATION_PATTERN}/{SIZE_PATTERN}"

Duration = Annotated[float, *from_text(parse_duration, DURATION_PATTERN, "1m30s")]
"""Seconds, written `1m30s`."""
Size = Annotated[int, PlainValidator(parse_size), WithJsonSchema(_SIZE_SCHEMA)]
"""Bytes, written `64KiB`; a bare number is bytes."""
RateText = Annotated[Rate, *from_text(parse_rate, _RATE_PATTERN, "5/1s")]
"""A Rate, written `5/1s`."""
HistoryText = Annotated[History, *from_text(parse_history, _HISTORY_PATTERN, "100/5m/1MiB")]
"""A History, written `100/5m/1MiB`."""
Text = Annotated[str, Field(min_length=1)]
"""Text that is not empty."""
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
"""A whole number from 1."""
Positive = Annotated[float, PlainValidator(parse_positive), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})]
"""A number above 0."""
Seq = Annotated[tuple[T, ...], Strict(False)]
"""A list in the file, a tuple in the model."""
Given = Annotated[T | None, BeforeValidator(_present), GivenSchema()]
"""May be left out (None); an empty value is refused."""
OrOff = Annotated[T | None, BeforeValidator(_off), OffSchema()]
"""May be switched `off` (None)."""
