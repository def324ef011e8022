"""The short way: what it answers is what the general way would have answered."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.core.feed import shortcut as module
from relayd.core.feed.conversation import Conversation, Wanted
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.extract import Extractor
from relayd.core.feed.hearing import Hearing
from relayd.core.feed.ledger import Ledger
from relayd.core.feed.outcome import Ack, Beat, Data, Outcome, Parts, Unknown, Unrouted
from relayd.core.feed.path import Scope
from relayd.core.feed.resume import Resume
from relayd.core.feed.routing import Router
from relayd.core.feed.shortcut import Shortcut
from relayd.core.wire import is_json
from tests.support.talk import LEARNT, dialect, say, talk, wanted

BTC = {"channel": "t", "symbol": "BTC"}
#: What the general way answers.
GENERAL = Unknown()


def short(spoken: Dialect, resume: Resume | None = None) -> tuple[Shortcut[str], Router[str]]:
    """A short way that has learnt nothing, and who wants what."""
    assert isinstance(spoken.extractor, Extractor)
    router, memory = Router[str](spoken, None), resume or Resume()
    router.add("t/BTC", BTC)
    hearing = Hearing[str](spoken, router, Ledger[str](spoken), memory)
    return Shortcut[str](spoken, spoken.extractor, hearing, memory, lambda *_: GENERAL), router


def taught(spoken: Dialect, message: bytes, resume: Resume | None = None) -> tuple[Shortcut[str], Router[str]]:
    """A short way that knows a message to be data of `t/BTC`."""
    made, router = short(spoken, resume)
    made.learn(message, True, [router.find(BTC)])
    return made, router


TICK = b'{"ch":"t","sym":"BTC","p":1}'


class RecogniseTests:
    """Single messages."""

    def test_only_what_was_learnt(self) -> None:
        """Another message with the same key; not another key, another shape, another type."""
        made, _ = taught(dialect(), TICK)
        assert made.hear(b'{"p":2, "sym":"BTC","ch":"t"}', True) == Data(
            ("t/BTC",), b'{"p":2, "sym":"BTC","ch":"t"}', True, is_json=True
        )
        for other in (b'{"ch":"t","sym":"ETH"}', b'{"ch":"t"}', b'{"ch":"t","sym":{}}', b"[1]", b"pong", b"", b"\xff"):
            assert made.hear(other, True) is GENERAL

    def test_not_what_nobody_wants_any_more(self) -> None:
        """The target says so."""
        made, router = taught(dialect(), TICK)
        router.discard("t/BTC")
        assert made.hear(TICK, True) is GENERAL

    def test_forgets(self) -> None:
        """When ids change their meaning."""
        made, _ = taught(dialect(), TICK)
        made.forget()
        assert made.hear(TICK, True) is GENERAL

    def test_payload(self) -> None:
        """A slice; a message without it goes the general way."""
        made, _ = taught(dialect(payload="d"), b'{"ch":"t","sym":"BTC","d": [1.50] }')
        assert made.hear(b'{"ch":"t","sym":"BTC","d": [1.50] }', True) == Data(
            ("t/BTC",), b"[1.50]", True, is_json=True
        )
        assert made.hear(TICK, True) is GENERAL

    def test_key_inside_the_payload(self) -> None:
        """Both are decoded."""
        spoken = dialect(topic={"at": {"channel": "ch", "symbol": "d.s"}}, payload="d")
        message = b'{"ch":"t","d":{"s":"BTC"}}'
        made, _ = taught(spoken, message)
        assert made.hear(message, True) == Data(("t/BTC",), b'{"s":"BTC"}', True, is_json=True)
        assert made.hear(b'{"ch":"t"}', True) is GENERAL and made.hear(b'{"ch":"t","d":5}', True) is GENERAL

    def test_presence(self) -> None:
        """What must, and must not, be there."""
        spoken = dialect(topic={"at": {"channel": "ch", "symbol": "sym"}, "when": {"d": "*"}, "unless": {"event": "*"}})
        made, _ = taught(spoken, b'{"ch":"t","sym":"BTC","d":1}')
        assert made.hear(b'{"ch":"t","sym":"BTC","d":null}', True) is not GENERAL
        assert made.hear(TICK, True) is GENERAL
        assert made.hear(b'{"ch":"t","sym":"BTC","d":1,"event":0}', True) is GENERAL

    def test_every_message_is_data(self) -> None:
        """Or every one that holds something: there is no key to tell them apart."""
        everything, router = short(dialect(topic=None, subscribe=None, control=None))
        router.add("all", {})
        everything.learn(b"x", True, [router.find({})])
        assert everything.hear(b"\xff\x00", False) == Data(("all",), b"\xff\x00", False)
        some, router = short(dialect(topic={"when": {"d": "*"}}, subscribe=None, control=None))
        router.add("all", {})
        some.learn(b'{"d":1}', True, [router.find({})])
        assert (
            some.hear(b'{"d":2}', True) == Data(("all",), b'{"d":2}', True, is_json=True)
            and some.hear(b"{}", True) is GENERAL
        )

    def test_packed(self) -> None:
        """Unpacked first."""
        made, router = short(dialect(decode={"binary": ["gzip", "json"]}))
        made.learn(gzip.compress(TICK), False, [router.find(BTC)])
        assert made.hear(gzip.compress(TICK), False) == Data(("t/BTC",), TICK, True, is_json=True)
        assert made.hear(TICK, True) is not GENERAL and made.hear(b"junk", False) is GENERAL
        made.learn(b"junk", False, [router.find(BTC)])

    def test_messagepack(self) -> None:
        """The same keys."""
        made, router = short(dialect(decode={"binary": ["msgpack"]}, payload="d"))
        packed = msgspec.msgpack.encode({"ch": "t", "sym": "BTC", "d": [1]})
        made.learn(packed, False, [router.find(BTC)])
        assert made.hear(packed, False) == Data(("t/BTC",), msgspec.msgpack.encode([1]), False)

    def test_the_memory_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Full, it is emptied."""
        monkeypatch.setattr(module, "MAX_KEYS", 2)
        made, router = short(dialect(topic={"at": {"channel": "ch", "symbol": ["sym", "n"]}}))
        for number in range(5):
            made.learn(b'{"ch":"t","sym":"BTC","n":%d}' % number, True, [router.find(BTC)])
            assert len(made._plans) <= 2


class UnwantedTests:
    """What nobody wants, and no rule can match."""

    def unwanted(self, spoken: Dialect, message: bytes) -> Shortcut[str]:
        """A short way that knows a message to be unwanted."""
        made, _ = short(spoken)
        made.learn(message, True, [Scope(json.loads(message))])
        return made

    def test_known_at_a_glance(self) -> None:
        """Unless something is there by which a rule might match."""
        made = self.unwanted(dialect(), b'{"ch":"t","sym":"X"}')
        assert made.hear(b'{"ch":"t","sym":"X","p":1}', True) == Unrouted()
        assert made.hear(b'{"ch":"t","sym":"X","ok":1}', True) is GENERAL
        made.forget_unwanted()
        assert made.hear(b'{"ch":"t","sym":"X"}', True) is GENERAL

    def test_rules_that_the_key_speaks_against(self) -> None:
        """They are not looked at again."""
        rules = [{"when": {"ch": "hb"}, "do": "beat"}, {"when": {"ch": "t", "n": 5}, "do": "beat"}]
        made = self.unwanted(dialect(control=rules), b'{"ch":"t","sym":"X"}')
        assert (
            made.hear(b'{"ch":"t","sym":"X"}', True) == Unrouted()
            and made.hear(b'{"ch":"t","sym":"X","n":5}', True) is GENERAL
        )

    def test_rules_that_the_key_speaks_for(self) -> None:
        """Such a message cannot be unwanted, and is not remembered as that."""
        made = self.unwanted(dialect(control=[{"when": {"ch": "t"}, "do": "beat"}]), b'{"ch":"t","sym":"X"}')
        assert made.hear(b'{"ch":"t","sym":"X"}', True) is GENERAL

    def test_unknown_ids_are_looked_at_anew(self) -> None:
        """They may be told yet."""
        made = self.unwanted(dialect(LEARNT), b'{"sub":7}')
        assert made.hear(b'{"sub":7}', True) is GENERAL

    def test_they_are_counted(self) -> None:
        """In a sequence of the connection, wherever it stands."""
        spoken = dialect(payload="d", sequence={"per": "connection", "at": "d.n", "step": 1}, dedupe="d.n")
        made = self.unwanted(spoken, b'{"ch":"t","sym":"X","d":{"n":1}}')
        assert made.hear(b'{"ch":"t","sym":"X","d":{"n":1}}', True) == Unrouted()
        assert made.hear(b'{"ch":"t","sym":"X","d":{"n":1}}', True) == Beat(1)
        assert made.hear(b'{"ch":"t","sym":"X"}', True) is GENERAL
        plain = self.unwanted(
            dialect(sequence={"per": "connection", "at": "n", "step": 1}), b'{"ch":"t","sym":"X","n":1}'
        )
        assert plain.hear(b'{"ch":"t","sym":"X","n":5}', True) == Unrouted()


class CountingTests:
    """Sequences, snapshots, cursors."""

    def test_sequences(self) -> None:
        """Of the topic: gaps with their number and what is to be done."""
        spoken = dialect(sequence={"at": "n", "step": 1, "gap": "resubscribe"}, snapshot={"when": {"s": True}})
        made, _ = taught(spoken, b'{"ch":"t","sym":"BTC"}')
        heard = [made.hear(b'{"ch":"t","sym":"BTC","n":%d}' % number, True) for number in (1, 2, 5)]
        payload = b'{"ch":"t","sym":"BTC","n":5}'
        assert heard[2] == Data(
            ("t/BTC",), payload, True, is_json=True, gap=True, seq=5, missed=2, repair="resubscribe"
        )
        snapshot = made.hear(b'{"ch":"t","sym":"BTC","n":1,"s":true}', True)
        assert isinstance(snapshot, Data) and snapshot.snapshot and not snapshot.gap
        assert made.hear(b'{"ch":"t","sym":"BTC"}', True) == Data(
            ("t/BTC",), b'{"ch":"t","sym":"BTC"}', True, is_json=True
        )

    def test_numbers_in_the_payload(self) -> None:
        """At the head of a large one, or anywhere."""
        made, _ = taught(
            dialect(payload="d", sequence={"first": "d.U", "last": "d.u"}), b'{"ch":"t","sym":"BTC","d":{}}'
        )
        filler = ",".join(["0.00001"] * 300)
        for body, seq, gap in (
            ('{"U":1,"u":3}', (1, 3), False),
            (f'{{"U":4,"u":6,"b":[{filler}]}}', (4, 6), False),
            (f'{{"b":[{filler}],"u":12,"U":9}}', (9, 12), True),
        ):
            heard = made.hear(b'{"ch":"t","sym":"BTC","d":%b}' % body.encode(), True)
            assert isinstance(heard, Data) and (heard.seq, heard.gap) == (seq, gap)
        single, _ = taught(dialect(payload="d", sequence={"at": "d.n", "step": 1}), b'{"ch":"t","sym":"BTC","d":{}}')
        heard = single.hear(b'{"ch":"t","sym":"BTC","d":{"n":7,"b":[%b]}}' % filler.encode(), True)
        assert isinstance(heard, Data) and heard.seq == 7

    def test_sequences_of_the_connection(self) -> None:
        """The number stands where the topic has none; a loss is told with the next publication."""
        made, _ = taught(dialect(sequence={"per": "connection", "at": "n", "step": 1, "gap": "reconnect"}), TICK)
        assert isinstance(heard := made.hear(b'{"ch":"t","sym":"BTC","n":1}', True), Data) and heard.seq == 1
        assert isinstance(heard := made.hear(b'{"ch":"t","sym":"BTC"}', True), Data) and heard.seq is None
        heard = made.hear(b'{"ch":"t","sym":"BTC","n":4}', True)
        assert isinstance(heard, Data) and (heard.gap, heard.missed, heard.repair) == (True, 2, "reconnect")

    def test_both_kinds_of_sequence(self) -> None:
        """A loss of the connection is told with a topic that follows its own numbers."""
        rules = [{"per": "connection", "at": "c", "step": 1, "gap": "reconnect"}, {"at": "n", "step": 1}]
        made, _ = taught(dialect(sequence=rules), TICK)
        made.hear(b'{"ch":"t","sym":"BTC","n":1,"c":1}', True)
        heard = made.hear(b'{"ch":"t","sym":"BTC","n":2,"c":5}', True)
        assert isinstance(heard, Data) and (heard.seq, heard.gap, heard.repair) == (2, True, "reconnect")

    def test_replays(self) -> None:
        """What came before this connection is not published again."""
        resume = Resume()
        message = b'{"ch":"t","sym":"BTC","us":5}'
        resume.replayed(5, message)
        resume.connected()
        made, _ = taught(dialect(cursor={"at": "us"}), message, resume)
        assert made.hear(message, True) == Beat() and isinstance(made.hear(message.replace(b"5", b"6"), True), Data)
        assert isinstance(made.hear(TICK, True), Data) and resume.cursor == 6

    def test_events(self) -> None:
        """Their id stands beside the message."""
        resume = Resume()
        spoken = dialect(transport="sse", cursor={"at": "sse.id"})
        made, _ = taught(spoken, TICK, resume)
        assert isinstance(made.hear(TICK, True, {"id": "e7"}), Data) and resume.cursor == "e7"
        assert isinstance(made.hear(TICK, True), Data) and resume.cursor == "e7"

    def test_repeats(self) -> None:
        """By identity, in the payload."""
        made, _ = taught(dialect(payload="d", dedupe="d.i"), b'{"ch":"t","sym":"BTC","d":{}}')
        message = b'{"ch":"t","sym":"BTC","d":{"i":"x"}}'
        assert isinstance(made.hear(message, True), Data) and made.hear(message, True) == Beat()


class SplitTests:
    """Frames of several messages."""

    def test_parts(self) -> None:
        """All known, or the frame goes the general way."""
        made, router = short(
            dialect(decode={"split": "d"}, topic={"at": {"channel": "outer.ch", "symbol": "s"}}, control=None)
        )
        frame = b'{"ch":"t","d":[{"s":"BTC"},{"s":"X"}]}'
        assert made.hear(frame, True) is GENERAL
        made.learn(frame, True, [router.find(BTC), Scope({"s": "X"}, outer={"ch": "t"})])
        assert made.hear(frame, True) == Parts((Data(("t/BTC",), b'{"s":"BTC"}', True, is_json=True), Unrouted()))
        assert made.hear(b'{"ch":"t","d":[{"s":"BTC"}]}', True) == Data(("t/BTC",), b'{"s":"BTC"}', True, is_json=True)
        for other in (
            b'{"ch":"u","d":[{"s":"BTC"},{"s":"X"}]}',
            b'{"ch":"t"}',
            b'{"ch":"t","d":{}}',
            b'{"ch":"t","d":[1,2]}',
        ):
            assert made.hear(other, True) is GENERAL
        router.discard("t/BTC")
        assert made.hear(frame, True) is GENERAL

    def test_parts_that_a_rule_may_match(self) -> None:
        """They are looked at in full."""
        made, router = short(dialect(decode={"split": "."}))
        made.learn(
            b'[{"ch":"t","sym":"BTC"},{"ch":"t","sym":"X"}]', True, [router.find(BTC), Scope({"ch": "t", "sym": "X"})]
        )
        assert isinstance(made.hear(b'[{"ch":"t","sym":"BTC"},{"ch":"t","sym":"X"}]', True), Parts)
        assert made.hear(b'[{"ch":"t","sym":"BTC"},{"ch":"t","sym":"X","ok":1}]', True) is GENERAL
        assert made.hear(b'{"ch":"t","sym":"BTC"}', True) == Data(
            ("t/BTC",), b'{"ch":"t","sym":"BTC"}', True, is_json=True
        )

    def test_parts_without_their_payload(self) -> None:
        """They are no data."""
        made, router = short(dialect(decode={"split": "."}, payload="d"))
        made.learn(b'[{"ch":"t","sym":"BTC","d":1},{"x":1}]', True, [router.find(BTC), None])
        assert isinstance(made.hear(b'[{"ch":"t","sym":"BTC","d":1},{"ch":"t","sym":"BTC","d":2}]', True), Parts)
        assert made.hear(b'[{"ch":"t","sym":"BTC","d":1},{"ch":"t","sym":"BTC"}]', True) is GENERAL

    def test_lines(self) -> None:
        """One after the other."""
        made, router = short(dialect(decode={"split": "\n"}))
        made.learn(TICK, True, [router.find(BTC)])
        assert made.hear(TICK + b"\n" + TICK + b"\n", True) == Parts((Data(("t/BTC",), TICK, True, is_json=True),) * 2)


class PrefixTests:
    """`topic.prefix`."""

    def spoken(self, **changed: Any) -> Dialect:
        """A feed whose frames begin with the feed name."""
        topic = {"at": "ch", "name": "$channel:$symbol", "prefix": '{"ch":"', **changed.pop("topic", {})}
        return dialect(topic=topic, subscribe={"send": "$topic"}, **changed)

    def test_read_without_parsing(self) -> None:
        """Whatever follows the name is not looked at: that is the bargain."""
        made, _ = taught(self.spoken(), b'{"ch":"t:BTC","p":1}')
        assert made.hear(b'{"ch":"t:BTC", cut', True) == Data(("t/BTC",), b'{"ch":"t:BTC", cut', True)

    def test_frames_that_begin_differently(self) -> None:
        """They are parsed."""
        made, router = taught(self.spoken(), b'{"ch":"t:BTC","p":1}')
        assert isinstance(made.hear(b'{"p":1,"ch":"t:BTC"}', True), Data)
        assert isinstance(made.hear(b'{"ch":"t:\\u0042TC"}', True), Data)
        assert made.hear(b'{"ch":"t:BTC', True) is GENERAL and made.hear(b'{"ch":"x:BTC"}', True) is GENERAL
        router.discard("t/BTC")
        assert made.hear(b'{"ch":"t:BTC"}', True) is GENERAL

    @pytest.mark.parametrize(
        "changed",
        [
            {"payload": "d"},
            {"dedupe": "i"},
            {"decode": {"split": "\n"}},
            {"topic": {"when": {"x": 1}}},
            {"topic": {"unless": {"x": 1}}},
        ],
    )
    def test_where_the_name_is_not_all(self, changed: Any) -> None:
        """The prefix is not used."""
        made, _ = short(self.spoken(**changed))
        assert made._prefix is None

    def test_numbered_topics_are_parsed(self) -> None:
        """Their numbers are needed."""
        made, _ = taught(self.spoken(sequence={"at": "n", "step": 1}), b'{"ch":"t:BTC","n":1}')
        heard = made.hear(b'{"ch":"t:BTC","n":1}', True)
        assert isinstance(heard, Data) and heard.seq == 1


SHAPES: list[dict[str, Any]] = [
    {},
    {"payload": "d"},
    {
        "topic": {
            "at": {"channel": "ch", "symbol": ["sym", "d.sym"]},
            "when": {"type": ["a", "b*"]},
            "unless": {"event": "*"},
        }
    },
    {
        "topic": {"at": {"channel": "ch", "symbol": "d.sym"}},
        "payload": "d",
        "sequence": {"first": "d.U", "last": "d.u"},
    },
    {"topic": {"at": {"channel": "outer.ch", "symbol": "sym"}}, "decode": {"split": "d"}},
    {"decode": {"split": "."}, "sequence": {"at": "n", "step": 1}, "snapshot": {"when": {"type": "a"}}},
    {"sequence": [{"for": {"channel": "u"}, "prev": "U", "at": "u"}, {"per": "connection", "at": "n", "step": 1}]},
    {
        "topic": {"at": {"channel": "ch", "symbol": "sym"}, "map": {"channel": {"v": "t"}}},
        "dedupe": "n",
        "cursor": {"at": "us"},
    },
    {"topic": {"at": {"channel": "-1.ch", "symbol": "0"}}, "sequence": {"per": "connection", "at": "1", "step": 1}},
    {"topic": {"at": {"channel": "ch", "symbol": "sym"}, "when": {"ok": True}, "unless": {"event": None}}},
    {
        "heartbeat": {"send": "ping", "expect": {"type": "pong"}},
        "snapshot": [{"for": {"channel": "t"}, "when": {"d": "*", "n": 1}}],
    },
    {"topic": {"at": {"channel": "ch", "symbol": "sym"}, "unless": {"event": "*", "ok": "*"}}},
    {"topic": {"at": {"channel": "ch", "symbol": "sym"}, "unless": {"type": ["b*", "pong"], "d": "*"}}},
    {
        "topic": {"at": {"channel": "ch", "symbol": "sym"}, "unless": {"event": "*"}},
        "payload": "d",
        "sequence": {"at": "d.n", "step": 1, "gap": "resync"},
    },
    {"payload": "d", "dedupe": "n", "sequence": [{"at": "d.u", "step": 1}], "snapshot": {"when": {"d.U": 1}}},
    {"payload": "d", "cursor": {"at": "d.u"}, "sequence": {"per": "connection", "first": "d.U", "last": "d.u"}},
    {"topic": {"at": {"channel": "2.ch", "symbol": "0"}}, "sequence": {"per": "connection", "at": -2, "step": 1}},
    {"topic": {"at": "ch", "name": "$channel", "prefix": '{"ch": "'}, "control": None},
    {"decode": {"split": "d"}, "payload": "d", "dedupe": "n", "topic": {"at": {"channel": "ch", "symbol": "sym"}}},
    {"decode": {"split": "\n"}, "sequence": {"at": "n", "step": 1}},
    {"decode": {"binary": ["msgpack"]}, "payload": "d", "sequence": {"first": "d.U", "last": "d.u"}},
    {"decode": {"binary": ["gzip", "json"]}, "topic": {"at": {"channel": "ch", "symbol": "sym"}, "when": {"n": "*"}}},
]

VALUES = st.sampled_from(
    ["t", "u", "v", "BTC", "ETH", 1, 2, 3, 7, True, False, None, 1.0, "a", "b1", "pong", [], {}, [1], "1"]
)
KEYS = st.sampled_from(["ch", "sym", "d", "type", "event", "n", "U", "u", "us", "ok", "id", "error"])
TABLES = st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, VALUES, max_size=4), max_size=7)
LIKELY = st.fixed_dictionaries(
    {"ch": st.sampled_from("tuv"), "sym": st.sampled_from(["BTC", "ETH"])},
    optional={
        "d": st.fixed_dictionaries(
            {"sym": st.sampled_from(["BTC", "ETH"])},
            optional={
                "U": st.integers(1, 5) | VALUES,
                "u": st.integers(1, 9),
                "n": st.integers(1, 9) | st.just(1.5),
                "b": st.just(["0.00000001"] * 100),
            },
        ),
        "type": st.sampled_from(["a", "b1", "c", "pong"]),
        "n": st.integers(1, 6),
        "us": st.integers(1, 6),
        "U": st.integers(1, 6),
        "u": st.integers(1, 6),
        "ok": VALUES,
        "event": VALUES,
    },
)
MESSAGES = st.one_of(
    LIKELY, LIKELY, TABLES, st.lists(LIKELY | TABLES, max_size=3),
    st.builds(lambda ch, parts: {"ch": ch, "d": parts}, st.sampled_from("tu"), st.lists(LIKELY, max_size=3)),
    st.builds(lambda sym, n, table: [sym, n, table], st.sampled_from(["BTC", 1, True]), st.integers(1, 5), LIKELY),
)  # fmt: skip
TOPICS = ["t/BTC", "t/ETH", "u/BTC", "t"]
STEPS = st.one_of(
    st.tuples(st.just("say"), MESSAGES), st.tuples(st.sampled_from(["want", "drop"]), st.sampled_from(TOPICS))
)


class SameTests:
    """Both ways, side by side."""

    @settings(max_examples=150, deadline=None)
    @given(st.sampled_from(SHAPES), st.lists(STEPS, max_size=30))
    def test_it_never_differs_from_the_general_way(self, shape: dict[str, Any], steps: list[tuple[str, Any]]) -> None:
        """Whatever the dialect, whatever comes, whoever comes and goes."""
        spoken = dialect(
            **{**shape, "subscribe": {"send": {"c": "$channel", "id": "$id"}}} if "decode" not in shape else shape
        )
        assert spoken.extractor is not None
        both = [talk(spoken), talk(replace(spoken, extractor=None))]
        for conversation in both:
            conversation.want(wanted("t/BTC"))
        for kind, what in steps:
            # What was heard once is known the second time, and must still be the same.
            for _ in range(2 if kind == "say" else 1):
                quick, general = [_step(conversation, kind, what) for conversation in both]
                if isinstance(quick, Data) and isinstance(general, Data) and spoken.fields.prefix is not None:
                    general.is_json = quick.is_json  # by its prefix alone nobody knows what a message is
                assert quick == general
                parts = quick.parts if isinstance(quick, Parts) else (quick,)
                assert all(is_json(part.payload) for part in parts if isinstance(part, Data) and part.is_json)


def _step(conversation: Conversation[str], kind: str, what: Any) -> Outcome[str] | None:
    if kind == "say":
        binary = conversation.dialect.decode.binary
        if "msgpack" in binary:
            return conversation.message(msgspec.msgpack.encode(what), False)
        if "gzip" in binary:
            return conversation.message(gzip.compress(json.dumps(what).encode()), False)
        return say(conversation, what)
    if kind == "drop":
        conversation.drop([what])
        return None
    channel, _, symbol = what.partition("/")
    conversation.want([Wanted(what, {"channel": channel} | ({"symbol": symbol} if symbol else {}))])
    return None


def test_outcomes_compare_by_value() -> None:
    """Or the test above would say nothing."""
    assert Ack(("a",)) != Ack(("b",)) and Unknown() != Beat() and Data(("a",), b"", True) != Data(("a",), b"x", True)
