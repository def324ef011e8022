"""Tests of relayd.core.upstream.fleet: links that come and go, and take over from one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

from relayd.core.upstream.fleet import UNTOLD_MOST
from relayd.core.upstream.overlap import OVERLAP_MOST_S
from relayd.core.upstream.places import Claim, Claims
from relayd.core.upstream.states import State
from tests.support.fleet import World

FULL = "failed: limits.topics of upstream feed is reached (2)"


def live(*topics: str, **policy: Any) -> World:
    """A world in which these topics have data."""
    world = World(**policy)
    world.want(*topics)
    world.calm()
    world.publish(*topics)
    world.calm()
    return world


def subscribed(world: World) -> list[str]:
    """What each connection of the feed has."""
    return ["".join(sorted(line.subscribed)) for line in world.lines]


class PlaceTests:
    """Which link has which topic."""

    def test_filled_one_after_the_other(self) -> None:
        """A further link where the others are full; the first place that frees is taken."""
        world = live(*"abcde", topics_most=2)
        assert subscribed(world) == ["ab", "cd", "e"]
        world.unwant("b")
        world.want("f")
        world.calm()
        assert subscribed(world) == ["af", "cd", "e"]
        assert world.fleet.counters.connected == 3
        assert world.fleet.counters.topics == 5

    def test_without_a_limit(self) -> None:
        """One link has it all."""
        assert subscribed(live(*"abcdefgh")) == ["abcdefgh"]

    def test_the_empty_ones_go(self) -> None:
        """Also their sessions; the first is always there."""
        world = live(*"abcde", topics_most=2)
        world.unwant(*"cd")
        world.calm()
        assert subscribed(world) == ["ab", "e"]
        assert [link.number for link in world.fleet.all] == [1, 3]
        world.unwant(*"abe")
        world.calm()
        assert [(link.number, link.session.state) for link in world.fleet.all] == [(1, State.IDLE)]
        assert world.fleet.counters.connects == 3

    def test_as_many_as_are_allowed(self) -> None:
        """What is beyond fails with the reason, and has the first place that frees, on whichever link."""
        world = live(*"abcdef", topics_most=2, connections_most=2)
        assert subscribed(world) == ["ab", "cd"]
        assert (world.hub.states["e"], world.hub.states["f"]) == (FULL, FULL)
        assert world.fleet.counters.topics_waiting == 2
        world.unwant("a")
        world.calm()
        assert (subscribed(world), world.hub.states["e"]) == (["be", "cd"], "pending")
        world.unwant("f", "d")
        world.calm()
        assert subscribed(world) == ["be", "c"]
        assert world.fleet.counters.topics_waiting == 0

    def test_one_is_one(self) -> None:
        """`limits.connections: 1` never opens a second."""
        world = live(*"abc", topics_most=2, connections_most=1)
        world.tell("do drain")
        world.after(5.0)
        world.unwant("a")
        world.after(60.0)
        assert (world.most_open, subscribed(world)) == (1, ["bc"])

    def test_where_no_number_is_told(self) -> None:
        """A few."""
        world = live(*"abcdefghijkl", topics_most=2)
        assert subscribed(world) == ["ab", "cd", "ef", "gh"]
        assert len(world.fleet.links) == UNTOLD_MOST

    def test_shared_subscriptions(self) -> None:
        """Topics of one subscription are on one link, also where it is full."""
        claims = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}

        def shared(fields: Mapping[str, str]) -> Claims:
            return (Claim((claims[fields["name"]],)),)

        world = live("a1", "b1", "c1", "a2", topics_most=2, claims_of=shared)
        assert [sorted(link.topics) for link in world.fleet.links] == [["a1", "a2", "b1"], ["c1"]]

    def test_a_refusal_makes_room(self) -> None:
        """Where the upstream refuses one that has a place, one that waits on that link has it."""
        world = World(topics_most=1, connections_most=1)
        world.want(*"ab")
        world.accept()
        world.lines[0].inbox[:] = ["no a forbidden"]
        world.calm()
        assert world.hub.states["a"] == "failed: forbidden"
        assert subscribed(world) == ["ab"]
        world.unwant("a")
        world.calm()
        assert world.fleet.next_deadline() > world.now

    def test_nothing_is_wanted_twice(self) -> None:
        """Idempotent, both ways."""
        world = live("a")
        world.want("a")
        world.unwant("b")
        world.calm()
        assert subscribed(world) == ["a"]

    def test_a_snapshot_for_a_newcomer(self) -> None:
        """Asked for by the link that serves the topic."""
        world = live("a")
        world.fleet.refresh("a", world.now)
        world.fleet.refresh("nobody's", world.now)
        world.calm()
        [line] = world.lines
        assert line.subscribed == {"a"}
        world.tell("do drain")
        world.deliver_all()
        world.fleet.refresh("a", world.now)

    def test_what_cannot_be_ended_keeps_its_place(self) -> None:
        """Until the connection has ended."""
        world = live("a", topics_most=1, connections_most=1,
                     claims_of=lambda fields: (Claim((fields["name"],), ends=False),))  # fmt: skip
        world.want("b")
        world.calm()
        world.unwant("a")
        world.calm()
        assert world.fleet.links[0].session.topics.waiting == 1
        world.cut(world.lines[0])
        world.after(2.0)
        assert subscribed(world) == ["b"]

    def test_a_lost_link(self) -> None:
        """It dials anew by itself, with its topics; the others go on."""
        world = live(*"abc", topics_most=2)
        world.cut(world.lines[0])
        world.publish(*"abc")
        world.after(2.0)
        world.publish(*"abc")
        world.calm()
        assert world.hub.rings == {"a": [1, None, 3], "b": [1, None, 3], "c": [1, 2, 3]}


class HandoverTests:
    """One link takes over from another."""

    def test_without_a_gap(self) -> None:
        """The old connection speaks until the new one is level with it."""
        world = live("a", "b")
        world.tell("do drain ws://other/")
        world.deliver_all()
        world.publish("a", "b")
        world.after(1.0)
        assert [line.url for line in world.lines] == ["ws://feed.example/", "ws://other/"]
        world.publish("a", "b")
        world.deliver(world.lines[1])
        assert world.hub.rings == {"a": [1, 2, 3], "b": [1, 2, 3]}
        world.calm()
        assert [line.url for line in world.lines] == ["ws://other/"]
        assert world.hub.rings == {"a": [1, 2, 3], "b": [1, 2, 3]}
        assert (world.fleet.moved, world.fleet.moved_with_gap) == (2, 0)
        assert [link.number for link in world.fleet.all] == [2]
        assert world.fleet.counters.losses == 1

    def test_who_stands_for_it(self) -> None:
        """The old one while it serves."""
        world = live("a")
        world.tell("do drain")
        world.deliver_all()
        assert (world.fleet.state, world.fleet.why) == (State.LIVE, "")
        assert world.fleet.connection is world.lines[0].link.session.connection
        world.after(1.0)
        world.publish("a")
        world.calm()
        assert world.fleet.connection is world.lines[0].link.session.connection
        assert world.lines[0].link.number == 2

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

    def test_by_age(self) -> None:
        """The same, at the age less its jitter."""
        world = live("a", max_age_s=100.0)
        world.after(95.5)
        assert len(world.lines) == 2
        world.publish("a")
        world.calm()
        assert len(world.lines) == 1
        assert world.hub.rings == {"a": [1, 2]}

    def test_topics_in_the_url(self) -> None:
        """A new connection for the new set; the old one serves until then."""
        world = live("a", topics_in_url=True)
        world.want("b")
        world.after(0.9)
        assert len(world.lines) == 1
        world.after(0.2)
        world.publish("a", "b")
        world.calm()
        assert subscribed(world) == ["ab"]
        assert world.hub.rings == {"a": [1, 2], "b": [1]}

    def test_what_left_the_url_is_forgotten(self) -> None:
        """With its past: when it is wanted again it begins anew."""
        world = live("a", "b", topics_in_url=True)
        world.unwant("a")
        world.after(1.5)
        assert "a" not in world.hub.rings
        world.after(30.0)
        world.publish("a", "b")
        world.want("a")
        world.after(30.0)
        world.publish("a", "b")
        world.calm()
        assert world.hub.rings == {"a": [3], "b": [1, 2, 3]}

    def test_changes_while_it_lasts(self) -> None:
        """One more topic is asked for on both; one less, too."""
        world = live("a", "b")
        world.tell("do drain")
        world.after(1.0)
        world.want("c")
        world.unwant("b")
        world.calm()
        assert subscribed(world) == ["ac", "ac"]
        world.publish("a", "b", "c")
        world.calm()
        assert subscribed(world) == ["ac"]
        assert world.hub.rings == {"a": [1, 2], "c": [1]}

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

    def test_nobody_wants_anything_any_more(self) -> None:
        """Both hang up."""
        world = live("a")
        world.tell("do drain")
        world.after(1.0)
        world.unwant("a")
        world.after(5.0)
        assert (world.lines, [link.number for link in world.fleet.all]) == ([], [2])
        assert world.fleet.next_deadline() > world.now

    def test_sent_on_at_once_and_again(self) -> None:
        """An upstream that sends everybody on is followed at the pace of the backoff."""
        world = live("a")
        for _ in range(400):
            for line in world.lines:
                world.tell("do drain", line)
            world.publish("a")
            world.after(0.1)
        assert 3 <= world.fleet.counters.dials <= 8
        assert world.hub.rings["a"][:3] == [1, 2, 3]

    def test_no_room_for_two(self) -> None:
        """Where the allowed ones are all in use, the old one ends first, and a mark stands for what was missed."""
        world = live(*"abcd", topics_most=2, connections_most=2)
        world.tell("do drain")
        world.deliver_all()
        assert len(world.lines) == 1
        world.publish(*"abcd")
        world.after(5.0)
        world.publish(*"abcd")
        world.calm()
        assert world.most_open == 2
        assert world.hub.rings["a"] == [1, None, 3]
        assert world.hub.rings["c"] == [1, 2, 3]

    def test_a_place_for_whoever_waits_when_it_is_over(self) -> None:
        """The slot that the handover took is free again."""
        world = live("a", topics_most=1, connections_most=2)
        world.tell("do drain")
        world.after(1.0)
        world.want("b")
        world.calm()
        assert world.hub.states["b"].startswith("failed")
        world.publish("a")
        world.calm()
        assert sorted(subscribed(world)) == ["a", "b"]
        assert world.hub.rings["a"] == [1, 2]

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
