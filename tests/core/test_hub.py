"""Publishing, topics, time."""

from __future__ import annotations

import gc
from dataclasses import replace

import pytest

from relayd.core.closecode import CLOSE_POSITION_LOST
from relayd.core.conflation import key_reader
from relayd.core.feed.path import parse_path
from relayd.core.hub import EMPTY_LOCAL_S
from relayd.core.publication import RETAINED_OVERHEAD_BYTES, SHARED_BYTES, Publication, TopicState
from relayd.core.routes import AllowValues, Mode, TopicRefused
from relayd.core.topic import TopicPattern
from relayd.core.topics import Topic
from tests.support.hub_rig import Client, Rig, delivery, route, say


class PublishTests:
    """The way of a message."""

    def test_numbers(self) -> None:
        """An offset per topic, a serial per hub."""
        rig = Rig(route("t/$n"))
        for name in ("t/a", "t/b", "t/a"):
            rig.publish(name)
        newest = rig.hub.topic("t/a").ring.newest()
        assert newest is not None
        assert (newest.offset, newest.serial) == (2, 3)
        assert (rig.counters.publications, rig.counters.payload_bytes) == (3, 3)

    def test_what_is_json(self) -> None:
        """Where whoever publishes knows it; else nobody does."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        rig.publish("t/a", is_json=True)
        assert [entry.is_json for entry in rig.hub.topic("t/a").ring.after(0) if isinstance(entry, Publication)] == [
            False,
            True,
        ]

    def test_crowds(self) -> None:
        """A publication, a state, a gap: each is one flush for a whole crowd, and nobody leaves it."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        clients = []
        for name in ("t/b", "t/c"):
            session, sink = rig.open()
            say(session, op="subscribe", topics=["t/a", name])
            clients.append(Client(sink))
        topic = rig.hub.topic("t/a")
        for _ in range(4):
            rig.publish("t/a")
            rig.clock.turn()
        for give in (
            lambda: rig.publish("t/a"),
            lambda: rig.hub.state(topic, TopicState.STALE),
            lambda: rig.hub.gap(topic, 2, "upstream"),
        ):
            flushes = rig.counters.flushes
            give()
            rig.clock.turn()
            assert (len(topic.crowds), len(topic.cohorts), rig.counters.flushes - flushes) == (1, 0, 1)
        rig.publish("t/a")
        rig.clock.turn()
        for client in clients:
            client.read()
            assert client.data["t/a"] == [1, 2, 3, 4, 5, 6, 8] and client.lost["t/a"] == 2
            said = [message.get("state", message.get("op", "data")) for message in client.messages[-5:]]
            assert said == ["data", "stale", "lost", "live", "data"]

    def test_a_gap_that_closes_a_crowd(self) -> None:
        """`/raw` readers have no place for it, and none for a state: the others of the topic have both."""
        rig = Rig(route("t/$n"))
        topic = rig.hub.topic("t/a")
        rig.publish("t/a")
        _, raw = rig.open(raw="t/a")
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        for _ in range(4):
            rig.publish("t/a")
            rig.clock.turn()
        assert len(topic.crowds) == 2
        taken = len(raw.taken)
        rig.hub.state(topic, TopicState.STALE)
        rig.clock.turn()
        assert len(topic.crowds) == 2 and len(raw.taken) == taken
        rig.hub.gap(topic, 2, "upstream")
        rig.clock.turn()
        client = Client(sink)
        client.read()
        assert raw.closed is CLOSE_POSITION_LOST and sink.closed is None
        assert (client.states["t/a"], client.lost["t/a"]) == ("stale", 2)

    def test_stamp_and_key(self) -> None:
        """Only where the route has them."""
        how = replace(delivery(Mode.CONFLATE, stamp=True), key_of=key_reader(parse_path("k")))
        rig = Rig(route("s/$n", how), route("t/$n"))
        rig.publish("s/a", b'{"k":"x"}')
        rig.publish("t/a", b'{"k":"x"}')
        [stamped] = rig.hub.topic("s/a").ring.after(0)
        [plain] = rig.hub.topic("t/a").ring.after(0)
        assert isinstance(stamped, Publication) and isinstance(plain, Publication)
        assert (stamped.at_ms, stamped.key) == (1_700_000_000_000, "x")
        assert (plain.at_ms, plain.key) == (None, None)

    def test_first_data_is_news(self) -> None:
        """Pending, then live, told in its place before the data."""
        rig = Rig(route("t/$n"))
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        rig.publish("t/a")
        rig.clock.turn()
        kinds = [(message.get("op"), message.get("state")) for message in Client(sink).read()]
        assert kinds == [("welcome", None), ("subscribed", None), ("state", "live"), (None, None)]

    def test_same_state_is_no_news(self) -> None:
        """Told once."""
        rig = Rig(route("t/$n"))
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        topic = rig.hub.topic("t/a")
        rig.hub.state(topic, TopicState.FAILED, "no such symbol")
        rig.hub.state(topic, TopicState.FAILED, "no such symbol")
        rig.clock.turn()
        assert [message["why"] for message in Client(sink).read() if message["op"] == "state"] == ["no such symbol"]

    def test_gap(self) -> None:
        """One offset in its place, counted."""
        rig = Rig(route("t/$n"))
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        rig.publish("t/a")
        rig.hub.gap(rig.hub.topic("t/a"), 4, "upstream")
        rig.hub.gap(rig.hub.topic("t/a"), None, "upstream")
        rig.publish("t/a")
        rig.clock.turn()
        client = Client(sink)
        client.read()
        assert client.data["t/a"] == [1, 4]
        assert (client.lost["t/a"], client.unknown_loss) == (4, {"t/a"})
        assert (rig.counters.gaps, rig.counters.lost_upstream) == (2, 4)


class HoldTests:
    """A reader without a connection."""

    def test_waits_once(self) -> None:
        """It counts as demand, is called at the first data, and lets go once."""
        rig = Rig(route("t/$n"))
        hold = rig.hub.hold("t/a")
        assert (hold.snapshot(), rig.demand.wanted_topics) == ([], ["t/a"])
        called: list[int] = []
        hold.on_first(lambda: called.append(1))
        rig.publish("t/a")
        rig.publish("t/a")
        assert called == [1]
        assert [publication.offset for publication in hold.snapshot()] == [2]
        hold.release()
        hold.release()
        assert rig.demand.wanted_topics == []


    def test_one_that_fails(self) -> None:
        """Is reported; the others who wait, and the readers, have the publication."""
        places: list[str] = []
        rig = Rig(route("t/$n"), report=places.append)
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/a"])
        called: list[int] = []

        def fail() -> None:
            raise RuntimeError("no")

        for call in (fail, lambda: called.append(1)):
            rig.hub.hold("t/a").on_first(call)
        rig.publish("t/a")
        rig.clock.turn()
        assert (places, called) == (["waiter"], [1])
        client = Client(sink)
        client.read()
        assert client.data["t/a"] == [1]


class TopicsTests:
    """Which exist."""

    def test_bound(self) -> None:
        """limits.topics refuses what readers hold, and lets go of what nobody reads."""
        rig = Rig(route("t/$n"), topics=2)
        held = rig.hub.hold("t/a")
        rig.hub.hold("t/b")
        with pytest.raises(TopicRefused, match=r"limits\.topics"):
            rig.hub.topic("t/c")
        assert rig.counters.topics_refused == 1
        rig.publish("t/a")
        held.release()
        assert rig.hub.topic("t/c").name == "t/c"
        assert rig.counters.topics_dropped == 1
        assert sorted(topic.name for topic in rig.hub.names()) == ["t/b", "t/c"]

    def test_exclusive_topics_are_not_shared(self) -> None:
        """There is none for two: the refusal says where each has their own."""
        rig = Rig(route("t/$n", exclusive=True))
        with pytest.raises(TopicRefused, match=r"route t/\$n is exclusive: open /raw/t/a"):
            rig.hub.topic("t/a")
        assert not rig.hub.topics

    def test_local_topics_give_way(self) -> None:
        """Those that never held anything first, whoever read them last."""
        rig = Rig(route("t/$n", upstream=None), topics=2)
        rig.publish("t/a")
        rig.clock.advance(5)
        rig.hub.hold("t/b").release()
        rig.hub.topic("t/c")
        assert sorted(rig.hub.topics) == ["t/a", "t/c"]

    def test_empty_local_topics_go(self) -> None:
        """A minute after their last reader; what holds something stays, for whoever comes next."""
        rig = Rig(route("t/$n", upstream=None), route("u/$n"))
        held = rig.hub.hold("t/a")
        rig.hub.topic("t/b")
        rig.hub.topic("u/a")
        rig.publish("t/c")
        rig.clock.advance(EMPTY_LOCAL_S + 1)
        rig.hub.tick(rig.clock())
        assert sorted(rig.hub.topics) == ["t/a", "t/c", "u/a"]
        held.release()
        rig.clock.advance(EMPTY_LOCAL_S)
        rig.hub.tick(rig.clock())
        assert "t/a" in rig.hub.topics
        rig.clock.advance(1)
        rig.hub.tick(rig.clock())
        assert sorted(rig.hub.topics) == ["t/c", "u/a"]

    def test_local_topics_are_live(self) -> None:
        """From the start: nobody has to be asked."""
        rig = Rig(route("t/$n", upstream=None))
        assert rig.hub.topic("t/a").state is TopicState.LIVE
        assert rig.hub.topic("t/a").demand is None

    def test_resolve(self) -> None:
        """Of an upstream that pushes unasked: made as it comes, within the bound."""
        rig = Rig(route("t/$n"), topics=1)
        [topic] = rig.hub.resolve("up", {"n": "a"})
        assert topic is rig.hub.topic("t/a")
        assert rig.hub.resolve("up", {"n": "a"}) == (topic,)
        assert rig.hub.resolve("up", {"n": "b"}) == ()

    def test_resolve_remembers(self) -> None:
        """Not what is forgotten, not what was refused, and never more than there may be topics."""
        rig = Rig(route("t/$n"), topics=2)
        (first,) = rig.hub.resolve("up", {"n": "a"})
        assert rig.hub.resolve("up", {"n": "a"}) == rig.hub.resolve("up", {"n": "a", "other": "x"}) == (first,)
        rig.hub.forget(first)
        (again,) = rig.hub.resolve("up", {"n": "a"})
        assert again is not first
        for number in range(9):
            assert rig.hub.resolve("up", {"n": "a", "other": str(number)}) == (again,)
        session, _ = rig.open()
        say(session, op="subscribe", topics=["t/a", "t/b"])
        refused = rig.counters.topics_refused
        for _ in range(2):
            assert rig.hub.resolve("up", {"n": "c"}) == ()
        assert rig.counters.topics_refused == refused + 2

    def test_what_was_resolved_holds(self) -> None:
        """Until a topic is forgotten; what is refused holds for that message alone."""
        rig = Rig(route("t/$n"), topics=2)
        resolver = rig.hub.resolver("up")
        assert rig.hub.resolver("up") is resolver is not rig.hub.resolver("other")
        (first,) = resolver.find({"n": "a"})
        session, _ = rig.open()
        say(session, op="subscribe", topics=["t/b"])
        assert resolver.find({"n": "a"}) == (first,)
        eras = [resolver.era]
        rig.hub.forget(first)
        eras.append(resolver.era)
        say(session, op="subscribe", topics=["t/c"])
        for _ in range(2):
            assert resolver.find({"n": "a"}) == ()
            eras.append(resolver.era)
        assert len(set(eras)) == 4

    def test_time_of_arrival(self) -> None:
        """That of the read with which it came, else now."""
        rig = Rig(route("t/$n", upstream=None))
        topic = rig.hub.topic("t/a")
        rig.clock.advance(5.0)
        for at in (rig.clock.now - 1.5, None):
            rig.hub.publish(topic, b"1", True, at=at)
            newest = topic.ring.newest()
            assert newest is not None and newest.at == topic.last_at == (rig.clock.now if at is None else at)

    def test_names(self) -> None:
        """By pattern."""
        rig = Rig(route("t/$n"), route("u/$n"))
        for name in ("t/a", "u/a"):
            rig.hub.topic(name)
        assert [topic.name for topic in rig.hub.names(TopicPattern.parse("u/*"))] == ["u/a"]

    def test_forget(self) -> None:
        """A new topic of the same name has another epoch; the ring's bytes are given back."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        topic = rig.hub.topic("t/a")
        rig.hub.forget(topic)
        assert rig.hub.ring_bytes == 0
        assert rig.hub.topic("t/a").epoch != topic.epoch
        rig.hub.forget(topic)
        assert "t/a" in rig.hub.topics

    def test_what_was_forgotten_is_freed(self) -> None:
        """The collector does not see publications, which hold their topic: so it must not hold them."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        rig.hub.forget(rig.hub.topic("t/a"))
        gc.collect()
        assert not [one for one in gc.get_objects() if type(one) is Topic and one.hub is rig.hub]

    def test_forget_with_readers(self) -> None:
        """A pattern's readers stay, and are told that what follows does not join on."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a")
        session, sink = rig.open()
        say(session, op="subscribe", topics=["t/*"])
        rig.hub.forget(rig.hub.topic("t/a"))
        rig.clock.turn()
        client = Client(sink)
        client.read()
        assert client.states["t/a"] == "pending"
        assert client.unknown_loss == {"t/a"}

    def test_meet(self) -> None:
        """Topics are announced to who wants to know, until it does not."""
        rig = Rig(route("t/$n"))
        met: list[str] = []
        rig.hub.meet("me", lambda topic: met.append(topic.name))
        rig.hub.topic("t/a")
        rig.hub.meet("me", None)
        rig.hub.topic("t/b")
        assert met == ["t/a"]


class BytesTests:
    """limits.ring_bytes."""

    @pytest.mark.parametrize("size", [0, 3, 4095, 4096, 70_000])
    def test_a_publication_holds_more_than_its_payload(self, size: int) -> None:
        """An empty payload is not free. Those of usual sizes share the number."""
        rig = Rig(route("t/$n"))
        rig.publish("t/a", b"x" * size)
        rig.publish("t/a", b"y" * size)
        one, other = (entry.size for entry in rig.hub.topic("t/a").ring.after(0))
        assert one == other == RETAINED_OVERHEAD_BYTES + size
        assert (one is other) is (size < SHARED_BYTES)

    def test_the_largest_ring_gives_way(self) -> None:
        """All rings together stay within the bound."""
        rig = Rig(route("t/$n", delivery(history_bytes=1 << 30)), ring_bytes=100_000)
        rig.publish("t/small", b"1")
        for _ in range(100):
            rig.publish("t/large", b"x" * 5000)
            assert rig.hub.ring_bytes <= 100_000 + 6000
        assert rig.hub.ring_bytes == sum(topic.ring.bytes for topic in rig.hub.names())
        assert len(rig.hub.topic("t/small").ring) == 1
        assert rig.counters.rings_shrunk > 0


class TimeTests:
    """What a tick does."""

    def test_stale_and_back(self) -> None:
        """After the route's `stale_after`; the next message is live again."""
        rig = Rig(route("t/$n", stale_after_s=3.0), route("u/$n"))
        rig.publish("t/a")
        rig.publish("u/a")
        rig.hub.topic("t/b")
        topic = rig.hub.topic("t/a")
        rig.clock.advance(3)
        rig.hub.tick(rig.clock())
        assert topic.state is TopicState.LIVE
        rig.clock.advance(0.1)
        rig.hub.tick(rig.clock())
        assert topic.state is TopicState.STALE
        rig.hub.tick(rig.clock())
        rig.publish("t/a")
        assert topic.state is TopicState.LIVE
        assert rig.hub.topic("u/a").state is TopicState.LIVE
        assert rig.hub.topic("t/b").state is TopicState.PENDING

    def test_ages(self) -> None:
        """Old entries go without a new one coming, and the hub's sum knows."""
        rig = Rig(route("t/$n", delivery(history_age_s=10)))
        for _ in range(3):
            rig.publish("t/a")
        rig.clock.advance(60)
        rig.hub.tick(rig.clock())
        assert len(rig.hub.topic("t/a").ring) == 1
        assert rig.hub.ring_bytes == rig.hub.topic("t/a").ring.bytes


class RefreshTests:
    """A fresh snapshot."""

    def test_asked_of_the_demand(self) -> None:
        """And counted; without an upstream there is nobody to ask."""
        rig = Rig(route("d/$n", delivery(Mode.LOSSLESS, deltas=True), allow={"n": AllowValues(("a",))}))
        rig.hub.refresh(rig.hub.topic("d/a"))
        assert rig.demand.refreshed == ["d/a"]
        rig.hub.topic("d/a").demand = None
        rig.hub.refresh(rig.hub.topic("d/a"))
        assert rig.counters.snapshots_refreshed == 2


class PatternTests:
    """Which topics a pattern means."""

    def test_looked_at_by_their_fields(self) -> None:
        """Those of a template that the pattern says something of, and no others."""
        rig = Rig(route("m/$a/$b"), route("n/$a"))
        for name in ("m/x/1", "m/x/2", "m/y/1", "n/x"):
            rig.hub.topic(name)
        meant, tried = rig.hub.meant_by(TopicPattern.parse("m/x/*"))
        assert ([topic.name for topic in meant], tried) == (["m/x/1", "m/x/2"], 3)
        meant, tried = rig.hub.meant_by(TopicPattern.parse("m/**"))
        assert (len(meant), tried) == (3, 0)
