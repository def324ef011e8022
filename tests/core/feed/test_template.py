"""Messages with placeholders."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.feed.errors import Malformed, Refused, Unset
from relayd.core.feed.path import OUTER, Scope
from relayd.core.feed.template import as_text, compile_node, names_of, parse_text, render, render_frame, to_json

VALUES = {
    "id": 7,
    "topics": ["a", "b"],
    "symbol": "btc",
    "params": {"h": 42},
    "env.KEY": "secret",
    "file./run/key.pem": "pem",
    "msg": Scope({"ping": 149, "a": {"b": "x"}}, outer={"type": "t"}),
}


def rendered(template: Any, values: dict[str, Any] | None = None) -> Any:
    """The structure with its values."""
    return render(compile_node(template), VALUES if values is None else values)


class RenderTests:
    """Structures."""

    @pytest.mark.parametrize(
        ("template", "result"),
        [
            ("$id", 7),
            ("s$id", "s7"),
            ("${id}s", "7s"),
            ("$topics", ["a", "b"]),
            ({"id": "$id", "args": ["$topics", {"x": None, "y": 1.5, "z": True}]}, None),
            ({"$symbol": "$params"}, {"btc": {"h": 42}}),
            ({"$id": 1}, {"7": 1}),
            ("${symbol.upper}", "BTC"),
            ("x${symbol.upper.lower}", "xbtc"),
            ("${id.upper}", "7"),
            ("${id.text}", "7"),
            ("${symbol.text}", "btc"),
            ("${env.KEY}", "secret"),
            ("${env.NONE:-fallback}", "fallback"),
            ("${env.NONE:-}", ""),
            ("${file./run/key.pem}", "pem"),
            ("${msg.ping}", 149),
            ("${msg.a.b}!", "x!"),
            ("$$5 and $$", "$5 and $"),
            ("p=$params", 'p={"h":42}'),
            ("", ""),
            (None, None),
        ],
    )
    def test_values(self, template: Any, result: Any) -> None:
        """Exactly one placeholder keeps its type; anything else is text."""
        if result is None and template is not None:
            result = {"id": 7, "args": [["a", "b"], {"x": None, "y": 1.5, "z": True}]}
        assert rendered(template) == result

    @pytest.mark.parametrize(
        ("template", "name"),
        [
            ("$none", "none"),
            ("x${env.NONE}", "env.NONE"),
            ("${msg.none}", "msg.none"),
            ({"a": ["${none.upper}"]}, "none"),
        ],
    )
    def test_unset(self, template: Any, name: str) -> None:
        """The error names the placeholder."""
        with pytest.raises(Unset) as caught:
            rendered(template)
        assert caught.value.name == name

    def test_the_message_only_while_it_is_answered(self) -> None:
        """Elsewhere there is none."""
        with pytest.raises(Unset):
            rendered("${msg.ping}", {})
        with pytest.raises(Unset):
            rendered("${msg.ping}", {"msg": "no scope"})

    def test_the_frame_of_a_part(self) -> None:
        """Paths of the message know its roots."""
        assert render(compile_node("${msg.outer.type}", (OUTER,)), VALUES) == "t"
        assert render(compile_node("${msg..}"), {"msg": Scope([1])}) == [1]

    def test_a_key_twice_is_refused(self) -> None:
        """One of the two would be lost."""
        with pytest.raises(Refused):
            rendered({"$symbol": 1, "btc": 2})

    def test_names(self) -> None:
        """What a structure looks up, keys included."""
        assert names_of(compile_node({"$a": ["$b", {"c": "${d.upper}${env.E}"}], "f": 1})) == {"a", "b", "d", "env.E"}
        assert names_of(None) == frozenset()


class ParseTests:
    """What the file may hold."""

    @pytest.mark.parametrize(
        "wrong",
        ["$", "a$", "$5", "${", "${}", "${a b}", "${a.b}", "${env.}", "$-", "${a.upper.x}", "${.upper}", 5, None],
    )
    def test_malformed_texts(self, wrong: Any) -> None:
        """The error says how a placeholder is written."""
        with pytest.raises(Malformed):
            parse_text(wrong)

    def test_what_is_no_json(self) -> None:
        """Dates and the like cannot be sent."""
        with pytest.raises(Malformed):
            compile_node({"a": object()})
        with pytest.raises(Malformed):
            compile_node({1: "a"})

    def test_only(self) -> None:
        """Whether a text is exactly one placeholder."""
        assert parse_text("$a").only is not None
        assert parse_text("a").only is None and parse_text("$a$b").only is None and parse_text("").only is None


class FrameTests:
    """Bytes."""

    def test_a_structure_is_compact_json(self) -> None:
        """Keys in the file's order."""
        assert render_frame(compile_node({"b": "$id", "a": "é"}), VALUES) == '{"b":7,"a":"é"}'.encode()

    def test_a_bare_text_goes_out_as_it_stands(self) -> None:
        """`send: ping`."""
        assert render_frame(compile_node("ping"), {}) == b"ping"
        assert render_frame(compile_node("sub $symbol"), VALUES) == b"sub btc"
        assert render_frame(compile_node("$id"), VALUES) == b"7"

    @pytest.mark.parametrize("value", ['a"b', "a\\b", "a\nb", "a\x00", "\x7f", {"a": 1}])
    def test_values_that_would_break_out_of_a_bare_text_are_refused(self, value: Any) -> None:
        """There nothing escapes them."""
        with pytest.raises(Refused, match="quote"):
            render_frame(compile_node('{"sub":"$symbol"}'), {"symbol": value})

    def test_half_a_surrogate_pair_is_refused(self) -> None:
        """JSON texts are Unicode."""
        with pytest.raises(Refused, match="Unicode"):
            to_json("\ud800")
        with pytest.raises(Refused):
            as_text(["\ud800"])

    @given(st.text())
    def test_values_cannot_inject_json(self, value: str) -> None:
        """Whatever a client chose stays inside its string; or it is refused."""
        template = {"op": "subscribe", "args": [{"ch": "x:$symbol", "$symbol": 1}], "id": "$symbol"}
        try:
            frame = render_frame(compile_node(template), {"symbol": value})
        except Refused:
            return
        assert json.loads(frame) == {"op": "subscribe", "args": [{"ch": f"x:{value}", value: 1}], "id": value}

    @given(st.text())
    def test_values_cannot_inject_json_into_a_bare_text(self, value: str) -> None:
        """The same where the file writes JSON by hand."""
        try:
            frame = render_frame(compile_node('{"op":"subscribe","ch":"$symbol"}'), {"symbol": value})
        except Refused:
            return
        assert msgspec.json.decode(frame) == {"op": "subscribe", "ch": value.encode("utf-8", "replace").decode()}
