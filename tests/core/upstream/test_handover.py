"""Tests of relayd.core.upstream.handover: one link takes over from another."""

from __future__ import annotations

from unittest.mock import patch

from relayd.core.upstream.overlap import OVERLAP_MOST_S
from tests.support.fleet import World, live


class HandoverTests:
    """Two connections at once, and what becomes of the topics."""

    def test_a_snapshot_while_it_lasts(self) -> None:
        """Asked for by the old link, which serves the topic."""
        world = live("a")
        world.tell("do drain")
        world.deliver_all()
        old, new = world.fleet.all
        with patch.object(old.session, "refresh") as of_old, patch.object(new.session, "refresh") as of_new:
            world.fleet.refresh("a", world.now)
        of_old.assert_called_once_with("a", world.now)
        of_new.assert_not_called()

    def test_silence(self) -> None:
        """A topic of which nothing is said moves at the end, without a mark."""
        world = live("a")
        world.tell("do drain")
        world.after(1.0)
        assert len(world.lines) == 2
        world.after(OVERLAP_MOST_S)
        assert len(world.lines) == 1
        world.publish("a")
        world.calm()
        assert world.hub.rings == {"a": [1, 2]}

    def test_said_before_the_new_one_asked(self) -> None:
        """It is no message that the new one should have."""
        world = live("a")
        world.tell("do drain")
        world.deliver_all()
        world.publish("a")
        world.after(1.0)
        world.after(OVERLAP_MOST_S)
        world.publish("a")
        world.calm()
        assert (len(world.lines), world.hub.rings) == (1, {"a": [1, 2, 3]})

    def test_streams_that_do_not_meet(self) -> None:
        """Then with a mark."""
        world = live("a", numbered=False)
        world.tell("do drain")
        world.after(1.0)
        world.tell("a=10")
        world.tell("a=20", world.lines[1])
        world.after(OVERLAP_MOST_S)
        world.publish("a")
        world.calm()
        assert world.hub.rings == {"a": [1, 10, None, 2]}
        assert (world.fleet.counters.moved, world.fleet.counters.moved_with_gap) == (0, 1)

    def test_a_book_without_a_snapshot(self) -> None:
        """It is asked for anew on the new connection."""
        world = live("a", is_delta=lambda fields: True)
        world.tell("do drain")
        world.after(OVERLAP_MOST_S - 2)
        world.publish("a")
        world.after(5.0)
        assert world.hub.rings == {"a": [1, 2, None]}
        assert [sent for sent in world.sent if "-" in sent] == ["-a"]
        world.publish("a")
        world.calm()
        assert world.hub.rings == {"a": [1, 2, None, None, 3]}

    def test_the_new_one_cannot_be_reached(self) -> None:
        """The old one goes on; the new one is tried at the pace of the backoff."""
        world = live("a")
        world.tell("do drain")
        world.refuses = 3
        world.after(0.6)
        world.publish("a")
        world.after(60.0)
        world.publish("a")
        world.calm()
        assert (len(world.lines), world.hub.rings) == (1, {"a": [1, 2, 3]})
        assert world.fleet.counters.dials == 5

    def test_the_old_one_is_lost_first(self) -> None:
        """An ordinary loss; the new one is on its way already, and the old one is not dialled again."""
        world = live("a")
        world.tell("do drain")
        world.deliver_all()
        world.cut(world.lines[0])
        assert world.hub.states["a"] == "reconnecting"
        world.publish("a")
        world.after(5.0)
        world.publish("a")
        world.calm()
        assert world.hub.rings == {"a": [1, None, 3]}
        assert (len(world.lines), world.fleet.counters.dials) == (1, 2)

    def test_the_old_one_is_lost_when_the_new_one_is_ready(self) -> None:
        """What the new one brings fits: nothing is marked."""
        world = live("a")
        world.tell("do drain")
        world.after(1.0)
        world.publish("a")
        world.deliver(world.lines[0])
        world.cut(world.lines[0])
        world.publish("a")
        world.calm()
        assert world.hub.rings == {"a": [1, 2, 3]}

    def test_the_new_one_is_lost(self) -> None:
        """What it brought is of no use; it is dialled again."""
        world = live("a", "b")
        world.tell("do drain")
        world.after(1.0)
        world.publish("a")
        world.deliver_all()
        world.cut(world.lines[1])
        world.publish("a", "b")
        world.deliver_all()
        world.after(5.0)
        world.publish("a", "b")
        world.calm()
        assert world.hub.faults() == []
        assert world.hub.rings["b"] == [1, 2, 3]
        assert len(world.lines) == 1

    def test_both_are_lost(self) -> None:
        """At the same time."""
        world = live("a")
        world.tell("do drain")
        world.after(1.0)
        for line in list(world.lines):
            world.cut(line)
        world.publish("a")
        world.after(5.0)
        world.publish("a")
        world.calm()
        assert world.hub.rings == {"a": [1, None, 3]}

    def test_moved_twice_in_silence(self) -> None:
        """A topic without a word over two handovers has not lost its past: a hole after them is marked."""
        world = live("a")
        for _ in range(2):
            world.tell("do drain")
            world.after(30.0)
        assert (world.fleet.moved, world.hub.rings) == (2, {"a": [1]})
        world.cut(world.lines[0])
        world.publish("a")
        world.after(30.0)
        world.publish("a")
        world.calm()
        assert world.hub.rings == {"a": [1, None, 3]}

    def test_pushed_unasked(self) -> None:
        """Also where there is nothing to ask for."""
        world = World(unasked=True, dial_at_start=True, topics_most=None)
        world.calm()
        world.publish("a", "b")
        world.calm()
        world.tell("do drain")
        world.after(1.0)
        world.publish("a")
        world.calm()
        world.after(OVERLAP_MOST_S)
        world.publish("a", "b")
        world.calm()
        assert world.hub.rings == {"a": [1, 2, 3], "b": [1, 2]}
        assert world.fleet.counters.topics == 2


class CursorTests:
    """A feed that is resumed from a point: the new connection begins where the old one was when it was told to go."""

    def world(self) -> World:
        """Both are wanted, both have said something; then the connection has to go, and the old one goes on."""
        world = live("a", "b", cursor=True, topics_in_url=True, numbered=False)
        world.tell("do drain")
        world.deliver_all()
        world.publish("a", "a")
        world.deliver_all()
        return world

    def goes_on(self, world: World) -> None:
        """What comes next comes once, and without a mark."""
        world.publish("a", "b")
        world.after(30.0)
        world.publish("a", "b")
        world.calm()
        assert world.hub.rings == {"a": [1, 2, 3, 4, 5], "b": [1, 2, 3]}
        assert world.hub.states == {"a": "live", "b": "live"}
        assert len(world.lines) == 1

    def test_before_the_new_one_is_dialled(self) -> None:
        """The new one is resumed where the old one ended."""
        world = self.world()
        world.cut(world.lines[0])
        assert world.hub.states["a"] == "reconnecting"
        self.goes_on(world)

    def test_while_the_new_one_is_dialled(self) -> None:
        """It asked for more than is missing by then."""
        world = self.world()
        world.now += 0.6
        world.settle()
        [(_, request)] = world.dialling
        assert request.url == "ws://feed.example/?a,b#2"
        world.publish("b")
        world.deliver_all()
        world.cut(world.lines[0])
        world.publish("a")
        world.after(30.0)
        assert world.hub.rings == {"a": [1, 2, 3, 4], "b": [1, 2]}

    def test_dials_that_fail(self) -> None:
        """They miss nothing."""
        world = self.world()
        world.refuses = 3
        world.cut(world.lines[0])
        self.goes_on(world)

    def test_when_the_new_one_is_open(self) -> None:
        """Its replay is on its way."""
        world = self.world()
        world.now += 0.6
        world.accept()
        assert len(world.lines) == 2
        world.cut(world.lines[0])
        assert world.hub.states["a"] == "live"
        self.goes_on(world)

    def test_when_the_new_one_has_begun_to_speak(self) -> None:
        """It is at the first of two messages that were said already."""
        world = self.world()
        world.now += 0.6
        world.accept()
        world.deliver(world.lines[1], 3)
        world.cut(world.lines[0])
        self.goes_on(world)

    def test_when_the_new_one_is_ahead(self) -> None:
        """The old one said nothing more, and the new one begins right there."""
        world = live("a", "b", cursor=True, topics_in_url=True, numbered=False)
        world.tell("do drain")
        world.deliver_all()
        world.now += 0.6
        world.accept()
        world.publish("a", "a")
        world.deliver(world.lines[1])
        world.cut(world.lines[0])
        self.goes_on(world)

    def test_when_the_new_one_was_lost_before(self) -> None:
        """Both have come some way, each with some of the topics: a mark, and nothing comes twice."""
        world = self.world()
        world.now += 0.6
        world.accept()
        world.publish("a")
        world.deliver(world.lines[1], 4)
        world.cut(world.lines[1])
        world.publish("a", "b")
        world.deliver(world.lines[0])
        world.cut(world.lines[0])
        world.publish("a", "b")
        world.after(30.0)
        world.publish("a", "b")
        world.calm()
        assert world.hub.faults() == []
        assert [ring.count(None) for ring in world.hub.rings.values()] == [1, 1]

    def test_a_feed_that_cannot_go_back(self) -> None:
        """It forgot what is missing: the mark."""
        world = self.world()
        world.cut(world.lines[0])
        world.publish("a", "b")
        assert world.past is not None
        world.past.clear()
        world.after(30.0)
        world.past += [(5, "", "")] * 6
        world.publish("a", "b")
        world.calm()
        assert world.hub.rings == {"a": [1, 2, 3, None, 5], "b": [1, None, 3]}
