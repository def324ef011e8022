"""`allow` rules and `pin`."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from relayd.config.model.allow import parse_allow, parse_pin
from relayd.core.routes import AllowAny, AllowGlob, AllowRegex, AllowValues


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


class AllowTests:
    """Which values a field may have."""

    def test_good(self):
        """A list, a glob, a regular expression, any."""
        assert parse_allow(["ticker", "any"]) == AllowValues(("ticker", "any"))
        assert parse_allow("*-USD") == AllowGlob("*-USD")
        assert parse_allow("any") == AllowAny()
        rule = parse_allow({"regex": "L[0-9]{1,3}"})
        assert isinstance(rule, AllowRegex)
        assert rule.permits("L12") and not rule.permits("L1234")

    @pytest.mark.parametrize(
        ("value", "what"),
        [
            ("", "not a rule for a field's values"),
            (5, "not a rule for a field's values"),
            (None, "not a rule for a field's values"),
            ({}, "not a rule for a field's values"),
            ({"regex": "a", "glob": "b"}, "not a rule for a field's values"),
            ([], "an empty list allows nothing"),
            ({"regex": 5}, "not a regular expression"),
            ({"regex": ""}, "not a regular expression"),
            ({"regex": "("}, "not a regular expression: missing ), unterminated subpattern at position 0"),
            ({"regex": "a{99999999999}"}, "not a regular expression: the repetition number is too large"),
        ],
    )
    def test_bad(self, value, what):
        """What is wrong is said."""
        assert refusal(parse_allow, value) == what

    def test_members(self):
        """Each at its place."""
        assert refusals(parse_allow, ["a", 1, "", "a", True, "a"]) == [
            ((1,), "not text: values of fields are compared as text"),
            ((2,), "an empty value is no topic segment"),
            ((3,), "stands twice in the list"),
            ((4,), "not text: values of fields are compared as text"),
            ((5,), "stands twice in the list"),
        ]


class PinTests:
    """Topics that are kept without a browser."""

    def test_good(self):
        """All, none, or these."""
        assert [parse_pin(value) for value in (True, False, [], ["a/b", "c"])] == [True, False, (), ("a/b", "c")]

    @pytest.mark.parametrize("value", ["all", 1, None, {}])
    def test_bad(self, value):
        """Anything else is refused."""
        assert refusal(parse_pin, value) == "not something to pin"

    def test_members(self):
        """Each at its place."""
        assert refusals(parse_pin, ["a", "a", 5]) == [
            ((1,), "stands twice in the list"),
            ((2,), "not text: values of fields are compared as text"),
        ]
