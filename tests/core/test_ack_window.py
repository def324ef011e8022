"""The acknowledgement window."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.core.ack_window import SWEEP_S, AckWindow, WindowState
from relayd.core.closecode import CLOSE_SLOW
from relayd.core.downstream import DownstreamSession
from relayd.core.routes import Mode
from relayd.core.subscriber import Pace
from tests.support.hub_rig import Client, Rig, delivery, route, say


def opened(rig: Rig, *topics: str, window: int = 10, **how: Any) -> tuple[DownstreamSession, Client]:
    """A client with a window, whose answers have been read."""
    session, sink = rig.open()
    client = Client(sink, lambda name: name.startswith("c/"))
    say(session, op="subscribe", topics=list(topics), window=window, **how)
    client.read()
    return session, client


def publish(rig: Rig, name: str, count: int) -> None:
    """So many, each in a turn of its own."""
    for _ in range(count):
        rig.publish(name)
        rig.clock.turn()


def acknowledge(session: DownstreamSession, client: Client) -> list[int]:
    """All that comes, as a page does, until nothing more comes. Returns how much came at a time."""
    portions = []
    while True:
        before = {name: list(offsets) for name, offsets in client.data.items()}
        for name, offsets in before.items():
            say(session, op="ack", topic=name, offset=offsets[-1])
        client.read()
        portions.append(sum(map(len, client.data.values())) - sum(map(len, before.values())))
        if not portions[-1]:
            return portions


def state(session: DownstreamSession) -> WindowState:
    """Of its window."""
    return session._window.state


class HoldTests:
    """Too far ahead."""

    def test_held_and_let_go(self) -> None:
        """Nothing more of any topic beyond the window, until half of it is acknowledged; then what the rings hold."""
        rig = Rig(route("t/$n"))
        session, client = opened(rig, "t/a", "t/b")
        publish(rig, "t/a", 11)
        rig.clock.advance(SWEEP_S)
        assert (state(session), session.subscriber.pace) == (WindowState.HELD, Pace.HELD)
        assert rig.counters.windows_full == 1
        publish(rig, "t/a", 5)
        publish(rig, "t/b", 5)
        client.read()
        assert (client.data["t/a"], "t/b" in client.data) == (list(range(1, 12)), False)
        say(session, op="ack", topic="t/a", offset=5)
        client.read()
        assert "t/b" not in client.data
        say(session, op="ack", topic="t/a", offset=6)
        client.read()
        assert (client.data["t/a"], client.data["t/b"]) == (list(range(1, 17)), list(range(1, 6)))
        assert state(session) is WindowState.OPEN

    def test_within_the_window(self) -> None:
        """Nothing happens."""
        rig = Rig(route("t/$n"))
        session, client = opened(rig, "t/a")
        for _ in range(20):
            publish(rig, "t/a", 10)
            rig.clock.advance(SWEEP_S)
            assert state(session) is WindowState.OPEN
            client.read()
            say(session, op="ack", topic="t/a", offset=client.data["t/a"][-1])
        assert client.data["t/a"] == list(range(1, 201))

    def test_what_the_ring_lets_go_meanwhile(self) -> None:
        """Is told, by the route's mode."""
        rig = Rig(route("q/$n", delivery(history_count=5)), route("c/$n", delivery(Mode.CONFLATE)))
        session, client = opened(rig, "q/a", "c/a", window=2)
        publish(rig, "q/a", 3)
        rig.clock.advance(SWEEP_S)
        publish(rig, "q/a", 20)
        publish(rig, "c/a", 20)
        say(session, op="ack", topic="q/a", offset=3)
        client.read()
        assert client.data["q/a"] == [1, 2, 3, 19]  # one, for it has acknowledged all it was given
        acknowledge(session, client)
        assert client.data == {"q/a": [1, 2, 3, 19, 20, 21, 22, 23], "c/a": [20]}
        assert client.lost == {"q/a": 15}

    def test_taken_away_while_it_is_served(self) -> None:
        """By subscribing anew without one: nothing bounds what the rings give."""
        rig = Rig(route("t/$n"))
        session, client = opened(rig, "t/a", window=2)
        topic = rig.hub.topic("t/a")
        window = session._window
        assert window.ceiling(topic, 0) is None or window.ceiling(topic, 5) == 2
        say(session, op="subscribe", topics=["t/a"])
        assert window.ceiling(topic, 5) is None
        publish(rig, "t/a", 9)
        rig.clock.advance(SWEEP_S)
        client.read()
        assert client.data["t/a"][-9:] == list(range(1, 10))

    def test_a_rate(self) -> None:
        """What a slow lane has sent counts, not what the topic has."""
        rig = Rig(route("t/$n"))
        session, client = opened(rig, "t/a", window=1, max_hz=1.0)
        publish(rig, "t/a", 2)
        rig.clock.advance(SWEEP_S)
        assert state(session) is WindowState.OPEN
        rig.clock.advance(1.0)
        assert state(session) is WindowState.HELD
        client.read()
        assert client.data["t/a"] == [1, 2]

    def test_a_backlog_in_portions(self) -> None:
        """What the rings hold comes no faster than it is acknowledged: to who was held, and to who resumes."""
        rig = Rig(route("t/$n", delivery(history_count=1000)))
        session, client = opened(rig, "t/a", window=10)
        publish(rig, "t/a", 11)
        rig.clock.advance(SWEEP_S)
        publish(rig, "t/a", 300)
        client.read()
        assert client.data["t/a"] == list(range(1, 12))
        portions = acknowledge(session, client)
        assert client.data["t/a"] == list(range(1, 312)) and max(portions) <= 10
        assert state(session) is WindowState.OPEN
        position = rig.hub.topic("t/a").epoch + ":1"
        again, other = opened(rig, "t/a", window=20, since={"t/a": position})
        assert (other.data["t/a"], state(again)) == (list(range(2, 22)), WindowState.HELD)
        assert max(acknowledge(again, other)) <= 20 and other.data["t/a"] == list(range(2, 312))
        assert again.lost_messages == 0 and rig.counters.lost_slow == 0

    def test_portions_and_a_loss(self) -> None:
        """A page that acknowledges each quarter is not left waiting for a word that it has no reason to say."""
        rig = Rig(route("t/$n", delivery(history_count=5)))
        session, client = opened(rig, "t/a", window=8)
        publish(rig, "t/a", 9)
        rig.clock.advance(SWEEP_S)
        publish(rig, "t/a", 50)
        acked = 0
        for _ in range(20):
            client.read()
            for offset in client.data["t/a"]:
                if offset - acked >= 2:
                    acked = offset
                    say(session, op="ack", topic="t/a", offset=offset)
        assert client.data["t/a"] == [*range(1, 10), 55, 56, 57, 58, 59] and client.lost == {"t/a": 45}

    def test_a_newcomer_starts_where_it_stands(self) -> None:
        """What was before is not counted against it."""
        rig = Rig(route("t/$n"))
        publish(rig, "t/a", 50)
        session, client = opened(rig, "t/a", window=2)
        rig.clock.advance(SWEEP_S)
        assert (state(session), client.data["t/a"]) == (WindowState.OPEN, [50])

    def test_a_socket_that_is_full_as_well(self) -> None:
        """The rest of its flush goes out, and nothing after it; no producer spins on an empty buffer."""
        rig = Rig(route("t/$n"))
        session, client = opened(rig, "t/a", window=1)
        client.sink.room = 100
        publish(rig, "t/a", 5)
        assert session.subscriber.pace is Pace.LAGGING
        rig.clock.advance(SWEEP_S)
        client.sink.read(1 << 20)
        client.read()
        rig.clock.advance(SWEEP_S)
        assert (session.subscriber.pace, client.sink.produce) == (Pace.HELD, None)
        publish(rig, "t/a", 5)
        acknowledge(session, client)
        assert client.data["t/a"] == list(range(1, 11))

    def test_held_while_its_socket_is_full(self) -> None:
        """Let go again before the socket has taken the rest: it goes on from there."""
        rig = Rig(route("t/$n"))
        session, client = opened(rig, "t/a", window=1)
        publish(rig, "t/a", 3)
        client.read()
        client.sink.room = 0
        publish(rig, "t/a", 1)
        rig.clock.advance(SWEEP_S)
        assert (state(session), session.subscriber.pace) == (WindowState.HELD, Pace.LAGGING)
        say(session, op="ack", topic="t/a", offset=4)
        client.sink.read(1 << 20)
        client.read()
        assert client.data["t/a"] == [1, 2, 3, 4]
        publish(rig, "t/a", 1)
        client.read()
        assert client.data["t/a"][-1] == 5


class EndTests:
    """Windows end."""

    def test_no_word_for_slow_after(self) -> None:
        """Closed as slow; an acknowledgement that is not enough is a sign of life."""
        rig = Rig(route("t/$n", delivery(slow_after_s=5.0)))
        session, client = opened(rig, "t/a")
        publish(rig, "t/a", 20)
        rig.clock.advance(4.0)
        say(session, op="ack", topic="t/a", offset=1)
        rig.clock.advance(4.9)
        assert client.sink.closed is None
        say(session, op="ack", topic="t/a", offset=1)  # nothing new
        rig.clock.advance(0.3)
        assert client.sink.closed is CLOSE_SLOW
        assert (rig.counters.closed_slow, len(rig.hub.windows)) == (1, 0)

    def test_the_connection_is_lost(self) -> None:
        """Nothing is left of it."""
        rig = Rig(route("t/$n"))
        session, _ = opened(rig, "t/a")
        session.lost()
        rig.clock.advance(2 * SWEEP_S)
        assert (len(rig.hub.windows), rig.hub.windows.is_sweeping, rig.clock.waiting) == (0, False, 0)

    def test_unsubscribed_while_held(self) -> None:
        """The other topics go on."""
        rig = Rig(route("t/$n"))
        session, client = opened(rig, "t/a", "t/b", window=1)
        publish(rig, "t/a", 5)
        rig.clock.advance(SWEEP_S)
        publish(rig, "t/b", 1)
        say(session, op="unsubscribe", topics=["t/a"])
        rig.clock.advance(SWEEP_S)
        client.read()
        assert client.data["t/b"] == [1]
        say(session, op="unsubscribe", topics=["t/b"])
        rig.clock.advance(2 * SWEEP_S)
        assert (state(session), len(rig.hub.windows)) == (WindowState.OPEN, 0)

    def test_the_last_topic_goes_while_held(self) -> None:
        """There is nothing to serve, and nothing to hold."""
        rig = Rig(route("t/$n"))
        session, _ = opened(rig, "t/a", window=1)
        publish(rig, "t/a", 5)
        rig.clock.advance(SWEEP_S)
        say(session, op="unsubscribe", topics=["t/a"])
        rig.clock.advance(SWEEP_S)
        assert (state(session), session.subscriber.pace) == (WindowState.OPEN, Pace.IDLE)

    def test_subscribed_again_without(self) -> None:
        """Takes it away."""
        rig = Rig(route("t/$n"))
        session, client = opened(rig, "t/a", window=1)
        say(session, op="subscribe", topics=["t/a"])
        publish(rig, "t/a", 50)
        rig.clock.advance(SWEEP_S)
        client.read()
        assert client.data["t/a"] == list(range(1, 51))


class CommandTests:
    """What is said about it."""

    @pytest.mark.parametrize("window", [0, -1, 65_536])
    def test_bad_size(self, window: int) -> None:
        """Refused, and nothing is subscribed to."""
        rig = Rig(route("t/$n"))
        session, sink = rig.open()
        client = Client(sink)
        say(session, op="subscribe", id=1, topics=["t/a"], window=window)
        assert [message["code"] for message in client.read() if message["op"] == "error"] == ["bad_request"]
        assert not session.subscriber.topics

    def test_acks_of_no_use(self) -> None:
        """Of other topics, from the future, or without a window: ignored. One without its members is told."""
        rig = Rig(route("t/$n"))
        session, client = opened(rig, "t/a", window=1)
        rig.hub.topic("t/b")
        for name, offset in (("t/none", 1), ("t/b", 1), ("t/a", 99), ("t/a", -1)):
            say(session, op="ack", topic=name, offset=offset)
        assert client.read() == []
        say(session, op="ack", topic="t/a")
        assert [message["code"] for message in client.read()] == ["bad_request"]


class RoomTests:
    """Who has room is not looked at."""

    def test_passed_over_until_it_may_be_full(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not before the hub has had as many publications as there was room for."""
        rig = Rig(route("t/$n"))
        session, _ = opened(rig, "t/a", window=10)
        looks: list[float] = []
        look = AckWindow.look
        monkeypatch.setattr(AckWindow, "look", lambda window, now: (looks.append(now), look(window, now)))
        for _ in range(5):
            rig.clock.advance(SWEEP_S)
        assert len(looks) == 1
        publish(rig, "t/b", 10)
        rig.clock.advance(SWEEP_S)
        assert len(looks) == 1
        publish(rig, "t/a", 4)
        rig.clock.advance(SWEEP_S)
        assert len(looks) == 2
        publish(rig, "t/a", 7)
        rig.clock.advance(SWEEP_S)
        assert (len(looks), state(session)) == (3, WindowState.HELD)

    def test_a_smaller_window_comes_later(self) -> None:
        """Counts from then on."""
        rig = Rig(route("t/$n"))
        session, _ = opened(rig, "t/a", window=1000)
        rig.clock.advance(SWEEP_S)
        say(session, op="subscribe", topics=["t/b"], window=1)
        publish(rig, "t/b", 2)
        rig.clock.advance(SWEEP_S)
        assert state(session) is WindowState.HELD

    def test_what_a_slow_lane_keeps_back_needs_no_serial(self) -> None:
        """It outgrows the window with its beat, while nothing is published."""
        rig = Rig(route("t/$n"))
        session, _ = opened(rig, "t/a", window=3, max_hz=1.0)
        publish(rig, "t/a", 1)
        publish(rig, "t/a", 4)
        for _ in range(5):
            rig.clock.advance(SWEEP_S)
        assert state(session) is WindowState.OPEN
        rig.clock.advance(1.0)
        assert state(session) is WindowState.HELD
