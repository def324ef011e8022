"""Small cohorts flushed together: the same bytes, the same books, as each by itself."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from relayd.core.cohort import SMALL_MEMBERS
from relayd.core.downstream import DownstreamSession
from relayd.core.mishap import Report, let_it_out
from relayd.core.subscriber import Pace
from tests.support.hub_rig import FakeSink, FakeVolley, Rig, check_who_fails_goes_alone, frames, route, say


def opened(rig: Rig, *topics: str, room: int = 1 << 40) -> tuple[DownstreamSession, FakeSink]:
    """A client of these topics that has read its answers."""
    session, sink = rig.open()
    say(session, op="subscribe", topics=list(topics))
    rig.clock.turn()
    sink.taken.clear()
    sink.room = room
    return session, sink


def data(sink: FakeSink) -> list[object]:
    """The payloads it got, in order."""
    said = [json.loads(text) for _, text in frames(bytearray(sink.taken))]
    return [message["data"] for message in said if "op" not in message]


def alive(volley: FakeVolley | None = None, report: Report = let_it_out) -> Rig:
    """A rig whose topic `t/x` has spoken, so that nothing but publications follows."""
    rig = Rig(route("t/$n"), volley=volley, report=report)
    rig.publish("t/x", b"0")
    rig.clock.turn()
    return rig


class GatheredTests:
    """One publication to many cohorts of one."""

    def test_one_volley(self) -> None:
        """Everybody gets it, by one call of the kernel and counted as one flush."""
        volley = FakeVolley()
        rig = alive(volley)
        clients = [opened(rig, "t/x", f"t/{n}") for n in range(5)]
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
        slow, slow_sink = opened(rig, "t/x", "t/1", room=10)
        quick, quick_sink = opened(rig, "t/x", "t/2")
        for number in (1, 2, 3):
            rig.publish("t/x", b"%d" % number)
            rig.clock.turn()
        assert data(quick_sink) == [1, 2, 3] and rig.counters.lagged == 1
        slow_sink.read(1 << 30)
        rig.clock.turn()
        assert data(slow_sink) == [1, 2, 3] and slow.lost_messages == quick.lost_messages == 0

    def test_different_publications(self) -> None:
        """Each is flushed by itself, in the order in which they came."""
        rig = alive()
        rig.publish("t/y", b"0")
        rig.clock.turn()
        _, one = opened(rig, "t/x")
        _, two = opened(rig, "t/y")
        rig.publish("t/x", b"1")
        rig.publish("t/y", b"2")
        rig.clock.turn()
        assert (data(one), data(two)) == ([1], [2])

    def test_two_entries(self) -> None:
        """A cohort that has more to say takes the long way, those beside it do not mind."""
        rig = alive()
        _, both = opened(rig, "t/x", "t/y")
        _, one = opened(rig, "t/x", "t/z")
        rig.publish("t/y", b"0")
        rig.publish("t/x", b"1")
        rig.clock.turn()
        rig.clock.turn()
        assert (data(both), data(one)) == ([0, 1], [1])

    def test_large_cohort_between(self) -> None:
        """It ends the row; what stands behind it makes another."""
        rig = alive()
        before = [opened(rig, "t/x", f"t/{n}") for n in range(3)]
        many = [opened(rig, "t/x") for _ in range(SMALL_MEMBERS + 1)]
        after = [opened(rig, "t/x", f"t/{n}") for n in range(3, 6)]
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
        clients = [opened(rig, "t/x", f"t/{n}") for n in range(600)]
        rig.publish("t/x", b"1")
        rig.clock.turn()
        got = sum(1 for _, sink in clients if sink.taken)
        assert 500 <= got < 600
        rig.clock.turn()
        assert [data(sink) for _, sink in clients] == [[1]] * 600

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
        clients = [opened(rig, "t/x", f"t/{n // 2}") for n in range(readers)]
        number = 0
        for count in turns:
            for _ in range(count):
                number += 1
                rig.publish("t/x", b"%d" % number)
            rig.clock.advance(0.001)
        rig.clock.advance(1)
        assert [data(sink) for _, sink in clients] == [list(range(1, number + 1))] * readers


class NetTests:
    """One member that fails while it falls behind."""

    def test_goes_alone(self) -> None:
        """It is closed; the others have the publication, all by one flush."""
        places: list[str] = []
        rig = alive(report=places.append)
        sinks = [opened(rig, "t/x", f"t/{number}")[1] for number in range(5)]
        flushes = rig.counters.flushes
        check_who_fails_goes_alone(rig, "t/x", sinks)
        assert (places, rig.counters.flushes - flushes) == (["delivery"], 1)
