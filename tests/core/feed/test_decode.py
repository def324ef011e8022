"""From frames to messages."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.feed import decode as module
from relayd.core.feed.build_parts import Reader, read_decode
from relayd.core.feed.decode import JSON, MSGPACK, Decode, Message, decode_value, slice_of
from relayd.core.feed.errors import Problems
from relayd.core.feed.path import MISSING, parse_path


def decode(**block: Any) -> Decode:
    """A `decode` block."""
    problems = Problems()
    made = read_decode(Reader(problems), block)
    problems.finish()
    return made


def one(made: Decode, payload: bytes, is_text: bool = True) -> Message:
    """The message of a frame that is not split."""
    message = made.messages(payload, is_text)
    assert isinstance(message, Message)
    return message


def parts(made: Decode, payload: bytes) -> list[Message]:
    """The messages of a frame that is."""
    messages = made.messages(payload, True)
    assert isinstance(messages, list)
    return messages


class BinaryTests:
    """`decode.binary`."""

    def test_text_is_not_unpacked(self) -> None:
        """Some feeds send acks as text beside packed data."""
        assert one(decode(binary=["gzip", "json"]), b'{"a":1}').scope.doc == {"a": 1}

    def test_gzip(self) -> None:
        """What comes out is text."""
        message = one(decode(binary=["gzip", "json"]), gzip.compress(b'{"a":"\xc3\xa9"}'), False)
        assert (message.payload, message.is_text, message.scope.doc) == (b'{"a":"\xc3\xa9"}', True, {"a": "é"})

    @pytest.mark.parametrize("wbits", [-15, 15])
    def test_inflate_with_and_without_a_header(self, wbits: int) -> None:
        """Both are about."""
        packer = zlib.compressobj(wbits=wbits)
        packed = packer.compress(b'{"a":1}') + packer.flush()
        assert one(decode(binary=["inflate", "json"]), packed, False).scope.doc == {"a": 1}

    def test_messagepack_stays_binary(self) -> None:
        """Payloads are passed on as they came."""
        packed = msgspec.msgpack.encode({"a": [1]})
        message = one(decode(binary=["msgpack"]), packed, False)
        assert (message.payload, message.is_text, message.codec, message.scope.doc) == (
            packed,
            False,
            MSGPACK,
            {"a": [1]},
        )

    def test_json_in_a_binary_frame(self) -> None:
        """Named: it is text. Not named: it is read, and passed on as binary."""
        assert one(decode(binary=["json"]), b'{"a":1}', False).is_text
        message = one(decode(), b'{"a":1}', False)
        assert not message.is_text and message.scope.doc == {"a": 1} and message.scope.text is None

    @pytest.mark.parametrize(
        ("binary", "payload"),
        [
            (["gzip", "json"], b"no gzip"),
            (["gzip", "json"], gzip.compress(b"x" * 100, mtime=0)[:-20]),
            (["gzip", "json"], gzip.compress(b'"\xff"', mtime=0)),
            (["inflate", "json"], b"\xff\xff"),
            (["json"], b"\xff"),
        ],
    )
    def test_what_is_not_as_promised_has_no_value(self, binary: list[str], payload: bytes) -> None:
        """It is counted as unknown, and never raises."""
        message = one(decode(binary=binary), payload, False)
        assert message.scope.doc is MISSING and message.payload == payload

    def test_a_bomb_is_not_unpacked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """More than `limits.payload` is not looked at."""
        monkeypatch.setattr(module, "MAX_UNPACKED_BYTES", 1000)
        assert one(decode(binary=["gzip"]), gzip.compress(b"1" * 1000), False).scope.doc is not MISSING
        assert one(decode(binary=["gzip"]), gzip.compress(b"1" * 1001), False).scope.doc is MISSING


class TextTests:
    """Frames that are no JSON."""

    def test_a_text_is_its_own_value(self) -> None:
        """`pong`, or a line of a text protocol."""
        scope = one(decode(), b"pong").scope
        assert scope.doc == scope.text == "pong"

    def test_what_is_json(self) -> None:
        """Is known from here on; text that is none, and MessagePack, are not."""
        assert one(decode(), b'{"a":1}').is_json and one(decode(), b'"pong"').is_json
        assert not one(decode(), b"pong").is_json and not one(decode(binary=["msgpack"]), b"\x01", False).is_json
        assert [part.is_json for part in parts(decode(split="\n"), b"5\nx")] == [True, False]
        assert [part.is_json for part in parts(decode(split="."), b"[1,{}]")] == [True, True]

    def test_binary_junk_has_no_value(self) -> None:
        """And no text."""
        scope = one(decode(), b"\x00\xff", False).scope
        assert scope.doc is MISSING and scope.text is None

    @given(
        st.binary(),
        st.booleans(),
        st.sampled_from(["", "gzip", "inflate", "msgpack", "json"]),
        st.sampled_from([None, ".", "a", "\n"]),
    )
    def test_junk_never_raises(self, payload: bytes, is_text: bool, step: str, split: str | None) -> None:
        """Whatever comes is messages."""
        messages = decode(binary=[step] if step else [], split=split).messages(payload, is_text)
        assert isinstance(messages, Message | list)

    def test_depth_is_bounded(self) -> None:
        """By the decoder, not by the stack."""
        assert decode_value(b"[" * 100_000, JSON) is MISSING


class SplitTests:
    """`decode.split`."""

    def test_an_array_in_the_frame(self) -> None:
        """Each part is a slice of the bytes; the frame is `outer`."""
        first, second = parts(decode(split="data"), b'{"data": [{"s": "A"} , 2.50],"type":"trade"}')
        assert (first.payload, second.payload) == (b'{"s": "A"}', b"2.50")
        assert first.scope.doc == {"s": "A"} and first.scope.outer == {"data": [{"s": "A"}, 2.5], "type": "trade"}
        assert first.scope.text is None

    def test_the_frame_itself(self) -> None:
        """`.`."""
        assert [message.payload for message in parts(decode(split="."), b"[1, [2] ]")] == [b"1", b"[2]"]
        assert parts(decode(split="."), b"[]") == []

    def test_deeper_and_by_position(self) -> None:
        """Paths of the frame."""
        assert [m.payload for m in parts(decode(split="a.1"), b'{"a":[0,[1,2]]}')] == [b"1", b"2"]

    @pytest.mark.parametrize("frame", [b'{"data":{}}', b'{"x":1}', b"pong", b"5"])
    def test_where_no_array_stands(self, frame: bytes) -> None:
        """The frame is the message, and its own `outer`."""
        message = one(decode(split="data"), frame)
        assert message.payload == frame and message.scope.outer == message.scope.doc

    def test_lines(self) -> None:
        """A separator between messages, or behind each."""
        made = decode(split="\n")
        assert [message.scope.doc for message in parts(made, b'{"a":1}\n\n5\nx\n')] == [{"a": 1}, 5, "x"]
        assert parts(made, b"x")[0].scope.text == "x"

    def test_messagepack(self) -> None:
        """Slices there too."""
        packed = msgspec.msgpack.encode({"d": [{"s": 1}, 2]})
        messages = decode(binary=["msgpack"], split="d").messages(packed, False)
        assert isinstance(messages, list)
        assert [message.payload for message in messages] == [msgspec.msgpack.encode(x) for x in ({"s": 1}, 2)]


class SliceTests:
    """The raw bytes of a value."""

    @pytest.mark.parametrize(
        ("doc", "path", "found"),
        [
            ('{"a": {"b":[1, {"c" : 2.50 }]}}', "a.b.1", '{"c" : 2.50 }'),
            ('{"a": {"b":[1, {"c" : 2.50 }]}}', "a.b.-1.c", "2.50"),
            ('{"a":{"0":"x"}}', "a.0", '"x"'),
            (" [ [1 , 2] ]", "0", "[1 , 2]"),
            ('{"a":1}', ".", '{"a":1}'),
            ('{"a":1,"a":2}', "a", "2"),
        ],
    )
    def test_json(self, doc: str, path: str, found: str) -> None:
        """As they were written."""
        assert bytes(slice_of(doc.encode(), parse_path(path), JSON)) == found.encode()

    @pytest.mark.parametrize(
        ("doc", "path", "found"),
        [
            ({"a": [1, 2]}, "a.1", 2),
            ({1: {2: "x"}}, "1.2", "x"),
            (list(range(20)), "-1", 19),
            ([0] * 70_000 + [7], "70000", 7),
        ],
    )
    def test_messagepack(self, doc: Any, path: str, found: Any) -> None:
        """Short and long arrays, keys that are numbers."""
        raw = slice_of(msgspec.msgpack.encode(doc), parse_path(path), MSGPACK)
        assert msgspec.msgpack.decode(raw) == found

    @given(
        st.recursive(
            st.none() | st.integers(-(2**63), 2**63) | st.text(),
            lambda i: st.lists(i, max_size=4) | st.dictionaries(st.text(max_size=3), i, max_size=4),
        )
    )
    def test_every_slice_is_the_value_that_stands_there(self, doc: Any) -> None:
        """For each member of the uppermost table or array."""
        keys = list(doc) if isinstance(doc, dict) else range(len(doc)) if isinstance(doc, list) else []
        for key in keys:
            name = str(key).replace("~", "~0").replace("/", "~1") if isinstance(key, str) else str(key)
            path = parse_path(f"/{name}")
            raw = slice_of(json.dumps(doc).encode(), path, JSON)
            assert json.loads(bytes(raw)) == path.find(doc)
