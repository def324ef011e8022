"""Tests of relayd.core.upstream.seating: which link has which topic."""

from __future__ import annotations

from collections.abc import Mapping

from relayd.core.upstream.fleet import UNTOLD_MOST
from relayd.core.upstream.places import Claim, Claims
from tests.support.fleet import World, live, subscribed

FULL = "failed: limits.topics of upstream feed is reached (2)"


class PlaceTests:
    """Who finds a place, and where."""

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

    def test_a_place_where_it_waits(self) -> None:
        """It stays there, and has it."""
        world = live(*"abcde", topics_most=2, connections_most=2)
        world.unwant("c")
        world.calm()
        assert (subscribed(world), world.hub.states["e"]) == (["ab", "de"], "pending")

    def test_where_a_url_still_names_it(self) -> None:
        """It goes back there: elsewhere it would come twice. Who comes meanwhile takes another connection."""
        world = live(*"ab", topics_most=2, topics_in_url=True)
        world.unwant("a")
        world.want("c")
        world.want("a")
        world.calm()
        assert subscribed(world) == ["ab", "c"]
        world.publish(*"aaa")
        world.calm()
        assert (world.hub.rings["a"], world.hub.states["a"]) == ([1, 2, 3, 4], "live")

    def test_a_url_that_names_nothing_any_more(self) -> None:
        """What comes and goes while nothing is connected needs no second connection."""
        world = live("a", topics_most=1, topics_in_url=True)
        world.refuses = 1
        world.cut(world.lines[0])
        world.unwant("a")
        world.want("b")
        world.after(10.0)
        assert (subscribed(world), len(world.fleet.links)) == (["b"], 1)

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

    def test_what_no_connection_can_hold(self) -> None:
        """It needs two places where there is one: it fails, and no connection is opened for it."""

        def with_companion(fields: Mapping[str, str]) -> Claims:
            own = Claim((fields["name"],))
            return (own, Claim(("beat",))) if fields["name"] == "big" else (own,)

        world = World(topics_most=1, claims_of=with_companion)
        world.want("big", "a", "b")
        world.calm()
        assert world.hub.states["big"] == "failed: limits.topics of upstream feed is reached (1)"
        assert subscribed(world) == ["a", "b"]


class QueueTests:
    """A further link is allowed, but others are taking over, or closing, and hold the last slots."""

    def taking_over(self) -> World:
        """One topic a connection, two connections at most, and both are in use while one takes over."""
        world = live("a", topics_most=1, connections_most=2)
        world.tell("do drain")
        world.after(1.0)
        assert len(world.lines) == 2
        return world

    def test_until_it_is_over(self) -> None:
        """Pending, then subscribed as soon as the slot is free."""
        world = self.taking_over()
        world.want("b")
        world.calm()
        assert (world.hub.states["b"], world.fleet.counters.topics_waiting) == ("pending", 1)
        assert (world.fleet.counters.topics, world.fleet.counters.crowded_out) == (2, 0)
        world.publish("a")
        world.calm()
        assert sorted(subscribed(world)) == ["a", "b"]
        assert world.fleet.counters.topics_waiting == 0
        world.publish("a", "b")
        world.calm()
        assert world.hub.rings == {"a": [1, 2, 3], "b": [1]}
        assert (world.most_open, [note for note in world.notes if note.warning]) == (2, [])

    def test_a_link_that_closes(self) -> None:
        """The same until its socket is closed."""
        world = live(*"ab", topics_most=1, connections_most=2)
        world.fleet.links[1].session.redial.socket_open()
        world.unwant("b")
        world.after(0.5)
        assert len(list(world.fleet.all)) == 2
        world.want("c")
        world.calm()
        assert (world.hub.states["c"], subscribed(world)) == ("pending", ["a"])
        world.after(10.0)
        assert subscribed(world) == ["a", "c"]

    def test_more_than_there_will_be_room_for(self) -> None:
        """Those fail with the reason."""
        world = self.taking_over()
        world.want(*"bc")
        world.calm()
        assert world.hub.states["b"] == "pending"
        assert world.hub.states["c"] == "failed: limits.topics of upstream feed is reached (1)"
        world.unwant("b")
        world.calm()
        assert world.hub.states["c"] == "pending"
        world.publish("a")
        world.calm()
        assert sorted(subscribed(world)) == ["a", "c"]

    def test_nobody_waits_any_more(self) -> None:
        """No link is opened for them."""
        world = self.taking_over()
        world.want("b")
        world.calm()
        world.unwant("b")
        world.publish("a")
        world.calm()
        assert (subscribed(world), world.fleet.counters.topics_waiting) == (["a"], 0)
        assert world.fleet.counters.dials == 2

    def test_a_place_frees_meanwhile(self) -> None:
        """On a link that is open: whoever waits has it."""
        world = live(*"abcd", topics_most=2, connections_most=3)
        world.tell("do drain")
        world.after(1.0)
        world.want(*"ef")
        world.calm()
        world.unwant("c")
        world.calm()
        assert [line for line in subscribed(world) if "e" in line] == ["de"]
        assert (world.hub.states["e"], world.hub.states["f"]) == ("pending", "pending")
        assert world.fleet.counters.topics_waiting == 1
        world.after(60.0)
        assert sorted(subscribed(world)) == ["ab", "de", "f"]

    def test_it_is_given_up(self) -> None:
        """The slot is taken by whoever waited longest."""
        world = live(*"a", topics_most=1, connections_most=3)
        world.tell("do drain")
        world.after(1.0)
        world.want(*"bcd")
        world.calm()
        assert [world.hub.states[topic][:7] for topic in "bcd"] == ["pending", "pending", "failed:"]
        assert sorted(subscribed(world)) == ["a", "a", "b"]
        world.publish("a")
        world.calm()
        assert sorted(subscribed(world)) == ["a", "b", "c"]
