"""Catching up from the rings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relayd.core.ack_window import SWEEP_S
from relayd.core.closecode import CLOSE_POSITION_LOST
from relayd.core.downstream import DownstreamSession
from relayd.core.lagging import PROGRESS_BYTES
from relayd.core.routes import Mode
from relayd.core.subscriber import Pace
from tests.support.hub_rig import Client, Rig, delivery, events, frames, route, say


def lag(rig: Rig, name: str, *, raw: bool = False) -> tuple[DownstreamSession, Client]:
    """A reader that has the first publication, and whose socket is full since the second."""
    rig.publish(name, snapshot=rig.hub.topic(name).route.delivery.deltas)
    session, sink = rig.open(raw=name if raw else None)
    client = Client(sink, lambda topic: topic.startswith("c/"))
    if not raw:
        say(session, op="subscribe", topics=[name])
        client.read()
    sink.room = 0
    rig.publish(name)
    rig.clock.advance(0.1)
    assert session.subscriber.pace is Pace.LAGGING
    return session, client


def read_all(rig: Rig, client: Client) -> list[dict[str, object]]:
    """The client reads everything there is; the messages it got."""
    messages = []
    for _ in range(5):
        client.sink.read(1 << 30)
        messages += client.read()
        rig.clock.advance(0.1)
    return messages


class QueueTests:
    """Everything the ring holds, in order; what it let go is announced."""

    def test_nothing_lost(self) -> None:
        """A short stop costs nothing, and ends in the cohort."""
        rig = Rig(route("t/$n"))
        session, client = lag(rig, "t/a")
        for _ in range(50):
            rig.publish("t/a")
        read_all(rig, client)
        assert client.data["t/a"] == list(range(1, 53))
        assert session.subscriber.pace is Pace.CURRENT

    def test_the_ring_let_go(self) -> None:
        """The loss stands before what follows it, with its count."""
        rig = Rig(route("t/$n", delivery(history_count=10)))
        _, client = lag(rig, "t/a")
        for _ in range(50):
            rig.publish("t/a")
        rig.clock.advance(0.1)
        messages = read_all(rig, client)
        assert {"op": "lost", "topic": "t/a", "after": 2, "next": 43, "count": 40, "why": "slow"} in messages
        assert client.data["t/a"] == [1, 2, *range(43, 53)]
        assert rig.counters.lost_slow == 40

    def test_a_gap_among_the_lost(self) -> None:
        """Then nobody knows how many."""
        rig = Rig(route("t/$n", delivery(history_count=10)))
        _, client = lag(rig, "t/a")
        rig.hub.gap(rig.hub.topic("t/a"), 1000, "upstream")
        for _ in range(50):
            rig.publish("t/a")
        rig.clock.advance(0.1)
        read_all(rig, client)
        assert client.unknown_loss == {"t/a"}

    def test_a_mark_in_its_place(self) -> None:
        """An upstream's gap is told between what it stands between."""
        rig = Rig(route("t/$n"))
        _, client = lag(rig, "t/a")
        rig.hub.gap(rig.hub.topic("t/a"), 7, "upstream")
        rig.publish("t/a")
        rig.clock.advance(0.1)
        read_all(rig, client)
        assert client.data["t/a"] == [1, 2, 4]
        assert client.lost["t/a"] == 7

    def test_order_across_topics(self) -> None:
        """By serial, as they came."""
        rig = Rig(route("t/$n"))
        session, client = lag(rig, "t/a")
        say(session, op="subscribe", topics=["t/b", "t/c"])
        for name in ("t/b", "t/a", "t/c", "t/a", "t/b"):
            rig.publish(name)
        got = [(message["topic"], message["offset"]) for message in read_all(rig, client) if "offset" in message]
        assert got == [("t/a", 2), ("t/b", 1), ("t/a", 3), ("t/c", 1), ("t/a", 4), ("t/b", 2)]

    def test_max_lag(self) -> None:
        """What is old is dropped with notice; what is fresh comes."""
        rig = Rig(route("t/$n", delivery(max_lag_s=5.0)))
        _, client = lag(rig, "t/a")
        for _ in range(20):
            rig.publish("t/a")
        rig.clock.advance(6)
        rig.publish("t/a")
        rig.clock.advance(0.1)
        read_all(rig, client)
        assert client.data["t/a"] == [1, 2, 23]
        assert client.lost["t/a"] == 20

    def test_max_lag_of_everything(self) -> None:
        """When all is old, all is announced."""
        rig = Rig(route("t/$n", delivery(max_lag_s=5.0)))
        _, client = lag(rig, "t/a")
        for _ in range(20):
            rig.publish("t/a")
        rig.clock.advance(60)
        read_all(rig, client)
        assert client.data["t/a"] == [1, 2]
        assert client.lost["t/a"] == 20


class ConflateTests:
    """Only the newest."""

    def test_per_topic(self) -> None:
        """One publication, whatever came meanwhile; the jump is the notice."""
        rig = Rig(route("c/$n", delivery(Mode.CONFLATE)))
        _, client = lag(rig, "c/a")
        for _ in range(50):
            rig.publish("c/a")
        rig.clock.advance(0.1)
        read_all(rig, client)
        assert client.data["c/a"] == [1, 2, 52]

    def test_per_key(self) -> None:
        """The newest of each key, in the order of their age."""
        rig = Rig(route("c/$n", delivery(Mode.CONFLATE, key_of=lambda payload: payload)))
        _, client = lag(rig, "c/a")
        for payload in (b"5", b"6", b"5", b"7"):
            rig.publish("c/a", payload)
        rig.clock.advance(0.1)
        read_all(rig, client)
        assert client.data["c/a"] == [1, 2, 4, 5, 6]

    def test_marks_are_jumps(self) -> None:
        """A gap is not told to who conflates."""
        rig = Rig(route("c/$n", delivery(Mode.CONFLATE)))
        _, client = lag(rig, "c/a")
        rig.hub.gap(rig.hub.topic("c/a"), 3, "upstream")
        rig.publish("c/a")
        rig.clock.advance(0.1)
        read_all(rig, client)
        assert client.data["c/a"] == [1, 2, 4]


class LosslessTests:
    """A state and its changes."""

    def rig(self) -> Rig:
        """A topic of deltas with room for ten."""
        return Rig(route("d/$n", delivery(Mode.LOSSLESS, deltas=True, history_count=10)))

    def test_from_the_newest_snapshot(self) -> None:
        """Lost, then the snapshot and all since."""
        rig = self.rig()
        _, client = lag(rig, "d/a")
        for _ in range(20):
            rig.publish("d/a")
        rig.publish("d/a", snapshot=True)
        rig.publish("d/a")
        rig.clock.advance(0.1)
        read_all(rig, client)
        assert client.data["d/a"] == [1, 2, 23, 24]
        [lost] = [message for message in client.messages if message.get("op") == "lost"]
        assert (lost["after"], lost["next"], lost["count"]) == (2, 23, 20)

    def test_a_snapshot_that_is_not_flushed_yet(self) -> None:
        """It comes with the flush of those who are current, and so does what stands before it there; until there is
        everything that is held."""
        rig = self.rig()
        say(rig.open()[0], op="subscribe", topics=["d/a"])
        _, client = lag(rig, "d/a")
        for _ in range(20):
            rig.publish("d/a")
        rig.clock.advance(0.1)
        rig.publish("d/a")
        rig.publish("d/a", snapshot=True)
        client.sink.read(1 << 30)
        rig.clock.advance(0.1)
        client.read()
        assert client.data["d/a"] == [1, 2, *range(15, 25)] and client.lost["d/a"] == 12

    def test_a_mark_among_the_lost(self) -> None:
        """Nobody knows how many it stands for."""
        rig = self.rig()
        _, client = lag(rig, "d/a")
        for _ in range(20):
            rig.publish("d/a")
        rig.hub.gap(rig.hub.topic("d/a"), 3, "upstream")
        rig.publish("d/a", snapshot=True)
        rig.clock.advance(0.1)
        read_all(rig, client)
        assert client.data["d/a"] == [1, 2, 24] and client.unknown_loss == {"d/a"}

    def test_fresh_snapshot_is_asked_for(self) -> None:
        """When the ring has none: the upstream is asked, and what comes before it is announced."""
        rig = self.rig()
        _, client = lag(rig, "d/a")
        for _ in range(20):
            rig.publish("d/a")
        rig.clock.advance(0.1)
        read_all(rig, client)
        assert rig.demand.refreshed == ["d/a"]
        rig.publish("d/a", snapshot=True)
        rig.clock.advance(0.1)
        assert read_all(rig, client)[-1]["snapshot"] is True


class RawTests:
    """`/raw` cannot be told."""

    def test_a_loss_closes(self) -> None:
        """4010, and nothing after what was whole."""
        rig = Rig(route("t/$n", delivery(history_count=5)))
        session, client = lag(rig, "t/a", raw=True)
        for _ in range(20):
            rig.publish("t/a")
        rig.clock.advance(0.1)
        client.sink.read(1 << 30)
        assert client.sink.closed is CLOSE_POSITION_LOST
        assert session.subscriber.pace is Pace.GONE

    def test_a_mark_closes(self) -> None:
        """An upstream's gap met while catching up."""
        rig = Rig(route("t/$n"))
        _, client = lag(rig, "t/a", raw=True)
        rig.publish("t/a")
        rig.clock.advance(0.1)
        rig.hub.gap(rig.hub.topic("t/a"), 3, "upstream")
        [cohort] = rig.hub.topic("t/a").cohorts
        cohort.flushed = rig.hub.serial
        client.sink.read(1 << 30)
        assert client.sink.closed is CLOSE_POSITION_LOST
        assert frames(client.sink.taken)[-1] == (1, b"1")

    def test_conflated_goes_on(self) -> None:
        """A jump is what it asked for."""
        rig = Rig(route("c/$n", delivery(Mode.CONFLATE, history_count=5)))
        _, client = lag(rig, "c/a", raw=True)
        for number in range(20):
            rig.publish("c/a", str(number).encode())
        rig.clock.advance(0.1)
        client.sink.read(1 << 30)
        assert client.sink.closed is None
        assert frames(client.sink.taken)[-1] == (1, b"19")


class ChunkTests:
    """One write at a time, and turns for others."""

    def test_full_again(self) -> None:
        """The socket takes part of a chunk: the rest waits, and the next chunk comes after it."""
        rig = Rig(route("t/$n", delivery(history_count=1000, history_bytes=1 << 30)))
        session, client = lag(rig, "t/a")
        for _ in range(60):
            rig.publish("t/a", b'"' + b"x" * 5000 + b'"')
        rig.clock.advance(0.1)
        for _ in range(100):
            client.sink.read(7000)
            client.read()
        assert client.data["t/a"] == list(range(1, 63))
        assert session.subscriber.pace is Pace.CURRENT

    def test_a_late_call_is_ignored(self) -> None:
        """A producer asked after it has caught up has nothing to say."""
        rig = Rig(route("t/$n"))
        session, client = lag(rig, "t/a")
        lagging = session.subscriber.lagging
        read_all(rig, client)
        lagging.produce()
        assert read_all(rig, client) == []


class ProgressTests:
    """`slow_after`: by progress, never for lagging with progress."""

    def test_none(self) -> None:
        """Nothing taken for that long since it fell behind."""
        rig = Rig(route("t/$n"))
        session, _ = lag(rig, "t/a")
        lagging = session.subscriber.lagging
        slow_after_s = rig.hub.topic("t/a").route.delivery.slow_after_s
        fell_at = rig.clock() - 0.1
        assert lagging.stalled_s(fell_at) == 0.0
        assert lagging.due(fell_at) == lagging.due(fell_at + 99.0) == pytest.approx(fell_at + slow_after_s)
        assert lagging.stalled_s(fell_at + 99.0) == pytest.approx(99.0)

    def test_some(self) -> None:
        """A kilobyte in that time is alive, from when it was taken."""
        rig = Rig(route("t/$n"))
        session, client = lag(rig, "t/a")
        lagging = session.subscriber.lagging
        slow_after_s = rig.hub.topic("t/a").route.delivery.slow_after_s
        rig.publish("t/a", b'"' + b"x" * PROGRESS_BYTES * 9 + b'"')
        rig.clock.advance(0.1)
        client.sink.read(100)  # the rest of the flush; the next chunk waits
        first = rig.clock()
        lagging.due(first)
        rig.clock.advance(3.0)
        client.sink.read(PROGRESS_BYTES)
        rig.clock.advance(5.0)
        assert lagging.due(rig.clock()) == pytest.approx(first + 3.0 + slow_after_s)
        assert lagging.stalled_s(rig.clock()) == pytest.approx(5.0)

    def test_next_to_nothing(self) -> None:
        """Less than a kilobyte is no progress, though it was not still."""
        rig = Rig(route("t/$n"))
        session, client = lag(rig, "t/a")
        lagging = session.subscriber.lagging
        rig.publish("t/a", b'"' + b"x" * PROGRESS_BYTES * 9 + b'"')
        rig.clock.advance(0.1)
        client.sink.read(100)
        first = rig.clock()
        due = lagging.due(first)
        rig.clock.advance(3.0)
        client.sink.read(PROGRESS_BYTES - 1 - 100)
        assert lagging.due(rig.clock()) == due
        assert lagging.stalled_s(rig.clock()) == 0.0

    def test_another_cohort(self) -> None:
        """Whose topics have a `slow_after` of their own: it is asked anew, and what it took before counts."""
        rig = Rig(route("t/$n"), route("p/$n", delivery(slow_after_s=300.0)))
        session, client = lag(rig, "t/a")
        stalls = rig.hub.flusher.stalls
        stalls.stuck(rig.clock())
        say(session, op="subscribe", topics=["p/a"])
        assert stalls.count == 1
        rig.clock.advance(100.0)
        assert stalls.stuck(rig.clock()) == []
        say(session, op="unsubscribe", topics=["p/a"])
        rig.clock.advance(2.0)
        (stuck,) = stalls.stuck(rig.clock())
        assert stuck.subscriber is session.subscriber
        assert client.sink.closed is None


class TurnsTests:
    """A quick reader of a long history."""

    def test_yields(self) -> None:
        """After half a megabyte others have their turn; then it goes on where it was."""
        rig = Rig(route("t/$n", delivery(history_count=1000, history_bytes=1 << 30)))
        session, client = lag(rig, "t/a")
        for _ in range(60):
            rig.publish("t/a", b'"' + b"x" * 20_000 + b'"')
        rig.clock.advance(0.1)
        client.sink.room = 1 << 40
        client.sink.read(0)
        assert session.subscriber.pace is Pace.YIELDING
        rig.clock.advance(0.1)
        client.read()
        assert client.data["t/a"] == list(range(1, 63))


class WindowTests:
    """A reader that has said how far ahead it may be sent (core/ack_window.py)."""

    def behind(self, rig: Rig, **how: Any) -> tuple[DownstreamSession, Client]:
        """With a window of one, it has one publication; its socket is full since the second, and four more wait."""
        rig.publish("t/a")
        session, sink = rig.open()
        client = Client(sink)
        say(session, op="subscribe", topics=["t/a"], window=1, **how)
        client.read()
        sink.room = 0
        for _ in range(5):
            rig.publish("t/a")
            rig.clock.turn()
        return session, client

    def acknowledge(self, session: DownstreamSession, client: Client) -> list[int]:
        """What has come by now, and that."""
        client.read()
        say(session, op="ack", topic="t/a", offset=client.data["t/a"][-1])
        client.read()
        return client.data["t/a"]

    def test_no_further_than_it_may(self) -> None:
        """Its socket has room, but nothing goes out before it acknowledges; then one by one."""
        rig = Rig(route("t/$n"))
        session, client = self.behind(rig)
        client.sink.read(1 << 30)
        lagging = session.subscriber.lagging
        assert lagging is not None
        assert (session.subscriber.pace, client.sink.produce, lagging.look_at) == (Pace.HELD, None, -1)
        assert rig.counters.windows_full == 1
        client.read()
        assert client.data["t/a"] == [1, 2]
        for offset in (3, 4, 5, 6):
            assert self.acknowledge(session, client)[-1] == offset
        assert client.data["t/a"] == [*range(1, 7)]
        assert session.subscriber.pace is Pace.CURRENT

    def test_held_by_another_while_its_socket_is_full(self) -> None:
        """The sweep has found it beyond its window: when its buffer is empty, it rests."""
        rig = Rig(route("t/$n"))
        session, client = self.behind(rig)
        rig.clock.advance(SWEEP_S)
        assert session.subscriber.lagging is not None and session.subscriber.lagging.is_held
        assert session.subscriber.pace is Pace.LAGGING
        client.sink.read(1 << 30)
        assert (session.subscriber.pace, client.sink.produce) == (Pace.HELD, None)
        client.read()
        assert client.data["t/a"] == [1, 2]
        assert self.acknowledge(session, client) == [1, 2, 3]

    def test_a_loss_is_no_debt(self) -> None:
        """What the ring let go is announced, and nobody waits for its acknowledgement."""
        rig = Rig(route("t/$n", delivery(history_count=3)))
        session, client = self.behind(rig)
        rig.clock.advance(SWEEP_S)
        for _ in range(10):
            rig.publish("t/a")
        rig.clock.turn()
        client.sink.read(1 << 30)
        assert self.acknowledge(session, client) == [1, 2, 14]
        assert client.lost == {"t/a": 11}
        assert self.acknowledge(session, client) == [1, 2, 14, 15]


class StreamTests:
    """A reader of an event stream that fell behind."""

    def test_ids(self) -> None:
        """Of what comes from the rings as of what is flushed; none on topics that are read at a rate."""
        rig = Rig(route("t/$n"), route("slow/$n", delivery(max_hz=1.0)))
        _, sink = rig.stream("t/a", "slow/a", room=0)
        for _ in range(3):
            rig.publish("t/a")
            rig.publish("slow/a")
        rig.clock.advance(3.0)
        sink.read(1 << 30)
        rig.clock.advance(3.0)
        sink.read(1 << 30)
        places = [(json.loads(event.text)["topic"], event.id) for event in events(sink.taken) if "offset" in event.text]
        assert [place for name, place in places if name == "t/a"] == ["e.1", "e.3", "e.5"]
        assert {place for name, place in places if name == "slow/a"} == {None}


class WaitingTests:
    """A reader that has more than its new cohort has flushed."""

    def test_joins_at_the_next_flush(self) -> None:
        """Nothing comes twice."""
        rig = Rig(route("t/$n"))
        both, sink = rig.open()
        say(both, op="subscribe", topics=["t/a", "t/b"])
        other, _ = rig.open()
        say(other, op="subscribe", topics=["t/a"])
        cohort = other.subscriber.cohort
        assert cohort is not None
        cohort.not_before = rig.clock.now + 0.01
        rig.publish("t/a")
        rig.clock.turn()
        say(both, op="unsubscribe", topics=["t/b"])
        assert both.subscriber.pace is Pace.WAITING
        rig.clock.advance(0.1)
        client = Client(sink)
        client.read()
        assert client.data["t/a"] == [1]

    def test_nothing_beyond_the_lane(self) -> None:
        """A newcomer to a rate reads up to what its lane has flushed."""
        rig = Rig(route("t/$n"))
        first, _ = rig.open()
        say(first, op="subscribe", topics=["t/a"], max_hz=1)
        for _ in range(3):
            rig.publish("t/a")
            rig.clock.advance(0.01)
        late, sink = rig.open()
        client = Client(sink, lambda _: True)
        say(late, op="subscribe", topics=["t/a"], max_hz=1, since={"t/a": "e1:0"})
        client.read()
        assert client.data["t/a"] == [1]
        rig.clock.advance(2)
        client.read()
        assert client.data["t/a"] == [1, 3]
