"""When a cohort is flushed."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.core import crowd as crowds
from relayd.core import flusher as rule
from relayd.core.closecode import CLOSE_INTERNAL
from relayd.core.cohort import Cohort
from relayd.core.publication import Encoding
from relayd.core.subscriber import Subscriber
from tests.support.hub_rig import Client, FakeSink, Rig, delivery, route, say


def costly(monkeypatch: pytest.MonkeyPatch, rig: Rig, seconds: float) -> None:
    """Make each flush cost so much time."""
    inner = Cohort.flush_slice

    def slow(cohort: Cohort, budget: int) -> int:
        offered = inner(cohort, budget)
        rig.clock.now += seconds
        return offered

    monkeypatch.setattr(Cohort, "flush_slice", slow)


def cohort_of_nine(rig: Rig) -> FakeSink:
    """More than may be in crowds, where nobody is held back. Returns the sink of one."""
    for _ in range(crowds.SMALL_MEMBERS + 1):
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
    return sink


class MergeRuleTests:
    """Latency first when idle, throughput first under load."""

    def test_idle_is_the_next_turn(self) -> None:
        """One message, one turn, no delay."""
        rig = Rig(route("t/$n"))
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        client = Client(sink)
        for expected in range(1, 5):
            rig.publish("t/a")
            assert rig.clock.waiting == 1
            rig.clock.turn()
            client.read()
            assert client.data["t/a"][-1] == expected

    def test_single_messages_are_never_held(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """However costly the flushes: only a flush of two or more delays the next."""
        rig = Rig(route("t/$n", stale_after_s=None))
        rig.publish("t/a")
        session, _ = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        costly(monkeypatch, rig, 0.01)
        [cohort] = rig.hub.topic("t/a").cohorts
        rig.publish("t/a")
        rig.clock.turn()
        assert cohort.not_before == 0.0

    def test_busy_waits_by_the_cost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """After a flush of two: HOLD_SHARE of the mean cost, at most HOLD_MAX_S."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        sink = cohort_of_nine(rig)
        costly(monkeypatch, rig, 0.01)
        rig.publish("t/a")
        rig.publish("t/a")
        rig.clock.turn()
        ended = rig.clock.now
        expected = rule.HOLD_SHARE * rule.EWMA_ALPHA * 0.01
        [cohort] = rig.hub.topic("t/a").cohorts
        assert abs(cohort.not_before - ended - expected) < 1e-9
        rig.publish("t/a")
        rig.clock.turn()
        client = Client(sink)
        client.read()
        assert client.data["t/a"][-1] == 3
        rig.clock.advance(expected + 1e-6)
        client.read()
        assert client.data["t/a"][-1] == 4

    def test_the_hold_is_capped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A second of flushing holds nobody for long."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        cohort_of_nine(rig)
        costly(monkeypatch, rig, 1.0)
        rig.publish("t/a")
        rig.publish("t/a")
        rig.clock.turn()
        [cohort] = rig.hub.topic("t/a").cohorts
        assert abs(cohort.not_before - rig.clock.now - rule.HOLD_MAX_S) < 1e-9

    def test_what_comes_during_a_flush_is_flushed_next(self) -> None:
        """A publication between two slices waits for the next flush, and gets one."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        clients = []
        for _ in range(rule.SLICE_MEMBERS + 10):
            session, sink = rig.open()
            say(session, op="subscribe", topics=["t/a"])
            clients.append(Client(sink))
        rig.publish("t/a")
        rig.clock.turn()
        rig.publish("t/a")
        rig.clock.turn()
        rig.clock.turn()
        for client in clients:
            client.read()
            assert client.data["t/a"] == [1, 2, 3]

    def test_later_timer_is_not_asked_twice(self) -> None:
        """Lanes of many rates: one call for the nearest, the next when it has fired."""
        rig = Rig(route("t/$n", delivery()))
        for hz in (1, 2, 4):
            session, _ = rig.open()
            say(session, op="subscribe", topics=["t/a"], max_hz=hz)
        for _ in range(3):
            rig.publish("t/a")
            rig.clock.advance(0.01)
        assert rig.clock.waiting <= 3
        rig.clock.advance(2)
        assert rig.clock.waiting == 0


    def test_a_turn_with_nothing_to_do(self) -> None:
        """A cohort that was hurried stands in line twice and is flushed once."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        rig.publish("t/a")
        [cohort] = rig.hub.topic("t/a").cohorts
        rig.hub.flusher.ready(cohort)
        rig.clock.turn()
        client = Client(sink)
        client.read()
        assert client.data["t/a"] == [1, 2]
        assert rig.counters.flushes == 1


class ChoresTests:
    """Lagging readers that give way."""

    def test_many_turns(self) -> None:
        """A long history to a quick reader takes several turns, and arrives whole."""
        rig = Rig(route("t/$n", delivery(history_count=2000, history_bytes=1 << 30)))
        for _ in range(100):
            rig.publish("t/a", b'"' + b"x" * 20_000 + b'"')
        session, sink = rig.open()
        epoch = rig.hub.topic("t/a").epoch
        say(session, op="subscribe", topics=["t/a"], since={"t/a": f"{epoch}:0"})
        client = Client(sink)
        client.read()
        assert 0 < len(client.data["t/a"]) < 100
        for _ in range(10):
            rig.clock.turn()
        client.read()
        assert client.data["t/a"] == list(range(1, 101))


class CrowdTests:
    """Publications to crowds stand among the cohorts."""

    def test_dense_and_sparse(self) -> None:
        """Where most wait for several, each gets them at once; where few do, each publication goes by itself."""
        rig = Rig(route("t/$n"))
        sinks = []
        for topics in (["t/a"], ["t/b"], ["t/a", "t/b"]):
            session, sink = rig.open()
            say(session, op="subscribe", topics=topics)
            sinks.append(sink)
        for _ in range(4):
            for topic in ("t/a", "t/b"):
                rig.publish(topic)
                rig.clock.turn()

        def publish(*topics: str) -> int:
            flushes = rig.counters.flushes
            for topic in topics:
                rig.publish(topic)
            rig.clock.turn()
            return rig.counters.flushes - flushes

        assert publish("t/a", "t/b") == 2  # four deliveries to three cohorts
        assert publish("t/a", "t/a") == 2  # four to two: each by itself
        assert len(rig.hub.topic("t/b").crowds) == 1
        for sink in sinks:
            client = Client(sink)
            client.read()  # nothing is missing, and nothing comes twice

    def test_a_merge_that_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who was being offered it is closed; the fault is told, and what comes later goes on."""
        places: list[str] = []
        rig = Rig(route("t/$n"), report=places.append)
        clients = [rig.open() for _ in range(3)]
        for number, (session, _) in enumerate(clients):
            say(session, op="subscribe", topics=["t/a", f"t/{number}"])
        for _ in range(4):
            rig.publish("t/a")
            rig.clock.turn()

        def fail_once(*rest: Any) -> Any:
            monkeypatch.undo()
            raise RuntimeError("no")

        monkeypatch.setattr("relayd.core.merge.offer", fail_once)
        rig.publish("t/a")
        rig.publish("t/a")
        rig.clock.turn()
        assert places == ["flush"]
        assert [sink.closed for _, sink in clients] == [CLOSE_INTERNAL, None, None]
        for _, sink in clients[1:]:
            Client(sink).read()
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        rig.publish("t/a")
        rig.clock.advance(1)
        Client(sink).read()

    def test_a_block_is_not_cut(self) -> None:
        """One that is larger than what is left of the turn is left to the next."""
        rig = Rig(route("t/$n"))
        self.readers(rig, "t/a", 1)
        self.readers(rig, "t/b", rule.SLICE_MEMBERS + 1)
        for topic in ("t/a", "t/b") * 3:
            rig.publish(topic)
            rig.clock.advance(1)
        before = rig.counters.delivered
        rig.publish("t/a")
        rig.publish("t/b")
        rig.clock.turn()
        assert rig.counters.delivered - before == 1
        rig.clock.turn()
        assert rig.counters.delivered - before == 1 + rule.SLICE_MEMBERS
        rig.clock.turn()
        assert rig.counters.delivered - before == 1 + rule.SLICE_MEMBERS + 1

    def readers(self, rig: Rig, topic: str, count: int) -> None:
        """Cohorts of one that read it."""
        for number in range(count):
            session, _ = rig.open()
            say(session, op="subscribe", topics=[topic, f"{topic}{number}"])


class NetTests:
    """An exception on behalf of one cohort or one reader reaches nobody else."""

    def reader(self, rig: Rig, topic: str) -> Client:
        session, sink = rig.open()
        say(session, op="subscribe", topics=[topic])
        return Client(sink)

    def test_a_flush_that_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its members are closed, since nobody knows what they have; the other cohort gets its publication."""
        places: list[str] = []
        rig = Rig(route("t/$n"), report=places.append)
        crowd = [self.reader(rig, "t/a") for _ in range(10)]
        other = self.reader(rig, "t/b")

        sound = Cohort.flush_slice

        def fail(cohort: Cohort, budget: int) -> int:
            if len(cohort.members) == 1:
                return sound(cohort, budget)
            raise RuntimeError("no")

        monkeypatch.setattr(Cohort, "flush_slice", fail)
        rig.publish("t/a")
        rig.publish("t/b")
        rig.clock.turn()
        other.read()
        assert other.data["t/b"] == [1]
        assert [client.sink.closed for client in crowd] == [CLOSE_INTERNAL] * 10
        assert places == ["flush"]

    def test_a_crowd_flush_that_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its members are closed; the next crowd has its turn."""
        places: list[str] = []
        rig = Rig(route("t/$n"), report=places.append)
        first, second = self.reader(rig, "t/a"), self.reader(rig, "t/b")
        for topic in ("t/a", "t/b"):  # the state comes with the first, so the second is the first by itself
            for _ in range(2):
                rig.publish(topic)
                rig.clock.turn()
        sound = crowds.offer

        def fail_once(*rest: Any) -> Any:
            monkeypatch.setattr(crowds, "offer", sound)
            raise RuntimeError("no")

        monkeypatch.setattr(crowds, "offer", fail_once)
        rig.publish("t/a")
        rig.publish("t/b")
        rig.clock.turn()
        second.read()
        assert second.data["t/b"] == [1, 2, 3]
        assert first.sink.closed is CLOSE_INTERNAL
        assert places == ["flush"]

    def test_a_beat_that_fails(self) -> None:
        """The next one has its time."""
        places: list[str] = []
        rig = Rig(route("t/$n"), report=places.append)
        beats: list[float] = []

        class Faulty:
            def beat(self, now: float) -> None:
                raise RuntimeError("no")

        class Sound:
            def beat(self, now: float) -> None:
                beats.append(now)

        rig.hub.flusher.at(rig.clock() + 1, Faulty())
        rig.hub.flusher.at(rig.clock() + 1, Sound())
        rig.clock.advance(1)
        assert len(beats) == 1
        assert places == ["flush"]

    def test_catching_up_that_fails(self) -> None:
        """It is closed."""
        places: list[str] = []
        rig = Rig(route("t/$n"), report=places.append)
        client = self.reader(rig, "t/a")

        class Faulty:
            subscriber = Subscriber(client.sink, Encoding.V1)

            def produce(self) -> None:
                raise RuntimeError("no")

        rig.hub.flusher.defer(Faulty())
        rig.clock.turn()
        assert client.sink.closed is CLOSE_INTERNAL
        assert places == ["catching_up"]
