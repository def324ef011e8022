"""Crowds beside the plain way: the same script with crowds and with every cohort by itself.

A script is a row of numbers. It is played twice: as it is, and with no cohort small enough for a crowd. Where every
socket takes all, every reader must have been sent the same bytes after each turn, and the books must say the same.
Where sockets are slow or turns are short the two ways differ in when they send what; then crowds must keep the promises
by themselves: everything once and in order, and no notice lost.
"""

from __future__ import annotations

import random

import pytest

from relayd.core import cohort as cohorts
from relayd.core import crowd as crowds
from relayd.core import flusher as rule
from relayd.core.downstream import DownstreamSession
from relayd.core.publication import TopicState
from relayd.core.routes import Mode
from relayd.core.sse import EventStreamSession
from tests.support.hub_rig import Client, FakeSink, FakeVolley, Rig, StreamClient, delivery, route, say

# 24 seeds x 1,500 steps x 2 ways and 40 x 1,500 of one way: 132,000 generated steps.
SEEDS, STEPS = 24, 1500
SLOW_SEEDS = 40
NAMES = ["q/1", "q/2", "q/3", "q/4", "c/1", "c/2"]
MOST_CLIENTS = 14

Session = DownstreamSession | EventStreamSession


def _conflated(name: str) -> bool:
    return name.startswith("c/")


class _Reader:
    """A connection, and what it should have been told."""

    def __init__(self, session: Session, sink: FakeSink, client: Client | None) -> None:
        self.session = session
        self.sink = sink
        self.client = client
        """None where bytes alone are compared."""
        self.due: dict[str, list[str]] = {}
        """Per topic the notices given since it was subscribed to."""
        self.heard: dict[str, list[str]] = {}

    @property
    def topics(self) -> list[str]:
        """What it reads now."""
        return [topic.name for topic in self.session.subscriber.topics]

    def read(self) -> None:
        """Take what came."""
        assert self.client is not None
        for message in self.client.read():
            if message.get("op") == "state":
                self.heard.setdefault(message["topic"], []).append(message.get("why", ""))


class _World:
    """A few topics and readers of every encoding; a script of numbers decides everything."""

    def __init__(self, seed: int, *, is_slow: bool) -> None:
        self.random = random.Random(seed)
        self.rig = Rig(
            route("q/$n", delivery(Mode.QUEUE, history_count=1 << 20)),
            route("c/$n", delivery(Mode.CONFLATE)),
            volley=FakeVolley() if seed % 2 else None,
        )
        self.is_slow = is_slow
        self.readers: list[_Reader] = []
        self.said = 0
        self.crowd_flushes = {"publication": 0, "notice": 0, "gap": 0}
        self.transcript: list[object] = []

    def _room(self) -> int:
        return self.random.choice([50, 500, 1 << 40]) if self.is_slow else 1 << 40

    def come(self) -> None:
        """Somebody new, often with the topics of somebody who is here."""
        topics = self.random.sample(NAMES, self.random.randint(1, 4))
        kind = self.random.choice(["v1", "v1", "v1", "binary", "sse", "raw"])
        client: Client | None = None
        session: Session
        if kind == "sse":
            session, sink = self.rig.stream(*topics, room=self._room())
            client = StreamClient(sink, _conflated)
        elif kind == "raw" and not self.is_slow:
            session, sink = self.rig.open(raw=topics[0])
        else:
            session, sink = self.rig.open(self._room())
            session.opened()
            say(session, op="subscribe", topics=topics, binary=kind == "binary")
            client = Client(sink, _conflated)
        reader = _Reader(session, sink, client)
        self.readers.append(reader)
        self._expect(reader)

    def _expect(self, reader: _Reader) -> None:
        """Its topics may have changed: of a new one every notice from here on is due."""
        now = reader.topics
        for name in [name for name in reader.due if name not in now]:
            del reader.due[name]
        for name in now:
            if name not in reader.due:
                reader.due[name] = []
                reader.heard.pop(name, None)

    def change(self, reader: _Reader) -> None:
        """One topic more or less."""
        if not isinstance(reader.session, DownstreamSession) or reader.client is None or reader.sink.closed:
            return
        name = self.random.choice(NAMES)
        if self.is_slow:
            reader.read()  # what it was told of a topic until here is not what it is told when it comes back to it
        else:
            # Who moves while something is under way may have to wait for the cohort that it goes to. Both ways decide
            # that rightly, and not always alike: a cohort that steps out knows less exactly how far it was.
            self.rig.clock.turn()
        say(reader.session, op="unsubscribe" if name in reader.topics else "subscribe", topics=[name])
        self._expect(reader)

    def go(self, reader: _Reader) -> None:
        """The connection is gone."""
        reader.session.lost()
        self.readers.remove(reader)

    def give(self) -> None:
        """Something to all readers of a topic: a publication, a gap, a state; or one state to all topics."""
        chance = self.random.random()
        names = NAMES if chance < 0.03 else [self.random.choice(NAMES)]
        for name in names:
            topic = self.rig.hub.topic(name)
            many = len(topic.crowds)
            if chance < 0.15:
                self.said += 1
                state = self.random.choice(list(TopicState))
                self.rig.hub.state(topic, state, f"{self.said}")
                for reader in self.readers:
                    if name in reader.due:
                        reader.due[name].append(topic.why)
                self.crowd_flushes["notice"] += many
            elif chance < 0.2:
                self.rig.hub.gap(topic, self.random.choice([None, 2]), "upstream")
                self.crowd_flushes["gap"] += many
            else:
                for reader in self.readers:
                    if topic.state is not TopicState.LIVE and name in reader.due:
                        reader.due[name].append("")
                self.rig.publish(name, b'"%s"' % (b"x" * self.random.choice([1, 40, 400])))
                self.crowd_flushes["publication"] += many

    def step(self) -> None:
        """One of the things that happen."""
        chance = self.random.random()
        if chance < 0.4:
            for _ in range(self.random.choice([1, 1, 2, 3, 8])):
                self.give()
        elif chance < 0.7 or not self.readers:
            self.rig.clock.turn()
            self.write_down()
        elif chance < 0.73:
            self.rig.clock.advance(0.05)
        elif chance < 0.76:
            if len(self.readers) < MOST_CLIENTS:
                self.come()
        else:
            reader = self.random.choice(self.readers)
            if reader.sink.closed or chance > 0.99:
                self.go(reader)
            elif chance > 0.97:
                self.change(reader)
            elif self.is_slow:
                if reader.sink.buffer:
                    reader.sink.read(self.random.choice([30, 300, 1 << 40, 1 << 40]))
                elif chance < 0.83:
                    reader.sink.room = self.random.choice([0, 0, 30, 300])
                reader.read()

    def write_down(self) -> None:
        """What everybody has been sent, and what the books say of it."""
        if not self.is_slow:
            for reader in self.readers:
                sink = reader.sink
                self.transcript.append((bytes(sink.taken), sink.closed, reader.session.subscriber.totals()))
                sink.taken.clear()
            counters = self.rig.counters
            self.transcript.append((counters.delivered, counters.delivered_bytes, counters.lagged))

    def play(self) -> None:
        """All steps, and until everybody has everything."""
        for _ in range(6):
            self.come()
        for _ in range(STEPS):
            self.step()
        for _ in range(100):
            self.rig.clock.advance(0.1)
            for reader in self.readers:
                reader.sink.read(1 << 40)
        self.write_down()

    def end(self) -> None:
        """Everybody goes, and nothing is left of them."""
        for reader in list(self.readers):
            self.go(reader)
        topics = [self.rig.hub.topic(name) for name in NAMES]
        assert not any(topic.cohorts or topic.crowds or topic.readers for topic in topics)


class CrowdModelTests:
    """Random scripts."""

    @pytest.mark.parametrize("seed", range(SEEDS))
    def test_as_each_by_itself(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where every socket takes all: the same bytes after each turn, the same totals, the same counters."""
        together = _World(seed, is_slow=False)
        together.play()
        with monkeypatch.context() as plain:
            plain.setattr(cohorts, "SMALL_MEMBERS", 0)
            alone = _World(seed, is_slow=False)
            alone.play()
        for number, (one, other) in enumerate(zip(together.transcript, alone.transcript, strict=True)):
            assert one == other, number
        assert not any(alone.crowd_flushes.values())
        assert together.crowd_flushes["publication"] > STEPS // 4
        assert min(together.crowd_flushes.values()) > STEPS // 50
        together.end()

    @pytest.mark.parametrize("seed", range(SLOW_SEEDS))
    def test_slow_sockets(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Some take a part, and blocks and turns are short: everything once and in order, as `Client` believes it; each
        notice at least once, the newest last; everybody who left a crowd has all there was."""
        if seed % 4 > 1:
            monkeypatch.setattr(crowds, "BLOCK_MEMBERS", crowds.SMALL_MEMBERS)
            monkeypatch.setattr(rule, "SLICE_MEMBERS", crowds.SMALL_MEMBERS)
        world = _World(seed, is_slow=True)
        world.play()
        assert sum(world.crowd_flushes.values()) > STEPS // 10
        for reader in world.readers:
            if reader.sink.closed:
                continue
            reader.read()
            assert reader.client is not None and not reader.sink.buffer
            for topic in reader.session.subscriber.topics:
                expected = reader.client.next_offset[topic.name]
                newest = topic.ring.newest()
                end = newest.offset + 1 if newest and _conflated(topic.name) else topic.ring.end
                assert expected is None or expected >= end
                assert reader.client.states[topic.name] == topic.state.value
                heard = reader.heard.get(topic.name, [])
                assert set(reader.due[topic.name]) <= set(heard), (topic.name, reader.due[topic.name], heard)
        world.end()
