"""A dialect in words."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.core.event_stream import Event
from relayd.core.feed.conversation import Wanted
from relayd.core.feed.explain import MAX_SHOWN_CHARS, explain
from tests.support.feeds import NAMES, Replay, fields_of
from tests.support.talk import LEARNT, dialect, named, wanted


class EventTests:
    """Server-sent events."""

    def test_ids_and_names(self) -> None:
        """They are read as they are on a stream; a login step is known by its event's name."""
        spoken = dialect(
            transport="sse",
            connect={"url": "https://h/", "headers": {"Last-Event-ID": "$cursor"}},
            cursor={"at": "sse.id"},
            login=[{"expect": {"sse.event": "hello"}}],
            topic={"at": {"symbol": "s", "channel": "sse.event"}, "unless": {"sse.event": ["hello", "else"]}},
            subscribe={"each": "$symbol", "http": {"url": "https://h/", "query": {"s": "$topics", "c": "$channel"}}},
        )
        events = [Event(b'{"s":"A"}', "price", "7"), Event(b"{}", "hello", ""), Event(b"{}", "else", "")]
        told = explain(spoken, wanted("price/A"), events)
        assert [(line.number, line.kind, line.what) for line in told.lines] == [
            (3, "unknown", "nothing in the dialect knows it"),
            (1, "data", "price/A"),
            (2, "login", "step 1"),
        ]


class SayTests:
    """What would be said."""

    def test_without_a_network_or_a_secret(self) -> None:
        """Placeholders stand for what nobody has."""
        spoken = dialect(
            connect={"url": "wss://h/${env.K}", "query": {"t": "$token"},
                     "before": [{"http": {"url": "http://h"}, "save": {"token": "t"}}]},
            login=[
                {"expect": {"hello": "*"}, "save": {"sid": "sid"}},
                {"set": {"sig": {"hmac": "sha256", "key": "${env.S}", "key_is": "base64", "text": "$now"}},
                 "send": {"sig": "$sig", "sid": "$sid", "t": "$token"}, "expect": {"in": True}, "fail": {"out": True}},
                {"expect": "ready"},
            ],
            subscribe={"set": {"sig": {"hmac": "sha1", "key": "${env.S}", "text": "x"}}, "each": "$symbol",
                       "send": {"s": "$topics", "sig": "$sig", "k": "${env.K}"}},
        )  # fmt: skip
        told = explain(spoken, wanted("t/A", "t/B"))
        assert told.opens == "wss://h/${env.K}?t=(token)"
        assert told.login == ('{"sig":"(sig)","sid":"(sid)","t":"(token)"}',)
        assert (
            told.sends == ('{"s":["A","B"],"sig":"(sig)","k":"${env.K}"}',) and told.refused == () and told.lines == ()
        )

    def test_what_cannot_be_said(self) -> None:
        """Each with its reason."""
        spoken = dialect(
            connect={"url": "$host", "before": [{"http": {"url": "http://h"}, "save": {"host": "h"}}]},
            login=[{"send": 'key: "$uuid"'}, {"send": "${env.K}"}],
            subscribe={"each": "$symbol", "join": ",", "send": {"s": "$topics"}},
        )
        told = explain(spoken, wanted("t/A,B"))
        assert "not encrypted" in told.opens and told.sends == ()
        (refused,) = told.refused
        assert refused.startswith("t/A,B: ")
        assert told.login == ('key: "(uuid)"', "${env.K}")

    def test_a_login_message_that_cannot_be_made(self) -> None:
        """Says so."""
        (said,) = explain(dialect(login=[{"send": "k: ${env.K}", "set": {"x": '${env./a"b}'}}]), []).login
        assert said == "k: ${env.K}"
        (said,) = explain(dialect(login=[{"send": '${file./a"b}'}]), []).login
        assert said.startswith("cannot be sent: ")

    def test_requests(self) -> None:
        """With headers and body."""
        spoken = dialect(
            subscribe={
                "http": {"method": "PUT", "url": "http://h/$symbol", "headers": {"K": "${env.K}"}, "json": {"a": 1}}
            }
        )
        assert explain(spoken, wanted("t/A")).sends == ('PUT http://h/A [K: ${env.K}] {"a":1}',)
        spoken = dialect(subscribe={"http": {"url": "http://h/$symbol"}})
        assert explain(spoken, wanted("t/A")).sends == ("GET http://h/A",)


def kinds(spoken: Any, topics: list[Wanted[str]], *samples: str | bytes) -> list[tuple[int, str, str]]:
    """Number, kind and words of each line, as they are shown."""
    return [(line.number, line.kind, line.what) for line in explain(spoken, topics, samples).lines]


class ReadTests:
    """How samples are read."""

    def test_what_was_found(self) -> None:
        """Of a message that nobody asked for: its fields, its id, or that it has none; of a part alone."""
        found = kinds(dialect(LEARNT), named("a"), '{"id":1,"sid":7}', '{"sub":8}')
        assert found[0] == (2, "unrouted", "none of these topics: id 8")
        found = kinds(
            dialect(decode={"split": "."}),
            wanted("t/A"),
            '[{"ch":"t","sym":"A"},{"ch":"t","sym":"B"}]',
            "",
            '[{"ch":"t"}]',
        )
        assert found == [
            (1, "unrouted", "data: t/A; unrouted: none of these topics: channel=t, symbol=B"),
            (3, "unrouted", "none of these topics: channel=t"),
        ]

    def test_unmatched_ones_first(self) -> None:
        """Then the rest, in order."""
        spoken = dialect(
            sequence={"at": "n", "step": 1},
            snapshot={"when": {"s": 1}},
            login=[{"expect": {"hello": 1}}],
            heartbeat={"send": "x", "expect": "pong"},
        )
        found = kinds(
            spoken,
            wanted("t/A"),
            '{"ch":"t","sym":"A","n":1,"s":1}',
            '{"ch":"t","sym":"A","n":5}',
            '{"ok":1}',
            '{"ok":9}',
            '{"error":"no","id":1}',
            "pong",
            '{"hello":1}',
            '{"ch":"t","sym":"B"}',
            "what?",
        )
        assert found == [
            (9, "unknown", "nothing in the dialect knows it"),
            (8, "unrouted", "none of these topics: channel=t, symbol=B"),
            (1, "data", "t/A, snapshot, number 1"),
            (2, "data", "t/A, number 5, after a gap"),
            (3, "ack", "t/A"),
            (4, "ack", "no topic"),
            (5, "fail", "t/A: no"),
            (6, "beat", ""),
            (7, "login", "step 1"),
        ]

    def test_an_answer_to_a_login_step(self) -> None:
        """Also where a rule fits it that is meant for other answers; not where it tells of a topic."""
        spoken = dialect(
            login=[{"send": "hi", "expect": {"id": 0, "ok": "*"}, "fail": {"id": 0, "error": "*"}}],
            control=[
                {"when": {"ok": "*"}, "ack": {"id": "id", "all": "ok", "at": {"symbol": "."}}},
                {"when": {"error": "*"}, "fail": {"id": "id", "text": "error"}},
                {"when": {"hum": "*"}, "do": "beat"},
            ],
            decode={"split": "."},
        )
        found = kinds(
            spoken,
            wanted("t/A"),
            '{"id":0,"ok":"yes"}',
            '{"id":0,"error":"no"}',
            '[{"id":0,"ok":[]}]',
            '{"id":1,"ok":["A"]}',
            '{"id":9,"error":"no"}',
            '{"hum":1}',
            '[{"id":1,"ok":["A"]},{"id":0,"ok":[]}]',
        )
        assert [(number, kind) for number, kind, _ in found] == [
            (1, "login"),
            (2, "login"),
            (3, "login"),
            (4, "ack"),
            (5, "fail"),
            (6, "beat"),
            (7, "ack"),
        ]

    def test_the_other_kinds(self) -> None:
        """Held, control, answers, parts, lists that leave something out."""
        learnt = kinds(dialect(LEARNT), named("a", "b"), '{"sub":7}', '{"id":1,"sid":7}')
        assert learnt == [(1, "held", "until the id it came under is told"), (2, "ack", "a; held until now: a")]
        rules: Any = [
            {"when": {"k": "a"}, "do": "resubscribe"},
            {"when": {"k": "b"}, "do": "drain", "send": "bye"},
            {"when": {"k": "c"}, "send": {"pong": 1}},
            {"when": {"l": "*"}, "ack": {"id": "i", "all": "l", "at": {"symbol": "."}}},
        ]
        found = kinds(
            dialect(control=rules, decode={"split": "."}),
            wanted("t/A", "t/B"),
            '{"k":"a"}',
            '{"k":"b"}',
            '{"k":"c"}',
            '{"l":["A"],"i":1}',
            '[{"ch":"t","sym":"A"},{"k":"c"}]',
            '[{"ch":"t","sym":"A"},{"x":1}]',
            "[]",
        )
        assert found == [
            (6, "unknown", "data: t/A; unknown: nothing in the dialect knows it"),
            (7, "unknown", ""),
            (1, "control", "resubscribe t/A, t/B"),
            (2, "control", "drain; answered by bye"),
            (3, "beat", 'answered by {"pong":1}'),
            (4, "ack", "t/A; left out: t/B"),
            (5, "data", 'data: t/A; beat: answered by {"pong":1}'),
        ]

    def test_binary_and_long_samples(self) -> None:
        """Only their beginning is shown."""
        (line,) = explain(dialect(), [], [b"\xff" * 1000]).lines
        assert line.kind == "unknown" and len(line.sample) == MAX_SHOWN_CHARS + 1 and line.sample.endswith("…")
        (line,) = explain(dialect(), [], ["é" * 5]).lines
        assert line.sample == "é" * 5

    @pytest.mark.parametrize("name", NAMES)
    def test_the_written_out_feeds(self, name: str) -> None:
        """Any of them can be explained; no sample of theirs is without a kind."""
        replay = Replay(name)
        topics = next(line["want"] for line in replay.lines if "want" in line)
        samples = [str(line["in"]) for line in replay.lines if "in" in line]
        told = explain(replay.dialect, [Wanted(topic, fields_of(replay.routes, topic)) for topic in topics], samples)
        assert len(told.lines) == len(samples) and (told.sends or replay.dialect.topics_in_url) and told.opens
