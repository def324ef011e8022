"""The fleet under random wants, losses, drains and time: where the topics are, and what the rings hold."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relayd.core.upstream.overlap import LISTEN_S
from tests.support.fleet import World

TOPICS = tuple("abcdefg")


class FleetMachine(RuleBasedStateMachine):
    """Each topic is on one link; no ring has a message twice, or a hole without a mark."""

    @initialize(
        most=st.sampled_from([None, 2, 3]),
        connections=st.sampled_from([None, 1, 2, 3]),
        numbered=st.booleans(),
        asked=st.sampled_from(["by message", "in the URL", "in the URL, from a point"]),
    )
    def begin(self, most: int | None, connections: int | None, numbered: bool, asked: str) -> None:
        self.world = World(
            topics_most=most, connections_most=connections, numbered=numbered, topics_in_url="URL" in asked,
            cursor="point" in asked, max_age_s=300.0,
        )  # fmt: skip
        self.wanted: set[str] = set()
        self.want(set("abc"))
        self.world.calm()
        self.world.publish(*"abc")
        self.world.calm()

    @rule(topics=st.sets(st.sampled_from(TOPICS), min_size=1))
    def want(self, topics: set[str]) -> None:
        self.wanted |= topics
        self.world.want(*sorted(topics))
        self.world.settle()

    @rule(topics=st.sets(st.sampled_from(TOPICS), min_size=1, max_size=3))
    def unwant(self, topics: set[str]) -> None:
        self.wanted -= topics
        self.world.unwant(*sorted(topics))
        self.world.settle()

    @rule(topics=st.lists(st.sampled_from(TOPICS), max_size=6))
    def publish(self, topics: list[str]) -> None:
        self.world.publish(*topics)

    @rule(refuses=st.integers(0, 3))
    def accept(self, refuses: int) -> None:
        """One dial in four is refused."""
        self.world.refuses = int(refuses == 3)
        self.world.accept()

    @rule(counts=st.lists(st.integers(0, 6), min_size=1, max_size=4), topics=st.sampled_from(["abc", "aab", "cg"]))
    def talk(self, counts: list[int], topics: str) -> None:
        """Some messages happen, and some of what is on its way arrives."""
        self.world.publish(*topics)
        for line, count in zip(list(self.world.lines), counts, strict=False):
            self.world.deliver(line, count)

    @precondition(lambda self: self.world.lines)
    @rule(data=st.data())
    def cut(self, data: st.DataObject) -> None:
        self.world.cut(data.draw(st.sampled_from(self.world.lines)))

    @precondition(lambda self: self.world.lines)
    @rule(data=st.data(), at_once=st.booleans())
    def drain(self, data: st.DataObject, at_once: bool) -> None:
        """Announced; `at_once`: the new connection is open and subscribed, and both have something on their way."""
        line = data.draw(st.sampled_from(self.world.lines))
        self.world.tell("do drain", line)
        if at_once:
            self.world.deliver(line)
            self.world.now += 1.0
            self.world.accept()
            self.talk([6, 3], "aab")

    @rule(seconds=st.sampled_from([0.1, 1.0, 10.0, 30.0]))
    def time(self, seconds: float) -> None:
        """Nothing is on its way for as long as an overlap takes silence for silence."""
        if seconds >= LISTEN_S:
            self.world.deliver_all()
        self.world.now += seconds
        self.world.settle()

    @rule()
    def calm(self) -> None:
        """Enough time for everything: then all that has a place is subscribed, on one connection each."""
        world = self.world
        world.after(200.0)
        serving = [line for line in world.lines if line.link in world.fleet.links]
        topics = [topic for line in serving for topic in line.subscribed if topic in self.wanted]
        assert len(topics) == len(set(topics))
        missing = self.wanted - set(topics)
        told = world.hub.states
        waiting = {topic for link in world.fleet.links for topic in link.topics if told[topic].startswith("failed")}
        assert missing <= waiting

    @invariant()
    def rings(self) -> None:
        assert self.world.hub.faults() == []

    @invariant()
    def places(self) -> None:
        world = self.world
        seating = world.fleet._seating
        owned = [topic for link in [*seating.links, *seating.queued] for topic in link.topics]
        assert sorted(owned) == sorted(self.wanted)
        most, connections = world.policy.topics_most, world.policy.connections_most
        if connections is not None:
            assert world.most_open <= connections
            full = len(seating.links) + len(seating.queued) == connections
            assert full or not [topic for topic in self.wanted if world.hub.states[topic].startswith("failed")]
        if most is not None:
            assert all(len(line.subscribed) <= most for line in world.lines)

    @invariant()
    def one_connection_each(self) -> None:
        """A subscription is on two connections only while one takes over from the other."""
        fleet = self.world.fleet
        partner = {one.old: one.new for one in fleet._handovers}
        for topic in TOPICS:
            having = [line.link for line in self.world.lines if topic in line.subscribed]
            having = [link for link in having if link.session.may_renew or link in partner or link in fleet.links]
            assert len(having) <= 1 or (len(having) == 2 and partner.get(having[0]) is having[1]), topic


FleetMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
FleetModelTests = FleetMachine.TestCase
