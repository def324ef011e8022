"""The hub as a whole against clients that believe nothing: order, no silent loss, bounds, accounting."""

from __future__ import annotations

import random

import pytest

from relayd.core.cohort import MAX_REST_BYTES
from relayd.core.publication import TopicState
from relayd.core.routes import Mode
from relayd.core.subscriber import MAX_CONTROL_BYTES
from tests.support.hub_rig import Client, FakeVolley, PollClient, Rig, StreamClient, delivery, route, say

# 60 seeds x 2,600 steps: 156,000 generated steps in a few seconds.
SEEDS, STEPS = 60, 2600
MAX_PAYLOAD_BYTES = 3000


def _conflated(name: str) -> bool:
    return name.startswith("c/")


class _World:
    """Random readers over queue, conflate and lossless topics; a script of numbers decides everything."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.rig = Rig(
            route("q/$n", delivery(Mode.QUEUE, history_count=30)),
            route("c/$n", delivery(Mode.CONFLATE, history_count=10)),
            route("d/$n", delivery(Mode.LOSSLESS, history_count=40, deltas=True)),
            volley=FakeVolley() if seed % 2 else None,
        )
        self.calm = seed % 4 > 1
        """Mostly one publication a turn, so that cohorts step into crowds (core/crowd.py)."""
        self.crowd_flushes = 0
        self.names = [f"{kind}/{n}" for kind in "qcd" for n in range(4)]
        self.published: dict[str, int] = dict.fromkeys(self.names, 0)
        self.missed: dict[str, int] = dict.fromkeys(self.names, 0)
        self.clients: list[tuple[object, Client]] = []
        self.pollers: list[tuple[tuple[str, ...], PollClient, list[bytes]]] = []

    def open(self) -> None:
        """A new browser, quick or slow, sometimes with a rate; or an EventSource."""
        if self.random.random() < 0.3:
            topics = tuple(self.random.sample(self.names, self.random.randint(1, 5)))
            session, sink = self.rig.stream(*topics, room=self.random.choice([0, 200, 5000, 1 << 40]))
            self.clients.append((session, StreamClient(sink, _conflated)))
            return
        session, sink = self.rig.open(self.random.choice([0, 200, 5000, 1 << 40]))
        self.clients.append((session, Client(sink, _conflated)))
        self.subscribe(len(self.clients) - 1)

    def subscribe(self, index: int) -> None:
        """More topics, now and then from a position."""
        session, client = self.clients[index]
        if isinstance(client, StreamClient):
            self.cut(index)
            return
        topics = self.random.sample(self.names, self.random.randint(1, 5))
        if self.random.random() < 0.3:
            conflated = [name for name in topics if _conflated(name)]
            if conflated:
                say(session, op="subscribe", topics=conflated, max_hz=self.random.choice([2, 10]))
                return
        window = {"window": self.random.choice([1, 20, 100])} if self.random.random() < 0.3 else {}
        say(session, op="subscribe", id=1, topics=topics, **window)

    def unsubscribe(self, index: int) -> None:
        """Fewer topics."""
        session, client = self.clients[index]
        if isinstance(client, StreamClient):
            return
        held = [topic.name for topic in session.subscriber.topics]
        if held:
            say(session, op="unsubscribe", topics=self.random.sample(held, self.random.randint(1, len(held))))

    def ack(self, index: int) -> None:
        """The page has processed what it has; without a window that means nothing."""
        session, client = self.clients[index]
        if not isinstance(client, StreamClient):
            for name, offsets in client.data.items():
                say(session, op="ack", topic=name, offset=offsets[-1])

    def poll(self) -> None:
        """Somebody who polls asks again, or goes away and leaves its poll behind; now and then somebody new comes."""
        if len(self.pollers) < 4:
            topics = tuple(self.random.sample(self.names, self.random.randint(1, 5)))
            self.pollers.append((topics, PollClient(_conflated), self.rig.poll(*topics, wait_s=0.5)))
            return
        topics, client, answers = self.pollers.pop(self.random.randrange(len(self.pollers)))
        if answers:
            client.take(answers[0])
            answers = self.rig.poll(*topics, since=client.since, wait_s=self.random.choice([0.0, 0.5]))
        self.pollers.append((topics, client, answers))

    def cut(self, index: int) -> None:
        """A stream breaks, with what is on its way, and is dialled again at once or a while later."""
        session, client = self.clients[index]
        assert isinstance(client, StreamClient)
        topics = tuple(client.next_offset) or tuple(topic.name for topic in session.subscriber.topics)
        session.lost()
        for _ in range(self.random.choice([0, 3, 60])):
            self.publish()
        if client.last_event_id is None:
            client = StreamClient(client.sink, _conflated)  # it has nothing: a newcomer
        again, sink = self.rig.stream(
            *topics, room=self.random.choice([200, 5000, 1 << 40]), last_event_id=client.last_event_id
        )
        client.again(sink)
        self.clients[index] = (again, client)

    def publish(self) -> None:
        """A message, a snapshot, a gap or a state, of any size."""
        name = self.random.choice(self.names)
        payload = b'"' + b"x" * self.random.choice([1, 10, 100, MAX_PAYLOAD_BYTES]) + b'"'
        topic = self.rig.hub.topic(name)
        chance = self.random.random()
        if chance < 0.02:
            self.rig.hub.gap(topic, self.random.choice([None, 1, 3]), "upstream")
            self.missed[name] += 1
        elif chance < 0.06:
            state = self.random.choice([TopicState.STALE, TopicState.RECONNECTING, TopicState.LIVE])
            self.rig.hub.state(topic, state)
        else:
            snapshot = name[0] == "d" and (topic.ring.start_for_newcomer() is None or self.random.random() < 0.05)
            self.rig.hub.publish(topic, payload, True, snapshot)
            self.crowd_flushes += len(topic.crowds)
            self.published[name] += 1

    def step(self) -> None:
        """One of the things that happen."""
        chance = self.random.random()
        if chance < 0.55:
            self.publish()
            if self.calm and self.random.random() < 0.9:
                self.rig.clock.turn()
        elif chance < 0.75:
            self.rig.clock.turn()
        elif chance < 0.78:
            self.rig.clock.advance(self.random.choice([0.001, 0.02, 0.3]))
        elif chance < 0.80:
            self.poll()
        elif not self.clients or (chance < 0.83 and len(self.clients) < 12):
            self.open()
        else:
            index = self.random.randrange(len(self.clients))
            session, client = self.clients[index]
            if chance < 0.94:
                client.sink.read(self.random.choice([10, 500, 5000, 200_000]))
                client.read()
                if self.random.random() < 0.3:
                    self.ack(index)
            elif chance < 0.96:
                self.subscribe(index)
            elif chance < 0.98:
                self.unsubscribe(index)
            else:
                session.lost()
                del self.clients[index]

    def check_bounds(self) -> None:
        """No client holds more than the rest of one flush, or one publication, and its control lane."""
        for _, client in self.clients:
            assert client.sink.most_buffered <= max(MAX_REST_BYTES, 2 * MAX_PAYLOAD_BYTES) + MAX_CONTROL_BYTES

    def settle(self) -> None:
        """Everybody reads all; then everybody has all."""
        for _ in range(200):
            self.rig.clock.advance(0.1)
            for index, (_, client) in enumerate(self.clients):
                client.sink.read(1 << 30)
                client.read()
                self.ack(index)
        for topics, client, answers in self.pollers:
            client.take(answers[0])
            [answer] = self.rig.poll(*topics, since=client.since, wait_s=0.0)
            client.take(answer)
            for name in topics:
                topic = self.rig.hub.topics.get(name)
                assert topic is None or client.since[name] == topic.position
        assert self.rig.counters.polls_waiting == 0
        for session, client in self.clients:
            if client.sink.closed:
                continue
            assert not client.sink.buffer
            assert session.subscriber.lagging is None
            for topic in session.subscriber.topics:
                expected = client.next_offset[topic.name]
                newest = topic.ring.newest()
                # A conflated reader meets an upstream's gap as a jump, so a mark at the very end is not told yet.
                end = newest.offset + 1 if newest and _conflated(topic.name) else topic.ring.end
                assert expected is None or expected >= end, topic.name
                assert client.states[topic.name] == topic.state.value


class HubModelTests:
    """Random worlds."""

    @pytest.mark.parametrize("seed", range(SEEDS))
    def test_promises_hold(self, seed: int) -> None:
        """Order, no silent loss, no duplicate, bounds, and at the end everybody has everything and knows how it
        stands with each topic."""
        world = _World(seed)
        for _ in range(STEPS):
            world.step()
        world.check_bounds()
        world.settle()
        for session, _ in list(world.clients):
            session.lost()
        assert world.rig.demand.wanted_topics == []
        assert world.rig.hub.readers.count_lagging() == 0
        topics = world.rig.hub.topics.values()
        assert not any(topic.cohorts or topic.crowds or topic.readers for topic in topics)
        assert world.crowd_flushes > (STEPS // 10 if world.calm else 0)
