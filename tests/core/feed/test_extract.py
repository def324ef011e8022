"""Which dialects have a compiled way, and what is in it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from relayd.core.feed.decode import JSON
from relayd.core.feed.extract import Extractor
from tests.support.talk import dialect

AT: Any = {"at": {"channel": "ch", "symbol": "sym"}}


def extractor(**changed: Any) -> Extractor:
    """The compiled way of a dialect."""
    made = dialect(**changed).extractor
    assert made is not None
    return made


def key(made: Extractor, message: bytes) -> Any:
    """The key of a message."""
    assert made.key is not None
    return made.key(made.message[JSON](message))


class KeyTests:
    """What chooses the topic."""

    def test_fields_and_comparisons(self) -> None:
        """Presence is looked at apart."""
        made = extractor(topic={**AT, "when": {"type": ["a", "b"], "data": "*"}, "unless": {"event": "*"}})
        assert key(made, b'{"sym":"x","ch":1,"type":"a","data":5}') == (1, "x", "a", UNSET)
        message = made.message[JSON](b'{"data":5}')
        assert [get(message) is UNSET for get in made.present] == [False]
        assert {path.text for path in made.key_paths} == {"ch", "sym", "type", "event"}

    def test_what_must_not_be_there(self) -> None:
        """It is no part of any message that fits; null is another key."""
        made = extractor(topic={**AT, "unless": {"x": "*", "y": "*"}})
        assert key(made, b'{"ch":1,"sym":"x"}') == (1, "x", UNSET, UNSET)
        assert key(made, b'{"ch":1,"sym":"x","y":null}') == (1, "x", UNSET, None)
        with pytest.raises(msgspec.ValidationError):
            key(made, b'{"ch":1,"sym":"x","y":0}')

    def test_what_must_not_be_there_beside_what_must_not_be_that(self) -> None:
        """Of the one any value is too much; the other's is part of the key."""
        made = extractor(topic={**AT, "unless": {"type": "ack", "error": "*"}})
        assert key(made, b'{"ch":1,"sym":"x","type":"ack"}') == (1, "x", "ack", UNSET)
        with pytest.raises(msgspec.ValidationError):
            key(made, b'{"ch":1,"sym":"x","type":"data","error":"no"}')

    def test_alternatives(self) -> None:
        """All of them count."""
        made = extractor(topic={"at": ["a.b", "c"]}, subscribe=None)
        assert key(made, b'{"c":"x"}') == (UNSET, "x")

    def test_bound(self) -> None:
        """The id."""
        made = extractor(topic={"bound": "id", "at": {"e": "e"}}, subscribe={"send": "$name", "bind": "x$id"})
        assert key(made, b'{"id":7,"e":"light"}') == ("light", 7)

    def test_in_the_payload(self) -> None:
        """Then it is decoded, too."""
        made = extractor(topic={"at": {"channel": "ch", "symbol": "data.s"}}, payload="data")
        assert made.payload is not None and made.inner_key is not None
        body = made.payload(made.message[JSON](b'{"ch":"t","data":{"s":"x"}}'))
        assert made.inner_key(made.inner[JSON](body)) == "x"

    def test_of_the_frame(self) -> None:
        """Where it is split."""
        made = extractor(topic={"at": {"channel": "outer.ch", "symbol": "s"}}, decode={"split": "data"})
        frame = made.outer[JSON](b'{"ch":"t","data":[{"s":"x"}]}')
        assert made.outer_key is not None and made.outer_key(frame) == "t"
        assert made.parts is not None and [bytes(part) for part in made.parts(frame)] == [b'{"s":"x"}']
        whole = extractor(decode={"split": "."})
        assert whole.parts is None and len(whole.split[JSON](b"[1,2]")) == 2
        assert extractor(decode={"split": "\n"}).separator == b"\n"

    def test_nothing_chooses(self) -> None:
        """Every message is data: none is decoded."""
        made = extractor(topic=None, subscribe=None, control=None)
        assert made.message == {} and made.key is None


class GeneralTests:
    """What no Struct can hold."""

    @pytest.mark.parametrize(
        "changed",
        [
            {"topic": {**AT, "when": "text"}},
            {"topic": {**AT, "unless": "text"}},
            {"topic": {**AT, "when": {"x": 1.5}}},
            {"topic": {**AT, "when": {"x": [1, True]}}},
            {"topic": {**AT, "when": {"outer.x": "*"}}, "decode": {"split": "d"}},
            {"topic": {**AT, "when": {"data.x": "*"}}, "payload": "data"},
            {"transport": "sse", "topic": {"at": {"channel": "sse.event", "symbol": "s"}}},
            {"payload": ["a", "b"]},
            {"payload": "outer.x", "decode": {"split": "d"}},
            {"payload": "a.-1"},
            {"topic": {"at": {"channel": "a.-1", "symbol": "s"}}, "decode": {"split": "d"}},
            {"topic": {"at": {"channel": "outer.c", "symbol": "s"}}, "decode": {"split": "."}},
            {"sequence": {"at": "outer.n", "step": 1}, "decode": {"split": "d"}},
            {"snapshot": {"when": "text"}},
            {"cursor": {"at": ["a", "b"]}},
            {"dedupe": ["a", "b"]},
        ],
    )
    def test_needs_the_general_way(self, changed: Any) -> None:
        """All the time."""
        assert dialect(**changed).extractor is None

    @pytest.mark.parametrize(
        "changed",
        [
            {"topic": {"at": {"channel": "a.-1", "symbol": "-2"}}},
            {"topic": {"at": {"channel": ["d.0.c", "d.c"], "symbol": "s"}}},
            {"topic": {"at": {"channel": "d", "symbol": "d.s"}}},
            {"topic": {"key_of": ["a", "b"]}, "subscribe": None},
            {"sequence": {"per": "connection", "at": -1, "step": 1}},
        ],
    )
    def test_is_read_loosely(self, changed: Any) -> None:
        """Decoded whole, and recognised all the same."""
        made = extractor(**changed)
        assert made.message[JSON](b'{"a":[1]}') == {"a": [1]}


class ReaderTests:
    """What does not choose the topic."""

    def test_one_for_each_rule(self) -> None:
        """In the order of the block; fetched snapshots have none."""
        made = extractor(
            sequence=[{"at": "n", "step": 1}, {"first": "U", "last": "u"}],
            snapshot=[{"when": {"t": "s"}}, {"http": {"url": "http://h"}}],
            cursor={"at": "us"},
            dedupe="i",
        )
        message = made.message[JSON](b'{"n":5,"U":1,"u":2,"t":"s","us":9,"i":"x"}')
        assert [reader.read(message, None) for reader in made.sequences] == [5, (1, 2)]
        assert [reader and reader.read(message, None) for reader in made.snapshots] == [True, None]
        assert made.cursor is not None and made.cursor.read(message, None) == 9
        assert made.dedupe is not None and made.dedupe.read(message, None) == "x"

    def test_inside_the_payload(self) -> None:
        """Numbers of its uppermost object are looked for at its head."""
        made = extractor(payload="d", sequence=[{"at": "d.n"}, {"prev": "d.0.p", "at": "d.0.n"}, {"at": "n"}][:1])
        assert made.sequences[0].in_payload and made.sequences[0].head is not None
        deep = extractor(payload="d", sequence={"prev": "d.x.p", "at": "d.x.n"})
        assert deep.sequences[0].in_payload and deep.sequences[0].head is None

    def test_a_cursor_beside_the_message(self) -> None:
        """Of a server-sent event."""
        made = extractor(transport="sse", cursor={"at": "sse.id"})
        assert made.cursor is None and made.cursor_outside is not None


class GuardTests:
    """What must be there for a rule to match."""

    @pytest.mark.parametrize(
        ("when", "message", "may_match"),
        [
            ({"ok": True}, b'{"ok":false}', True),
            ({"ok": True}, b"{}", False),
            ({"ch": "x", "ok": 1}, b"{}", False),
            ("pong", b"{}", False),
            ('{"op":"pong"}', b"{}", True),
            ("*", b"{}", True),
        ],
    )
    def test_guards(self, when: Any, message: bytes, may_match: bool) -> None:
        """A value that is not in the key, or that no text can be the frame."""
        made = extractor(control=[{"when": when, "do": "beat"}])
        (guard,) = made.guards
        assert guard is not None and (guard(made.message[JSON](message)) is not UNSET) is may_match

    def test_the_key_tells(self) -> None:
        """Or nothing does."""
        assert extractor(control=[{"when": {"ch": "hb"}, "do": "beat"}]).guards == (None,)
        (always,) = extractor(control=[{"do": "beat"}]).guards
        assert always is not None and always(None) is ...
        (inside,) = extractor(payload="d", control=[{"when": {"d.x": 1}, "do": "beat"}]).guards
        assert inside is not None and inside(None) is ...

    def test_what_would_not_fit_is_left_out(self) -> None:
        """The dialect is compiled without guards, then."""
        made = extractor(topic={"at": {"channel": "a.c", "symbol": "a.s"}}, control=[{"when": {"a": 5}, "do": "beat"}])
        (guard,) = made.guards
        assert guard is not None and guard(None) is ...
