"""From fields to the topics that want them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.feed import routing as module
from relayd.core.feed.routing import Router, Target
from relayd.core.resolver import Resolver
from tests.support.talk import dialect

SPOKEN = dialect(
    sequence=[{"for": {"channel": "m*"}, "at": "n", "step": 1}, {"per": "connection", "at": "c"}],
    snapshot=[
        {"for": {"channel": "book"}, "when": {"t": "s"}},
        {"for": {"channel": "book"}, "http": {"url": "http://h"}},
    ],
)
BTC = {"channel": "ticker", "symbol": "BTC"}


def router() -> Router[str]:
    """Nobody wants anything yet."""
    return Router[str](SPOKEN, None)


class RouterTests:
    """Finding."""

    def test_whole_tables(self) -> None:
        """Several topics may want the same."""
        wants = router()
        wants.add("a", BTC)
        wants.add("b", {**BTC, "symbol": "ETH"})
        wants.add("c", BTC)
        target = wants.find(BTC)
        assert target is not None and target.topics == ("a", "c") and wants.find(BTC) is target
        assert wants.find({"channel": "ticker"}) is None and wants.find({**BTC, "symbol": "X"}) is None
        assert "a" in wants and "x" not in wants and len(wants) == 3 and wants.fields_of("a") == BTC

    def test_parts_of_a_table(self) -> None:
        """A topic may name fewer fields than the message has; topics come in the order they were wanted."""
        wants = router()
        wants.add("all", {"channel": "ticker"})
        wants.add("one", BTC)
        wants.add("any", {})
        target = wants.find(BTC)
        assert target is not None and target.topics == ("all", "one", "any")
        partial = wants.find({"channel": "ticker"})
        assert partial is not None and partial.topics == ("all", "any")

    def test_targets_follow_what_is_wanted(self) -> None:
        """Without being looked up again."""
        wants = router()
        wants.add("one", BTC)
        target = wants.find(BTC)
        assert target is not None
        wants.add("all", {"channel": "ticker"})
        assert target.topics == ("one", "all")
        wants.discard("one")
        assert target.topics == ("all",)
        wants.discard("all")
        assert target.topics == () and wants.find(BTC) is None

    def test_in_order(self) -> None:
        """Of topics that are wanted, each once."""
        wants = router()
        for topic in "cab":
            wants.add(topic, BTC)
        assert wants.in_order(["b", "x", "a", "c", "b"]) == ("c", "a", "b")

    def test_unasked(self) -> None:
        """Then somebody else knows who wants it."""
        pushed = dialect(subscribe=None, control=None)
        asked: list[Mapping[str, str]] = []

        def resolve(fields: Mapping[str, str]) -> tuple[str, ...]:
            asked.append(fields)
            return ("t",) if fields["symbol"] == "BTC" else ()

        resolver = Resolver(resolve)
        wants = Router[str](pushed, resolver)
        target = wants.find(BTC)
        assert target is not None and target.topics == ("t",) and wants.find(BTC) is target
        before = len(asked)
        assert wants.find(BTC) is target and wants.resolved(target) == ("t",) and len(asked) == before
        assert wants.find({**BTC, "symbol": "X"}) is None and len(asked) == before + 1
        resolver.change()
        assert wants.resolved(target) == ("t",) and len(asked) == before + 2
        wants.add("t", BTC)
        assert len(wants.find(BTC).topics) == 1

    def test_unasked_and_wanted_no_more(self) -> None:
        """What is known of its numbers stays."""
        topics = ["t"]
        resolver = Resolver(lambda fields: tuple(topics))
        wants = Router[str](dialect(subscribe=None, control=None), resolver)
        target = wants.find(BTC)
        topics.clear()
        assert target is not None and wants.find(BTC) is None and target.topics == ()
        topics.append("u")
        resolver.change()
        assert wants.find(BTC) is target and target.topics == ("u",)

    def test_the_number_of_targets_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The oldest is forgotten, and whoever holds it can see that."""
        monkeypatch.setattr(module, "MAX_TARGETS", 2)
        wants = router()
        wants.add("all", {})
        targets = [wants.find({**BTC, "symbol": symbol}) for symbol in "abc"]
        assert [target.topics for target in targets if target] == [(), ("all",), ("all",)]

    @given(
        st.lists(
            st.tuples(
                st.booleans(),
                st.sampled_from("abcdef"),
                st.dictionaries(st.sampled_from(["channel", "symbol"]), st.sampled_from("xy")),
            )
        )
    )
    def test_churn(self, steps: list[tuple[bool, str, dict[str, str]]]) -> None:
        """Whatever comes and goes, a message finds exactly the topics whose fields it has."""
        wants, model = router(), dict[str, dict[str, str]]()
        messages = [{"channel": c, "symbol": s} for c in "xy" for s in "xy"] + [{"channel": "x"}]
        for add, topic, fields in steps:
            if add and topic not in model:
                wants.add(topic, fields)
                model[topic] = fields
            elif not add and topic in model:
                wants.discard(topic)
                del model[topic]
            for message in messages:
                target = wants.find(message)
                expected = tuple(t for t, f in model.items() if f.items() <= message.items())
                assert (target.topics if target else ()) == expected


class TargetTests:
    """What is known of messages with the same fields."""

    def test_rules_are_chosen_once(self) -> None:
        """By `for`."""
        matches, book = Target({"channel": "matches"}, ("t",), SPOKEN), Target({"channel": "book"}, ("t",), SPOKEN)
        assert matches.sequence is SPOKEN.sequences[0] and matches.snapshots == () and matches.counts
        assert book.sequence is None and book.snapshots == (SPOKEN.snapshots[0],) and book.counts
        plain = Target(BTC, ("t",), SPOKEN)
        assert not plain.counts and not plain.counts_inside and plain.head is None

    def test_numbers_at_the_head_of_a_payload(self) -> None:
        """Not where snapshots must be told apart as well."""
        rules = {"payload": "d", "sequence": {"first": "d.U", "last": "d.u"}}
        target = Target(BTC, ("t",), dialect(**rules))
        assert target.counts_inside and target.head is not None
        assert Target(BTC, ("t",), dialect(**rules, snapshot={"when": {"t": "s"}})).head is None

    def test_without_a_compiled_way(self) -> None:
        """The rules are the same."""
        general = dialect(
            topic={"at": {"channel": "ch", "symbol": "sym"}, "when": "x"}, sequence={"at": "n", "step": 1}
        )
        target = Target(BTC, ("t",), general)
        assert general.extractor is None and target.sequence is not None and target.number is None and not target.counts

    def test_counting(self) -> None:
        """Gaps, numbers that are missing, snapshots."""
        target = Target({"channel": "m"}, ("t",), SPOKEN)
        assert [target.count(number, False) for number in (1, 2, 5, None, 6)] == [
            (False, None),
            (False, None),
            (True, 2),
            (False, None),
            (False, None),
        ]
        assert target.counter is not None and target.counter.due == 7
        assert target.count(None, True) == (False, None) and target.counter.due is None
        assert target.count(100, True) == (False, None) and target.count(102, False) == (True, 1)
        assert Target(BTC, ("t",), SPOKEN).count(5, False) == (False, None)

    def test_a_new_start(self) -> None:
        """After asking again, whatever number comes is the first."""
        wants = router()
        wants.add("a", {"channel": "m", "symbol": "x"})
        wants.add("b", {"channel": "m", "symbol": "y"})
        first, second = wants.find({"channel": "m", "symbol": "x"}), wants.find({"channel": "m", "symbol": "y"})
        assert first is not None and second is not None
        assert first.counter is not None and second.counter is not None
        first.count(7, False)
        second.count(7, False)
        wants.restart(["a"])
        assert (first.counter.due, second.counter.due) == (None, 8)
