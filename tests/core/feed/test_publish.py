"""The `publish` of a route, compiled."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.feed.errors import Malformed, Refused, Unset
from relayd.core.feed.outcome import Frame
from relayd.core.feed.publish import AS_IT_STANDS, Upward, parse_publish

VALUES = {"room": "lobby", "id": 7}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def sent(send: object, payload: bytes, *, is_text: bool = True) -> bytes:
    """The message for a payload."""
    frame = Upward(parse_publish(send), {}, payload, is_text).frame(VALUES)
    assert frame.is_text
    return frame.payload


class PublishTests:
    """What goes up."""

    def test_bytes_stand(self) -> None:
        """The value is never read: its numbers and spaces go up as they came."""
        template = {"op": "say", "room": "$room", "n": "$id", "body": "$data"}
        assert sent(template, b'{"a" : 1.00}') == b'{"op":"say","room":"lobby","n":7,"body":{"a" : 1.00}}'

    def test_within_a_text(self) -> None:
        """A JSON text without its quotes, everything else as JSON."""
        assert sent({"m": "<$data>"}, b'"a\\"b"') == b'{"m":"<a\\"b>"}'
        assert sent({"m": "<$data>"}, b'{"a": 1}') == b'{"m":"<{\\"a\\":1}>"}'
        assert sent("SAY $room $data", b'"hi"') == b"SAY lobby hi"
        assert sent({"m": "${data.upper}"}, b'"hi"') == b'{"m":"HI"}'

    def test_no_json(self) -> None:
        """A text, also one that nests too deep to be looked at."""
        assert sent({"m": "$data"}, b"a: b") == b'{"m":"a: b"}'
        assert json.loads(sent({"m": "$data"}, b"[" * 9000)) == {"m": "[" * 9000}

    def test_as_it_stands(self) -> None:
        """`$data` alone passes on anything."""
        for publish in (AS_IT_STANDS, parse_publish("$data"), parse_publish("${data}")):
            assert Upward(publish, {}, b"\xff", False).frame({}) == Frame(b"\xff", False)
            assert Upward(publish, {}, b" x ", True).frame({}) == Frame(b" x ", True)
        assert not parse_publish("$room").as_it_stands
        assert not parse_publish("${data.upper}").as_it_stands

    def test_binary(self) -> None:
        """Stands in no JSON."""
        with pytest.raises(Refused, match="binary"):
            sent({"m": "$data"}, b"x", is_text=False)

    def test_breaking_out(self) -> None:
        """A bare text is quoted by nobody."""
        with pytest.raises(Refused, match="a quote"):
            sent("SAY '$data'", b'"a\\"b"')
        with pytest.raises(Refused, match="control character"):
            sent("SAY $data", b'"a\\r\\nQUIT"')

    def test_no_value(self) -> None:
        """Named."""
        with pytest.raises(Unset, match="seat"):
            sent({"m": "$data", "s": "$seat"}, b"1")

    def test_malformed(self) -> None:
        """What is no placeholder."""
        with pytest.raises(Malformed):
            parse_publish({"m": "$data", "n": "5$"})

    @given(JSON)
    def test_any_value(self, value: object) -> None:
        """Comes out as it went in, and adds no key beside it."""
        payload = json.dumps(value).encode()
        assert json.loads(sent({"m": "$data", "end": True}, payload)) == {"m": value, "end": True}
