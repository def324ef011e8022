"""Asking for subscriptions and ending them."""

from __future__ import annotations

from typing import Any

from relayd.core.feed.asking import Asking
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.ledger import Ledger, State, Subscription
from relayd.core.feed.resume import Resume
from relayd.core.feed.voice import Voice
from tests.support.talk import LEARNT, dialect, read


class Desk:
    """Asking, with its ledger."""

    def __init__(self, spoken: Dialect, **secrets: str) -> None:
        voice = Voice(wall=lambda: 5.0, uuid=lambda: "u", secrets=secrets, saved={}, resume=Resume())
        self.ledger = Ledger[str](spoken)
        self.asking = Asking[str](spoken, voice, self.ledger)

    def join(self, *topics: str) -> list[Subscription[str]]:
        """Topics written `ticker/BTC`, or one field `name`."""
        fresh = []
        for topic in topics:
            channel, slash, symbol = topic.partition("/")
            fresh += self.ledger.join(topic, {"channel": channel, "symbol": symbol} if slash else {"name": topic})
        return fresh

    def leave(self, *topics: str) -> list[Subscription[str]]:
        """Those that nobody needs now."""
        return [one for topic in topics for one in self.ledger.leave(topic)]

    def ask(self, *topics: str) -> list[Any]:
        """What goes out when these are wanted."""
        return read(self.asking.ask(self.join(*topics)))

    def end(self, *topics: str) -> list[Any]:
        """What goes out when they are not wanted any more."""
        return read(self.asking.end(self.leave(*topics)))

    def state(self, topic: str) -> str:
        """Of a topic's subscription."""
        one = self.ledger.of_topic(topic)
        assert one is not None
        return one.state.value


NO_ACKS: Any = dict(control=None)


class AskTests:
    """Which messages, in what order."""

    def test_groups_across_variants(self) -> None:
        """By the first of each."""
        spoken = dialect(
            subscribe=[
                {"for": {"channel": "book"}, "each": "$symbol", "send": {"book": "$topics"}},
                {"each": "$symbol", "send": {"ch": "$channel", "s": "$topics"}},
            ]
        )
        assert Desk(spoken).ask("t/A", "book/A", "m/A", "t/B", "book/B") == [
            {"ch": "t", "s": ["A", "B"]},
            {"book": ["A", "B"]},
            {"ch": "m", "s": ["A"]},
        ]

    def test_ids_for_messages_that_use_one(self) -> None:
        """Measuring takes none."""
        spoken = dialect(subscribe={"each": "$symbol", "send": {"s": "$topics", "id": "$id"}, "bytes": 24})
        assert Desk(spoken).ask("t/AAA", "t/BBB", "t/CCC") == [
            {"s": ["AAA"], "id": 1},
            {"s": ["BBB"], "id": 2},
            {"s": ["CCC"], "id": 3},
        ]

    def test_batches(self) -> None:
        """As few as may be."""
        spoken = dialect(subscribe={"each": "$symbol", "send": {"s": "$topics"}, "batch": 2})
        assert Desk(spoken).ask("t/A", "t/B", "t/C") == [{"s": ["A", "B"]}, {"s": ["C"]}]

    def test_without_acks(self) -> None:
        """Sent is confirmed."""
        desk = Desk(dialect(**NO_ACKS))
        desk.ask("t/A")
        assert desk.state("t/A") == "confirmed"
        acked = Desk(dialect())
        acked.ask("t/A")
        assert acked.state("t/A") == "asked"

    def test_in_the_url(self) -> None:
        """Nothing is sent."""
        spoken = dialect(connect={"url": "wss://h/$topics"}, topic={"at": "ch"}, subscribe={"in": "url"}, control=None)
        desk = Desk(spoken)
        assert desk.ask("a", "b") == [] and desk.state("a") == "confirmed"
        assert desk.end("a") == []

    def test_chosen_ids(self) -> None:
        """They stand for the subscription at once."""
        desk = Desk(dialect(topic={"bound": "id"}, subscribe={"send": {"id": "s$id", "n": "$name"}, "bind": "s$id"}))
        assert desk.ask("a", "b") == [{"id": "s1", "n": "a"}, {"id": "s2", "n": "b"}]
        assert desk.ledger.bound_to("s2") == [desk.ledger.of_topic("b")]


class RefusedTests:
    """What cannot be written."""

    def test_one_does_not_keep_the_others(self) -> None:
        """Only the one at fault is left out, and told."""
        spoken = dialect(subscribe={"each": "$symbol", "send": {"s": "$topics"}, "join": ","})
        desk = Desk(spoken)
        assert desk.ask("t/A", "t/B,C", "t/D", "t/E") == [{"s": "A"}, {"s": "D,E"}]
        ((one, text),) = desk.asking.refused
        assert list(one.topics) == ["t/B,C"] and "','" in text and desk.state("t/B,C") == "failed"

    def test_one_that_is_too_long_by_itself(self) -> None:
        """It would be refused, or cut the connection."""
        desk = Desk(dialect(subscribe={"each": "$symbol", "send": {"s": "$topics"}, "bytes": 12}))
        assert desk.ask("t/A", "t/BBBBBBBBBB", "t/C") == [{"s": ["A"]}, {"s": ["C"]}]
        assert "20 bytes" in desk.asking.refused[0][1]

    def test_a_value_that_is_not_there(self) -> None:
        """It is named as the file writes it."""
        desk = Desk(
            dialect(subscribe={"each": "$symbol", "send": {"s": "$topics", "k": "${env.K}"}, "batch": 9, "bytes": 99})
        )
        assert desk.ask("t/A") == [] and "env.K" in desk.asking.refused[0][1]

    def test_an_end_that_cannot_be_written(self) -> None:
        """Nobody is told: nobody wants it any more."""
        desk = Desk(dialect(unsubscribe={"send": {"k": "${env.K}"}}))
        desk.ask("t/A")
        assert desk.end("t/A") == [] and desk.asking.refused == []


class EndTests:
    """Ending."""

    def test_the_other_verb(self) -> None:
        """The same message, grouped in the same way."""
        desk = Desk(dialect(**NO_ACKS))
        desk.ask("t/A", "t/B", "m/A")
        assert desk.end("t/A", "m/A", "t/B") == [
            {"op": "unsubscribe", "ch": "t", "syms": ["A", "B"], "id": 3},
            {"op": "unsubscribe", "ch": "m", "syms": ["A"], "id": 4},
        ]
        assert desk.ledger.all() == []

    def test_what_was_not_asked_for(self) -> None:
        """Or failed: there is nothing to end."""
        desk = Desk(dialect())
        desk.join("t/A")
        assert desk.end("t/A") == []
        desk.ask("t/B")
        one = desk.ledger.of_topic("t/B")
        assert one is not None
        desk.ledger.fail(one)
        assert desk.end("t/B") == []

    def test_without_a_verb_or_a_message_for_it(self) -> None:
        """The feed knows no unsubscribe."""
        desk = Desk(dialect(subscribe={"send": {"s": "$symbol"}}, **NO_ACKS))
        desk.ask("t/A")
        assert desk.end("t/A") == []
        other = Desk(dialect(unsubscribe={"for": {"channel": "x"}, "send": {"s": "$symbol"}}, **NO_ACKS))
        other.ask("t/A", "x/A")
        assert other.end("t/A", "x/A") == [{"s": "A"}]

    def test_what_ends_by_an_id_that_is_not_told_yet(self) -> None:
        """It ends when it is."""
        desk = Desk(dialect(LEARNT))
        desk.ask("a")
        assert desk.end("a") == []
        (one,) = desk.ledger.all()
        assert one.state is State.ENDING
        desk.ledger.bind(one, 17)
        assert read(desk.asking.end([one])) == [{"op": "unsub", "sub": 17, "id": 2}] and desk.ledger.all() == []

    def test_what_was_confirmed_without_an_id(self) -> None:
        """It cannot be ended, and is forgotten."""
        desk = Desk(dialect(LEARNT))
        desk.ask("a")
        (one,) = desk.ledger.all()
        desk.ledger.confirm(one)
        assert desk.end("a") == [] and desk.ledger.all() == []


class WholeTests:
    """Messages that replace the whole set."""

    def test_each_holds_everything(self) -> None:
        """Of the same group, failed ones apart; also when the last one leaves."""
        desk = Desk(
            dialect(subscribe={"each": "$symbol", "send": {"ch": "$channel", "s": "$topics"}, "whole": True}, **NO_ACKS)
        )
        assert desk.ask("t/A") == [{"ch": "t", "s": ["A"]}]
        assert desk.ask("t/B", "m/A") == [{"ch": "t", "s": ["A", "B"]}, {"ch": "m", "s": ["A"]}]
        assert desk.end("t/A") == [{"ch": "t", "s": ["B"]}]
        assert desk.end("t/B") == [{"ch": "t", "s": []}]
        one = desk.ledger.of_topic("m/A")
        assert one is not None
        desk.ledger.fail(one)
        assert desk.ask("m/B") == [{"ch": "m", "s": ["B"]}]

    def test_asked_again(self) -> None:
        """There is nothing to end first."""
        desk = Desk(dialect(subscribe={"each": "$symbol", "send": {"s": "$topics"}, "whole": True}, **NO_ACKS))
        desk.ask("t/A", "t/B")
        assert read(desk.asking.renew(desk.ledger.all())) == [{"s": ["A", "B"]}]


class RenewTests:
    """Ending and asking again."""

    def test_confirmed_ones_are_ended_first(self) -> None:
        """Those that are only asked for are asked for again."""
        desk = Desk(dialect())
        desk.ask("t/A", "t/B")
        one = desk.ledger.of_topic("t/A")
        assert one is not None
        desk.ledger.confirm(one)
        assert read(desk.asking.renew(desk.ledger.all())) == [
            {"op": "unsubscribe", "ch": "t", "syms": ["A"], "id": 2},
            {"op": "subscribe", "ch": "t", "syms": ["A", "B"], "id": 3},
        ]
        assert desk.state("t/A") == "asked"

    def test_what_is_ending_stays_so(self) -> None:
        """Nobody wants it."""
        desk = Desk(dialect(LEARNT))
        desk.ask("a")
        desk.end("a")
        assert desk.asking.renew(desk.ledger.all()) == []
