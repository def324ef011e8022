"""Tests of relayd.io.fleet: links come and go, and each has sockets for as long; the wires are in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relayd.core.feed.publish import Upward, parse_publish
from relayd.core.routes import TopicRefused
from relayd.core.upstream.effects import Loss, LossKind
from relayd.core.upstream.session import UpstreamSession
from relayd.core.wayup import WayUp
from relayd.io.fleet import FleetService
from relayd.io.ticker import Ticker
from tests.support.fleet import World


class Wire:
    """The sockets of one session, in memory: open as soon as they are started, closed when they are told to."""

    def __init__(self, session: UpstreamSession[Any], way: WayUp | None, world: World) -> None:
        self.session = session
        self.way = way
        self.certificate_ends_at: float | None = None
        self.spoken: list[Upward] = []
        self.ended: Deferred[None] | None = None
        self._world = world

    def startService(self) -> None:
        now = self._world.now
        self.session.start(now)
        if self.session.topics.wanted:
            self.session.tcp_up(now)
            self.session.ws_open(now)

    def stopService(self) -> Deferred[None]:
        self.ended = Deferred()
        return self.ended

    def speak(self, upward: Upward) -> None:
        self.spoken.append(upward)


class FleetServiceCase(SynchronousTestCase):
    """A fleet of one topic a connection, and its service."""

    def setUp(self) -> None:
        self.world = World(topics_most=1, connections_most=3)
        self.clock = Clock()
        self.ticker = Ticker(self.clock, lambda: self.world.now)
        self.ticker.startService()
        self.addCleanup(self.ticker.stopService)
        self.wires: list[Wire] = []
        self.service = FleetService(self.world.fleet, self.ticker, lambda: self.world.now, self.serve)

    def serve(self, session: UpstreamSession[Any], way: WayUp | None) -> Any:
        self.wires.append(Wire(session, way, self.world))
        return self.wires[-1]

    def want(self, *topics: str) -> None:
        self.world.want(*topics)
        self.service.tick(self.world.now)

    def upward(self) -> Upward:
        return Upward(parse_publish("say $data"), {}, b"1", True)


class LinkTests(FleetServiceCase):
    """Sockets for each link."""

    def test_before_it_runs(self) -> None:
        """Nothing is dialled, and nothing is due."""
        self.assertEqual((self.wires, self.service.next_deadline()), ([], float("inf")))
        self.assertIsNone(self.service.main)
        self.assertIsNone(self.service.certificate_ends_at)

    def test_one_more(self) -> None:
        """At the next tick, which is due at once."""
        self.service.startService()
        self.assertEqual([wire.session for wire in self.wires], [self.world.fleet.main])
        self.want("a")
        self.world.want("b")
        self.assertEqual(self.service.next_deadline(), float("-inf"))
        self.service.tick(self.world.now)
        self.assertEqual([wire.session for wire in self.wires], [link.session for link in self.world.fleet.all])
        self.service.tick(self.world.now)
        self.assertGreater(self.service.next_deadline(), self.world.now)
        self.assertIs(self.service.main, self.wires[0])

    def test_one_less(self) -> None:
        """What the fleet has forgotten says goodbye, and is waited for at the end."""
        self.service.startService()
        self.want("a", "b")
        gone = self.wires[1]
        self.world.unwant("b")
        gone.session.lost(Loss(LossKind.CLOSED), self.world.now)
        self.service.tick(self.world.now)
        gone.session.tick(self.world.now)
        gone.session.socket_closed()
        self.world.now += 10.0
        self.service.tick(self.world.now)
        self.assertEqual(len(list(self.world.fleet.all)), 1)
        self.assertIsNotNone(gone.ended)
        ended = self.service.stopService()
        self.assertNoResult(ended)
        for wire in self.wires:
            assert wire.ended is not None
            wire.ended.callback(None)
        self.successResultOf(ended)

    def test_the_end(self) -> None:
        """Every link, and nothing is due any more."""
        self.service.startService()
        self.want("a", "b")
        ended = self.service.stopService()
        self.assertEqual(self.service.next_deadline(), float("inf"))
        self.assertEqual([wire.ended is not None for wire in self.wires], [True, True])
        self.wires[0].ended.callback(None)
        self.assertNoResult(ended)
        self.wires[1].ended.callback(None)
        self.successResultOf(ended)

    def test_the_first_certificate_to_end(self) -> None:
        """Of those that have shown one."""
        self.service.startService()
        self.want("a", "b", "c")
        self.assertIsNone(self.service.certificate_ends_at)
        self.wires[1].certificate_ends_at = 200.0
        self.wires[2].certificate_ends_at = 100.0
        self.assertEqual(self.service.certificate_ends_at, 100.0)


class WayUpTests(FleetServiceCase):
    """What clients publish goes by the link that stands for the upstream."""

    def test_by_the_main_one(self) -> None:
        """The others are not given the way."""
        self.service.startService()
        self.want("a", "b")
        self.assertEqual([wire.way for wire in self.wires], [self.service.way, None])
        upward = self.upward()
        self.service._speak(upward)
        self.assertEqual([wire.spoken for wire in self.wires], [[upward], []])

    def test_not_running(self) -> None:
        """It is refused in words."""
        with self.assertRaises(TopicRefused):
            self.service._speak(self.upward())
