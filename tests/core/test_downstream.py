"""The session of a browser."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.answers import TOPICS_PER_ANSWER
from relayd.core.auth.access import Access, Anyone, Claim, OfField
from relayd.core.auth.credentials import Places
from relayd.core.auth.verdict import Identity
from relayd.core.bridge import EARLY_MOST_BYTES, Bridge, Bridges, Brought, Need
from relayd.core.closecode import (
    CLOSE_BAD_REQUEST,
    CLOSE_BAD_TOKEN,
    CLOSE_BINARY,
    CLOSE_FORBIDDEN,
    CLOSE_OVERLOADED,
    CLOSE_POLICY,
)
from relayd.core.counters import BridgeCounters
from relayd.core.downstream import MAX_STRIKES, DownstreamSession
from relayd.core.publication import Publication, TopicState
from relayd.core.reading import MAX_PATTERNS
from relayd.core.routes import AllowValues
from tests.core.test_bridge import FakeLine
from tests.support.door import DoorRig
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

    def test_too_many_names(self) -> None:
        """One error for the request, and the connection goes on."""
        session, client = opened(Rig(route("t/$n")))
        for op in ("subscribe", "unsubscribe"):
            [error] = ask(session, client, op=op, id=1, topics=[str(number) for number in range(1001)])
            assert (error["op"], error["id"], error["code"]) == ("error", 1, "too_many_topics")
            assert "topic" not in error
        assert client.sink.closed is None

    def test_churn(self) -> None:
        """Who asks and asks is told to stop, and when to come again, and closed."""
        session, client = opened(Rig(route("t/$n")))
        names = [f"t/{number}" for number in range(128)]
        for _ in range(2):
            ask(session, client, op="subscribe", topics=names)
            ask(session, client, op="unsubscribe", topics=names)
        [error] = ask(session, client, op="subscribe", id=1, topics=["t/1"])
        assert (error["id"], error["code"], error["retry_ms"]) == (1, "rate_limited", 16)
        assert client.sink.closed is CLOSE_POLICY

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


class PublishTests:
    """The way up."""

    def rig(self) -> Rig:
        """A room that everybody may write to, and a feed."""
        everybody = Access(publish=Anyone.PUBLIC)
        return Rig(route("chat/$room", upstream=None, access=everybody), route("feed/$n", access=everybody))

    def test_position(self) -> None:
        """Answered with where it stands; the bytes between are the publisher's own."""
        rig = self.rig()
        session, client = opened(rig)
        session.text(b'{"op":"publish","id":7,"topic":"chat/a","data": {"n" : 1.0} }')
        assert client.read() == [{"op": "published", "id": 7, "topic": "chat/a", "position": "e1:1"}]
        [entry] = rig.hub.topic("chat/a").ring.after(0)
        assert isinstance(entry, Publication) and entry.payload == b'{"n" : 1.0}' and entry.is_text

    @pytest.mark.parametrize("data", ["null", "false", "0", '""', "[]"])
    def test_any_value(self, data: str) -> None:
        """Nothing at all is the only thing that is nothing."""
        session, client = opened(self.rig())
        session.text(f'{{"op":"publish","topic":"chat/a","data":{data}}}'.encode())
        assert client.read() == [{"op": "published", "topic": "chat/a", "position": "e1:1"}]

    def test_to_oneself(self) -> None:
        """Who reads the topic gets it like everybody else."""
        rig = self.rig()
        session, client = opened(rig)
        ask(session, client, op="subscribe", topics=["chat/a"])
        ask(session, client, op="publish", topic="chat/a", data="hi")
        rig.clock.turn()
        assert client.read() == [{"topic": "chat/a", "offset": 1, "data": "hi"}]

    def test_incomplete(self) -> None:
        """What is missing is named."""
        session, client = opened(self.rig())
        assert ask(session, client, op="publish", id=1, data=1) == [
            {"op": "error", "id": 1, "code": "bad_request", "message": "topic: a text"}
        ]
        assert ask(session, client, op="publish", id=2, topic="chat/a") == [
            {"op": "error", "id": 2, "code": "bad_request", "message": "data: a JSON value"}
        ]

    def test_refused(self) -> None:
        """With its topic, and when to try again where that helps."""
        rig = self.rig()
        session, client = opened(rig)
        assert ask(session, client, op="publish", id=1, topic="feed/a", data=1) == [
            {"op": "error", "id": 1, "code": "forbidden", "topic": "feed/a",
             "message": "route feed/$n: it has no `publish`, so nothing goes up"},
        ]  # fmt: skip
        for _ in range(99):
            ask(session, client, op="publish", topic="chat/a", data=1)
        [refused] = ask(session, client, op="publish", topic="chat/a", data=1)
        assert (refused["code"], refused["retry_ms"]) == ("rate_limited", 1050)
        assert rig.hub.topic("chat/a").ring.end == 100

    def test_by_claims(self) -> None:
        """Whose token it is decides."""
        rig = Rig(route("user/$name", upstream=None, access=Access(publish=(Claim("sub", (OfField("name"),)),))))
        door = DoorRig()
        sink = FakeSink()
        session = DownstreamSession(
            rig.hub, sink, raw_topic=None, session_id="s", visitor=door.visitor("alice", sink.close)
        )
        session.opened()
        client = Client(sink)
        client.read()
        assert ask(session, client, op="publish", topic="user/alice", data=1)[0]["op"] == "published"
        assert ask(session, client, op="publish", topic="user/bob", data=1)[0]["code"] == "forbidden"


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


class AuthTests:
    """Who it is, by the handshake or by a message."""

    MINE = route("user/$name", access=Access((Claim("sub", (OfField("name"),)),)))

    def visit(
        self, token: str | None = None, raw: str | None = None, topics: tuple[str, ...] = (), **how: Any
    ) -> tuple[DownstreamSession, Client, DoorRig]:
        """A browser at the door; `later` keeps the verdict back."""
        rig, door = Rig(self.MINE, route("t/$n")), DoorRig(places=how.get("places"))
        door.authority.later = how.get("later", False)
        door.authority.verdicts["short"] = Identity("alice", {"sub": "alice"}, door.wall + 60)
        door.authority.verdicts["nobody"] = None
        sink = FakeSink()
        visitor = door.visitor(token, sink.close)
        session = DownstreamSession(rig.hub, sink, raw_topic=raw, session_id="s", visitor=visitor)
        session.opened(topics)
        return session, Client(sink), door

    def test_by_the_handshake(self) -> None:
        """Before the topics of the query."""
        _, client, _ = self.visit("alice", topics=("user/alice", "user/bob"))
        welcome, error, subscribed = client.read()
        assert (welcome["op"], error["code"], list(subscribed["topics"])) == ("welcome", "forbidden", ["user/alice"])

    def test_by_a_message(self) -> None:
        """A stranger until then."""
        session, client, _ = self.visit(topics=("user/alice",))
        assert client.read()[1]["code"] == "unauthorized"
        assert ask(session, client, op="auth", id=1, token="alice") == [
            {"op": "authorized", "id": 1, "subject": "alice"}
        ]
        assert list(ask(session, client, op="subscribe", id=2, topics=["user/alice"])[0]["topics"]) == ["user/alice"]

    def test_end(self) -> None:
        """Told in milliseconds, so that a page knows when to come with a new token."""
        session, client, _ = self.visit()
        client.read()
        assert ask(session, client, op="auth", token="short")[0]["expires_ms"] == 1_000_060_000

    def test_other_rights(self) -> None:
        """Errors for what goes, news of what comes."""
        session, client, _ = self.visit("alice", topics=("user/*", "user/alice"))
        client.read()
        session._hub.topic("user/bob")
        answers = ask(session, client, op="auth", id=4, token="bob")
        assert [(one["op"], one.get("id"), one.get("topic")) for one in answers] == [
            ("error", None, "user/alice"), ("authorized", 4, None), ("subscribed", None, None),
        ]  # fmt: skip
        assert list(answers[2]["topics"]) == ["user/bob"]

    def test_bad(self) -> None:
        """A token that is none: closed, and nothing more is heard."""
        session, client, _ = self.visit()
        session.text(b'{"op":"auth","token":"bad"}')
        assert client.sink.closed is CLOSE_BAD_TOKEN
        session.text(b'{"op":"ping"}')

    def test_nobody(self) -> None:
        """Said in so many words."""
        session, client, _ = self.visit()
        client.read()
        assert ask(session, client, op="auth", id=1, token="nobody")[0]["code"] == "unauthorized"

    @pytest.mark.parametrize("token", [None, ""])
    def test_no_token(self, token: str | None) -> None:
        """Says what is missing."""
        session, client, _ = self.visit()
        client.read()
        [answer] = ask(session, client, op="auth", id=1, token=token)
        assert (answer["code"], answer["message"]) == ("bad_request", "token: a text")

    def test_not_by_message(self) -> None:
        """Where it is not listed, or nobody judges, there is no such operation."""
        for session, client in (self.visit(places=Places((("header", ""),)))[:2], opened(Rig())):
            client.read()
            assert ask(session, client, op="auth", token="alice")[0]["code"] == "unknown_op"

    def test_meanwhile(self) -> None:
        """What is said before the verdict waits for it: also another token, and what is said behind that."""
        session, client, door = self.visit("alice", later=True)
        for command in ({"op": "ping", "id": 1}, {"op": "auth", "id": 2, "token": "bob"}, {"op": "ping", "id": 3}):
            say(session, **command)
        assert client.read() == []
        door.authority.answer(Identity("alice"))
        assert [one.get("id") for one in client.read()] == [None, 1]
        door.authority.answer(Identity("bob"))
        assert [one["id"] for one in client.read()] == [2, 3]

    def test_many_tokens_at_once(self) -> None:
        """Judged at once, one after the other, without a call within a call for each."""
        session, client, door = self.visit("alice", later=True)
        for number in range(60):
            say(session, op="auth", id=number, token="bob")
        door.authority.later = False
        door.authority.answer(Identity("alice"))
        assert [one.get("id") for one in client.read()] == [None, *range(60)]

    def test_raw(self) -> None:
        """One topic, or 4503."""
        for token, close in (("alice", None), ("bob", CLOSE_FORBIDDEN), (None, CLOSE_FORBIDDEN)):
            _, client, _ = self.visit(token, raw="user/alice")
            assert client.sink.closed is close

    def test_lost(self) -> None:
        """The door forgets it."""
        session, _, door = self.visit("short")
        assert door.door.expected == 1
        session.lost()
        assert door.door.expected == 0


class BinaryTests:
    """Binary payloads by reference."""

    def test_by_reference(self) -> None:
        """`ref` in the answer is what the frame says; text stays as it is."""
        rig = Rig(route("t/$n"))
        session, client = opened(rig)
        [answer] = ask(session, client, op="subscribe", topics=["t/a"], binary=True)
        rig.hub.publish(rig.hub.topic("t/a"), b"\x00\xff", False)
        rig.publish("t/a", b"1")
        rig.clock.turn()
        _, binary, text = frames(client.sink.taken)
        ref = answer["topics"]["t/a"]["ref"]
        assert binary == (2, ref.to_bytes(4, "big") + (1).to_bytes(8, "big") + b"\x00\xff")
        assert (text[0], json.loads(text[1])["data"]) == (1, 1)

    def test_a_newcomer(self) -> None:
        """The top bit marks a snapshot."""
        rig = Rig(route("t/$n"))
        rig.hub.publish(rig.hub.topic("t/a"), b"\x00", False)
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"], binary=True)
        opcode, payload = frames(sink.taken)[-1]
        assert (opcode, int.from_bytes(payload[4:12], "big")) == (2, 1 << 63 | 1)

    def test_topics_from_before(self) -> None:
        """It holds for the connection: what is read already gets its reference told first."""
        rig = Rig(route("t/$n"))
        session, client = opened(rig)
        ask(session, client, op="subscribe", topics=["t/a"])
        earlier, answer = ask(session, client, op="subscribe", id=3, topics=["t/b"], binary=True)
        assert "id" not in earlier
        assert list(earlier["topics"]) == ["t/a"]
        assert {earlier["topics"]["t/a"]["ref"], answer["topics"]["t/b"]["ref"]} == {1, 2}
        rig.hub.publish(rig.hub.topic("t/a"), b"\x00", False)
        rig.clock.turn()
        assert frames(client.sink.taken)[-1][0] == 2


class ExclusiveTests:
    """`/raw` of an exclusive route is a bridge."""

    ROUTE = route("echo", exclusive=True, access=Access(Anyone.PUBLIC, Anyone.PUBLIC))

    def session(self, visitor: Any = None) -> tuple[DownstreamSession, FakeSink, FakeLine]:
        """A connection whose upstream is a line of the test's."""
        rig, line, sink = Rig(self.ROUTE, route("t/$n")), FakeLine(), FakeSink()
        bridges = Bridges(
            lambda bridge, values: line,
            most=1, needs={"up": (Need("browser.token", is_required=visitor is not None),)},
            call_later=rig.clock.call_later, counters=BridgeCounters(),
        )  # fmt: skip
        session = DownstreamSession(
            rig.hub, sink, raw_topic="echo", session_id="s", visitor=visitor and visitor(sink.close), bridges=bridges
        )
        session.opened()
        return session, sink, line

    def test_both_frame_types(self) -> None:
        """What is said goes over it; what it sent counts as sent."""
        session, sink, line = self.session()
        bridge = session._bridge
        assert bridge is not None
        bridge.opened()
        session.text(b"a")
        session.binary(b"b")
        assert [(one.payload, one.is_text) for one in line.heard] == [(b"a", True), (b"b", False)]
        bridge.publish(bridge, b"c", True)
        assert (session.sent_messages, session.sent_bytes, sink.closed) == (1, 3, None)
        session.lost()
        assert line.ended == 1

    def test_what_the_handshake_brought(self) -> None:
        """Is the upstream's."""
        rig, sink, asked = Rig(self.ROUTE), FakeSink(), list[tuple[str | None, dict[str, str]]]()

        def open_line(bridge: Bridge, values: Mapping[str, str]) -> FakeLine:
            asked.append((bridge.subprotocol, dict(values)))
            return FakeLine()

        bridges = Bridges(open_line, most=1, needs={"up": (Need("browser.query.k"),)}, call_later=rig.clock.call_later,
                          counters=BridgeCounters())  # fmt: skip
        session = DownstreamSession(rig.hub, sink, raw_topic="echo", session_id="s", bridges=bridges,
                                    brought=Brought({"k": "v"}, "v1"))  # fmt: skip
        session.opened()
        assert asked == [("v1", {"browser.query.k": "v"})]
        assert repr(Brought({"k": "v"}, "v1")) == "Brought(subprotocol='v1')"

    def test_before_it_is_known_who_speaks(self) -> None:
        """What is said meanwhile follows, in order, and nothing more is read; more than a read and a message closes."""
        door = DoorRig()
        door.authority.later = True
        session, sink, line = self.session(lambda close: door.visitor("tok", close))
        session.text(b"a")
        session.binary(b"b")
        assert line.heard == [] and sink.closed is None and sink.paused
        door.authority.answer(Identity("alice", {}))
        assert session._bridge is not None
        session._bridge.opened()
        assert line.texts == [b"a", b"b"] and not sink.paused

        session, sink, _ = self.session(lambda close: door.visitor("tok", close))
        session.binary(b"x" * (1 << 20))
        session.binary(b"x" * EARLY_MOST_BYTES)
        assert sink.closed is None
        session.binary(b"x")
        assert sink.closed is CLOSE_POLICY
        session.binary(b"x")

    def test_nothing_to_show(self) -> None:
        """Closed before anything is dialled."""
        door = DoorRig()
        session, sink, line = self.session(lambda close: door.visitor(None, close))
        assert (sink.closed, line.ended) == (CLOSE_FORBIDDEN, 0)
        session.text(b"late")

    def test_other_topics(self) -> None:
        """Are read as ever, and nobody listens to what is said on them."""
        rig, sink = Rig(self.ROUTE, route("t/$n")), FakeSink()
        bridges = Bridges(lambda *_: FakeLine(), most=1, needs={}, call_later=rig.clock.call_later,
                          counters=BridgeCounters())  # fmt: skip
        door = DoorRig()
        door.authority.later = True
        visitor = door.visitor("tok", sink.close)
        session = DownstreamSession(
            rig.hub, sink, raw_topic="t/a", session_id="s", visitor=visitor, bridges=bridges
        )
        session.opened()
        session.text(b"early")
        assert sink.paused
        door.authority.answer(Identity("alice", {}))
        assert not sink.paused
        session.text(b"x")
        session.binary(b"x")
        rig.publish("t/a", b"5")
        rig.clock.turn()
        assert frames(sink.taken) == [(1, b"5")] and sink.closed is None


class WindowTests:
    """What a page says it has processed; what is done with that is tests/core/test_ack_window.py."""

    def test_bounds(self) -> None:
        """A whole number of publications."""
        session, client = opened(Rig(route("t/$n")))
        for window in (0, 65_536):
            [answer] = ask(session, client, op="subscribe", id=1, topics=["t/a"], window=window)
            assert (answer["code"], answer["message"]) == ("bad_request", "window: a whole number from 1 to 65535")

    def test_acknowledgements(self) -> None:
        """Have no answer, whatever they are about, but for those that say nothing."""
        rig = Rig(route("t/$n"))
        session, client = opened(rig)
        ask(session, client, op="subscribe", id=1, topics=["t/a"], window=1)
        rig.publish("t/a", b"1")
        assert ask(session, client, op="ack", topic="t/a", offset=1) == []
        assert ask(session, client, op="ack", topic="t/none", offset=1) == []
        [answer] = ask(session, client, op="ack", topic="t/a")
        assert answer["message"] == "ack: a topic, and the offset of the last publication processed"

    def test_binary_of_nothing_yet(self) -> None:
        """The first subscription may ask for it."""
        session, client = opened(Rig(route("t/$n")))
        [answer] = ask(session, client, op="subscribe", id=1, topics=["t/a"], binary=True)
        assert answer["topics"]["t/a"]["ref"] >= 0
        [again] = ask(session, client, op="subscribe", id=2, topics=["t/b"], binary=True)
        assert list(again["topics"]) == ["t/b"]
