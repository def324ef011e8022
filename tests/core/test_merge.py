"""Merges: what a relay that is behind has for each browser goes out by one send, with the same books."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Sequence

import pytest

from relayd.core import merge as module
from relayd.core.closecode import CLOSE_INTERNAL
from relayd.core.flusher import SLICE_MEMBERS
from relayd.core.merge import BYTES_MOST, LISTED_PER_TURN, PER_MEMBER
from relayd.core.publication import Encoding, TopicState
from relayd.core.routes import Mode
from relayd.core.subscriber import Pace
from tests.support.crowds import alive, calm, crowd_of, crowded, data, opened, said
from tests.support.hub_rig import FakeVolley, Rig, delivery, route, say

STALE, RECONNECTING = TopicState.STALE, TopicState.RECONNECTING


class MergeTests:
    """All that each cohort waits for."""

    def test_all_wait_for_several(self) -> None:
        """Then each gets them all by one send, in their order, all of these by one volley; and stays where it is."""
        volley = FakeVolley()
        rig = alive(volley)
        clients = crowded(rig, 3)
        flushes, delivered, fired = rig.counters.flushes, rig.counters.delivered, volley.fired
        numbers = [1, 2]
        for number in numbers:
            rig.publish("t/x", b"%d" % number)
        rig.clock.turn()
        assert [data(sink) for _, sink in clients] == [numbers] * 3
        assert (rig.counters.flushes - flushes, volley.fired - fired, crowd_of(rig, "t/x")) == (3, 1, 3)
        assert rig.counters.delivered - delivered == 3 * len(numbers)
        assert not rig.hub.topic("t/x").crowds[Encoding.V1].flushes

    @pytest.mark.parametrize("alike", [1, 2])
    @pytest.mark.parametrize("volley", [FakeVolley, lambda: None])
    def test_one_of_them_takes_a_part(self, alike: int, volley: Callable[[], FakeVolley | None]) -> None:
        """Of all that it waited for: it lags behind what it took, and its cohort's others have everything."""
        rig = alive(volley())
        clients = crowded(rig, 4, alike=alike)
        (slow, slow_sink), lagged, delivered = clients[0], rig.counters.lagged, rig.counters.delivered
        numbers = list(range(1, 6))
        for number in numbers:
            rig.publish("t/x", b"%d" % number)
        slow_sink.room = len(rig.hub.topic("t/x").ring.newest().frames[0] or b"") * 2 + 3
        rig.clock.turn()
        assert [data(sink) for _, sink in clients[1:]] == [numbers] * 3
        assert (slow.subscriber.pace, rig.counters.lagged - lagged) == (Pace.LAGGING, 1)
        assert rig.counters.delivered - delivered == 3 * len(numbers)
        slow_sink.read(1 << 30)
        rig.clock.advance(1)
        assert data(slow_sink) == numbers and slow.lost_messages == 0

    def test_a_merged_send_is_bounded(self) -> None:
        """What is more comes by the next."""
        rig = alive()
        clients = crowded(rig, 2)
        flushes, numbers = rig.counters.flushes, list(range(5))
        for number in numbers:
            rig.publish("t/x", b"%d%s" % (number, b" " * (BYTES_MOST // 3)))
        rig.clock.turn()
        assert [data(sink) for _, sink in clients] == [numbers] * 2
        assert rig.counters.flushes - flushes > 2

    def test_all_topics_at_once(self) -> None:
        """Such as the loss of a feed: nobody steps out, each is sent its own by one send, and a turn has its bound."""
        rig = Rig(route("t/$n"))
        names = [f"t/{n}" for n in range(50)]
        chosen = random.Random(1)
        clients = [opened(rig, *chosen.sample(names, 4)) for _ in range(2 * SLICE_MEMBERS)]
        for _ in range(4):
            for name in names:
                rig.publish(name, b"0")
            rig.clock.advance(1)
        cohorts = [session.subscriber.cohort for session, _ in clients]
        assert all(cohort is not None and cohort.crowds for cohort in cohorts)
        for _, sink in clients:
            sink.taken.clear()
        flushes = rig.counters.flushes
        for name in names:
            rig.hub.state(rig.hub.topic(name), RECONNECTING)
        assert all(cohort is not None and cohort.crowds for cohort in cohorts)
        served, counts = 0, []
        while served < len(clients):
            rig.clock.turn()
            now = sum(1 for _, sink in clients if sink.taken)
            counts.append(now - served)
            served = now
        assert max(counts) <= SLICE_MEMBERS and min(counts[:-1]) > SLICE_MEMBERS // 2
        assert [said(sink) for _, sink in clients] == [["reconnecting"] * 4] * len(clients)
        different = len({id(cohort) for cohort in cohorts})
        rig.clock.advance(1)
        assert rig.counters.flushes - flushes == different
        assert not any(crowd.flushes for name in names for crowd in rig.hub.topic(name).crowds.values())

    def test_many_to_each(self) -> None:
        """What is sent at once takes room in a turn too."""
        rig = alive()
        clients = crowded(rig, SLICE_MEMBERS // 2)
        for number in range(4 * PER_MEMBER):
            rig.hub.state(rig.hub.topic("t/x"), STALE, f"{number}")
        for _ in range(1 + len(clients) * 4 * PER_MEMBER // LISTED_PER_TURN):
            assert not any(sink.taken for _, sink in clients)
            rig.clock.turn()
        assert sum(1 for _, sink in clients if sink.taken) == SLICE_MEMBERS // 5
        for _ in range(2):
            rig.clock.turn()
        assert [len(said(sink)) for _, sink in clients] == [4 * PER_MEMBER] * len(clients)

    def test_so_many_are_taken_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is more is merged by the next, so that no turn is spent on lists."""
        monkeypatch.setattr(module, "DELIVERIES_MOST", 7)
        rig = alive(FakeVolley())
        clients = crowded(rig, 3)
        flushes, numbers = rig.counters.flushes, [*range(6)]
        for number in numbers:
            rig.publish("t/x", b"%d" % number)
        rig.clock.turn()
        assert [data(sink) for _, sink in clients] == [numbers] * 3
        assert rig.counters.flushes - flushes == 9

    def test_lists_are_made_by_turns(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """So that no turn is as long as the list of a whole backlog; who steps out meanwhile gets it in another way."""
        monkeypatch.setattr(module, "LISTED_PER_TURN", 6)
        rig = alive(FakeVolley())
        clients = crowded(rig, 3)
        for number in (1, 2, 3):
            rig.publish("t/x", b"%d" % number)
        rig.clock.turn()
        assert not any(sink.taken for _, sink in clients)
        say(clients[1][0], op="unsubscribe", topics=["t/1"])
        for _ in range(3):
            rig.clock.turn()
        assert [data(sink) for _, sink in clients] == [[1, 2, 3]] * 3

    def test_a_gap_that_is_not_told(self) -> None:
        """Where the newest counts a gap has no bytes: who waits for gaps alone is sent nothing, and counts."""
        rig = Rig(route("t/$n", delivery(Mode.CONFLATE)), volley=FakeVolley())
        rig.publish("t/x", b"0")
        clients = crowded(rig, 3)
        sent, delivered = clients[0][0].sent_messages, rig.counters.delivered
        for _ in range(2):
            rig.hub.gap(rig.hub.topic("t/x"), None, "upstream")
        rig.clock.turn()
        assert not any(sink.taken for _, sink in clients)
        assert (clients[0][0].sent_messages - sent, rig.counters.delivered - delivered) == (2, 6)


class BetweenSlicesTests:
    """What happens to a cohort while a merge is under way."""

    @pytest.fixture
    def first_slice(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[Rig], None]:
        """A turn with room for two members."""

        def turn(rig: Rig) -> None:
            with monkeypatch.context() as patch:
                patch.setattr("relayd.core.flusher.SLICE_MEMBERS", 2)
                rig.clock.turn()

        return turn

    @pytest.mark.parametrize("served", [True, False])
    def test_one_steps_out(self, served: bool, first_slice: Callable[[Rig], None]) -> None:
        """It asks for another topic: it misses nothing and gets nothing twice, and its books are right."""
        rig = alive(FakeVolley())
        clients = crowded(rig, 5)
        for number in (1, 2, 3):
            rig.publish("t/x", b"%d" % number)
        first_slice(rig)
        assert [data(sink) for _, sink in clients] == [[1, 2, 3]] * 2 + [[]] * 3
        session, _ = clients[0 if served else -1]
        before = session.sent_messages
        say(session, op="subscribe", topics=["t/y"])
        rig.publish("t/x", b"4")
        for _ in range(6):
            rig.clock.advance(0.1)
        assert [data(one) for _, one in clients] == [[1, 2, 3, 4]] * 5
        assert session.sent_messages - before == (1 if served else 4)
        assert len({session.sent_messages for session, _ in clients}) == 1
        assert not rig.hub.topic("t/x").crowds[Encoding.V1].flushes

    def test_one_leaves(self, first_slice: Callable[[Rig], None]) -> None:
        """The others go on."""
        rig = alive(FakeVolley())
        clients = crowded(rig, 5)
        for number in (1, 2):
            rig.publish("t/x", b"%d" % number)
        first_slice(rig)
        clients[2][0].lost()
        for _ in range(3):
            rig.clock.turn()
        assert [data(sink) for _, sink in clients] == [[1, 2]] * 2 + [[]] + [[1, 2]] * 2

    def test_what_had_stepped_out_before(self) -> None:
        """One that got the first of them in another way gets the others by the merge, and none twice."""
        rig = alive(FakeVolley())
        clients = crowded(rig, 4)
        session, _ = clients[0]
        rig.publish("t/x", b"1")
        say(session, op="unsubscribe", topics=["t/0"])
        for number in (2, 3):
            rig.publish("t/x", b"%d" % number)
        for _ in range(4):
            rig.clock.turn()
        assert [data(one) for _, one in clients] == [[1, 2, 3]] * 4
        calm(rig, clients)
        assert crowd_of(rig, "t/x") == 4

    def test_a_slice_that_fails(self, first_slice: Callable[[Rig], None]) -> None:
        """Who was in it is closed, since nobody knows what it has; the others go on."""

        class Faulty(FakeVolley):
            def fire_each(self, ports: array[int], portions: Sequence[bytes]) -> list[int] | None:
                self.fails_at -= 1
                if not self.fails_at:
                    raise RuntimeError("no")
                return super().fire_each(ports, portions)

            fails_at = 0

        places: list[str] = []
        volley = Faulty()
        rig = alive(volley, places.append)
        clients = crowded(rig, 6)
        volley.fails_at = 2
        for number in (1, 2):
            rig.publish("t/x", b"%d" % number)
        for _ in range(4):
            first_slice(rig)
        assert [sink.closed for _, sink in clients] == [None] * 2 + [CLOSE_INTERNAL] * 2 + [None] * 2
        assert [data(sink) for _, sink in clients] == [[1, 2]] * 2 + [[]] * 2 + [[1, 2]] * 2
        assert places == ["flush"] and not rig.hub.topic("t/x").crowds[Encoding.V1].flushes
