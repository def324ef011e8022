"""Frames, envelopes, commands."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core import wire
from relayd.core.publication import RETAINED_OVERHEAD_BYTES, Encoding, GapMark, Publication, TopicState
from relayd.core.routes import Form, Mode
from relayd.core.topics import Topic
from tests.support.hub_rig import Rig, delivery, events, frames, route

RIG = Rig(route("t/$n"), route("text/$n", delivery(form=Form.TEXT)), route("latest/$n", delivery(Mode.CONFLATE)))


def publication(payload: bytes, *, name: str = "t/a", is_text: bool = True, snapshot: bool = False) -> Publication:
    """One with offset 7."""
    topic: Topic = RIG.hub.topic(name)
    return Publication(topic, 7, 1, payload, is_text, snapshot, 0.0, len(payload) + RETAINED_OVERHEAD_BYTES)


def body(frame: bytes) -> str:
    """The text of a single text frame."""
    [(opcode, payload)] = frames(bytearray(frame))
    assert opcode == wire.TEXT
    return payload.decode()


class FrameTests:
    """RFC 6455 5.2."""

    @pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 3 << 20])
    def test_sizes(self, size: int) -> None:
        """The three lengths and their borders."""
        payload = b"x" * size
        assert frames(bytearray(wire.frame(wire.BINARY, payload))) == [(wire.BINARY, payload)]

    @pytest.mark.parametrize("sizes", [[], [0], [125, 126, 65535, 65536, 0]])
    def test_taken_apart(self, sizes: list[int]) -> None:
        """One, or several in a row."""
        made = [b"x" * size for size in sizes]
        whole = [wire.frame(wire.TEXT, payload) for payload in made]
        assert list(wire.payloads(b"".join(whole))) == [wire.unframed(one) for one in whole] == made

    def test_header(self) -> None:
        """FIN set, no mask, the shortest length."""
        assert wire.frame(wire.TEXT, b"hi") == b"\x81\x02hi"
        assert wire.frame(wire.PING, b"") == b"\x89\x00"


class EnvelopeTests:
    """A publication for `/ws`."""

    def test_json_stands_as_it_came(self) -> None:
        """Bytes unchanged, keys in order."""
        frame = wire.encode(publication(b'{ "a":1.0 }'), Encoding.V1)
        assert body(frame) == '{"topic":"t/a","offset":7,"data":{ "a":1.0 }}'

    def test_what_is_known_to_be_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Is not read again; but a binary payload and `deliver.as: text` have their own form."""
        topics = [RIG.hub.topic(name) for name in ("t/a", "text/a")]
        monkeypatch.setattr(wire, "is_json", None)
        known, as_text = [Publication(topic, 7, 1, b"1", True, False, 0.0, 401, True) for topic in topics]
        assert body(wire.encode(known, Encoding.V1)) == '{"topic":"t/a","offset":7,"data":1}'
        assert body(wire.encode(as_text, Encoding.V1)) == '{"topic":"text/a","offset":7,"text":"1"}'
        binary = Publication(topics[0], 7, 1, b"1", False, False, 0.0, 401, True)
        assert body(wire.encode(binary, Encoding.V1)) == '{"topic":"t/a","offset":7,"base64":"MQ=="}'

    @pytest.mark.parametrize("payload", [b"", b"hello", b"{}{}", b"NaN", b"\xef\xbb\xbf1", b"[" * 5000 + b"]" * 5000])
    def test_other_text(self, payload: bytes) -> None:
        """What is not one whole JSON value is text."""
        got = json.loads(body(wire.encode(publication(payload), Encoding.V1)))
        assert got == {"topic": "t/a", "offset": 7, "text": payload.decode()}

    def test_form_text(self) -> None:
        """`deliver.as: text` fixes it."""
        frame = wire.encode(publication(b"1", name="text/a"), Encoding.V1)
        assert body(frame) == '{"topic":"text/a","offset":7,"text":"1"}'

    def test_binary(self) -> None:
        """Base64."""
        frame = wire.encode(publication(b"\x00\xff", is_text=False), Encoding.V1)
        assert body(frame) == '{"topic":"t/a","offset":7,"base64":"AP8="}'

    def test_flags(self) -> None:
        """Snapshot and stamp stand before the payload."""
        stamped = publication(b"1", snapshot=True)
        stamped.at_ms = 1234
        got = body(wire.encode(stamped, Encoding.V1))
        assert got == '{"topic":"t/a","offset":7,"snapshot":true,"at":1234,"data":1}'

    def test_newcomers_flag(self) -> None:
        """The same publication, once as news and once as a snapshot."""
        both = publication(b"1")
        assert '"snapshot"' not in body(wire.encode(both, Encoding.V1))
        assert '"snapshot":true' in body(wire.encode(both, Encoding.V1_SNAPSHOT))

    def test_raw(self) -> None:
        """The payload alone, in its frame type."""
        assert wire.encode(publication(b""), Encoding.RAW) == b"\x81\x00"
        assert wire.encode(publication(b"\x00", is_text=False), Encoding.RAW) == b"\x82\x01\x00"

    def test_once(self) -> None:
        """The second asking gets the same bytes."""
        one = publication(b"1")
        assert wire.encode(one, Encoding.V1) is wire.encode(one, Encoding.V1)

    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def test_any_text_survives(self, text: str) -> None:
        """Whatever the payload, the envelope is JSON and gives it back."""
        got = json.loads(body(wire.encode(publication(text.encode()), Encoding.V1)))
        assert got.get("text", None) == text or got["data"] == json.loads(text)

    def test_gap(self) -> None:
        """A mark is a loss in its place, and nothing on `/raw`."""
        mark = GapMark(RIG.hub.topic("t/a"), 7, 1, 3, "upstream", 0.0)
        assert json.loads(body(wire.encode(mark, Encoding.V1))) == {
            "op": "lost", "topic": "t/a", "after": 6, "next": 8, "count": 3, "why": "upstream",
        }  # fmt: skip
        assert wire.encode(mark, Encoding.RAW) == b""

    def test_gap_of_a_conflated_topic(self) -> None:
        """The jump in offsets is the notice."""
        mark = GapMark(RIG.hub.topic("latest/a"), 7, 1, 3, "upstream", 0.0)
        assert wire.encode(mark, Encoding.V1) == b""


class EventTests:
    """An event of a text/event-stream."""

    def test_publication(self) -> None:
        """Its id is the hub's numbering and the serial."""
        event = wire.encode(publication(b'{"a":1}'), Encoding.SSE)
        assert event == b'id: e.1\ndata: {"topic":"t/a","offset":7,"data":{"a":1}}\n\n'
        assert wire.without_id(event) == b'data: {"topic":"t/a","offset":7,"data":{"a":1}}\n\n'

    @pytest.mark.parametrize("payload", [b'{"a":\n1}', b"[1,\r\n2]", b"\r1\n\n", b'"a\\nb"'])
    def test_lines(self, payload: bytes) -> None:
        """White space between tokens may be line ends; no event is cut by them."""
        [event] = events(bytearray(wire.encode(publication(payload), Encoding.SSE)))
        assert json.loads(event.text)["data"] == json.loads(payload)

    def test_snapshot(self) -> None:
        """The same publication for a newcomer."""
        [event] = events(bytearray(wire.encode_snapshot(publication(b"1"), Encoding.SSE)))
        assert (event.text, event.id) == ('{"topic":"t/a","offset":7,"snapshot":true,"data":1}', "e.1")

    def test_gap(self) -> None:
        """A mark has a place of its own."""
        mark = GapMark(RIG.hub.topic("t/a"), 7, 3, 3, "upstream", 0.0)
        [event] = events(bytearray(wire.encode(mark, Encoding.SSE)))
        assert (json.loads(event.text)["op"], event.id) == ("lost", "e.3")

    def test_message(self) -> None:
        """Anything else has neither id nor name, unless it is asked for."""
        assert wire.dress(b"{}", Encoding.SSE) == b"data: {}\n\n"
        assert wire.event(b"{}", name=b"close") == b"event: close\ndata: {}\n\n"


class BinaryTests:
    """Binary payloads by reference."""

    def test_frame(self) -> None:
        """Number, offset, payload."""
        one = publication(b"\x00\xff", is_text=False)
        [(opcode, payload)] = frames(bytearray(wire.encode(one, Encoding.BINARY)))
        assert opcode == wire.BINARY
        assert payload == one.topic.ref.to_bytes(4, "big") + (7).to_bytes(8, "big") + b"\x00\xff"

    @pytest.mark.parametrize("by_feed", [True, False])
    def test_snapshot(self, by_feed: bool) -> None:
        """The top bit of the offset, whoever says so."""
        one = publication(b"\x00", is_text=False, snapshot=by_feed)
        encoded = wire.encode(one, Encoding.BINARY) if by_feed else wire.encode_snapshot(one, Encoding.BINARY)
        [(_, payload)] = frames(bytearray(encoded))
        assert int.from_bytes(payload[4:12], "big") == 7 | 1 << 63

    def test_text_is_text(self) -> None:
        """The same bytes as for everybody else."""
        one = publication(b"1")
        assert wire.encode(one, Encoding.BINARY) is wire.encode(one, Encoding.V1)
        assert wire.encode_snapshot(one, Encoding.BINARY) is wire.encode(one, Encoding.V1_SNAPSHOT)

    def test_raw_has_no_flags(self) -> None:
        """Nothing but the payload."""
        assert wire.encode_snapshot(publication(b"1"), Encoding.RAW) == b"\x81\x011"


class ControlTests:
    """What the server says beside publications."""

    def test_state(self) -> None:
        """With and without a reason."""
        assert wire.state("t", TopicState.LIVE, "") == b'{"op":"state","topic":"t","state":"live"}'
        assert json.loads(wire.state("t", TopicState.FAILED, "no such"))["why"] == "no such"

    def test_error(self) -> None:
        """Only what there is."""
        assert wire.error("bad_request", "no") == b'{"op":"error","code":"bad_request","message":"no"}'
        assert json.loads(wire.error("forbidden", "no", request=1, topic="t")) == {
            "op": "error", "id": 1, "code": "forbidden", "message": "no", "topic": "t",
        }  # fmt: skip
        assert json.loads(wire.error("rate_limited", "no", retry_s=0.0501))["retry_ms"] == 51

    def test_reply(self) -> None:
        """The id only where there was one."""
        assert wire.reply("pong", None) == b'{"op":"pong"}'
        assert wire.reply("pong", "x") == b'{"op":"pong","id":"x"}'


class CommandTests:
    """What a browser says."""

    def test_good(self) -> None:
        """Known members are read, others ignored."""
        text = b'{"op":"subscribe","id":1,"topics":["t"],"since":{"t":"e:1"},"max_hz":2,"new":{}}'
        command = wire.decode_command(text)
        assert (command.op, command.id, command.topics, command.max_hz) == ("subscribe", 1, ["t"], 2.0)
        assert command.since == {"t": "e:1"}

    @pytest.mark.parametrize(
        "text",
        [
            "", "[]", "1", "{", '{"op":1}', "{}", '{"op":"x","topics":"t"}', '{"op":"x","id":1.5}',
            '{"op":"x","max_hz":NaN}', '{"op":"x","topics":[1]}', '{"op":"x","since":[]}',
            '{"op":"x"} {"op":"y"}', '\ufeff{"op":"x"}',
            '{"op":"x","a":' + "[" * 5000 + "]" * 5000 + "}",
        ],
    )  # fmt: skip
    def test_bad(self, text: str) -> None:
        """Anything else is refused in words."""
        with pytest.raises(wire.BadCommand, match="not a command"):
            wire.decode_command(text.encode())

    @pytest.mark.parametrize("request_id", [2**53, -(2**53), '"' + "x" * 65 + '"'])
    def test_bad_id(self, request_id: object) -> None:
        """Numbers a script can hold, short strings."""
        with pytest.raises(wire.BadCommand, match="64 characters"):
            wire.decode_command(f'{{"op":"x","id":{request_id}}}'.encode())

    @given(st.binary(max_size=60))
    def test_junk(self, junk: bytes) -> None:
        """No junk raises anything else."""
        with suppress(wire.BadCommand):
            wire.decode_command(junk)
