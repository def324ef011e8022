"""Tests of relayd.core.upstream.places."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from relayd.core.upstream.places import Claim, Claims, Places, claims_of, no_claims
from tests.support.talk import dialect

ONE_EACH = {"a": (Claim(("a",)),), "b": (Claim(("b",)),), "c": (Claim(("c",)),), "d": (Claim(("d",)),)}


def places(most: int | None, table: Mapping[str, Claims] = ONE_EACH) -> Places[str]:
    """Topics are names, and the table says what they need."""
    return Places(most, lambda fields: table[fields["name"]], "full")


def take(into: Places[str], topics: str) -> str:
    """Those that have a place from now on."""
    return "".join(topic for topic in topics if into.take(topic, {"name": topic}))


class ClaimTests:
    """What a topic needs in the words of its dialect."""

    FIELDS: Mapping[str, str] = {"channel": "ticker", "symbol": "BTC"}

    def test_its_own(self) -> None:
        """By the fields of the message; topics that differ in nothing else share it."""
        spoken = dialect()
        assert claims_of(spoken, self.FIELDS) == (Claim((0, "ticker", "BTC")),)
        assert claims_of(spoken, {**self.FIELDS, "side": "bid"}) == claims_of(spoken, self.FIELDS)

    def test_a_companion(self) -> None:
        """It is one more, the same for all that share it, and none beside itself."""
        spoken = dialect(heartbeat={"also": {"channel": "hb", "symbol": "$symbol"}})
        beat = Claim((0, "hb", "BTC"))
        assert claims_of(spoken, self.FIELDS) == (Claim((0, "ticker", "BTC")), beat)
        assert claims_of(spoken, {"channel": "hb", "symbol": "BTC"}) == (beat,)

    def test_one_that_cannot_be_ended(self) -> None:
        """Without `$verb` and without an `unsubscribe` block."""
        spoken = dialect(subscribe={"each": "$symbol", "send": {"ch": "$channel", "syms": "$topics"}})
        assert claims_of(spoken, self.FIELDS) == (Claim((0, "ticker", "BTC"), ends=False),)

    def test_none(self) -> None:
        """What cannot be asked for, and what is not asked for at all."""
        assert claims_of(dialect(), {"channel": "ticker"}) == ()
        assert claims_of(dialect(subscribe=None), self.FIELDS) == ()
        assert no_claims(self.FIELDS) == ()


class PlaceTests:
    """Who has one and who waits."""

    def test_without_a_limit(self) -> None:
        """Nothing is counted."""
        into: Places[str] = Places()
        assert take(into, "abcd") == "abcd"
        into.hold("a", {})
        assert (into.waiting, into.free("a"), into.refused("b")) == (0, [], [])

    def test_in_the_order_of_asking(self) -> None:
        """Whoever waits longest is next; taking twice is taking once."""
        into = places(1)
        assert take(into, "aabcd") == "aa"
        assert into.waiting == 3
        assert into.free("c") == []
        assert into.free("a") == ["b"]
        assert take(into, "b") == "b"
        assert into.refused("b") == ["d"]
        assert into.refused("b") == []

    def test_no_end(self) -> None:
        """Its place stays taken; whoever comes back to it needs no other; a refusal frees it all the same."""
        into = places(1, {"a": (Claim(("a",), ends=False),), "b": (Claim(("b",)),)})
        assert take(into, "ab") == "a"
        assert into.free("a") == []
        assert into.waiting == 1
        assert take(into, "a") == "a"
        assert into.refused("a") == ["b"]

    def test_companions(self) -> None:
        """Two places for the first, one for the next that shares it; it goes on when its topic was refused."""
        beat = Claim(("beat",))
        into = places(3, {name: (Claim((name,)), beat) for name in "abcd"})
        assert take(into, "abcd") == "ab"
        assert into.refused("a") == ["c"]
        assert take(into, "a") == ""
        assert into.free("b") == ["d"]
        assert into.free("d") == ["a"]

    def test_one_that_needs_two_does_not_hold_up_one_that_needs_one(self) -> None:
        """A place is not left empty."""
        into = places(1, {"a": (Claim(("a",)),), "b": (Claim(("b",)), Claim(("beat",))), "c": (Claim(("c",)),)})
        assert take(into, "abc") == "a"
        assert into.free("a") == ["c"]
        assert into.waiting == 1

    def test_whoever_waits_for_the_same(self) -> None:
        """All of them have it, or none."""
        into = places(1, {"a": (Claim(("a",)),), "b": (Claim(("x",)),), "c": (Claim(("x",)),)})
        assert take(into, "abc") == "a"
        assert into.free("b") == []
        assert take(into, "b") == ""
        assert into.free("a") == ["c", "b"]
        assert into.free("b") == []

    def test_more_than_there_are(self) -> None:
        """What the upstream sends counts, and ends the waiting."""
        into = places(1)
        assert take(into, "ab") == "a"
        into.hold("b", {"name": "b"})
        assert take(into, "c") == ""
        assert into.waiting == 1
        assert into.free("a") == []
        assert into.free("b") == ["c"]

    def test_a_new_connection(self) -> None:
        """Nothing is held, nobody waits."""
        into = places(1)
        take(into, "ab")
        into.clear()
        assert into.waiting == 0
        assert take(into, "ba") == "b"

    def test_looked_at(self) -> None:
        """Whether there is one, without taking it; whether it is shared."""
        into = places(1)
        assert into.has_place({"name": "a"}) and not into.shares({"name": "a"})
        take(into, "a")
        assert into.has_place({"name": "a"}) and into.shares({"name": "a"})
        assert not into.has_place({"name": "b"}) and not into.shares({"name": "b"})
        assert into.could_hold({"name": "b"}) and not places(0).could_hold({"name": "b"})
        assert places(None).could_hold({"name": "b"})
        assert places(None).has_place({"name": "b"}) and not places(None).shares({"name": "b"})

    def test_what_could_not_be_ended_ends(self) -> None:
        """With the connection."""
        into: Places[str] = Places(1, lambda fields: (Claim((fields["name"],), ends=False),))
        into.hold("a", {"name": "a"})
        into.free("a")
        assert not into.has_place({"name": "b"})
        into.settle()
        assert into.has_place({"name": "b"})

    def test_what_was_never_asked_for(self) -> None:
        """Has nothing that would go on."""
        into: Places[str] = Places(1, lambda fields: (Claim((fields["name"],), ends=False),))
        into.hold("a", {"name": "a"})
        into.free("a", asked=False)
        assert into.has_place({"name": "b"})

    @given(st.lists(st.tuples(st.sampled_from(("take", "free", "refused")), st.sampled_from("abcd"))), st.just(2))
    def test_never_too_many_and_none_left_empty(self, steps: list[tuple[str, str]], most: int) -> None:
        """Whatever happens, at most so many have one, and nobody waits while there is one."""
        into, have, wait = places(most), set[str](), set[str]()
        for step, topic in steps:
            if step == "take":
                (have if into.take(topic, {"name": topic}) else wait).add(topic)
                continue
            admitted = into.free(topic) if step == "free" else into.refused(topic)
            if step == "free":
                wait.discard(topic)
            have.discard(topic)
            have.update(admitted)
            wait.difference_update(admitted)
            assert len(have) <= most
            assert into.waiting == len(wait)
            assert not wait or len(have) == most
