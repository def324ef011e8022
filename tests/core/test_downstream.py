"""The session of a browser."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.closecode import CLOSE_BAD_REQUEST, CLOSE_BINARY, CLOSE_FORBIDDEN, CLOSE_OVERLOADED
from relayd.core.downstream import MAX_STRIKES, TOPICS_PER_ANSWER, DownstreamSession
from relayd.core.publication import TopicState
from relayd.core.reading import MAX_PATTERNS
from relayd.core.routes import AllowValues
from tests.support.hub_rig import Client, FakeSink, Rig, delivery, frames, route, say

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["subscribe", "t/a", "t/*"])
KEYS = st.sampled_from(["op", "id", "topics", "since", "max_hz", "x"])
FINITE = route("f/$n", allow={"n": AllowValues(("a", "b", "c"))})


def opened(rig: Rig) -> tuple[DownstreamSession, Client]:
    """A greeted browser."""
    session, sink = rig.open()
    client = Client(sink, lambda _: True)
    client.read()
    return session, client


def ask(session: DownstreamSession, client: Client, **command: Any) -> list[dict[str, Any]]:
    """The answers to one command."""
    say(session, **command)
    return client.read()


class OpeningTests:
    """Welcome, and `?topics=`."""

    def test_welcome(self) -> None:
        """What a client needs to know."""
        _, sink = Rig(route("t/$n")).open()
        assert Client(sink).read() == [
            {"op": "welcome", "relayd": "1", "session": "s", "ping_every_s": 25, "time_ms": 1_700_000_000_000}
        ]

    def test_topics_of_the_query(self) -> None:
        """Subscribed at once, answered without id; a bad one gets its error."""
        rig = Rig(FINITE)
        sink = FakeSink()
        session = DownstreamSession(rig.hub, sink, raw_topic=None, session_id="s")
        session.opened(["f/a", "f/x"])
        messages = Client(sink).read()
        assert [message["op"] for message in messages] == ["welcome", "error", "subscribed"]
        assert (messages[1]["code"], messages[1]["topic"]) == ("forbidden", "f/x")
        assert "id" not in messages[2]


class RequestTests:
    """One final answer each."""

    def test_ping(self) -> None:
        """The application's own heartbeat."""
        assert ask(*opened(Rig()), op="ping", id="x") == [{"op": "pong", "id": "x"}]

    def test_unknown_op(self) -> None:
        """An error that names what there is, and never a strike."""
        session, client = opened(Rig())
        for _ in range(MAX_STRIKES + 1):
            [answer] = ask(session, client, op="dance", id=3)
            assert (answer["code"], answer["id"]) == ("unknown_op", 3)
            assert "subscribe" in answer["message"]
        assert client.sink.closed is None

    def test_strikes(self) -> None:
        """What is no command at all: told each time, closed the third."""
        session, client = opened(Rig())
        for number in range(1, MAX_STRIKES + 1):
            session.text(b"hello")
            assert client.read()[0]["code"] == "bad_request"
            assert (client.sink.closed is CLOSE_BAD_REQUEST) == (number == MAX_STRIKES)

    def test_binary(self) -> None:
        """`/ws` speaks text."""
        session, client = opened(Rig())
        session.binary(b"x")
        assert client.sink.closed is CLOSE_BINARY
        assert session.counters.received_bytes == 1

    @pytest.mark.parametrize("command", [{"op": "subscribe"}, {"op": "subscribe", "topics": []}, {"op": "unsubscribe"}])
    def test_no_topics(self, command: dict[str, Any]) -> None:
        """Says what is missing."""
        [answer] = ask(*opened(Rig()), id=1, **command)
        assert (answer["code"], answer["message"]) == ("bad_request", "topics: a list of topics or patterns")

    @pytest.mark.parametrize("op", ["subscribe", "pace"])
    @pytest.mark.parametrize("hz", [0, -1, 1e9])
    def test_bad_rate(self, op: str, hz: float) -> None:
        """Says what is possible."""
        [answer] = ask(*opened(Rig(route("t/$n"))), op=op, id=1, topics=["t/a"], max_hz=hz)
        assert answer["message"] == "max_hz: a number from 0.01 to 1000"

    @given(st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)))
    def test_any_json(self, value: Any) -> None:
        """Nothing a client says raises."""
        session, client = opened(Rig(route("t/$n")))
        session.text(json.dumps(value).encode())
        client.read()


class SubscribeTests:
    """Topics, one by one."""

    def test_partial_success(self) -> None:
        """One error per refused topic, then the answer."""
        rig = Rig(FINITE)
        messages = ask(*opened(rig), op="subscribe", id=7, topics=["f/a", "f/x", "nope", "b d", "f/a"])
        assert [(message["op"], message.get("code"), message["id"]) for message in messages] == [
            ("error", "forbidden", 7), ("error", "unknown_topic", 7), ("error", "bad_request", 7),
            ("subscribed", None, 7),
        ]  # fmt: skip
        assert list(messages[-1]["topics"]) == ["f/a"]

    def test_why(self) -> None:
        """A topic that failed says so at once."""
        rig = Rig(route("t/$n"))
        rig.hub.state(rig.hub.topic("t/a"), TopicState.FAILED, "no such symbol")
        [answer] = ask(*opened(rig), op="subscribe", topics=["t/a"])
        assert answer["topics"]["t/a"] == {"position": "e1:0", "state": "failed", "why": "no such symbol"}

    def test_topics_per_client(self) -> None:
        """limits.topics_per_client, per topic."""
        rig = Rig(route("t/$n"), topics_per_client=2)
        session, client = opened(rig)
        messages = ask(session, client, op="subscribe", topics=["t/a", "t/b", "t/c"])
        refused, answer = messages
        assert (refused["op"], refused["topic"], list(answer["topics"])) == ("error", "t/c", ["t/a", "t/b"])
        assert refused["code"] == "too_many_topics"

    def test_long_answers_come_in_parts(self) -> None:
        """`more` on all but the last."""
        rig = Rig(route("t/$n"), topics_per_client=2000, topics=2000)
        names = [f"t/{number}" for number in range(TOPICS_PER_ANSWER + 1)]
        messages = ask(*opened(rig), op="subscribe", id=1, topics=names)
        assert [(len(message["topics"]), message.get("more")) for message in messages] == [
            (TOPICS_PER_ANSWER, True), (1, None),
        ]  # fmt: skip

    def test_a_rate_changes(self) -> None:
        """Subscribing again with another rate."""
        rig = Rig(route("t/$n"), route("d/$n", delivery(deltas=True)))
        session, client = opened(rig)
        for hz in (1, 5, None):
            ask(session, client, op="subscribe", topics=["t/a", "d/a"], max_hz=hz)
            assert {topic.name: rate for topic, rate in session.subscriber.topics.items()} == {"t/a": hz, "d/a": None}


class PaceTests:
    """One rate over all, such as for a hidden tab."""

    def test_slower_and_back(self) -> None:
        """The lower of both counts; deltas are never conflated."""
        rig = Rig(route("t/$n"), route("d/$n", delivery(deltas=True)))
        session, client = opened(rig)
        ask(session, client, op="subscribe", topics=["t/a", "d/a"])
        ask(session, client, op="subscribe", topics=["t/b"], max_hz=0.5)
        assert ask(session, client, op="pace", id=1, max_hz=1) == [{"op": "paced", "id": 1}]
        ask(session, client, op="subscribe", topics=["t/c"])
        rates = {topic.name: rate for topic, rate in session.subscriber.topics.items()}
        assert rates == {"t/a": 1, "t/b": 0.5, "t/c": 1, "d/a": None}
        ask(session, client, op="pace")
        rates = {topic.name: rate for topic, rate in session.subscriber.topics.items()}
        assert rates == {"t/a": None, "t/b": 0.5, "t/c": None, "d/a": None}

    def test_without_topics(self) -> None:
        """It holds for those to come."""
        session, client = opened(Rig(route("t/$n")))
        assert ask(session, client, op="pace", max_hz=2) == [{"op": "paced"}]


class PatternTests:
    """Many topics at once."""

    def test_finite_lists_create_demand(self) -> None:
        """Each match is subscribed upstream."""
        rig = Rig(FINITE)
        [answer] = ask(*opened(rig), op="subscribe", id=1, topics=["f/*"])
        assert answer["matches"] == 3
        assert rig.demand.wanted_topics == ["f/a", "f/b", "f/c"]

    def test_endless_ones_meet_what_exists(self) -> None:
        """And what comes into being, announced without id; they create no demand."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        session, client = opened(rig)
        messages = ask(session, client, op="subscribe", id=1, topics=["t/*"])
        assert messages[0]["matches"] == 1
        assert messages[1]["offset"] == 1
        rig.publish("t/b")
        rig.clock.turn()
        announced, state, publication = client.read()
        assert announced == {"op": "subscribed", "topics": {"t/b": {"position": "e2:0", "state": "pending"}}}
        assert (state["state"], publication["offset"]) == ("live", 1)
        assert rig.demand.wanted_topics == []

    def test_overlap_delivers_once(self) -> None:
        """Exact and pattern are one subscription; it lives while either does."""
        rig = Rig(FINITE)
        session, client = opened(rig)
        ask(session, client, op="subscribe", topics=["f/a", "f/*", "f/**"])
        rig.publish("f/a")
        rig.clock.turn()
        client.read()
        assert client.data["f/a"] == [1]
        ask(session, client, op="unsubscribe", topics=["f/*"])
        assert len(session.subscriber.topics) == 3
        ask(session, client, op="unsubscribe", topics=["f/**"])
        assert [topic.name for topic in session.subscriber.topics] == ["f/a"]
        ask(session, client, op="unsubscribe", topics=["f/a"])
        assert session.subscriber.topics == {}
        rig.hub.forget(rig.hub.topic("f/b"))
        rig.hub.topic("f/b")
        assert client.read() == []

    def test_exact_within_a_pattern_goes_on(self) -> None:
        """Ending the exact one leaves it to the pattern."""
        rig = Rig(FINITE)
        session, client = opened(rig)
        ask(session, client, op="subscribe", topics=["f/*"])
        ask(session, client, op="subscribe", topics=["f/a"])
        ask(session, client, op="unsubscribe", topics=["f/a"])
        assert len(session.subscriber.topics) == 3

    def test_bad_pattern(self) -> None:
        """In words."""
        [error, answer] = ask(*opened(Rig(FINITE)), op="subscribe", id=1, topics=["f/**/x"])
        assert (error["code"], error["message"]) == ("bad_request", "** stands only at the end of a pattern")
        assert answer["topics"] == {}

    def test_too_many_patterns(self) -> None:
        """Bounded; one that is held may be asked for again."""
        session, client = opened(Rig(FINITE))
        for number in range(MAX_PATTERNS):
            ask(session, client, op="subscribe", topics=[f"x{number}/*"])
        [error, _] = ask(session, client, op="subscribe", topics=["f/*"])
        assert error["code"] == "too_many_topics"
        [answer] = ask(session, client, op="subscribe", topics=["x0/*"])
        assert answer["op"] == "subscribed"

    def test_matches_count_as_topics(self) -> None:
        """limits.topics_per_client, at the request and later."""
        rig = Rig(route("t/$n"), topics_per_client=1)
        session, client = opened(rig)
        rig.hub.topic("t/a")
        ask(session, client, op="subscribe", topics=["t/*"])
        rig.hub.topic("t/b")
        [error] = client.read()
        assert (error["code"], error["topic"]) == ("too_many_topics", "t/b")

    def test_other_topics_are_not_met(self) -> None:
        """Only what the pattern means."""
        rig = Rig(route("t/$n"), route("u/$n"))
        session, client = opened(rig)
        ask(session, client, op="subscribe", topics=["t/*"])
        rig.hub.topic("u/a")
        assert client.read() == []

    def test_losses_follow_the_answer(self) -> None:
        """A position of another numbering is told after the answer, before the snapshot."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        messages = ask(*opened(rig), op="subscribe", topics=["t/*"], since={"t/a": "old:1"})
        assert [message.get("op") for message in messages] == ["subscribed", "lost", None]

    def test_positions_for_matches(self) -> None:
        """`since` may name topics that a pattern means."""
        rig = Rig(route("t/$n"))
        for _ in range(3):
            rig.publish("t/a")
        messages = ask(*opened(rig), op="subscribe", topics=["t/*"], since={"t/a": "e1:1"})
        assert messages[0]["topics"]["t/a"]["recovered"] is True
        assert [message["offset"] for message in messages[1:]] == [2, 3]


class RawTests:
    """`/raw/<topic>`."""

    def test_listens_only(self) -> None:
        """Payloads come; what it says is counted and ignored."""
        rig = Rig(route("t/$n"))
        session, sink = rig.open(raw="t/a")
        session.text(b"hello")
        session.binary(b"hello")
        rig.publish("t/a", b"x")
        rig.clock.turn()
        assert frames(sink.taken) == [(1, b"x")]
        assert session.counters.received_messages == 2

    @pytest.mark.parametrize(
        ("name", "close"), [("f/x", CLOSE_FORBIDDEN), ("nope", CLOSE_BAD_REQUEST), ("f/*", CLOSE_BAD_REQUEST)]
    )
    def test_refused(self, name: str, close: object) -> None:
        """By the close code."""
        _, sink = Rig(FINITE).open(raw=name)
        assert sink.closed is close

    def test_no_room(self) -> None:
        """limits.topics."""
        rig = Rig(FINITE, topics=1)
        rig.hub.hold("f/a")
        _, sink = rig.open(raw="f/b")
        assert sink.closed is CLOSE_OVERLOADED


class LostTests:
    """The end."""

    def test_once(self) -> None:
        """Everything is given back; a second call does nothing."""
        rig = Rig(route("t/$n"))
        session, client = opened(rig)
        ask(session, client, op="subscribe", topics=["t/a", "t/*"])
        session.lost()
        session.lost()
        assert rig.demand.wanted_topics == []
        rig.hub.topic("t/b")
        assert client.read() == []
        assert (session.sent_messages, session.sent_bytes, session.lost_messages) == (0, 0, 0)
