"""Durations, sizes, rates, histories, and the ways of saying nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from relayd.config.scalars import (
    OFF,
    Given,
    History,
    OrOff,
    Positive,
    Rate,
    Refusals,
    Seq,
    Size,
    Text,
    parse_duration,
    parse_history,
    parse_positive,
    parse_rate,
    parse_size,
    refuse,
)
from relayd.config.written import write_duration, write_size


def refusal(parse, value):
    """What a parser says about a value, and what it expected."""
    with pytest.raises(PydanticCustomError) as caught:
        parse(value)
    return caught.value.message(), caught.value.context["expected"]


class DurationTests:
    """Seconds of a text with units."""

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("0s", 0.0),
            ("500ms", 0.5),
            ("1.5s", 1.5),
            ("30s", 30.0),
            ("1m30s", 90.0),
            ("23h30m", 84_600.0),
            ("89d", 7_689_600.0),
            ("1d2h3m4s5ms", 93_784.005),
            ("5m", 300.0),
            ("3660d", 3660 * 86_400.0),
        ],
    )
    def test_good(self, text, seconds):
        """Units fall, none stands twice, the result is seconds."""
        assert parse_duration(text) == seconds

    @pytest.mark.parametrize(
        "value", ["", "s", "5", "5 s", "1s1m", "1m1m", "-5s", "5S", "1.5m", "٣s", "5sec", "1h30", "1e3s", None, [], OFF]
    )
    def test_bad(self, value):
        """Anything else is refused with an example."""
        assert refusal(parse_duration, value) == ("not a duration", "a duration such as 500ms, 30s, 1m30s or 23h30m")

    @pytest.mark.parametrize("value", [5, 0, 1.5])
    def test_bare_number(self, value):
        """A number does not say its unit."""
        assert refusal(parse_duration, value)[0] == "a duration needs its unit"

    @pytest.mark.parametrize("text", ["4000d", "9" * 400 + "s"])
    def test_too_long(self, text):
        """A slip of the finger is told."""
        assert refusal(parse_duration, text)[0] == "longer than ten years"

    @given(st.integers(0, 10 * 366 * 86_400 * 1000))
    def test_round_trip(self, milliseconds):
        """What is written is what is read."""
        assert parse_duration(write_duration(milliseconds / 1000)) == milliseconds / 1000


class SizeTests:
    """Bytes."""

    @pytest.mark.parametrize(
        ("value", "count"),
        [("0", 0), (512, 512), ("512", 512), ("7B", 7), ("64KiB", 65_536), ("8MiB", 8 << 20), ("1GiB", 1 << 30)],
    )
    def test_good(self, value, count):
        """A bare number is bytes."""
        assert parse_size(value) == count

    @pytest.mark.parametrize("value", ["", "KiB", "64kb", "64 KiB", "1.5MiB", -1, 1.5, True, None, [], "9" * 19])
    def test_bad(self, value):
        """Anything else is refused with an example."""
        assert refusal(parse_size, value) == ("not a size", "a size such as 512, 64KiB, 8MiB or 1GiB")

    def test_too_large(self):
        """More than a machine holds."""
        assert refusal(parse_size, "1025GiB")[0] == "larger than 1 TiB"

    @given(st.integers(0, 1 << 40))
    def test_round_trip(self, count):
        """What is written is what is read."""
        assert parse_size(write_size(count)) == count


class RateTests:
    """So many in any window."""

    def test_good(self):
        """Count and window."""
        assert parse_rate("300/5m") == Rate(300, 300.0)

    @pytest.mark.parametrize(
        "value", ["5", "5/", "/1s", "5/1", "5/1s/1s", "-5/1s", "5.5/1s", "٣/1s", "1234567890/1s", None, True]
    )
    def test_bad(self, value):
        """Anything else is refused with an example."""
        assert refusal(parse_rate, value) == ("not a rate", "a rate such as 5/1s (five in any second) or 300/5m")

    def test_bare_number(self):
        """A number does not say its window."""
        assert refusal(parse_rate, 500)[0] == "a rate needs its period"

    @pytest.mark.parametrize("text", ["0/1s", "5/0s"])
    def test_nothing(self, text):
        """A rate of nothing would stop everything."""
        assert refusal(parse_rate, text)[0] == "a rate of nothing would stop everything"


class HistoryTests:
    """Publications, age, bytes."""

    def test_good(self):
        """All three."""
        assert parse_history("5000/2m/8MiB") == History(5000, 120.0, 8 << 20)

    @pytest.mark.parametrize("value", ["100", "100/5m", "x/5m/1MiB", "100/5m/1MiB/1", "", 100, None])
    def test_bad(self, value):
        """Anything of another shape is refused with an example."""
        assert refusal(parse_history, value) == ("not a history", "publications/age/size, such as 100/5m/1MiB")

    def test_bad_part(self):
        """The part that is wrong is named."""
        assert refusal(parse_history, "100/5/1MiB")[0] == "not a history: not a duration"
        assert refusal(parse_history, "100/5m/1MB")[0] == "not a history: not a size"

    def test_none(self):
        """The newest is always kept."""
        assert refusal(parse_history, "0/5m/1MiB")[0] == "a history keeps at least one publication, the newest"


class PositiveTests:
    """Numbers above 0."""

    def test_good(self):
        """Whole numbers stay whole."""
        assert [parse_positive(value) for value in (10, 0.5)] == [10, 0.5]
        assert isinstance(parse_positive(10), int)

    @pytest.mark.parametrize("value", [0, -1, math.inf, math.nan, "5", True, None])
    def test_bad(self, value):
        """Anything else is refused with an example."""
        assert refusal(parse_positive, value) == ("not a number above 0", "a number above 0, such as 10 or 0.5")


class Example(BaseModel):
    """Every way of leaving something out."""

    model_config = ConfigDict(strict=True)
    given: Given[Text] = None
    switch: OrOff[Positive] = 1.0
    either: Given[Text | int] = None
    items: Seq[Text] = ()


class NothingTests:
    """Left out, switched off, empty."""

    def test_left_out(self):
        """The default stands."""
        assert Example.model_validate({}).given is None

    @pytest.mark.parametrize("off", [OFF, "off"])
    def test_off(self, off):
        """Plain or in quotes: a switch takes it."""
        assert Example.model_validate({"switch": off}).switch is None

    @pytest.mark.parametrize("key", ["given", "switch"])
    def test_empty(self, key):
        """An empty value is a mistake, not a way of saying nothing."""
        with pytest.raises(ValidationError) as caught:
            Example.model_validate({key: None})
        assert caught.value.errors()[0]["ctx"] == {
            "what": "nothing stands here",
            "expected": "a value, or the key left out",
        }

    def test_off_where_nothing_can_be_off(self):
        """Text is text."""
        with pytest.raises(ValidationError):
            Example.model_validate({"given": OFF})

    def test_list_becomes_tuple(self):
        """So that the model is frozen to the bottom."""
        assert Example.model_validate({"items": ["a", "b"]}).items == ("a", "b")

    def test_schema(self):
        """An editor is told `off` and not null."""
        properties = Example.model_json_schema()["properties"]
        assert properties["switch"]["anyOf"][-1] == {"const": "off"}
        assert properties["given"]["type"] == "string"
        assert [one["type"] for one in properties["either"]["anyOf"]] == ["string", "integer"]
        assert TypeAdapter(Size).json_schema()["anyOf"][1] == {"type": "integer", "minimum": 0}


class RefusalsTests:
    """What is wrong with the members of a list or table, each at its own place."""

    def test_nothing(self):
        """What is right comes back."""
        refusals = Refusals()
        assert refusals.read("a", parse_duration, "1s") == 1.0
        refusals.finish()

    def test_nested(self):
        """Places of inner refusals are kept below the outer key."""

        def inner(value):
            refusals = Refusals()
            refusals.read(0, parse_duration, value)
            refusals.finish()

        outer = Refusals()
        assert outer.read("a", inner, "x") is None
        assert outer.read("b", parse_size, "y") is None
        with pytest.raises(ValidationError) as caught:
            outer.finish()
        assert [(error["loc"], error["msg"]) for error in caught.value.errors()] == [
            (("a", 0), "not a duration"),
            (("b",), "not a size"),
        ]

    def test_braces(self):
        """Words of the file are no format string."""
        assert refuse("{x} {", "{y}").message() == "{x} {"
