"""Tests of relayd.core.upstream.fleet: links that come and go, and when one takes over from another."""

from __future__ import annotations

from relayd.core.upstream.places import Claim
from relayd.core.upstream.states import State
from tests.support.fleet import live, subscribed


class LinkTests:
    """How many there are."""

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

    def test_one_is_one(self) -> None:
        """`limits.connections: 1` never opens a second."""
        world = live(*"abc", topics_most=2, connections_most=1)
        world.tell("do drain")
        world.after(5.0)
        world.unwant("a")
        world.after(60.0)
        assert (world.most_open, subscribed(world)) == (1, ["bc"])

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

    def test_what_was_not_remembered(self) -> None:
        """Of links that are and of those that were."""
        world = live("a", "b", topics_most=1)
        for link in world.fleet.all:
            link.resume.forgotten = 3
        assert world.fleet.counters.resume_forgotten == 6
        world.unwant("b")
        world.calm()
        assert len(world.fleet.links) == 1
        assert world.fleet.counters.resume_forgotten == 6

    def test_a_lost_link(self) -> None:
        """It dials anew by itself, with its topics; the others go on."""
        world = live(*"abc", topics_most=2)
        world.cut(world.lines[0])
        world.publish(*"abc")
        world.after(2.0)
        world.publish(*"abc")
        world.calm()
        assert world.hub.rings == {"a": [1, None, 3], "b": [1, None, 3], "c": [1, 2, 3]}


class RenewalTests:
    """When one takes over from another."""

    def test_the_old_one_says_goodbye(self) -> None:
        """It is kept until it has; what nobody ever wanted changes nothing."""
        world = live("a")
        world.unwant("nobody's")
        world.tell("do drain")
        world.after(1.0)
        world.publish("a")
        new, old = world.lines[1], world.lines[0]
        for line in (new, old):
            for text in line.inbox:
                line.link.session.message(text.encode(), True, world.now)
        world.fleet.tick(world.now)
        assert [link.session.state for link in world.fleet.all] == [State.LIVE, State.LIVE]
        assert (world.fleet.next_deadline() > world.now, old.link.session.next_deadline() > world.now) == (True, False)
        world.calm()
        assert [link.number for link in world.fleet.all] == [2]

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
