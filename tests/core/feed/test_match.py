"""Matches: what a message or a table of fields must be."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.core.feed.errors import Malformed
from relayd.core.feed.match import ALWAYS, FOR_ALL, glob, parse_for, parse_match
from relayd.core.feed.path import Scope


def holds(match: Any, doc: Any, text: str | None = None) -> bool:
    """Whether the message matches."""
    return parse_match(match).holds(Scope(doc, text))


class MatchTests:
    """Messages."""

    @pytest.mark.parametrize(
        ("match", "doc", "expected"),
        [
            ({"a": 1}, {"a": 1}, True),
            ({"a": 1}, {"a": 1.0}, True),
            ({"a": 1}, {"a": "1"}, False),
            ({"a": 1}, {"a": True}, False),
            ({"a": "1"}, {"a": 1}, False),
            ({"a": True}, {"a": True}, True),
            ({"a": True}, {"a": 1}, False),
            ({"a": False}, {"a": 0}, False),
            ({"a": None}, {"a": None}, True),
            ({"a": None}, {}, False),
            ({"a": None}, {"a": False}, False),
            ({"a": "*"}, {"a": None}, True),
            ({"a": "*"}, {"a": {}}, True),
            ({"a": "*"}, {}, False),
            ({"a": "bts:*"}, {"a": "bts:x\ny"}, True),
            ({"a": "bts:*"}, {"a": "b"}, False),
            ({"a": "*-USD"}, {"a": 3}, False),
            ({"a": "[x]"}, {"a": "x"}, False),
            ({"a": [1, "x"]}, {"a": "x"}, True),
            ({"a": [1, "x"]}, {"a": "y"}, False),
            ({"a": [3, 6], "b.0": "*"}, {"a": 6, "b": [0]}, True),
            ({"a": 6, "b": "*"}, {"a": 6}, False),
            ({0: 36}, [36], True),
            ({0: 36}, {"0": 36}, True),
        ],
    )
    def test_paths(self, match: Any, doc: Any, expected: bool) -> None:
        """Every path must hold; types are kept apart."""
        assert holds(match, doc) is expected

    def test_whole_text_frames(self) -> None:
        """A bare string, a glob, or a list of them."""
        assert holds("pong", "pong", "pong") and not holds("pong", "ping", "ping")
        assert holds("po*", None, "pong") and holds(["a", "b"], None, "b")
        assert not holds("pong", "pong", None)

    @pytest.mark.parametrize(
        "wrong", ["", None, 5, {}, [], [""], [{"a": 1}], {"a": []}, {"a": {"b": 1}}, {"a": [[1]]}, {"": 1}]
    )
    def test_malformed(self, wrong: Any) -> None:
        """The error shows a right one."""
        with pytest.raises(Malformed):
            parse_match(wrong)

    def test_always(self) -> None:
        """No condition is every message."""
        assert ALWAYS.holds(Scope(None))

    def test_presence(self) -> None:
        """Whether anything at all will do is asked for by those who compile."""
        presence, other = parse_match({"a": "*", "b": "x*"}).conditions
        assert presence.presence and not other.presence

    def test_only_the_star_is_special(self) -> None:
        """A dot is a dot."""
        assert glob("a.*").fullmatch("a.b") and not glob("a.*").fullmatch("axb")


class ForTests:
    """Fields."""

    def test_globs(self) -> None:
        """Any of the globs of every field."""
        applies = parse_for({"channel": ["book", "depth*"], "symbol": "*-USD"})
        assert applies.fields == ("channel", "symbol")
        assert applies.holds({"channel": "depth5", "symbol": "BTC-USD"})
        assert not applies.holds({"channel": "ticker", "symbol": "BTC-USD"})
        assert not applies.holds({"channel": "book"})
        assert not parse_for({"symbol": "*"}).holds({"symbol": None})

    def test_left_out(self) -> None:
        """All fields."""
        assert parse_for(None) is FOR_ALL and FOR_ALL.holds({})

    @pytest.mark.parametrize("wrong", [{}, "x", {"a": 1}, {"a": []}, {"a": [1]}])
    def test_malformed(self, wrong: Any) -> None:
        """Fields are text."""
        with pytest.raises(Malformed):
            parse_for(wrong)
