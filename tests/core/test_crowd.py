"""Small cohorts flushed together: the same bytes, the same books, as each by itself."""

from __future__ import annotations

import json
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.closecode import CLOSE_INTERNAL, CLOSE_POSITION_LOST
from relayd.core.crowd import BLOCK_MEMBERS, SMALL_MEMBERS
from relayd.core.flusher import SLICE_MEMBERS
from relayd.core.publication import Encoding, TopicState
from relayd.core.routes import Mode
from relayd.core.subscriber import Pace
from tests.support.crowds import Opened, alive, calm, crowd_of, crowded, data, opened, said
from tests.support.hub_rig import FakeVolley, Rig, check_who_fails_goes_alone, delivery, frames, route, say

STALE, RECONNECTING = TopicState.STALE, TopicState.RECONNECTING


class CrowdTests:
    """One publication to many cohorts of one."""

    def test_one_volley(self) -> None:
        """Everybody gets it, by one call of the kernel and counted as one flush."""
        volley = FakeVolley()
        rig = alive(volley)
        clients = crowded(rig, 5)
        flushes, delivered, fired = rig.counters.flushes, rig.counters.delivered, volley.fired
        rig.publish("t/x", b"1")
        rig.clock.turn()
        assert [data(sink) for _, sink in clients] == [[1]] * 5
        assert (rig.counters.flushes - flushes, rig.counters.delivered - delivered) == (1, 5)
        assert volley.fired - fired == 1
        assert [session.sent_messages for session, _ in clients] == [clients[0][0].sent_messages] * 5

    def test_one_does_not_take_it_all(self) -> None:
        """It lags, the others do not, and it misses nothing."""
        rig = alive()
        slow, slow_sink = opened(rig, "t/x", "t/1")
        quick, quick_sink = opened(rig, "t/x", "t/2")
        calm(rig, [(slow, slow_sink), (quick, quick_sink)])
        lagged, slow_sink.room = rig.counters.lagged, 10
        for number in (1, 2, 3):
            rig.publish("t/x", b"%d" % number)
            rig.clock.turn()
        assert data(quick_sink) == [1, 2, 3] and rig.counters.lagged - lagged == 1
        assert crowd_of(rig, "t/x") == 1
        slow_sink.read(1 << 30)
        rig.clock.turn()
        assert data(slow_sink) == [1, 2, 3] and slow.lost_messages == quick.lost_messages == 0

    def test_different_publications(self) -> None:
        """Each is flushed by itself."""
        rig = alive()
        rig.publish("t/y", b"0")
        rig.clock.turn()
        (first, one), (second, two) = opened(rig, "t/x"), opened(rig, "t/y")
        calm(rig, [(first, one)])
        calm(rig, [(second, two)], "t/y")
        rig.publish("t/x", b"1")
        rig.publish("t/y", b"2")
        rig.clock.turn()
        assert (data(one), data(two)) == ([1], [2])

    def test_a_few_wait_for_both(self) -> None:
        """Where few of the cohorts have more than one to come, each publication is a volley, in their order."""
        rig = alive(FakeVolley())
        rig.publish("t/y", b"0")
        rig.clock.turn()
        of_x, of_y = ([opened(rig, f"t/{name}", f"t/{name}{n}") for n in range(4)] for name in "xy")
        both = opened(rig, "t/x", "t/y")
        calm(rig, [*of_x, both])
        calm(rig, of_y, "t/y")
        both[1].taken.clear()
        flushes = rig.counters.flushes
        rig.publish("t/y", b"0")
        rig.publish("t/x", b"1")
        rig.clock.turn()
        assert [data(sink) for _, sink in (both, *of_x, *of_y)] == [[0, 1], *[[1]] * 4, *[[0]] * 4]
        assert (rig.counters.flushes - flushes, crowd_of(rig, "t/x"), crowd_of(rig, "t/y")) == (2, 5, 5)

    def test_large_cohort_between(self) -> None:
        """It is flushed by itself."""
        rig = alive()
        before = [opened(rig, "t/x", f"t/{n}") for n in range(3)]
        many = [opened(rig, "t/x") for _ in range(SMALL_MEMBERS + 1)]
        after = [opened(rig, "t/x", f"t/{n}") for n in range(3, 6)]
        calm(rig, [*before, *after])
        for _, sink in many:
            sink.taken.clear()
        rig.publish("t/x", b"1")
        rig.clock.turn()
        assert [data(sink) for _, sink in (*before, *many, *after)] == [[1]] * (6 + len(many))

    def test_rate(self) -> None:
        """A topic read at a rate waits for its beat."""
        rig = alive()
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/x"], max_hz=1)
        rig.clock.advance(2)
        sink.taken.clear()
        for number in (1, 2, 3):
            rig.publish("t/x", b"%d" % number)
            rig.clock.turn()
        assert data(sink) == [1]
        rig.clock.advance(2)
        assert data(sink) == [1, 3]

    def test_more_than_a_slice(self) -> None:
        """The budget of a turn ends the row; the rest follows on the next turn."""
        rig = alive()
        assert BLOCK_MEMBERS == SLICE_MEMBERS
        clients = crowded(rig, 600)
        rig.publish("t/x", b"1")
        rig.clock.turn()
        assert sum(1 for _, sink in clients if sink.taken) == BLOCK_MEMBERS
        # One of each block goes its own way meanwhile, and the second block gets it when there is room for it whole.
        for session, _ in (clients[0], clients[-1]):
            say(session, op="unsubscribe", topics=["t/0", "t/599"])
        rig.clock.turn()
        assert [data(sink) for _, sink in clients] == [[1]] * 600
        rig.publish("t/x", b"2")
        rig.publish("t/1", b"3")
        rig.clock.turn()
        rig.clock.turn()
        assert [data(sink) for _, sink in clients] == [[1, 2], [1, 2, 3], *[[1, 2]] * 598]

    def test_a_block_waits_for_its_turn(self) -> None:
        """What a turn has no room for whole is left to the next."""
        rig = alive()
        clients = [opened(rig, "t/x", f"t/{n}") for n in range(BLOCK_MEMBERS)]
        other = opened(rig, "t/y")
        calm(rig, clients)
        rig.publish("t/y", b"0")
        rig.clock.turn()
        other[1].taken.clear()
        rig.publish("t/y", b"1")
        rig.publish("t/x", b"2")
        rig.clock.turn()
        assert data(other[1]) == [1] and not any(sink.taken for _, sink in clients)
        rig.clock.turn()
        assert [data(sink) for _, sink in clients] == [[2]] * BLOCK_MEMBERS

    def test_one_waits_to_join(self) -> None:
        """Who came from a cohort that was further on joins after the flush, and gets nothing twice."""
        rig = alive()
        session, sink = opened(rig, "t/x", "t/y")
        _, other = opened(rig, "t/x")
        rig.publish("t/x", b"1")
        say(session, op="unsubscribe", topics=["t/y"])
        rig.publish("t/x", b"2")
        rig.clock.turn()
        rig.publish("t/x", b"3")
        rig.clock.turn()
        rig.clock.turn()
        assert data(sink) == data(other) == [1, 2, 3]

    def test_one_waits_for_this_flush(self) -> None:
        """Who had more than its new cohort joins it once that has been flushed with the others."""
        rig = alive()
        both, sink = opened(rig, "t/x", "t/y")
        one, other = opened(rig, "t/x")
        assert one.subscriber.cohort is not None
        one.subscriber.cohort.not_before = rig.clock() + 0.01
        rig.publish("t/x", b"1")
        rig.clock.turn()
        say(both, op="unsubscribe", topics=["t/y"])
        assert (both.subscriber.pace, data(sink), data(other)) == (Pace.WAITING, [1], [])
        rig.clock.advance(0.1)
        assert (both.subscriber.pace, data(sink), data(other)) == (Pace.CURRENT, [1], [1])
        rig.publish("t/x", b"2")
        rig.clock.turn()
        assert data(sink) == data(other) == [1, 2]

    @given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(1, 12), st.booleans())
    def test_as_each_by_itself(self, turns: list[int], readers: int, at_once: bool) -> None:
        """Whatever is published between two turns, everybody gets all of it once and in order."""
        rig = alive(FakeVolley() if at_once else None)
        clients = crowded(rig, readers, alike=2)
        number = 0
        for count in turns:
            for _ in range(count):
                number += 1
                rig.publish("t/x", b"%d" % number)
            rig.clock.advance(0.001)
        rig.clock.advance(1)
        assert [data(sink) for _, sink in clients] == [list(range(1, number + 1))] * readers


class NoticeTests:
    """What is no publication goes the same way."""

    def test_one_volley(self) -> None:
        """A state, a gap: each one call of the kernel, counted for everybody, and nobody leaves the crowd."""
        volley = FakeVolley()
        rig = alive(volley)
        clients = crowded(rig, 5)
        topic = rig.hub.topic("t/x")
        sent = [session.sent_messages for session, _ in clients]
        for number, give in enumerate((lambda: rig.hub.state(topic, STALE), lambda: rig.hub.gap(topic, 2, "upstream"))):
            flushes, delivered, fired = rig.counters.flushes, rig.counters.delivered, volley.fired
            give()
            assert [session.sent_messages for session, _ in clients] == [count + number for count in sent]
            rig.clock.turn()
            assert (rig.counters.flushes - flushes, rig.counters.delivered - delivered) == (1, 5)
            assert (volley.fired - fired, crowd_of(rig, "t/x")) == (1, 5)
        assert [said(sink) for _, sink in clients] == [["stale", "lost"]] * 5
        assert [session.sent_messages for session, _ in clients] == [count + 2 for count in sent]

    def test_in_place(self) -> None:
        """Between the publications that it was given between, of whatever topic, however they are sent."""
        for count in (1, 4):
            rig = alive()
            clients = [opened(rig, "t/x", "t/y") for _ in range(2)]
            rig.publish("t/y", b"0")
            calm(rig, clients)
            for number in range(count):
                rig.hub.state(rig.hub.topic("t/y"), STALE, f"{number}")
                rig.hub.state(rig.hub.topic("t/x"), STALE, f"{number}")
                rig.publish("t/x", b"%d" % number)
            rig.clock.turn()
            expected = [word for number in range(count) for word in ("stale", "stale", "live", number)]
            assert [said(sink) for _, sink in clients] == [expected] * 2

    def test_who_falls_behind(self) -> None:
        """It hears at once what was still to come: no ring holds it."""
        rig = alive()
        slow, quick, *_ = crowded(rig, 5)
        slow[1].room = 10
        rig.publish("t/x", b"1")
        rig.hub.state(rig.hub.topic("t/x"), STALE)
        rig.clock.turn()
        assert slow[0].subscriber.pace is Pace.LAGGING
        slow[1].read(1 << 30)
        rig.clock.turn()
        assert said(slow[1]) == said(quick[1]) == [1, "stale"]

    def test_who_comes_meanwhile(self) -> None:
        """It is told the state by the answer, and once more with the others of its cohort."""
        rig = alive()
        clients = crowded(rig, 2)
        rig.hub.state(rig.hub.topic("t/x"), STALE)
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/x", "t/0"])
        rig.clock.turn()
        assert [said(other) for _, other in clients] == [["stale"]] * 2
        answer = next(message for _, text in frames(bytearray(sink.taken)) if "topics" in (message := json.loads(text)))
        assert answer["topics"]["t/x"]["state"] == "stale" and said(sink)[-1] == "stale"
        assert crowd_of(rig, "t/x") == 2

    def test_raw(self) -> None:
        """It has no place for a state, and is closed for a gap."""
        rig = alive()
        reader = rig.open(raw="t/x")
        rig.publish("t/x", b"1")
        rig.clock.turn()
        rig.publish("t/x", b"2")
        rig.clock.turn()
        assert crowd_of(rig, "t/x") == 1
        taken, flushes = len(reader[1].taken), rig.counters.flushes
        rig.hub.state(rig.hub.topic("t/x"), STALE)
        rig.clock.turn()
        assert (len(reader[1].taken), rig.counters.flushes) == (taken, flushes)
        rig.hub.gap(rig.hub.topic("t/x"), None, "upstream")
        assert crowd_of(rig, "t/x") == 0
        rig.clock.turn()
        assert reader[1].closed is CLOSE_POSITION_LOST

    def test_a_gap_where_the_newest_counts(self) -> None:
        """The jump in offsets tells it: nobody is sent anything, and it counts as by itself."""
        rig = Rig(route("t/$n", delivery(Mode.CONFLATE)), volley=FakeVolley())
        rig.publish("t/x", b"0")
        clients = crowded(rig, 3)
        sent, delivered = clients[0][0].sent_messages, rig.counters.delivered
        rig.hub.gap(rig.hub.topic("t/x"), None, "upstream")
        rig.clock.turn()
        assert not any(sink.taken for _, sink in clients)
        assert (clients[0][0].sent_messages - sent, rig.counters.delivered - delivered) == (1, 3)


class StepOutTests:
    """What concerns one cohort between a publication and its flush."""

    def pair(self, volley: FakeVolley | None = None) -> tuple[Rig, Opened, Opened]:
        """Two cohorts in the crowd of `t/x`, to which a publication is under way."""
        rig = alive(volley)
        rig.publish("t/2", b"0")
        one, two = opened(rig, "t/x", "t/1"), opened(rig, "t/x", "t/2")
        calm(rig, [one, two])
        rig.publish("t/x", b"1")
        return rig, one, two

    def test_books_before_and_after(self) -> None:
        """What is under way counts as sent once it is."""
        rig, (session, _), _ = self.pair()
        rig.publish("t/2", b"2")  # not for the first
        before = session.subscriber.totals()
        rig.clock.turn()
        frame_bytes = len(rig.hub.topic("t/x").ring.newest().frames[0] or b"")
        assert session.subscriber.totals() == (before[0] + 1, before[1] + frame_bytes)
        say(session, op="unsubscribe", topics=["t/x", "t/1"])
        assert session.subscriber.totals() == (before[0] + 1, before[1] + frame_bytes)

    def test_a_newcomer_to_the_cohort(self) -> None:
        """It has the publication from the ring, the others by their flush, nobody twice."""
        rig, (_, sink), (_, other) = self.pair()
        late = opened(rig, "t/x", "t/1")
        rig.publish("t/x", b"2")
        rig.clock.turn()
        rig.clock.turn()
        assert (data(sink), data(other), data(late[1])) == ([1, 2], [1, 2], [2])
        assert crowd_of(rig, "t/x") == 2

    @pytest.mark.parametrize("gone", [False, True])
    def test_one_leaves(self, gone: bool) -> None:
        """Its topics or the relay: the other one does not notice."""
        rig, (session, sink), (_, other) = self.pair()
        if gone:
            session.lost()
        else:
            say(session, op="unsubscribe", topics=["t/1"])
        rig.clock.turn()
        assert data(other) == [1] and data(sink) == ([] if gone else [1])

    def test_the_last_one_leaves(self) -> None:
        """There is no crowd then, and nobody is sent anything."""
        rig, (one, _), (two, _) = self.pair()
        delivered = rig.counters.delivered
        one.lost()
        two.lost()
        rig.clock.turn()
        topic = rig.hub.topic("t/x")
        assert (topic.crowds, topic.cohorts, rig.counters.delivered) == ({}, {}, delivered)

    def test_something_is_buffered(self) -> None:
        """A port that is no longer valid is not fired; the bytes follow what is buffered."""
        rig, (session, sink), (_, other) = self.pair(FakeVolley())
        sink.room = 0
        session.subscriber.tell(b'{"op":"pong"}')
        rig.clock.turn()
        assert (data(sink), data(other), session.subscriber.pace) == ([], [1], Pace.LAGGING)
        sink.read(1 << 30)
        assert data(sink) == [1]

    def test_notice_and_gap(self) -> None:
        """They keep their place among the publications, for everybody."""
        rig, (_, sink), (_, other) = self.pair()
        rig.hub.gap(rig.hub.topic("t/x"), 3, "upstream")
        rig.publish("t/x", b"2")
        rig.clock.turn()
        assert said(sink) == [1, "lost", 2]
        assert sink.taken == other.taken

    def test_out_and_in_while_it_stands(self) -> None:
        """One that has stepped in again is not sent what it got by itself, and steps out again with nothing pending."""
        rig = alive()
        clients = crowded(rig, BLOCK_MEMBERS + 1)
        cohort = clients[-1][0].subscriber.cohort
        assert cohort is not None
        rig.publish("t/x", b"1")
        rig.clock.turn()
        [flush] = rig.hub.topic("t/x").crowds[Encoding.V1].flushes
        assert flush.is_for(cohort)
        cohort.step_out()
        cohort.flush_slice(1)
        cohort.scheduled = False
        assert cohort.crowds and not flush.is_for(cohort)
        cohort.step_out()
        assert not cohort.pending
        rig.publish("t/x", b"2")
        rig.clock.advance(1)
        assert [data(sink) for _, sink in clients] == [[1, 2]] * len(clients)

    def test_a_block_that_is_left_by_all(self) -> None:
        """It is passed over, and nothing is fired for it."""
        volley = FakeVolley()
        rig = alive(volley)
        clients = crowded(rig, BLOCK_MEMBERS + 2)
        rig.publish("t/x", b"1")
        for session, _ in clients[:BLOCK_MEMBERS]:
            say(session, op="unsubscribe", topics=["t/x"])
        fired = volley.fired
        rig.clock.turn()
        assert [data(sink) for _, sink in clients[-2:]] == [[1]] * 2 and volley.fired - fired == 1


class NetTests:
    """One member that fails while it falls behind."""

    def test_goes_alone(self) -> None:
        """It is closed; the others have the publication, all by one flush."""
        places: list[str] = []
        rig = alive(report=places.append)
        clients = crowded(rig, 5)
        sinks = [sink for _, sink in clients]
        flushes = rig.counters.flushes
        check_who_fails_goes_alone(rig, "t/x", sinks)
        assert (places, rig.counters.flushes - flushes) == (["delivery"], 1)

    def test_a_block_that_fails(self) -> None:
        """Who was in it is closed, since nobody knows what it has; who stepped out before and other blocks go on."""

        class Faulty(FakeVolley):
            def fire(self, ports: array[int], data: bytes) -> list[int] | None:
                if len(ports) == BLOCK_MEMBERS - 1:
                    raise RuntimeError("no")
                return super().fire(ports, data)

        places: list[str] = []
        rig = alive(Faulty(), places.append)
        clients = crowded(rig, BLOCK_MEMBERS + 3)
        rig.publish("t/x", b"1")
        say(clients[0][0], op="unsubscribe", topics=["t/0"])
        rig.clock.turn()
        rig.clock.turn()
        closed = [sink.closed for _, sink in clients]
        assert closed == [None, *[CLOSE_INTERNAL] * (BLOCK_MEMBERS - 1), None, None, None]
        assert [data(sink) for _, sink in (clients[0], *clients[-3:])] == [[1]] * 4
        assert places == ["flush"]
