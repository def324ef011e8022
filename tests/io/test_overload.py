"""The watch over memory and the event loop: what it counts, whom it refuses, whom it sends away."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.logger import globalLogPublisher

from relayd.core.admission import Admission, AdmissionLimits
from relayd.core.closecode import CLOSE_OVERLOADED
from relayd.core.overload import LOOK_EVERY_S, PAIR_BYTES, Load, Overload, OverloadCounters
from relayd.io.overload import OverloadWatch
from tests.support.hub_rig import Rig, route, say

MIB = 1 << 20


class Watch:
    """A hub with readers, and a watch whose limit leaves room for a few MiB above its base of 100 MiB."""

    def __init__(self, limit_bytes: int) -> None:
        self.rig = Rig(route("t/$n"))
        self.admission = Admission(AdmissionLimits(), started=0.0, random=lambda: 0.5)
        self.overload = Overload(limit_bytes, 1.0, OverloadCounters())
        self.sockets = (0, 0)
        self.buffered_bytes = 0
        self.pairs = 0
        self.watch = OverloadWatch(
            self.overload,
            self.rig.hub,
            self.admission,
            base_bytes=100 * MIB,
            sockets=lambda: self.sockets,
            buffered_bytes=lambda: self.buffered_bytes,
            pairs=lambda: self.pairs,
            now=self.rig.clock(),
            random=lambda: 0.5,
        )

    def look(self, times: int = 1) -> None:
        """So many looks later."""
        for _ in range(times):
            self.rig.clock.advance(LOOK_EVERY_S)
            assert self.watch.next_deadline() <= self.rig.clock() + 0.001
            self.rig.hub.tick(self.rig.clock())
            self.watch.tick(self.rig.clock())


@pytest.fixture
def lines():
    """What is logged meanwhile."""
    events: list[dict[str, Any]] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


class WatchTests:
    """Figures in, deeds out."""

    def test_account(self):
        """Rings, sockets of both kinds, and what waits for those that lag."""
        watch = Watch(1000 * MIB)
        session, sink = watch.rig.open()
        say(session, op="subscribe", topics=["t/a"])
        sink.room = 0
        watch.rig.publish("t/a", b'"' + b"x" * 5000 + b'"')
        watch.rig.clock.turn()
        watch.sockets, watch.pairs = (10, 5), 3
        watch.buffered_bytes = sink.buffered()
        watch.look()
        ring = watch.rig.hub.ring_bytes
        parts = 100 * MIB + 2 * ring + 10 * (16 << 10) + 5 * (80 << 10) + (24 << 10) + sink.buffered() + 3 * PAIR_BYTES
        assert watch.overload.counters.memory_bytes == parts
        assert sink.buffered() > 5000

    def test_refuses_then_lets_in(self, lines):
        """A line for each change; newcomers are refused from REFUSING on, until it has eased."""
        watch = Watch(160 * MIB)
        watch.look()
        assert not watch.admission.overloaded
        watch.sockets = (0, 400)  # 31 MiB
        watch.look(2)
        assert watch.overload.load is Load.REFUSING
        assert watch.admission.overloaded
        watch.sockets = (0, 0)
        watch.look(40)
        assert watch.overload.load is Load.NORMAL
        assert not watch.admission.overloaded
        assert [event.get("state") for event in lines] == ["not_ready", "refusing", "not_ready", "normal"]

    def test_sends_the_slowest_away(self):
        """Those that do not read go, with 1013; who reads stays."""
        watch = Watch(120 * MIB)
        stuck = []
        for _ in range(5):
            session, sink = watch.rig.open()
            say(session, op="subscribe", topics=["t/a"])
            sink.room = 0
            stuck.append(sink)
        reader, reads = watch.rig.open()
        say(reader, op="subscribe", topics=["t/a"])
        watch.rig.publish("t/a", b'"' + b"x" * 5000 + b'"')
        watch.rig.clock.turn()
        watch.sockets = (700, 0)  # 10.9 MiB: over nine tenths
        watch.look(3)
        assert [sink.closed for sink in stuck] == [CLOSE_OVERLOADED] * 5
        assert reads.closed is None
        watch.look(3)
        assert watch.overload.counters.evicted == 5

    def test_late_loop(self):
        """What the ticker says counts; a histogram keeps it."""
        watch = Watch(1000 * MIB)
        for _ in range(8):
            watch.watch.hear_lag(4.0)
            watch.look()
        assert watch.overload.load is Load.REFUSING
        assert watch.overload.counters.loop_lag.count == 8
