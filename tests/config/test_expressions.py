"""The small languages inside an upstream block."""

from __future__ import annotations

import math

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from relayd.config.expressions import (
    CodeRange,
    Hours,
    Variants,
    parse_at,
    parse_codes,
    parse_every,
    parse_field,
    parse_fields_match,
    parse_hours,
    parse_match,
    parse_path,
    parse_paths,
    parse_reconnect,
    parse_template,
)
from relayd.config.scalars import OFF


def refusal(parse, value):
    """What a parser says about a value."""
    with pytest.raises(PydanticCustomError) as caught:
        parse(value)
    return caught.value.message()


def refusals(parse, value):
    """What a parser says about the members of a value, each with its place."""
    with pytest.raises(ValidationError) as caught:
        parse(value)
    return [(error["loc"], error["msg"]) for error in caught.value.errors()]


class PathTests:
    """Where a value stands."""

    @pytest.mark.parametrize(
        ("value", "text"),
        [("a.b.0", "a.b.0"), (0, "0"), (-1, "-1"), (".", "."), ("/a~1b", "/a~1b"), ("1.0.0", "1.0.0")],
    )
    def test_good(self, value, text):
        """A position may be a number; the text stays as it is written."""
        assert parse_path(value) == text

    def test_bad(self):
        """What is wrong is said."""
        assert refusal(parse_path, 1.5) == "a number where a path is meant"
        assert refusal(parse_path, True) == "not a path"
        assert refusal(parse_path, None) == "not a path"
        assert "empty part" in refusal(parse_path, "a..b")

    @pytest.mark.parametrize("key", ['a"b', "a\\b", "a\nb", "\x00"])
    def test_unnameable(self, key):
        """What no message of a feed has ever had."""
        what = "a key with a quote, a backslash or a control character cannot be named"
        assert refusal(parse_path, key) == refusal(parse_path, f"/{key}") == what

    def test_several(self):
        """The first that exists counts; each is checked at its place."""
        assert parse_paths("a") == ("a",)
        assert parse_paths(["a.b", 0]) == ("a.b", "0")
        assert refusal(parse_paths, []) == "an empty list of paths"
        assert refusals(parse_paths, ["a", None, 1.5]) == [
            ((1,), "not a path"),
            ((2,), "a number where a path is meant"),
        ]

    def test_at(self):
        """The feed name, or fields."""
        assert parse_at("ch") == ("ch",)
        assert parse_at(["a", "b"]) == ("a", "b")
        assert parse_at({"symbol": ["s", 0]}) == {"symbol": ("s", "0")}
        assert refusal(parse_at, {}) == "an empty table of fields"
        assert refusals(parse_at, {"Sym": "s", "b": []}) == [
            (("Sym",), "not a field name"),
            (("b",), "an empty list of paths"),
        ]

    @pytest.mark.parametrize("name", ["Symbol", "1a", "a-b", "", 1, None])
    def test_field(self, name):
        """A field's name is that of a topic template."""
        assert parse_field("channel_2") == "channel_2"
        assert refusal(parse_field, name) == "not a field name"


class MatchTests:
    """What a message must be."""

    def test_good(self):
        """Values come out as a tuple: any of them."""
        assert parse_match("pong") == "pong"
        assert parse_match(["ping", "pong"]) == ("ping", "pong")
        assert parse_match({"id": "*", 0: [4, None, True]}) == {"id": ("*",), "0": (4, None, True)}

    @pytest.mark.parametrize("value", ["", [], {}, None, 5, ["a", 1]])
    def test_bad(self, value):
        """Anything else is refused."""
        assert refusal(parse_match, value) == "not a match"

    def test_members(self):
        """Each at its place."""
        assert refusals(parse_match, {"a": {}, "b": [], "c": [OFF], "d..e": 1}) == [
            (("a",), "not a value that can be compared"),
            (("b",), "an empty list matches nothing"),
            (("c", 0), "not a value that can be compared"),
            (("d..e",), "'d..e' has an empty part; write one such as data.0.symbol"),
        ]

    def test_fields(self):
        """`for` compares text."""
        assert parse_fields_match({"channel": "book", "depth": ["1", "5*"]}) == {
            "channel": ("book",),
            "depth": ("1", "5*"),
        }
        for value in ({}, "book", None):
            assert refusal(parse_fields_match, value) == "not a table of fields"
        assert refusals(parse_fields_match, {"a": 1, "b": ["x", 2], "c": [], "d": ""}) == [
            (("a",), "a field is compared as text"),
            (("b", 1), "a field is compared as text"),
            (("c",), "an empty list matches nothing"),
            (("d",), "a field is compared as text"),
        ]


class TemplateTests:
    """JSON values with placeholders."""

    def test_good(self):
        """Kept as it stands."""
        value = {"op": "$verb", "list": [1, 2.5, None, True, {"$verb": "${env.X}"}]}
        assert parse_template(value) == value

    def test_bad(self):
        """Each at its place."""
        assert refusals(parse_template, {"a": OFF, 5: "x", "c": [math.inf, {"d": math.nan}]}) == [
            (("a",), "not a value of JSON"),
            ((5,), "a number where a key is meant: keys are text"),
            (("c", 0), "JSON has no such number"),
            (("c", 1, "d"), "JSON has no such number"),
        ]


class CodeTests:
    """Close codes, statuses, and what to do."""

    def test_codes(self):
        """One or a range."""
        assert parse_codes(1008) == CodeRange(1008, 1008)
        assert parse_codes("429") == CodeRange(429, 429)
        assert parse_codes("4400-4499") == CodeRange(4400, 4499)

    @pytest.mark.parametrize("value", [99, "44xx", "4400-", True, None, 10_000, "4400–4499"])
    def test_bad_codes(self, value):
        """Anything else is refused."""
        assert refusal(parse_codes, value) == "not a code"

    def test_backwards(self):
        """A range goes up."""
        assert refusal(parse_codes, "4499-4400") == "a range that ends before it starts"

    def test_after(self):
        """A word or a delay."""
        assert [parse_reconnect(value) for value in ("stop", "retry", "wait", "forget-cursor", "0s", "2m")] == [
            "stop", "retry", "wait", "forget-cursor", 0.0, 120.0,
        ]  # fmt: skip
        assert refusal(parse_reconnect, "2") == "not a duration"
        for value in ("sotp", "", 5, None):
            assert refusal(parse_reconnect, value) == "not something to do after a close"

    def test_every(self):
        """A duration or what becomes one."""
        assert parse_every("20s") == 20.0
        assert parse_every("${ping_ms}ms") == "${ping_ms}ms"
        assert refusal(parse_every, 20) == "a duration needs its unit"


class HoursTests:
    """When a market is open."""

    @pytest.mark.parametrize(
        ("text", "hours"),
        [
            ("09:00-15:30 Asia/Tokyo mon-fri", Hours(((540, 930),), "Asia/Tokyo", (0, 1, 2, 3, 4))),
            ("09:00-11:30,12:30-15:30 UTC mon,wed", Hours(((540, 690), (750, 930)), "UTC", (0, 2))),
            ("17:00-16:00 America/Chicago sun-thu", Hours(((1020, 960),), "America/Chicago", (0, 1, 2, 3, 6))),
            ("00:00-24:00 Europe/Vienna sat-tue", Hours(((0, 1440),), "Europe/Vienna", (0, 1, 5, 6))),
        ],
    )
    def test_good(self, text, hours):
        """Spans, zone, days; ranges of days run over the end of the week."""
        assert parse_hours(text) == hours

    @pytest.mark.parametrize(
        ("value", "what"),
        [
            ("9-15 Asia/Tokyo mon-fri", "9-15 is not a span of hours"),
            ("09:00-24:30 UTC mon", "09:00-24:30 is not a span of hours"),
            ("09:00-15:00 Asia/Tokio mon", "no time zone is called Asia/Tokio"),
            ("09:00-15:00 /etc/passwd mon", "no time zone is called /etc/passwd"),
            ("09:00-15:00 Asia mon", "no time zone is called Asia"),
            ("09:00-15:00 UTC mon-fry", "mon-fry is not a day or a range of days"),
            ("09:00-15:00 UTC day", "day is not a day or a range of days"),
            ("always", "not market hours"),
            (None, "not market hours"),
        ],
    )
    def test_bad(self, value, what):
        """What is wrong is said."""
        assert refusal(parse_hours, value) == what


class Inner(BaseModel):
    """A block."""

    key: str


class VariantsTests:
    """One block, or a list of them."""

    def test_alone(self):
        """One block is a list of one."""
        adapter = TypeAdapter(Variants[Inner])
        assert adapter.validate_python({"key": "a"}) == (Inner(key="a"),)
        assert adapter.validate_python([{"key": "a"}, {"key": "b"}]) == (Inner(key="a"), Inner(key="b"))

    def test_schema(self):
        """Both forms are told."""
        one, several = TypeAdapter(Variants[Inner]).json_schema()["anyOf"]
        assert several == {"type": "array", "items": one}
