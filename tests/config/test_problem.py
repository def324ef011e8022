"""Problems and their places."""

from __future__ import annotations

import pytest

from relayd.config.problem import (
    Place,
    Problem,
    Source,
    alternatives,
    closest,
    may_be_secret,
    shown,
    spell,
    without_values,
)
from relayd.config.scalars import OFF

PLACE = Place(3, 7)


class ProblemTests:
    """One line that a person can act on."""

    def test_whole(self):
        """Everything that is known stands in it."""
        problem = Problem("relay.yaml", PLACE, ("routes", 0, "topic"), "not text", "5", 'quotes: "5"', "five")
        assert (
            str(problem)
            == 'relay.yaml:3:7: routes[0].topic: not text (got 5, expected quotes: "5"); did you mean five?'
        )

    def test_parts(self):
        """What is not known is left out."""
        assert str(Problem("f", PLACE, (), "empty")) == "f:3:7: empty"
        assert str(Problem("f", PLACE, ("a",), "bad", expected="x")) == "f:3:7: a: bad (expected x)"
        assert str(Problem("f", PLACE, ("a",), "bad", got="y")) == "f:3:7: a: bad (got y)"
        assert str(Problem("f", PLACE, ("a",), "bad", meant="z")) == "f:3:7: a: bad; did you mean z?"

    def test_one_printable_line(self):
        """Whatever the file holds, a terminal and a log stay as they are."""
        assert str(Problem("f", PLACE, ("a\n",), "\x1b[31m", meant="\u202e")) == (
            'f:3:7: ["a\\u000a"]: \\u001b[31m; did you mean \\u202e?'
        )
        assert len(str(Problem("f", PLACE, ("a",), "x" * 10_000))) == 500

    @pytest.mark.parametrize(
        ("path", "text"),
        [
            ((), ""),
            (("a",), "a"),
            (("a", "b_c", 0, "d-e"), "a.b_c[0].d-e"),
            ((0,), "[0]"),
            (("map", "a.b"), 'map["a.b"]'),
            (("", "x"), '[""].x'),
            (("a\nb",), '["a\\u000ab"]'),
        ],
    )
    def test_spell(self, path, text):
        """Paths as people write them."""
        assert spell(path) == text

    def test_places_have_an_order(self):
        """Problems are told in the order of the file."""
        assert sorted([Place(2, 1), Place(1, 9), Place(1, 2)]) == [Place(1, 2), Place(1, 9), Place(2, 1)]


class ShownTests:
    """Values in messages."""

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (OFF, "off"),
            (None, "nothing"),
            (True, "true"),
            (False, "false"),
            ({}, "a table"),
            ([], "a list"),
            ((), "a list"),
            (5, "5"),
            (1.5, "1.5"),
            ("abc", '"abc"'),
            ("a\x1b[31m\u202e", '"a\\u001b[31m\\u202e"'),
            ("x" * 41, f'"{"x" * 39}…"'),
        ],
    )
    def test_value(self, value, text):
        """Short and printable."""
        assert shown(("routes", 0, "topic"), value) == text

    def test_secret(self):
        """Where a secret could stand, only the kind is told."""
        path = ("upstreams", "a", "login", 0, "send", "token")
        assert shown(path, "s3cret") == "text"
        assert shown(path, 12_345) == "a number"
        assert shown(path, {"a": 1}) == "a table"

    @pytest.mark.parametrize(
        ("path", "secret"),
        [
            (("upstreams", "a", "connect", "url"), True),
            (("upstreams", "a", "connect", "headers", "X-Key"), True),
            (("upstreams", "a", "subscribe", 0, "set", "sig", "key"), True),
            (("upstreams", "a", "topic", "at"), False),
            (("upstreams", "send", "topic", "at"), False),
            (("routes", 0, "send"), False),
            (("auth", "webhook", "url"), True),
            (("auth", "jwt", "jwks"), True),
            (("auth", "from", 0), False),
        ],
    )
    def test_where(self, path, secret):
        """Only inside an upstream and in URLs of `auth`, and never because of its name."""
        assert may_be_secret(path) is secret


    def test_messages_about_templates(self):
        """What is quoted from a template is left out."""
        assert without_values("'s3cret': a placeholder is $name") == "a placeholder is $name"
        assert without_values("${s3cret} is no placeholder") == "${...} is no placeholder"


class WordTests:
    """Known names."""

    def test_closest(self):
        """The nearest known name, if any is near."""
        assert closest("conect", ["connect", "control"]) == "connect"
        assert closest(5, ["a"]) == ""
        assert closest("zzz", ["connect"]) == ""

    def test_alternatives(self):
        """As a sentence has them."""
        assert [alternatives(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
            "",
            "a",
            "a or b",
            "a, b or c",
        ]


class SourceTests:
    """Where things stand."""

    SOURCE = Source(
        "f",
        {"a": [{"b": 1}], "c": {"d": 2}},
        {("a",): Place(1, 1), ("c",): Place(4, 1)},
        {(): Place(1, 1), ("a",): Place(1, 4), ("a", 0): Place(2, 3), ("c",): Place(4, 4)},
    )

    def test_place(self):
        """The value, its key, or the nearest thing above."""
        assert self.SOURCE.place(("a",)) == Place(1, 4)
        assert self.SOURCE.place(("a",), key=True) == Place(1, 1)
        assert self.SOURCE.place(("a", 0, "b", "x")) == Place(2, 3)
        assert self.SOURCE.place(("a", 0), key=True) == Place(2, 3)
        assert Source("f", None, {}, {}).place(("x",)) == Place(1, 1)

    def test_problem(self):
        """A problem at a place."""
        assert str(self.SOURCE.problem(("a", 0), "bad", got="x", expected="y", meant="z")) == (
            "f:2:3: a[0]: bad (got x, expected y); did you mean z?"
        )

    def test_at(self):
        """What stands there, or nothing."""
        assert self.SOURCE.at(("a", 0, "b")) == 1
        assert self.SOURCE.at(("a", 1)) is None
        assert self.SOURCE.at(("a", 0, "b", "c")) is None

    def test_written(self):
        """The position of a variant that stands alone is left out."""
        assert self.SOURCE.written((), ("a", 0, "b")) == ("a", 0, "b")
        assert self.SOURCE.written((), ("c", 0, "d")) == ("c", "d")
