"""What a session does about what happens, without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest
from relayd_client.messages import Lost, Publication, Refused, Resumed
from relayd_client.session import OPEN_WITHIN_S, Session
from relayd_client.states import Phase
from session_rig import Rig, offsets


@pytest.fixture
def rig() -> Rig:
    """One that is open."""
    made = Rig()
    made.start()
    return made


class LifeTests:
    """Dialling, waiting, ending."""

    def test_opens(self, rig: Rig) -> None:
        assert [state.state for state in rig.states] == ["connecting", "open"]
        assert rig.take() == []

    def test_waits_with_jitter_after_a_loss(self, rig: Rig) -> None:
        waits = []
        for _ in range(4):
            rig.lost()
            waits.append(rig.states[-1].retry_s)
            rig.back()
        assert waits == [0.5, 1, 2, 4]

    def test_a_good_connection_begins_anew(self, rig: Rig) -> None:
        for _ in range(4):
            rig.lost()
            rig.back()
        for _ in range(3):
            rig.forward(10)
            rig.say(op="state", topic="other", state="live")
        rig.lost()
        assert rig.states[-1].retry_s == 0.5

    def test_obeys_hints(self, rig: Rig) -> None:
        rig.lost(1012, "restart; retry=20")
        assert rig.states[-1].retry_s == 20.5
        rig.back()
        rig.lost(hint_s=7)
        assert rig.states[-1].retry_s == 8

    @pytest.mark.parametrize("code", [1000, 1002, 4500, 4504])
    def test_obeys_final_codes(self, rig: Rig, code: int) -> None:
        reading = rig.read("t", loop=True)
        rig.lost(code, "bad-token")
        rig.forward(1_000)
        assert (rig.session.phase, rig.dials, rig.session.due) == (Phase.CLOSED, 1, None)
        assert reading.ended and (reading.error is None) == (code == 1000)

    def test_close(self, rig: Rig) -> None:
        reading = rig.read("t", loop=True)
        rig.session.close()
        rig.session.close()
        rig.apply()
        assert (rig.session.phase, rig.hang_ups, reading.ended, reading.error) == (Phase.CLOSED, 1, True, None)
        late = rig.read("t", loop=True)
        assert late.ended and late.error is not None

    def test_close_while_waiting(self, rig: Rig) -> None:
        rig.lost()
        rig.session.close()
        rig.forward(1_000)
        assert (rig.dials, rig.session.phase) == (1, Phase.CLOSED)

    def test_garbled(self, rig: Rig) -> None:
        for text in ("{", "[]", '{"topic":1,"offset":2}', '{"op":"subscribed","topics":{"t":{"position":"x"}}}'):
            rig.session.received(text)
            rig.apply()
            assert rig.states[-1].reason.startswith("garbled")
            rig.back()

    def test_unknown_is_ignored(self, rig: Rig) -> None:
        rig.say(op="later", topic="t", id=1)
        rig.say(op=7)
        assert rig.session.phase is Phase.OPEN


class HeartbeatTests:
    """Silence is asked about, then given up."""

    def test_asks_then_gives_up(self, rig: Rig) -> None:
        rig.forward(34.9)
        assert rig.take() == []
        rig.forward(0.2)
        [ping] = rig.take()
        assert ping["op"] == "ping"
        rig.forward(10)
        assert (rig.states[-1].state, rig.states[-1].reason) == ("waiting", "silent")

    def test_any_message_will_do(self, rig: Rig) -> None:
        for _ in range(5):
            rig.forward(36)
            [ping] = rig.take()
            rig.say(op="pong", id=ping["id"])
        assert rig.session.phase is Phase.OPEN

    def test_no_answer_to_the_dial(self) -> None:
        rig = Rig()
        rig.session.start()
        rig.apply()
        rig.forward(15)
        assert (rig.states[-1].reason, rig.hang_ups) == ("silent", 1)


class ResumingTests:
    """Positions."""

    def test_resumes_where_it_stood(self, rig: Rig) -> None:
        heard: list[Any] = []
        rig.read("t", heard)
        assert rig.take() == [{"op": "subscribe", "id": 1, "topics": ["t"]}]
        rig.joined("t", "e:4", 1)
        rig.publish("t", 4, snapshot=True)
        rig.publish("t", 5, 6)
        rig.lost()
        rig.back()
        assert rig.take() == [{"op": "subscribe", "id": 2, "topics": ["t"], "since": {"t": "e:6"}}]
        rig.joined("t", "e:8", 2, recovered=True)
        rig.publish("t", 7, 8)
        assert offsets(heard) == [4, 5, 6, 7, 8]
        assert Resumed("t", True, "e:8") in heard

    def test_too_late(self, rig: Rig) -> None:
        heard: list[Any] = []
        rig.read("t", heard)
        rig.joined("t", "e:0", 1)
        rig.publish("t", 1, 2)
        rig.lost()
        rig.back()
        rig.joined("t", "e:20", 2, recovered=False)
        rig.say(op="lost", topic="t", after=2, next=18, count=15, why="slow")
        rig.publish("t", 18, 19, 20)
        assert Lost("t", 2, 18, 15, "slow") in heard
        assert offsets(heard) == [1, 2, 18, 19, 20]

    def test_another_epoch(self, rig: Rig) -> None:
        heard: list[Any] = []
        rig.read("t", heard)
        rig.joined("t", "e:0", 1)
        rig.publish("t", 1, 2)
        rig.lost()
        rig.back()
        rig.joined("t", "f:1", 2, recovered=False)
        rig.say(op="lost", topic="t", after=0, next=1, count=None, why="epoch")
        rig.publish("t", 1)
        assert [item for item in heard if isinstance(item, Lost)] == [Lost("t", 2, 1, None, "epoch")]
        assert offsets(heard) == [1, 2, 1]

    def test_nothing_twice(self, rig: Rig) -> None:
        heard: list[Any] = []
        rig.read("t", heard)
        rig.joined("t", "e:0", 1)
        rig.publish("t", 1, 2, 2, 1, 3)
        assert offsets(heard) == [1, 2, 3]

    def test_a_newcomer_gets_its_beginning(self, rig: Rig) -> None:
        """The topic is left and joined; the others miss nothing of it."""
        first: list[Any] = []
        second: list[Any] = []
        rig.read("t", first)
        rig.joined("t", "e:0", 1)
        rig.publish("t", 1, 2)
        rig.take()
        rig.read("t", second)
        leave, join = rig.take()
        assert (leave["op"], join["op"]) == ("unsubscribe", "subscribe")
        rig.say(op="unsubscribed", id=leave["id"])
        rig.joined("t", "e:4", join["id"])
        rig.publish("t", 4, snapshot=True)
        assert (offsets(first), offsets(second)) == ([1, 2], [4])
        [catch_up] = rig.take()
        assert catch_up["since"] == {"t": "e:2"}
        rig.joined("t", "e:5", catch_up["id"], recovered=True)
        rig.publish("t", 3, 4, 5)
        assert (offsets(first), offsets(second)) == ([1, 2, 3, 4, 5], [4, 5])

    def test_pattern(self, rig: Rig) -> None:
        """Matches are announced without `id`, and resumed by name."""
        heard: list[Any] = []
        rig.read("a/*", heard)
        rig.say(op="subscribed", id=1, topics={}, matches=0)
        rig.joined("a/b", "e:0")
        rig.publish("a/b", 1)
        rig.take()
        rig.lost()
        rig.back()
        assert rig.take() == [{"op": "subscribe", "id": 2, "topics": ["a/*"], "since": {"a/b": "e:1"}}]

    def test_one_step_at_a_time(self, rig: Rig) -> None:
        """What changes before an answer waits for it, also in parts."""
        rig.read("a")
        rig.take()
        rig.read("b")
        assert rig.take() == []
        rig.say(op="subscribed", id=1, topics={}, more=True)
        rig.say(op="error", id=1, topic="z", code="forbidden", message="no")
        assert rig.take() == []
        rig.joined("a", "e:0", 1)
        assert rig.take()[0]["topics"] == ["b"]

    def test_many_topics_in_portions(self, rig: Rig) -> None:
        rig.session.effects.clear()
        for number in range(250):
            rig.session.subscribe(rig_reader(rig, f"t/{number}"))
        assert [len(request["topics"]) for request in rig.take()] == [100, 100, 50]

    def test_unsubscribe(self, rig: Rig) -> None:
        heard: list[Any] = []
        reader = rig.read("t", heard)
        rig.joined("t", "e:0", 1)
        rig.take()
        rig.session.unsubscribe(reader)
        assert rig.take() == [{"op": "unsubscribe", "id": 2, "topics": ["t"]}]
        rig.publish("t", 1)
        assert offsets(heard) == []


def rig_reader(rig: Rig, topic: str) -> Any:
    """A reader that is not added yet."""
    from relayd_client.reader import BUFFER, Reader, Wish

    return Reader(topic, lambda _: None, Wish(), BUFFER, lambda call, *values: call(*values))


class RefusalTests:
    """Errors, per topic."""

    def test_a_loop_ends_with_it(self, rig: Rig) -> None:
        reading = rig.read("t", loop=True)
        other = rig.read("u", loop=True)
        rig.say(op="error", id=1, topic="t", code="forbidden", message="access.subscribe")
        assert isinstance(reading.error, Refused) and reading.error.code == "forbidden"
        assert not other.ended
        rig.lost()
        rig.back()
        assert rig.take()[-1]["topics"] == ["u"]

    def test_a_callback_stays(self, rig: Rig) -> None:
        """Another token may be allowed to."""
        heard: list[Any] = []
        rig.read("t", heard)
        rig.say(op="error", id=1, topic="t", code="forbidden", message="no")
        assert [type(item) for item in heard] == [Refused]
        rig.take()
        rig.lost()
        rig.back()
        assert rig.take()[-1]["topics"] == ["t"]


class TokenTests:
    """Shown first, renewed before its end."""

    def test_shown_first(self) -> None:
        rig = Rig(asks_token=True, renews=True)
        rig.session.start()
        rig.apply()
        assert (rig.tokens, rig.dials) == (1, 0)
        rig.session.token("one")
        rig.apply()
        rig.welcome()
        rig.read("t")
        assert rig.take() == [{"op": "auth", "id": 1, "token": "one"}]
        rig.say(op="authorized", id=1, subject="a", expires_ms=int((rig.now + 100) * 1000))
        assert [request["op"] for request in rig.take()] == ["subscribe"]
        for _ in range(3):
            rig.forward(23)
            rig.say(op="pong")
        assert rig.tokens == 1
        rig.forward(2)
        assert rig.tokens == 2
        rig.session.token("two")
        assert rig.take()[-1] == {"op": "auth", "id": rig.session._id, "token": "two"}

    def test_asked_anew_after_4005(self) -> None:
        rig = Rig(asks_token=True, renews=True)
        rig.session.start()
        rig.session.token("one")
        rig.apply()
        rig.welcome()
        rig.say(op="authorized", id=1)
        rig.lost(4005, "token-expired")
        rig.forward(1)
        assert rig.tokens == 2

    @pytest.mark.parametrize("code", ["unknown_op", "unauthorized"])
    def test_goes_on_without(self, code: str) -> None:
        """A relayd without tokens, or one that knows nobody of that name: what is public is left."""
        rig = Rig(asks_token=True)
        rig.session.start()
        rig.session.token("one")
        rig.apply()
        rig.welcome()
        rig.say(op="error", id=1, code=code, message="no")
        assert rig.session.phase is Phase.OPEN

    def test_no_token_to_have(self) -> None:
        rig = Rig(asks_token=True)
        rig.session.start()
        rig.session.no_token("the server of logins is down")
        rig.apply()
        assert (rig.states[-1].reason, rig.errors[0].code, rig.dials) == ("no token", "token", 0)
        rig.forward(1)
        assert rig.tokens == 2


class PublishingTests:
    """One answer each."""

    def test_answers(self, rig: Rig) -> None:
        answers: list[Any] = []
        for number in range(3):
            rig.session.publish("t", {"n": number}, answers.append)
        sent = rig.take()
        assert sent[0] == {"op": "publish", "id": 1, "topic": "t", "data": {"n": 0}}
        rig.say(op="published", id=2, topic="t", position="e:7")
        rig.say(op="error", id=1, topic="t", code="forbidden", message="access.publish")
        rig.lost()
        assert answers[0] == "e:7"
        assert [answer.code for answer in answers[1:]] == ["forbidden", "disconnected"]
        with pytest.raises(Refused, match="unavailable"):
            rig.session.publish("t", 1, answers.append)

    def test_waits_for_the_attempt(self) -> None:
        """What is published while the connection is being opened goes out before all else, in its order, once."""
        rig = Rig(asks_token=True)
        answers: list[Any] = []

        def publish(data: str) -> int:
            return rig.session.publish("t", data, answers.append)

        rig.session.listen("state", lambda state: publish("of a listener") if state.state == "open" else None)
        rig.session.start()
        publish("for a token")
        rig.session.token("s")
        publish("for the socket")
        abandoned = publish("abandoned")
        rig.session.up()
        publish("for the greeting")
        rig.session.publishing.abandon(abandoned)
        [auth] = rig.take()
        rig.say(op="authorized", id=auth["id"])
        sent = rig.take()
        assert [message["data"] for message in sent] == [
            "for a token", "for the socket", "for the greeting", "of a listener",
        ]  # fmt: skip
        for message in sent:
            rig.say(op="published", id=message["id"], topic="t", position=message["data"])
        assert answers == [message["data"] for message in sent]
        rig.lost()
        assert len(answers) == 4

    @pytest.mark.parametrize(
        ("how", "why"), [("lost", "could not be opened"), ("silent", "could not be opened"), ("close", "is closed")]
    )
    def test_waits_for_no_other_attempt(self, how: str, why: str) -> None:
        """It is refused when this one has failed, within the time that it has; the next one does not send it."""
        rig = Rig()
        answers: list[Any] = []
        rig.session.start()
        rig.session.publish("t", 1, answers.append)
        rig.take()
        if how == "lost":
            rig.lost()
        elif how == "silent":
            rig.forward(OPEN_WITHIN_S)
        else:
            rig.session.close()
        assert [answer.code for answer in answers] == ["unavailable"] and why in answers[0].message
        with pytest.raises(Refused, match="unavailable"):
            rig.session.publish("t", 2, answers.append)
        if how != "close":
            rig.back()
            assert "publish" not in [message["op"] for message in rig.take()]

    @pytest.mark.parametrize("starts", [False, True])
    def test_no_json(self, starts: bool) -> None:
        """The caller is told at once, also where it would have to wait."""
        rig = Rig()
        if starts:
            rig.start()
        for data, error in ((object(), TypeError), (float("nan"), ValueError)):
            with pytest.raises(error):
                rig.session.publish("t", data, lambda _: None)
        assert "publish" not in [message["op"] for message in rig.take()]

    def test_a_refused_publication_ends_no_reader(self, rig: Rig) -> None:
        reading = rig.read("t", loop=True)
        rig.joined("t", "e:0", 1)
        request = rig.session.publish("t", 1, lambda _: None)
        rig.say(op="error", id=request, topic="t", code="forbidden", message="no")
        assert not reading.ended


class WindowTests:
    """What was processed is told: by quarters of the window, and once a second."""

    def test_by_quarters(self, rig: Rig) -> None:
        rig.read("t", window=8)
        assert rig.take()[0]["window"] == 8
        rig.joined("t", "e:0", 1)
        acks = []
        for first in (1, 3, 5, 7):
            rig.publish("t", first, first + 1)
            acks += [message for message in rig.take() if message["op"] == "ack"]
            rig.forward(0.11)
        assert [ack["offset"] for ack in acks] == [1, 3, 5, 7]
        assert all("id" not in ack for ack in acks)

    def test_not_too_often(self, rig: Rig) -> None:
        """relayd looks ten times a second, and closes whoever sends 200 frames in one."""
        for number in range(40):
            rig.read(f"t/{number}", window=4)
            rig.joined(f"t/{number}", "e:0", number + 1)
        rig.take()
        acks: dict[str, int] = {}
        count = 0
        for offset in range(1, 101):
            for number in range(40):
                rig.publish(f"t/{number}", offset)
            rig.forward(0.01)
            for message in rig.take():
                acks[message["topic"]] = message["offset"]
                count += 1
        assert count <= 110
        assert len(acks) == 40  # each has its turn
        rig.forward(2)
        assert {message["offset"] for message in rig.take()} == {100}

    def test_once_a_second(self, rig: Rig) -> None:
        rig.read("t", window=100)
        rig.joined("t", "e:0", 1)
        rig.publish("t", 1, 2)
        rig.take()
        rig.forward(1.1)
        assert [ack["offset"] for ack in rig.take()] == [2]
        rig.forward(5)
        assert rig.take() == []

    def test_what_a_loop_has_not_processed_is_not_told(self, rig: Rig) -> None:
        reading = rig.read("t", loop=True, window=4)
        rig.joined("t", "e:0", 1)
        rig.publish("t", 1, 2, 3)
        rig.take()
        reading.take()
        rig.forward(1.1)
        assert rig.take() == []
        reading.take()
        assert [ack["offset"] for ack in rig.take()] == [1]

    def test_a_server_without_it(self, rig: Rig) -> None:
        rig.read("t", window=4)
        rig.joined("t", "e:0", 1)
        rig.publish("t", 1)
        rig.say(op="error", code="unknown_op", message="ack")
        rig.take()
        rig.publish("t", 2, 3, 4)
        rig.forward(5)
        assert rig.take() == []
        assert rig.errors == []


def test_binary_frames(rig: Rig) -> None:
    """By reference; of a topic that was just left they are nobody's."""
    heard: list[Any] = []
    rig.read("t", heard, binary=True)
    assert rig.take()[0]["binary"] is True
    rig.joined("t", "e:1", 1, ref=9)
    rig.session.received(bytes.fromhex("00000009" "8000000000000001") + b"\0\1")
    rig.session.received(bytes.fromhex("00000008" "0000000000000002") + b"x")
    assert [item for item in heard if isinstance(item, Publication)] == [
        Publication("t", 1, snapshot=True, binary=b"\0\1")
    ]
    rig.session.received(b"short")
    assert rig.session.phase is Phase.WAITING


def test_base64(rig: Rig) -> None:
    """Is bytes all the same."""
    heard: list[Any] = []
    rig.read("t", heard)
    rig.joined("t", "e:0", 1)
    rig.say(topic="t", offset=1, at=5, base64="AAE=")
    assert heard[-1] == Publication("t", 1, at_ms=5, binary=b"\0\1")


def test_pace(rig: Rig) -> None:
    """Told at once, and again on the next connection."""
    rig.session.pace(1)
    assert rig.take() == [{"op": "pace", "id": 1, "max_hz": 1}]
    rig.lost()
    rig.back()
    assert [message["op"] for message in rig.take()] == ["pace"]
    rig.session.pace(None)
    assert rig.take() == [{"op": "pace", "id": 3}]


def test_pressed(rig: Rig) -> None:
    """The shell is told when a loop should run."""
    rig.read("t", loop=True, buffer=2)
    rig.joined("t", "e:0", 1)
    assert [rig.session.received(json.dumps({"topic": "t", "offset": n, "data": 0})) for n in (1, 2)] == [False, True]


def test_is_sans_io() -> None:
    """The decisions import neither asyncio nor websockets."""
    import ast
    import inspect
    import sys

    pure = ("acks", "codes", "events", "messages", "publishing", "reader", "reading", "session", "states", "topics")
    for name in pure:
        tree = ast.parse(inspect.getsource(sys.modules[f"relayd_client.{name}"]))
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not {"asyncio", "websockets", "time", "random", "logging"} & imported
    assert Session.__module__ == "relayd_client.session"
