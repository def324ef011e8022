"""Members, flushes, lanes."""

from __future__ import annotations

from array import array

from relayd.core.closecode import CLOSE_INTERNAL, CLOSE_POSITION_LOST
from relayd.core.cohort import MAX_PENDING_BYTES, MAX_REST_BYTES, Cohort
from relayd.core.crowd import SMALL_MEMBERS
from relayd.core.downstream import DownstreamSession
from relayd.core.flusher import SLICE_MEMBERS
from relayd.core.publication import UNFRAMED, Encoding, TopicState
from relayd.core.routes import Mode
from relayd.core.subscriber import Pace
from tests.support.hub_rig import (
    Client,
    FakeVolley,
    Rig,
    check_who_fails_goes_alone,
    delivery,
    frames,
    route,
    say,
)


def cohort_of(rig: Rig, name: str) -> Cohort:
    """The only cohort that reads the topic."""
    [cohort] = rig.hub.topic(name).cohorts
    assert isinstance(cohort, Cohort)
    return cohort


class MembersTests:
    """Who reads alike shares all of it."""

    def test_same_topics_same_cohort(self) -> None:
        """In whatever order they were asked for."""
        rig = Rig(route("t/$n"))
        for names in (["t/a", "t/b"], ["t/b", "t/a"]):
            session, _ = rig.open()
            say(session, op="subscribe", topics=names)
        assert len(cohort_of(rig, "t/a").members) == 2

    def test_one_encoding_for_all(self) -> None:
        """Every member is given the same bytes object's content, made once."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        sinks = []
        for _ in range(3):
            session, sink = rig.open()
            say(session, op="subscribe", topics=["t/a"])
            sink.taken.clear()
            sinks.append(sink)
        rig.publish("t/a", b'{"x":1}')
        rig.clock.turn()
        assert {bytes(sink.taken) for sink in sinks} == {b'\x81\x29{"topic":"t/a","offset":2,"data":{"x":1}}'}
        assert rig.counters.delivered == 3

    def test_one_frame_is_not_copied(self) -> None:
        """Nearly every flush of a quiet feed has one: what the sockets are offered is the frame itself."""
        offered: list[bytes] = []

        class Kernel(FakeVolley):
            def fire(self, ports: array[int], data: bytes) -> list[int] | None:
                offered.append(data)
                return super().fire(ports, data)

        rig = Rig(route("t/$n"), volley=Kernel())
        for _ in range(SMALL_MEMBERS + 1):
            session, _ = rig.open()
            say(session, op="subscribe", topics=["t/a"])
        for _ in range(2):
            offered.clear()
            rig.publish("t/a", b"1")
            rig.clock.turn()
        assert offered == [rig.hub.topic("t/a").ring.newest().frames[Encoding.V1]]
        assert offered[0] is rig.hub.topic("t/a").ring.newest().frames[Encoding.V1]

    def test_quit_in_the_middle(self) -> None:
        """The last member takes the slot; nobody is forgotten."""
        rig = Rig(route("t/$n"))
        opened = [rig.open() for _ in range(5)]
        for session, _ in opened:
            say(session, op="subscribe", topics=["t/a"])
        opened[1][0].lost()
        opened[4][0].lost()
        rig.publish("t/a")
        rig.clock.turn()
        for index in (0, 2, 3):
            client = Client(opened[index][1])
            client.read()
            assert client.data["t/a"] == [1]

    def test_ports_are_asked_once(self) -> None:
        """And anew when somebody comes, goes, or has another: a port that is no longer valid is never fired."""
        volley = FakeVolley()
        rig = Rig(route("t/$n"), volley=volley)
        opened = [rig.open() for _ in range(12)]  # fewer than nine are flushed with others (core/crowd.py)
        for session, _ in opened:
            say(session, op="subscribe", topics=["t/a"])
        cohort = cohort_of(rig, "t/a")

        def flush() -> None:
            rig.publish("t/a")
            rig.clock.turn()

        flush()
        known = cohort.ports
        assert known is not None and list(known) == [id(sink) for _, sink in opened]
        flush()
        assert cohort.ports is known
        opened[1][0].lost()
        flush()
        assert list(cohort.ports or ()) == [id(opened[index][1]) for index in (0, 11, *range(2, 11))]
        opened[2][1].room = 0  # the kernel takes nothing: it falls behind
        flush()
        flush()
        assert list(cohort.ports or ()) == [id(opened[index][1]) for index in (0, 11, 10, *range(3, 10))]
        opened[0][1].room = 0
        opened[0][1].write(b"answer")  # which its socket does not take, while it is a member
        assert cohort.ports is None
        flush()
        assert [m["offset"] for m in Client(opened[3][1]).read() if "data" in m] == [1, 2, 3, 4, 5, 6]
        assert cohort.ports is None and volley.fired == 6  # the last time without the one that has none

    def test_empty_cohort_goes(self) -> None:
        """With its last member, flushed or behind."""
        rig = Rig(route("t/$n"))
        session, _ = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        session.lost()
        assert rig.hub.topic("t/a").cohorts == {}
        rig.publish("t/a")
        assert rig.clock.waiting == 0


class SlicesTests:
    """Long flushes, and who comes and goes between two slices."""

    def crowd(self, rig: Rig) -> list[tuple[DownstreamSession, Client]]:
        """More members than a slice offers."""
        crowd = []
        for _ in range(SLICE_MEMBERS + 20):
            session, sink = rig.open()
            say(session, op="subscribe", topics=["t/a"])
            crowd.append((session, Client(sink)))
        return crowd

    def test_leaving_between_slices(self) -> None:
        """Members of both halves move away mid-flush: each gets everything once."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        crowd = self.crowd(rig)
        rig.publish("t/a")
        rig.clock.turn()
        assert cohort_of(rig, "t/a").flush is not None
        for index in (0, 3, SLICE_MEMBERS + 5, SLICE_MEMBERS + 19):
            say(crowd[index][0], op="subscribe", topics=["t/b"])
        crowd[1][0].lost()
        newcomer, sink = rig.open()
        say(newcomer, op="subscribe", topics=["t/a"])
        crowd.append((newcomer, Client(sink)))
        for _ in range(3):
            rig.clock.turn()
        rig.publish("t/a")
        for _ in range(4):
            rig.clock.turn()
        for index, (_, client) in enumerate(crowd):
            client.read()
            if index != 1:
                assert client.data["t/a"][-2:] == [2, 3], index
                assert client.data["t/a"].count(2) == 1

    def test_short_in_a_slice(self) -> None:
        """A member whose socket is full falls behind in a sliced flush too."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        crowd = self.crowd(rig)
        crowd[7][1].sink.room = 10
        rig.publish("t/a")
        rig.clock.turn()
        rig.clock.turn()
        assert crowd[7][0].subscriber.pace is Pace.LAGGING
        crowd[7][1].sink.read(1 << 30)
        crowd[7][1].read()
        assert crowd[7][1].data["t/a"] == [1, 2]

    def test_notice_for_one_who_leaves_mid_flush(self) -> None:
        """A state in the flush under way reaches a member that goes before its slice."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        crowd = self.crowd(rig)
        rig.hub.state(rig.hub.topic("t/a"), TopicState.RECONNECTING)
        rig.clock.turn()
        session, client = crowd[-1]
        say(session, op="subscribe", topics=["t/b"])
        client.read()
        assert client.states["t/a"] == "reconnecting"


class RestTests:
    """What a member keeps of a flush that it did not take."""

    def test_bounded(self) -> None:
        """The rest of the frame that was cut, further whole ones up to the bound, and no more."""
        rig = Rig(route("t/$n", delivery(history_count=10_000, history_bytes=1 << 30)))
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        sink.room = 100
        for _ in range(100):
            rig.publish("t/a", b'"' + b"x" * 5000 + b'"')
        rig.clock.turn()
        assert 0 < sink.most_buffered <= MAX_REST_BYTES
        client = Client(sink)
        sink.read(1 << 30)
        for _ in range(50):
            rig.clock.turn()
        client.read()
        assert client.data["t/a"] == list(range(1, 101))

    def test_one_long_publication(self) -> None:
        """Longer than the bound: kept whole, since half a frame is no frame."""
        rig = Rig(route("t/$n", delivery(history_bytes=1 << 30)))
        rig.publish("t/a")
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        sink.room = 10
        rig.publish("t/a", b'"' + b"x" * 200_000 + b'"')
        rig.publish("t/a")
        rig.clock.turn()
        assert 200_000 < sink.most_buffered < 201_000
        sink.read(1 << 30)
        client = Client(sink)
        client.read()
        assert client.data["t/a"] == [1, 2, 3]

    def test_notices_are_not_dropped(self) -> None:
        """A state beyond the rest goes by the control lane."""
        rig = Rig(route("t/$n", delivery(history_bytes=1 << 30)))
        rig.publish("t/a")
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        sink.room = 0
        rig.publish("t/a", b'"' + b"x" * 70_000 + b'"')
        rig.hub.state(rig.hub.topic("t/a"), TopicState.STALE)
        rig.clock.turn()
        client = Client(sink)
        sink.read(1 << 30)
        client.read()
        assert client.states["t/a"] == "stale"

    def test_a_notice_that_came_meanwhile(self) -> None:
        """A state between two slices, of which the later one is not taken: it is the business of members, which this
        one is no more, and of no ring."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        clients = []
        for _ in range(SLICE_MEMBERS + 1):
            session, sink = rig.open()
            say(session, op="subscribe", topics=["t/a"])
            clients.append(Client(sink))
        rig.publish("t/a")
        rig.clock.turn()
        rig.hub.state(rig.hub.topic("t/a"), TopicState.STALE)
        clients[-1].sink.room = 10
        for _ in range(3):
            rig.clock.turn()
        clients[-1].sink.read(1 << 30)
        for client in clients:
            client.read()
            assert (client.data["t/a"], client.states["t/a"]) == ([1, 2], "stale")

    def test_nothing_is_encoded_for_nobody(self) -> None:
        """While all are behind it is left to the rings, whatever it is; who comes to read gets it from there."""
        rig = Rig(route("t/$n"))
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        stream, events = rig.stream("t/a", max_hz=1.0)
        sink.room = events.room = 0
        topic = rig.hub.topic("t/a")
        for _ in range(3):  # the first of each kind finds who does not take it
            rig.publish("t/a")
            rig.hub.gap(topic, 1, "upstream")
            rig.hub.state(topic, TopicState.STALE)
            rig.clock.advance(1.0)
            rig.clock.turn()
        delivered = rig.counters.delivered
        rig.publish("t/a")
        rig.hub.gap(topic, 1, "upstream")
        rig.clock.advance(1.0)
        rig.clock.turn()
        late = list(topic.ring.after(topic.ring.end - 3))
        assert len(late) == 2 and all(entry.frames is UNFRAMED for entry in late)
        assert rig.counters.delivered == delivered and stream is not None
        client = Client(sink)
        sink.room = 1 << 40
        sink.read(1 << 30)
        rig.clock.turn()
        client.read()
        assert client.data["t/a"] == [1, 3, 5, 7] and all(entry.frames is not UNFRAMED for entry in late)

    def test_all_are_behind(self) -> None:
        """The cohort stands aside: no publication is brought to it, but notices are. It is back with the first who has
        caught up, and with nobody it goes."""
        rig = Rig(route("t/$n"), route("u/$n"))
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a", "u/a"])
        client = Client(sink)
        topics = [rig.hub.topic("t/a"), rig.hub.topic("u/a")]
        sink.room = 0
        rig.publish("t/a")
        for _ in range(2):
            rig.clock.turn()
        rig.publish("u/a")
        rig.clock.turn()
        [cohort] = topics[0].aside
        assert [topic.cohorts for topic in topics] == [{}, {}] and list(topics[1].aside) == [cohort]
        for _ in range(3):
            rig.publish("u/a")
        rig.hub.state(topics[1], TopicState.STALE)
        assert not cohort.pending and cohort.reached == rig.hub.serial
        sink.room = 1 << 40
        sink.read(1 << 30)
        rig.clock.turn()
        client.read()
        assert client.data == {"t/a": [1], "u/a": [1, 2, 3, 4]} and client.states["u/a"] == "stale"
        assert not topics[0].aside and session.subscriber.pace is Pace.CURRENT
        rig.publish("t/a")
        rig.clock.turn()
        client.read()
        assert client.data["t/a"] == [1, 2]
        sink.room = 0
        for name in ("t/a", "u/a"):
            rig.publish(name)
            rig.clock.turn()
        assert topics[0].aside
        session.lost()
        assert not topics[0].aside and not topics[0].cohorts

    def test_those_behind_hear_notices_at_once(self) -> None:
        """Rings hold publications only."""
        rig = Rig(route("t/$n"))
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        sink.room = 0
        rig.publish("t/a")
        rig.clock.turn()
        rig.hub.state(rig.hub.topic("t/a"), TopicState.STALE)
        sink.read(1 << 30)
        client = Client(sink)
        client.read()
        assert client.states["t/a"] == "stale"


class PendingBoundTests:
    """MAX_PENDING_BYTES."""

    def test_hurries_past_the_hold(self) -> None:
        """A cohort that holds too much is flushed at the next turn, whatever the merge rule says."""
        rig = Rig(route("t/$n", delivery(history_bytes=1 << 30)))
        rig.publish("t/a")
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        cohort = cohort_of(rig, "t/a")
        cohort.not_before = rig.clock.now + 1000
        for _ in range(3):
            rig.publish("t/a", b'"' + b"x" * (MAX_PENDING_BYTES // 2) + b'"')
        rig.clock.turn()
        assert cohort.pending == []
        for _ in range(10):
            sink.read(1 << 30)
            rig.clock.advance(0.1)
        client = Client(sink)
        client.read()
        assert client.data["t/a"] == [1, 2, 3, 4]


class RawTests:
    """`/raw` readers have no place for a notice."""

    def test_payloads_alone(self) -> None:
        """States are not for them."""
        rig = Rig(route("t/$n"))
        _, sink = rig.open(raw="t/a")
        rig.publish("t/a", b"one")
        rig.hub.publish(rig.hub.topic("t/a"), b"\x00", False)
        rig.clock.turn()
        assert frames(sink.taken) == [(1, b"one"), (2, b"\x00")]

    def test_a_gap_closes(self) -> None:
        """What came before it is sent, then 4010."""
        rig = Rig(route("t/$n"))
        _, sink = rig.open(raw="t/a")
        rig.publish("t/a", b"one")
        rig.hub.gap(rig.hub.topic("t/a"), 1, "upstream")
        rig.publish("t/a", b"two")
        rig.clock.turn()
        assert frames(sink.taken) == [(1, b"one")]
        assert sink.closed is CLOSE_POSITION_LOST

    def test_a_gap_alone_closes(self) -> None:
        """Nothing to send, and still the end."""
        rig = Rig(route("t/$n"))
        _, sink = rig.open(raw="t/a")
        rig.hub.gap(rig.hub.topic("t/a"), 1, "upstream")
        rig.clock.turn()
        assert sink.closed is CLOSE_POSITION_LOST

    def test_conflated_routes_go_on(self) -> None:
        """Who asked for the newest only has lost nothing that it wanted."""
        rig = Rig(route("c/$n", delivery(Mode.CONFLATE)))
        _, sink = rig.open(raw="c/a")
        rig.hub.gap(rig.hub.topic("c/a"), 1, "upstream")
        rig.publish("c/a", b"two")
        rig.clock.turn()
        assert frames(sink.taken) == [(1, b"two")]
        assert sink.closed is None


class LevelTests:
    """Who joins a cohort that reads some topics at a rate."""

    def test_newcomer_to_a_busy_lane(self) -> None:
        """It gets what was flushed last, then the same as everybody; nothing twice."""
        rig = Rig(route("t/$n", delivery(max_hz=10)))
        first, _ = rig.open()
        say(first, op="subscribe", topics=["t/a"])
        for _ in range(10):
            rig.publish("t/a")
            rig.clock.advance(0.015)
        late, sink = rig.open()
        say(late, op="subscribe", topics=["t/a"])
        rig.clock.advance(1)
        client = Client(sink, lambda _: True)
        client.read()
        assert client.data["t/a"] == sorted(set(client.data["t/a"]))
        assert client.data["t/a"][-1] == 10

    def test_from_a_quicker_cohort(self) -> None:
        """Who has more than the lane has flushed waits for it."""
        rig = Rig(route("t/$n"))
        slow, _ = rig.open()
        say(slow, op="subscribe", topics=["t/a"], max_hz=1)
        quick, sink = rig.open()
        say(quick, op="subscribe", topics=["t/a"])
        for _ in range(5):
            rig.publish("t/a")
            rig.clock.advance(0.01)
        say(quick, op="subscribe", topics=["t/a"], max_hz=1)
        assert quick.subscriber.pace is Pace.WAITING
        rig.publish("t/a")
        rig.clock.advance(3)
        assert quick.subscriber.pace is Pace.CURRENT
        client = Client(sink, lambda _: True)
        client.read()
        assert client.data["t/a"] == [1, 2, 3, 4, 5, 6]

    def test_ahead_of_a_cohort_that_has_yet_to_flush(self) -> None:
        """Who comes with more than a cohort has flushed gets nothing twice."""
        rig = Rig(route("t/$n"))
        for _ in range(2):
            rig.publish("t/a")
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
        assert both.subscriber.pace is Pace.CURRENT
        client = Client(sink)
        client.read()
        assert client.data["t/a"] == [2, 3]

    def test_quiet_lane_takes_it_at_once(self) -> None:
        """A mark that the lane has passed over holds nobody up: nothing can come twice."""
        rig = Rig(route("t/$n"))
        slow, _ = rig.open()
        say(slow, op="subscribe", topics=["t/a"], max_hz=1)
        quick, _ = rig.open()
        say(quick, op="subscribe", topics=["t/a"])
        rig.hub.gap(rig.hub.topic("t/a"), 1, "upstream")
        rig.clock.turn()
        say(quick, op="subscribe", topics=["t/a"], max_hz=1)
        assert quick.subscriber.pace is Pace.CURRENT


class StreamTests:
    """Readers of event streams."""

    def test_flushed_alike(self) -> None:
        """One encoding for all; states among the publications, and ids only on what nothing overtakes."""
        rig = Rig(route("t/$n"), route("slow/$n", delivery(max_hz=1.0)))
        sinks = [rig.stream("t/a", "slow/a")[1] for _ in range(2)]
        rig.publish("t/a")
        rig.publish("slow/a")
        rig.clock.advance(2.0)
        first, second = (bytes(sink.taken) for sink in sinks)
        assert first == second
        assert b'\n\nid: e.1\ndata: {"topic":"t/a","offset":1' in first
        assert b'\n\ndata: {"topic":"slow/a","offset":1' in first
        assert b'data: {"op":"state","topic":"t/a","state":"live"}\n\n' in first


class NetTests:
    """What fails, and whom it reaches."""

    def test_goes_alone(self) -> None:
        """One member that fails while it falls behind is closed; the others have the publication."""
        places: list[str] = []
        rig = Rig(route("t/$n"), report=places.append)
        sinks = []
        for _ in range(10):
            session, sink = rig.open()
            say(session, op="subscribe", topics=["t/a"])
            sinks.append(sink)
        assert len(cohort_of(rig, "t/a").members) == 10
        check_who_fails_goes_alone(rig, "t/a", sinks)
        assert places == ["delivery"]

    def test_a_flush_that_fails(self) -> None:
        """All members are closed, those behind too, and nothing is kept of it; what comes next is flushed."""
        rig = Rig(route("t/$n"))
        sinks = []
        for room in (0, 1 << 40):
            session, sink = rig.open()
            say(session, op="subscribe", topics=["t/a"])
            sink.room = room
            sinks.append(sink)
        rig.publish("t/a", b"1")
        rig.clock.turn()
        rig.publish("t/a", b"2")
        cohort = cohort_of(rig, "t/a")
        assert (len(cohort.members), len(cohort.behind)) == (1, 1)
        cohort.fail()
        assert [sink.closed for sink in sinks] == [CLOSE_INTERNAL] * 2
        assert (cohort.pending, cohort.pending_bytes, cohort.flush) == ([], 0, None)
        flushes = rig.counters.flushes
        rig.clock.turn()
        assert rig.counters.flushes == flushes
        rig.publish("t/a", b"3")
        rig.clock.turn()
        assert rig.counters.flushes == flushes + 1
