"""The session of the Python client against the real hub, over wires that delay and break: order, nothing twice, no
silent loss, whoever comes and goes. Time, dice and wires are in hand; what happens is generated.
"""

from __future__ import annotations

import json
import random
from collections import deque
from typing import Any

import pytest
from relayd_client.messages import Lost, Publication
from relayd_client.reader import Reader, Wish
from session_rig import Rig as Page

from relayd.core.routes import Mode
from tests.support.hub_rig import Rig, delivery, frames, route

# 24 seeds x 1,500 steps: 36,000 generated steps in some ten seconds.
SEEDS, STEPS = 24, 1_500
TEXTS = ["q/0", "q/1", "q/2", "d/0", "d/1", "c/0", "q/*", "d/*", "*/0"]


class Witness:
    """One reader, and the promises it is held to: per topic every offset comes once and in order, or is announced."""

    def __init__(self, world: World, text: str, *, loop: bool, window: int) -> None:
        self.world = world
        self.loop = loop
        self.next: dict[str, int] = {}
        buffer = 1 << 20 if loop else 1
        self.reader = Reader(
            text, None if loop else self.take, Wish(window=window), buffer, lambda call, *values: call(*values)
        )
        self.reader.listen("lost", self.lose)
        world.page.session.subscribe(self.reader)

    def take(self, message: Publication) -> None:
        name, offset = message.topic, message.offset
        expected = self.next.get(name)
        if expected is not None:
            if name[0] == "c":
                assert offset >= expected, (self.reader.topic, expected, message)
            else:
                assert offset == expected, (self.reader.topic, expected, message)
        if expected is None and name[0] == "d":
            assert message.snapshot or offset == 1, f"a reader of deltas began with a change: {message}"
        self.next[name] = offset + 1
        self.world.given += 1

    def lose(self, lost: Lost) -> None:
        if self.loop:
            # What was lost comes after what waits.
            self.drain()
        expected = self.next.get(lost.topic)
        assert lost.why in ("slow", "upstream", "rate"), lost
        if lost.why == "rate":
            return
        if expected is not None and lost.topic[0] != "c":
            assert lost.after == expected - 1, (expected, lost)
            if lost.count is not None and lost.why == "slow":
                assert lost.count <= lost.next - lost.after - 1, lost
        self.next[lost.topic] = lost.next

    def drain(self) -> None:
        while self.loop and (message := self.reader.take()) is not None:
            self.take(message)


class World:
    """A hub, one page, and the wires between them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.hub = Rig(
            route("q/$n", delivery(Mode.QUEUE, history_count=30)),
            route("c/$n", delivery(Mode.CONFLATE, history_count=10)),
            route("d/$n", delivery(Mode.LOSSLESS, history_count=40, deltas=True)),
        )
        self.page = Page()
        self.page.dice = 0.005  # waits of up to 0.3 s
        self.page.now = self.hub.clock.now
        self.session: Any = None
        self.sink: Any = None
        self.up: deque[str] = deque()
        self.down: deque[bytes] = deque()
        self.witnesses: list[Witness] = []
        self.reconnects = 0
        self.given = 0
        self.page.session.start()

    # -- wires --------------------------------------------------------------------------------------------------------

    def carry(self) -> None:
        """What the page wants done is done; what it says is on its way."""
        dials = self.page.dials
        hang_ups = self.page.hang_ups
        self.page.apply()
        if self.page.hang_ups > hang_ups:
            self.unplug()
        self.up.extend(map(json.dumps, self.page.sent))
        self.page.sent.clear()
        if self.page.dials > dials:
            self.session, self.sink = self.hub.open(self.random.choice([300, 5_000, 1 << 40]))
            self.page.session.up()
            self.carry()

    def unplug(self) -> None:
        if self.session is not None:
            self.session.lost()
        self.session = None
        self.up.clear()
        self.down.clear()

    def cut(self) -> None:
        """What was on its way is gone."""
        if self.session is not None:
            self.unplug()
            self.reconnects += 1
            self.page.session.lost(1006, "")
            self.carry()

    def arrive(self, most: int) -> None:
        """Some of what is on its way arrives, in order, in both directions."""
        for _ in range(most):
            if self.session is not None and self.up and self.random.random() < 0.7:
                self.session.text(self.up.popleft().encode())
            if self.session is not None:
                self.sink.read(self.random.choice([50, 400, 3_000]))
                self.down.extend(payload for _, payload in frames(self.sink.taken))
            if self.down and self.random.random() < 0.7:
                self.page.session.received(self.down.popleft().decode())
                self.carry()

    # -- what happens -------------------------------------------------------------------------------------------------

    def publish(self) -> None:
        name = self.random.choice(["q/0", "q/1", "q/2", "d/0", "d/1", "c/0"])
        topic = self.hub.hub.topic(name)
        if self.random.random() < 0.02:
            self.hub.hub.gap(topic, self.random.choice([None, 2]), "upstream")
            return
        snapshot = name[0] == "d" and (topic.ring.start_for_newcomer() is None or self.random.random() < 0.08)
        self.hub.publish(name, b'"' + b"x" * self.random.choice([1, 80]) + b'"', snapshot=snapshot)

    def step(self) -> None:
        chance = self.random.random()
        if chance < 0.35:
            self.publish()
        elif chance < 0.75:
            self.arrive(self.random.choice([1, 5, 20]))
        elif chance < 0.85:
            self.pass_time(self.random.choice([0.001, 0.05, 0.7]))
        elif chance < 0.91 and len(self.witnesses) < 6:
            text, loop = self.random.choice(TEXTS), self.random.random() < 0.5
            window = self.random.choice([0, 0, 3, 50])
            self.witnesses.append(Witness(self, text, loop=loop, window=window))
        elif chance < 0.95 and self.witnesses:
            gone = self.witnesses.pop(self.random.randrange(len(self.witnesses)))
            self.page.session.unsubscribe(gone.reader)
        elif chance < 0.97:
            self.cut()
        for witness in self.witnesses:
            if self.random.random() < 0.3:
                witness.drain()
        self.carry()

    def pass_time(self, seconds: float) -> None:
        self.hub.clock.advance(seconds)
        self.page.now = self.hub.clock.now
        self.page.session.tick()
        self.carry()

    def settle(self) -> None:
        """Everything arrives, after as long as it takes."""
        for _ in range(900):
            self.pass_time(0.1)
            self.arrive(40)
            for witness in self.witnesses:
                witness.drain()
            self.carry()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_promises_hold(seed: int) -> None:
    """At the end everybody has everything."""
    world = World(seed)
    for _ in range(STEPS):
        world.step()
    world.settle()
    assert world.reconnects > 5
    assert world.page.errors == []
    assert world.given > 100
    for witness in world.witnesses:
        for name, topic in world.hub.hub.topics.items():
            if not witness.reader.matches(name):
                continue
            newest = topic.ring.newest()
            if newest is None:
                continue
            end = newest.offset + 1 if name[0] == "c" else topic.ring.end
            if name[0] == "d" and topic.ring.start_for_newcomer() is None:
                continue
            assert witness.next.get(name, 0) >= end, (witness.reader.topic, name, witness.next.get(name), end)
