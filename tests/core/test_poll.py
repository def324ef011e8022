"""Long-polling: one request, one answer, and where the next one goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relayd.core import poll
from relayd.core.auth.access import Access, Anyone
from relayd.core.closecode import CLOSE_SLOW
from relayd.core.poll import ANSWER_BYTES, SWEEP_S, PollSink
from relayd.core.publication import TopicState
from relayd.core.refusal import INTERNAL, HttpRefusal
from relayd.core.routes import Mode
from tests.support.hub_rig import PollClient, Rig, delivery, route


def only(answers: list[Any]) -> dict[str, Any]:
    """The one answer, decoded."""
    [body] = answers
    assert isinstance(body, bytes)
    decoded: dict[str, Any] = json.loads(body)
    return decoded


class AnswerTests:
    """What is answered, and when."""

    def test_a_snapshot_at_once(self) -> None:
        """A topic without a position starts with its newest value."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a", b"1")
        rig.publish("t/a", b"2")
        answer = only(rig.poll("t/a"))
        assert answer == {
            "topics": {"t/a": {"position": "e1:2", "state": "live"}},
            "messages": [{"topic": "t/a", "offset": 2, "snapshot": True, "data": 2}],
        }
        assert not rig.hub.topic("t/a").readers

    def test_waits_for_data(self) -> None:
        """All that came by then, in the turn after it came."""
        rig = Rig(route("t/$n"))
        answers = rig.poll("t/a", "t/b")
        assert rig.counters.polls_waiting == 1
        for name in ("t/a", "t/b", "t/a"):
            rig.publish(name)
        assert not answers
        rig.clock.turn()
        rig.clock.turn()
        answer = only(answers)
        assert [(m["topic"], m["offset"]) for m in answer["messages"] if "offset" in m] == [
            ("t/a", 1), ("t/b", 1), ("t/a", 2),
        ]  # fmt: skip
        assert {name: topic["position"] for name, topic in answer["topics"].items()} == {"t/a": "e1:2", "t/b": "e2:1"}
        assert (rig.counters.polls_waiting, rig.counters.polls_answered) == (0, 1)

    def test_nothing_came(self) -> None:
        """An answer without messages, after the wait; then no timer is left."""
        rig = Rig(route("t/$n"))
        answers = rig.poll("t/a", wait_s=25.0)
        rig.clock.advance(24.8)
        assert not answers
        rig.clock.advance(0.5)
        assert only(answers) == {"topics": {"t/a": {"position": "e1:0", "state": "pending"}}, "messages": []}
        rig.clock.advance(SWEEP_S)
        assert rig.clock.waiting == 0

    def test_one_sweep_for_all(self) -> None:
        """Not a timer for each."""
        rig = Rig(route("t/$n"))
        waiting = [rig.poll("t/a", wait_s=5.0) for _ in range(50)]
        assert rig.clock.waiting == 1
        rig.clock.advance(5.2)
        assert all(len(answers) == 1 for answers in waiting)

    def test_no_wait(self) -> None:
        """What there is now."""
        rig = Rig(route("t/$n"))
        assert only(rig.poll("t/a", wait_s=0.0))["messages"] == []

    def test_a_new_state(self) -> None:
        """Is told at once, and stands in every answer."""
        rig = Rig(route("t/$n"))
        answers = rig.poll("t/a")
        rig.hub.state(rig.hub.topic("t/a"), TopicState.FAILED, "no such")
        rig.clock.turn()
        rig.clock.turn()
        answer = only(answers)
        assert answer["topics"]["t/a"] == {"position": "e1:0", "state": "failed", "why": "no such"}
        assert answer["messages"] == [{"op": "state", "topic": "t/a", "state": "failed", "why": "no such"}]

    def test_abandoned(self) -> None:
        """The client is gone: nothing is left of it, and nothing is answered."""
        rig = Rig(route("t/$n"))
        answers = rig.poll("t/a")
        rig.publish("t/a")
        rig.last_poll.abandon()
        rig.last_poll.abandon()
        rig.last_poll.overdue()
        rig.clock.advance(30.0)
        assert not answers
        assert (rig.counters.polls_waiting, rig.hub.topic("t/a").readers, rig.demand.wanted_topics) == (0, 0, [])


class ResumeTests:
    """From answer to answer."""

    def test_nothing_between_is_missing(self) -> None:
        """What came between two polls is the next answer."""
        rig = Rig(route("t/$n"))
        client = PollClient()
        client.take(rig.poll("t/a", wait_s=0.0)[0])
        for _ in range(3):
            rig.publish("t/a")
        answer = client.take(rig.poll("t/a", since=client.since)[0])
        assert answer["topics"]["t/a"] == {"position": "e1:3", "state": "live", "recovered": True}
        assert client.data["t/a"] == [1, 2, 3]

    def test_lost(self) -> None:
        """Told in its place."""
        rig = Rig(route("t/$n", delivery(history_count=2)), route("c/$n", delivery(Mode.CONFLATE, history_count=2)))
        for _ in range(5):
            rig.publish("t/a")
            rig.publish("c/a")
        answer = only(rig.poll("t/a", "c/a", since={"t/a": "e1:1", "c/a": "e2:1"}))
        lost = {message["topic"]: message for message in answer["messages"] if message.get("op") == "lost"}
        assert (lost["t/a"]["after"], lost["t/a"]["next"], lost["t/a"]["count"]) == (1, 4, 2)
        assert (lost["c/a"]["after"], lost["c/a"]["next"], lost["c/a"]["count"]) == (1, 5, 3)
        assert answer["topics"]["c/a"]["recovered"] is False

    def test_in_portions(self) -> None:
        """An answer is bounded; `more` says that it was, and the next goes on where it ended."""
        rig = Rig(route("t/$n", delivery(history_count=1000, history_bytes=64 << 20)))
        client = PollClient()
        client.take(rig.poll("t/a", wait_s=0.0)[0])
        for _ in range(40):
            rig.publish("t/a", b'"%b"' % (b"x" * 50_000))
        sizes = []
        while "t/a" not in client.data or client.data["t/a"][-1] < 40:
            answers = rig.poll("t/a", since=client.since)
            while not answers:
                rig.clock.turn()
            sizes.append(len(answers[0]))
            answer = client.take(answers[0])
            assert ("more" in answer) == (client.data["t/a"][-1] < 40)
        assert client.data["t/a"] == list(range(1, 41))
        assert max(sizes) < ANSWER_BYTES + 2 * 64 * 1024
        assert rig.counters.polls_full == len(sizes) - 1 == 1

    def test_a_crowd_gets_shorter_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Once the answers of the last 10 s are too much together."""
        monkeypatch.setattr(poll, "ANSWERS_BYTES", 300_000)
        rig = Rig(route("t/$n", delivery(history_count=1000, history_bytes=64 << 20)))
        rig.hub.topic("t/a")
        for _ in range(20):
            rig.publish("t/a", b'"%b"' % (b"x" * 20_000))

        def size() -> int:
            answers = rig.poll("t/a", since={"t/a": "e1:0"})
            while not answers:
                rig.clock.turn()
            return len(answers[0])

        assert size() > 400_000
        assert size() < 200_000
        rig.clock.advance(10.1)
        assert size() > 400_000

    def test_max_hz(self) -> None:
        """Conflated, and no sooner after the poll before than the rate allows."""
        rig = Rig(route("t/$n"))
        for _ in range(3):
            rig.publish("t/a")
        first = only(rig.poll("t/a", max_hz=2.0))
        assert [message["offset"] for message in first["messages"]] == [3]
        for _ in range(3):
            rig.publish("t/a")
        answers = rig.poll("t/a", max_hz=2.0, since={"t/a": "e1:3"})
        rig.clock.advance(0.3)
        assert not answers
        rig.clock.advance(0.4)
        answer = only(answers)
        assert [message["offset"] for message in answer["messages"]] == [6]
        assert answer["topics"]["t/a"]["position"] == "e1:6"
        slow = rig.poll("t/a", max_hz=0.1, since={"t/a": "e1:5"}, wait_s=1.0)
        rig.clock.advance(1.2)
        assert [message["offset"] for message in only(slow)["messages"]] == [6]


class RefusalTests:
    """What is not to be had."""

    def test_partly(self) -> None:
        """An error among the messages, at once: the next poll should leave it out."""
        rig = Rig(route("t/$n"))
        answer = only(rig.poll("t/a", "u/a"))
        assert list(answer["topics"]) == ["t/a"]
        assert [message["code"] for message in answer["messages"]] == ["unknown_topic"]

    def test_wholly(self) -> None:
        """A status."""
        rig = Rig(route("t/$n", access=Access(subscribe=Anyone.NOBODY)))
        [refusal] = rig.poll("t/a")
        assert isinstance(refusal, HttpRefusal)
        assert refusal.code in ("unauthorized", "forbidden")
        assert rig.counters.polls_waiting == 0

    def test_too_many_names(self) -> None:
        """A status, and nothing is left of it."""
        rig = Rig(route("t/$n"))
        [refusal] = rig.poll(*map(str, range(1001)))
        assert isinstance(refusal, HttpRefusal)
        assert (refusal.status, refusal.code) == (400, "too_many_topics")
        assert rig.counters.polls_waiting == 0

    def test_patterns(self) -> None:
        """A topic that comes while the poll waits is in its answer."""
        rig = Rig(route("t/$n"))
        answers = rig.poll("t/*")
        rig.publish("t/a", b"1")
        rig.clock.turn()
        rig.clock.turn()
        answer = only(answers)
        assert answer["topics"]["t/a"]["position"] == "e1:1"
        assert answer["messages"][-1]["data"] == 1


class FaultTests:
    """An exception on behalf of one poll."""

    @pytest.mark.parametrize("also", [False, True], ids=["once", "its answer too"])
    def test_reaches_no_other(self, also: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is told, and the other poll and all later ones are answered."""
        told: list[str] = []
        rig = Rig(route("t/$n"))
        rig.hub.flusher.report = told.append
        answers = rig.poll("t/a", wait_s=1.0)

        def fail(*_: object) -> None:
            raise RuntimeError("a fault")

        monkeypatch.setattr(rig.last_poll, "overdue", fail)
        if also:
            monkeypatch.setattr(rig.last_poll, "fail", fail)
        other = rig.poll("t/b", wait_s=1.0)
        rig.clock.advance(2.0)
        assert told == ["waiter"] * (1 + also)
        assert answers == ([] if also else [INTERNAL])
        assert only(other)["messages"] == []
        later = rig.poll("t/c", wait_s=1.0)
        rig.clock.advance(2.0)
        assert only(later)["messages"] == []


class SinkTests:
    """A socket that takes so much and then no more."""

    def test_full(self) -> None:
        """What is written after that is the rest of one chunk."""
        woken: list[int] = []
        sink = PollSink(3, lambda: woken.append(1))
        assert [sink.send_now(b"ab"), sink.send_now(b"cd"), sink.send_now(b"e")] == [2, 2, 0]
        sink.write(b"rest")
        assert b"".join(sink.parts) == b"abcdrest"
        assert (sink.size, sink.buffered(), sink.drained_at(), len(woken)) == (8, 0, 0.0, 3)
        sink.failed(OSError())
        sink.pause()
        sink.resume()

    def test_closed(self) -> None:
        """Whoever closes it wants the answer now."""
        rig = Rig(route("t/$n"))
        answers = rig.poll("t/a")
        rig.last_poll._sink.close(CLOSE_SLOW)
        rig.clock.turn()
        assert only(answers)["messages"] == []
