"""The session of an event stream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relayd.core.asking import Asking
from relayd.core.closecode import (
    CLOSE_BAD_TOKEN,
    CLOSE_FORBIDDEN,
    CLOSE_NO_AUTH,
    CLOSE_OVERLOADED,
    CLOSE_RESTART,
    CLOSE_SLOW,
    CLOSE_TOKEN_EXPIRED,
)
from relayd.core.refusal import HttpRefusal
from relayd.core.routes import Mode
from relayd.core.sse import (
    COMMENT,
    RETRY_MS,
    RETRY_SPREAD_MS,
    EventStreamSession,
    ending,
    head,
    refusal_of_close,
    render_refusal,
)
from tests.support.door import DoorRig
from tests.support.hub_rig import Event, FakeSink, Rig, StreamClient, delivery, events, route


def read(sink: FakeSink) -> list[Event]:
    """What came."""
    return events(sink.taken)


def messages(sink: FakeSink) -> list[dict[str, Any]]:
    """The data of it."""
    return [json.loads(event.text) for event in read(sink)]


class BeginTests:
    """What comes first."""

    def test_greeting_and_snapshot(self) -> None:
        """welcome, subscribed, the newest of each topic; publications carry an id and nothing else does."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a", b'{"n":1}')
        rig.publish("t/b", b"2")
        _, sink = rig.stream("t/a", "t/b", "t/c")
        welcome, subscribed, a, b = read(sink)
        assert json.loads(welcome.text) == {
            "op": "welcome", "relayd": "1", "session": "s", "silence_s": 15, "time_ms": 1_700_000_000_000,
        }  # fmt: skip
        assert list(json.loads(subscribed.text)["topics"]) == ["t/a", "t/b", "t/c"]
        assert a == Event('{"topic":"t/a","offset":1,"snapshot":true,"data":{"n":1}}', id="e.1")
        assert b == Event('{"topic":"t/b","offset":1,"snapshot":true,"data":2}', id="e.2")
        assert welcome.id is subscribed.id is None

    def test_live(self) -> None:
        """Then what is published, encoded once for all streams."""
        rig = Rig(route("t/$n"))
        sinks = [rig.stream("t/a")[1] for _ in range(2)]
        for sink in sinks:
            read(sink)
        rig.publish("t/a", b"1")
        rig.clock.turn()
        for sink in sinks:
            assert read(sink)[1:] == [Event('{"topic":"t/a","offset":1,"data":1}', id="e.1")]

    def test_states_stand_among_publications(self) -> None:
        """As on /ws, without an id."""
        rig = Rig(route("t/$n"))
        _, sink = rig.stream("t/a")
        read(sink)
        rig.publish("t/a")
        rig.clock.turn()
        state, _ = read(sink)
        assert (json.loads(state.text)["op"], state.id) == ("state", None)

    def test_partly_refused(self) -> None:
        """One error per topic; the rest is served."""
        rig = Rig(route("t/$n"))
        _, sink = rig.stream("t/a", "u/a")
        _, error, subscribed = messages(sink)
        assert (error["code"], error["topic"]) == ("unknown_topic", "u/a")
        assert list(subscribed["topics"]) == ["t/a"]

    @pytest.mark.parametrize(
        ("topics", "status", "code"),
        [(("u/a",), 404, "unknown_topic"), (tuple(map(str, range(1001))), 400, "too_many_topics")],
        ids=["topic", "request"],
    )
    def test_wholly_refused(self, topics: tuple[str, ...], status: int, code: str) -> None:
        """A status, and no stream."""
        rig = Rig(route("t/$n"))
        sink = FakeSink()
        begun: list[HttpRefusal | None] = []
        session = EventStreamSession(
            rig.hub, sink, session_id="s", asking=Asking(topics), begin=begun.append, visitor=None
        )
        session.opened()
        [refusal] = begun
        assert refusal is not None
        assert (refusal.status, refusal.code) == (status, code)
        session.lost()
        assert not sink.taken

    def test_a_pattern(self) -> None:
        """Waits for topics; each is announced, and refused where there are too many."""
        rig = Rig(route("t/$n"), topics_per_client=1)
        session, sink = rig.stream("t/*")
        assert messages(sink)[1] == {"op": "subscribed", "topics": {}, "matches": 0}
        rig.publish("t/a", b"1")
        rig.clock.turn()
        got = messages(sink)
        assert [message.get("op") for message in got] == ["subscribed", "state", None]
        rig.hub.topic("t/b")
        assert [message["code"] for message in messages(sink)] == ["too_many_topics"]
        session.lost()
        session.lost()
        assert not rig.hub.topic("t/a").readers


class ResumeTests:
    """Last-Event-ID."""

    def test_everything_since(self) -> None:
        """Of every topic, in the order of the hub."""
        rig = Rig(route("t/$n"))
        session, sink = rig.stream("t/a", "t/b")
        client = StreamClient(sink)
        for name in ("t/a", "t/b", "t/a"):
            rig.publish(name)
        rig.clock.turn()
        client.read()
        session.lost()
        for name in ("t/b", "t/a", "t/b"):
            rig.publish(name)
        _, sink = rig.stream("t/a", "t/b", last_event_id=client.last_event_id)
        _, subscribed, *rest = read(sink)
        assert all(topic["recovered"] for topic in json.loads(subscribed.text)["topics"].values())
        assert [event.id for event in rest] == ["e.4", "e.5", "e.6"]

    def test_lost(self) -> None:
        """What the ring let go is counted, since the ledger knows the place."""
        rig = Rig(route("t/$n", delivery(history_count=3)))
        session, sink = rig.stream("t/a")
        rig.publish("t/a")
        rig.clock.turn()
        session.lost()
        for _ in range(9):
            rig.publish("t/a")
        _, sink = rig.stream("t/a", last_event_id="e.1")
        _, subscribed, lost, *rest = messages(sink)
        assert subscribed["topics"]["t/a"]["recovered"] is False
        assert lost == {"op": "lost", "topic": "t/a", "after": 1, "next": 8, "count": 6, "why": "slow"}
        assert [message["offset"] for message in rest] == [8, 9, 10]

    def test_another_hub(self) -> None:
        """Nobody knows what was missed."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        _, sink = rig.stream("t/a", last_event_id="before.7")
        _, subscribed, lost, newest = messages(sink)
        assert subscribed["topics"]["t/a"]["recovered"] is False
        assert (lost["why"], lost["count"]) == ("epoch", None)
        assert newest["snapshot"]

    def test_topics_at_a_rate_have_no_id(self) -> None:
        """Others overtake them; they begin with the newest again."""
        rig = Rig(route("t/$n"), route("fast/$n", delivery(Mode.CONFLATE)), route("slow/$n", delivery(max_hz=1.0)))
        _, sink = rig.stream("fast/a", "slow/a")
        for _ in range(3):
            rig.publish("slow/a", b"1")
            rig.publish("fast/a", b"1")
            rig.clock.turn()
        rig.clock.advance(1.1)
        got = [(json.loads(event.text), event.id) for event in read(sink)]
        slow = [(m["offset"], place) for m, place in got if m.get("topic") == "slow/a" and "offset" in m]
        assert slow == [(1, None), (3, None)]
        assert got[-1][0]["offset"] == 3
        _, sink = rig.stream("fast/a", "slow/a", last_event_id="e.6")
        newest = read(sink)[-1]
        assert newest == Event('{"topic":"slow/a","offset":3,"snapshot":true,"data":1}')


class LifeTests:
    """While it lasts."""

    def test_comments(self) -> None:
        """Only in silence."""
        rig = Rig(route("t/$n"))
        session, _ = rig.stream("t/a")
        assert session.beat() == b""
        assert session.beat() == COMMENT
        rig.publish("t/a")
        rig.clock.turn()
        assert session.beat() == b""
        assert session.beat() == COMMENT

    def test_slow(self) -> None:
        """A reader whose socket takes nothing holds the rest of one flush, and is closed as on /ws."""
        rig = Rig(route("t/$n", delivery(history_count=5, slow_after_s=3.0)))
        _, sink = rig.stream("t/a", room=2000)
        for _ in range(50):
            rig.publish("t/a", b'"%b"' % (b"x" * 500))
            rig.clock.turn()
        assert len(sink.buffer) < 1000
        for _ in range(5):
            rig.clock.advance(1.0)
            rig.hub.tick(rig.clock.now)
        assert sink.closed is CLOSE_SLOW

    def test_auth(self) -> None:
        """Nothing is said until it is known who asks; a stream ends with its token."""
        rig, doors = Rig(route("t/$n")), DoorRig()
        doors.authority.later = True
        sink, begun = FakeSink(), list[HttpRefusal | None]()
        visitor = doors.visitor("alice", sink.close)
        session = EventStreamSession(
            rig.hub, sink, session_id="s", asking=Asking(("t/a",)), begin=begun.append, visitor=visitor
        )
        session.opened()
        assert begun == []
        doors.authority.answer(doors.authority.verdict("alice"))
        assert begun == [None]
        assert len(read(sink)) == 2
        session.lost()
        assert doors.door.expected == 0


class EndTests:
    """The last words."""

    def test_ending(self) -> None:
        """A close in the words of a WebSocket, and a `retry` that an EventSource obeys by itself."""
        [event] = events(bytearray(ending(CLOSE_RESTART, 7, 0.5)))
        assert (event.name, event.retry_ms) == ("close", 7000 + RETRY_SPREAD_MS // 2)
        assert json.loads(event.text) == {"code": 1012, "name": "restart", "retry_s": 7}
        [event] = events(bytearray(ending(CLOSE_TOKEN_EXPIRED, None, 0.0)))
        assert event.retry_ms == RETRY_MS
        assert json.loads(event.text) == {"code": 4005, "name": "token-expired"}

    def test_before_the_beginning(self) -> None:
        """A close is a status."""
        assert refusal_of_close(CLOSE_BAD_TOKEN, None).status == refusal_of_close(CLOSE_NO_AUTH, None).status == 401
        assert refusal_of_close(CLOSE_OVERLOADED, 9).retry_after_s == 9
        assert refusal_of_close(CLOSE_OVERLOADED, None).status == 503
        assert refusal_of_close(CLOSE_FORBIDDEN, None).status == 403

    def test_head(self) -> None:
        """No length, no buffering, and what the page needs."""
        text = head((("Access-Control-Allow-Origin", "https://a.example"),)).decode()
        lines, _, body = text.partition("\r\n\r\n")
        assert lines.split("\r\n") == [
            "HTTP/1.1 200 OK", "Content-Type: text/event-stream; charset=utf-8", "Cache-Control: no-store",
            "X-Accel-Buffering: no", "X-Content-Type-Options: nosniff",
            "Access-Control-Allow-Origin: https://a.example", "Connection: close",
        ]  # fmt: skip
        assert body == "retry: 2000\n\n"

    def test_refused_for_now(self) -> None:
        """An EventSource obeys no status but 200: it gets a stream that says when to come back."""
        whole = render_refusal(HttpRefusal(503, "unavailable", "x", "full", retry_after_s=9), ())
        assert whole.startswith(b"HTTP/1.1 200 OK\r\n")
        _, event = events(bytearray(whole.partition(b"\r\n\r\n")[2]))
        assert (event.name, event.retry_ms, json.loads(event.text)["message"]) == ("close", 9000, "full")

    def test_refused_for_good(self) -> None:
        """A status, which the page may read."""
        whole = render_refusal(HttpRefusal(404, "unknown_topic", "x", "no"), (("Vary", "Origin"),))
        assert whole.startswith(b"HTTP/1.1 404 Not Found\r\n")
        assert b"\r\nVary: Origin\r\n" in whole
