"""Subscribing: snapshot, recovery, the switch to live."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.core.closecode import CLOSE_OVERLOADED, CLOSE_SLOW
from relayd.core.readers import rate_of
from relayd.core.routes import Mode
from relayd.core.subscriber import Pace
from tests.support.hub_rig import Client, Rig, delivery, route, say

BOOK = delivery(Mode.LOSSLESS, deltas=True, history_count=20)


def subscribe(rig: Rig, name: str, **how: Any) -> tuple[Any, Client, dict[str, Any]]:
    """A new reader of one topic; what the answer says of it."""
    session, sink = rig.open()
    client = Client(sink)
    say(session, op="subscribe", id=1, topics=[name], **how)
    [answer] = [message for message in client.read() if message.get("op") == "subscribed"]
    return session, client, answer["topics"][name]


class NewcomerTests:
    """What the second browser gets."""

    def test_the_newest(self) -> None:
        """Flagged, then live."""
        rig = Rig(route("t/$n"))
        for _ in range(3):
            rig.publish("t/a")
        _, client, described = subscribe(rig, "t/a")
        assert described == {"position": "e1:3", "state": "live"}
        assert client.messages[-1] == {"topic": "t/a", "offset": 3, "snapshot": True, "data": 1}
        rig.publish("t/a")
        rig.clock.turn()
        assert client.read() == [{"topic": "t/a", "offset": 4, "data": 1}]

    def test_snapshot_and_deltas(self) -> None:
        """The state, all its changes, then live: no hole, no duplicate."""
        rig = Rig(route("d/$n", BOOK))
        rig.publish("d/a", snapshot=True)
        for _ in range(5):
            rig.publish("d/a")
        _, client, _ = subscribe(rig, "d/a")
        rig.publish("d/a")
        rig.clock.turn()
        client.read()
        assert client.data["d/a"] == list(range(1, 8))
        assert [message["offset"] for message in client.messages if message.get("snapshot")] == [1]

    def test_nothing_yet(self) -> None:
        """Pending, at the position before the first."""
        rig = Rig(route("t/$n"))
        _, client, described = subscribe(rig, "t/a")
        assert described == {"position": "e1:0", "state": "pending"}
        assert client.data == {}

    def test_state_is_gone(self) -> None:
        """The deltas outgrew the ring: a fresh snapshot is asked for, and comes live."""
        rig = Rig(route("d/$n", BOOK))
        rig.publish("d/a", snapshot=True)
        for _ in range(30):
            rig.publish("d/a")
        _, client, _ = subscribe(rig, "d/a")
        assert client.data == {}
        assert rig.demand.refreshed == ["d/a"]
        rig.publish("d/a", snapshot=True)
        rig.clock.turn()
        client.read()
        assert client.data["d/a"] == [32]

    def test_no_refresh_while_the_upstream_is_away(self) -> None:
        """The next connection brings a snapshot anyway."""
        rig = Rig(route("d/$n", BOOK))
        subscribe(rig, "d/a")
        assert rig.demand.refreshed == []

    def test_again(self) -> None:
        """Subscribing to what one has changes nothing."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        session, client, _ = subscribe(rig, "t/a")
        say(session, op="subscribe", topics=["t/a"])
        rig.publish("t/a")
        rig.clock.turn()
        client.read()
        assert client.data["t/a"] == [1, 2]
        assert rig.hub.topic("t/a").readers == 1


class ResumeTests:
    """`since`."""

    def test_recovered(self) -> None:
        """All that followed, then live."""
        rig = Rig(route("t/$n"))
        for _ in range(10):
            rig.publish("t/a")
        _, client, described = subscribe(rig, "t/a", since={"t/a": "e1:4"})
        assert described["recovered"] is True
        assert client.data["t/a"] == [5, 6, 7, 8, 9, 10]

    def test_nothing_missed(self) -> None:
        """At the newest position there is nothing to send."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        _, client, described = subscribe(rig, "t/a", since={"t/a": "e1:1"})
        assert described["recovered"] is True
        assert client.data == {}

    def test_too_old_for_a_queue(self) -> None:
        """What the ring holds, after the loss and its count."""
        rig = Rig(route("t/$n", delivery(history_count=3)))
        for _ in range(10):
            rig.publish("t/a")
        _, client, described = subscribe(rig, "t/a", since={"t/a": "e1:2"})
        assert described["recovered"] is False
        assert client.lost["t/a"] == rig.counters.lost_slow == 5
        assert client.data["t/a"] == [8, 9, 10]

    def test_too_old_for_a_state(self) -> None:
        """The snapshot, after the loss."""
        rig = Rig(route("d/$n", BOOK))
        for _ in range(30):
            rig.publish("d/a")
        rig.publish("d/a", snapshot=True)
        rig.publish("d/a")
        _, client, described = subscribe(rig, "d/a", since={"d/a": "e1:2"})
        assert described["recovered"] is False
        assert client.lost["d/a"] == 28
        assert client.data["d/a"] == [31, 32]

    def test_gap_among_what_is_gone(self) -> None:
        """Then the count is unknown."""
        rig = Rig(route("d/$n", BOOK))
        rig.publish("d/a")
        rig.hub.gap(rig.hub.topic("d/a"), 5, "upstream")
        for _ in range(30):
            rig.publish("d/a")
        rig.publish("d/a", snapshot=True)
        _, client, _ = subscribe(rig, "d/a", since={"d/a": "e1:1"})
        assert client.unknown_loss == {"d/a"}

    def test_snapshot_next_to_the_position(self) -> None:
        """A state whose snapshot follows directly: nothing was lost, so nothing is announced."""
        rig = Rig(route("c/$n", delivery(Mode.CONFLATE, history_count=1)))
        for _ in range(5):
            rig.publish("c/a")
        _, client, described = subscribe(rig, "c/a", since={"c/a": "e1:3"})
        assert described["recovered"] is False
        assert client.lost["c/a"] == 1
        assert client.data["c/a"] == [5]

    @pytest.mark.parametrize("since", ["x:4", "e1:99", "e1:", "e1:x", "4", "e1:-1", "e1:٣", "e1:" + "1" * 17])
    def test_other_numbering(self, since: str) -> None:
        """Not a position of this topic: the snapshot, and a loss that nobody can count."""
        rig = Rig(route("t/$n"))
        for _ in range(5):
            rig.publish("t/a")
        _, client, described = subscribe(rig, "t/a", since={"t/a": since})
        assert described["recovered"] is False
        assert client.messages[-2] == {
            "op": "lost", "topic": "t/a", "after": 0, "next": 5, "count": None, "why": "epoch",
        }  # fmt: skip
        assert client.data["t/a"] == [5]

    def test_other_numbering_of_an_empty_topic(self) -> None:
        """Told, and live from the first."""
        rig = Rig(route("t/$n"))
        _, client, described = subscribe(rig, "t/a", since={"t/a": "x:4"})
        assert described["recovered"] is False
        assert client.unknown_loss == {"t/a"}
        rig.publish("t/a")
        rig.clock.turn()
        client.read()
        assert client.data["t/a"] == [1]


class LeavingTests:
    """Unsubscribing and hanging up."""

    def test_unsubscribe(self) -> None:
        """Nothing more of it; the rest goes on."""
        rig = Rig(route("t/$n"))
        session, sink = rig.open()
        client = Client(sink)
        say(session, op="subscribe", topics=["t/a", "t/b"])
        say(session, op="unsubscribe", topics=["t/a"])
        rig.publish("t/a")
        rig.publish("t/b")
        rig.clock.turn()
        client.read()
        assert client.data == {"t/b": [1]}
        assert rig.demand.wanted_topics == ["t/b"]

    def test_last_topic(self) -> None:
        """Idle, in no cohort."""
        rig = Rig(route("t/$n"))
        session, _, _ = subscribe(rig, "t/a")
        say(session, op="unsubscribe", topics=["t/a"])
        assert session.subscriber.pace is Pace.IDLE
        assert rig.demand.wanted_topics == []

    def test_last_topic_while_lagging(self) -> None:
        """Its producer is taken away; a later topic begins anew."""
        rig = Rig(route("t/$n"))
        session, client, _ = subscribe(rig, "t/a")
        client.sink.room = 0
        rig.publish("t/a")
        rig.clock.turn()
        say(session, op="unsubscribe", topics=["t/a"])
        assert client.sink.produce is None
        say(session, op="subscribe", topics=["t/b"])
        client.sink.read(1 << 30)
        rig.publish("t/b")
        rig.clock.turn()
        client.read()
        assert client.data["t/b"] == [1]

    def test_lost_while_lagging(self) -> None:
        """Nothing is left behind."""
        rig = Rig(route("t/$n"))
        session, client, _ = subscribe(rig, "t/a")
        client.sink.room = 0
        rig.publish("t/a")
        rig.clock.turn()
        assert rig.hub.readers.count_lagging() == 1
        session.lost()
        assert rig.hub.readers.count_lagging() == 0
        assert client.sink.produce is None


class StuckTests:
    """`slow_after`."""

    def test_closed_without_progress(self) -> None:
        """4008, counted; one that reads is let be."""
        rig = Rig(route("t/$n"))
        _, stuck_client, _ = subscribe(rig, "t/a")
        slow, slow_client, _ = subscribe(rig, "t/a")
        _, quick_client, _ = subscribe(rig, "t/a")
        for client in (stuck_client, slow_client):
            client.sink.room = 0
        for _ in range(15):
            rig.publish("t/a", b'"' + b"x" * 3000 + b'"')
            slow_client.sink.read(1200)
            rig.clock.advance(1)
            rig.hub.tick(rig.clock())
        assert stuck_client.sink.closed is CLOSE_SLOW
        assert slow_client.sink.closed is None
        assert quick_client.sink.closed is None
        assert slow.subscriber.pace is Pace.LAGGING
        assert rig.counters.closed_slow == 1

    def test_nobody_behind(self) -> None:
        """A cohort that is current has nobody to close."""
        rig = Rig(route("t/$n"))
        _, client, _ = subscribe(rig, "t/a")
        rig.clock.advance(100)
        rig.hub.tick(rig.clock())
        assert client.sink.closed is None


class LaggardsTests:
    """Who could be sent away, and how that is done."""

    def test_how_they_stand(self) -> None:
        """Only whose socket did not take all: since when it takes nothing, and what waits for it."""
        rig = Rig(route("t/$n"))
        still, still_client, _ = subscribe(rig, "t/a")
        _, quick_client, _ = subscribe(rig, "t/a")
        still_client.sink.room = 0
        rig.publish("t/a", b'"' + b"x" * 3000 + b'"')
        rig.clock.turn()
        rig.hub.tick(rig.clock())
        for _ in range(4):
            rig.clock.advance(1)
            rig.hub.tick(rig.clock())
        (laggard,) = rig.hub.readers.laggards(rig.clock())
        assert rig.hub.readers.count_lagging() == 1
        assert laggard.client is still.subscriber
        assert laggard.stalled_s == 4.0
        assert laggard.buffered_bytes > 3000
        assert quick_client.sink.closed is None

    def test_sent_away(self) -> None:
        """Closed, and a laggard no more before its connection is lost; the others go on."""
        rig = Rig(route("t/$n"))
        session, client, _ = subscribe(rig, "t/a")
        _, other, _ = subscribe(rig, "t/a")
        client.sink.room = 0
        rig.publish("t/a")
        rig.clock.turn()
        rig.hub.readers.send_away(session.subscriber, CLOSE_OVERLOADED, 7)
        assert client.sink.closed is CLOSE_OVERLOADED
        assert rig.hub.readers.laggards(rig.clock()) == []
        rig.publish("t/a")
        rig.clock.turn()
        session.lost()
        other.read()
        assert other.data["t/a"] == [1, 2]

    def test_one_that_keeps_up(self) -> None:
        """Who has nothing waiting can be closed by the same way."""
        rig = Rig(route("t/$n"))
        session, client, _ = subscribe(rig, "t/a")
        rig.hub.readers.send_away(session.subscriber, CLOSE_OVERLOADED)
        assert client.sink.closed is CLOSE_OVERLOADED
        session.lost()


class MovingTests:
    """From one cohort to another."""

    def test_notices_go_along(self) -> None:
        """A state that waits for the old cohort's flush is told at the move."""
        rig = Rig(route("t/$n"))
        session, client, _ = subscribe(rig, "t/a")
        rig.publish("t/a")
        say(session, op="subscribe", topics=["t/b"])
        rig.clock.turn()
        client.read()
        assert client.states["t/a"] == "live"
        assert client.data["t/a"] == [1]

    def test_a_cohort_with_others_stays(self) -> None:
        """Only its last member disbands it."""
        rig = Rig(route("t/$n"))
        first, _, _ = subscribe(rig, "t/a")
        _, other, _ = subscribe(rig, "t/a")
        first.lost()
        rig.publish("t/a")
        rig.clock.turn()
        other.read()
        assert other.data["t/a"] == [1]


class HeldTests:
    """A reader that is sent nothing for a while."""

    def test_held_and_released(self) -> None:
        """It goes on from where it stood; releasing one that has left is nothing."""
        rig = Rig(route("t/$n"))
        session, client, _ = subscribe(rig, "t/a")
        rig.hub.readers.hold(session.subscriber)
        for _ in range(3):
            rig.publish("t/a")
            rig.clock.turn()
        assert "t/a" not in client.data and not [m for m in client.read() if "offset" in m]
        rig.hub.readers.release(session.subscriber)
        client.read()
        assert client.data["t/a"] == [1, 2, 3]
        rig.hub.readers.release(session.subscriber)
        assert rig.hub.readers.leave(session.subscriber, {rig.hub.topic("t/a"): True}) == {rig.hub.topic("t/a"): 3}


class RateTests:
    """The rate at which a topic is read."""

    def test_the_lower_one(self) -> None:
        """The route's or the client's; deltas have none."""
        rig = Rig(route("t/$n", delivery(max_hz=5.0)), route("u/$n"), route("d/$n", delivery(deltas=True)))
        rates = [rate_of(rig.hub.topic(name), hz) for name in ("t/a", "u/a", "d/a") for hz in (None, 2.0, 9.0)]
        assert rates == [5.0, 2.0, 5.0, None, 2.0, 9.0, None, None, None]


class HoldTests:
    """A reader without a connection."""

    def test_demand_snapshot_and_end(self) -> None:
        """It counts as demand until it is released, once."""
        rig = Rig(route("d/$n", BOOK))
        hold = rig.hub.hold("d/a")
        assert hold.snapshot() == []
        called: list[int] = []
        hold.on_first(lambda: called.append(1))
        rig.publish("d/a", snapshot=True)
        rig.publish("d/a")
        assert called == [1]
        assert [publication.offset for publication in hold.snapshot()] == [1, 2]
        assert rig.demand.wanted_topics == ["d/a"]
        hold.on_first(lambda: called.append(2))
        hold.release()
        hold.release()
        rig.publish("d/a")
        assert called == [1]
        assert rig.demand.wanted_topics == []
