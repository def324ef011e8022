"""The upstream subscriptions of a connection."""

from __future__ import annotations

import pytest

from relayd.core.feed import ledger as module
from relayd.core.feed.errors import Refused
from relayd.core.feed.ledger import Ledger, Request, State, Subscription
from relayd.core.feed.path import MISSING
from relayd.core.feed.subscription import SUBSCRIBE, UNSUBSCRIBE
from tests.support.talk import LEARNT, dialect

BTC, ETH = {"channel": "t", "symbol": "BTC"}, {"channel": "t", "symbol": "ETH"}


def asked(
    ledger: Ledger[str], *subscriptions: Subscription[str], ids: tuple[str, ...] = (), number: int = 0
) -> Request[str]:
    """One message that asked for these went out."""
    request = Request(SUBSCRIBE, list(subscriptions), frozenset(ids), number)
    ledger.asked(request)
    return request


def joined(ledger: Ledger[str], topic: str, fields: dict[str, str]) -> Subscription[str]:
    """A topic's subscription."""
    ledger.join(topic, fields)
    found = ledger.of_topic(topic)
    assert found is not None
    return found


class SharingTests:
    """Who shares a subscription."""

    def test_identity(self) -> None:
        """Topics that agree in the fields that asking uses."""
        ledger = Ledger[str](dialect(topic={"at": {"channel": "c", "symbol": "s", "more": "m"}}))
        (first,) = ledger.join("a", {**BTC, "more": "1"})
        assert ledger.join("b", {**BTC, "more": "2"}) == [] and list(first.topics) == ["a", "b"]
        assert first.fields == BTC and ledger.all() == [first]
        assert ledger.leave("a") == [] and ledger.leave("b") == [first] and not first.is_needed

    def test_a_field_that_is_missing(self) -> None:
        """Refused."""
        with pytest.raises(Refused, match="symbol"):
            Ledger[str](dialect()).join("a", {"channel": "t"})

    def test_companions(self) -> None:
        """One for each subscription; it lives as long as one of them does."""
        spoken = dialect(heartbeat={"also": {"channel": "hb", "symbol": "$symbol"}, "within": "15s"})
        ledger = Ledger[str](spoken)
        ticker, companion = ledger.join("a", BTC)
        assert companion.fields == {"channel": "hb", "symbol": "BTC"} and companion.companions_of == 1
        (other,) = ledger.join("b", {"channel": "x", "symbol": "BTC"})
        assert companion.companions_of == 2 and ledger.join("a2", BTC) == []
        assert ledger.leave("a") == [] and ledger.leave("a2") == [ticker]
        assert ledger.leave("b") == [other, companion]

    def test_a_companion_that_is_wanted_itself(self) -> None:
        """It is shared with those who watch it, and is its own companion."""
        spoken = dialect(heartbeat={"also": {"channel": "hb", "symbol": "$symbol"}})
        ledger = Ledger[str](spoken)
        (beat,) = ledger.join("hb", {"channel": "hb", "symbol": "BTC"})
        assert beat.companion is beat and beat.companions_of == 0
        (ticker,) = ledger.join("a", BTC)
        assert ledger.leave("hb") == [] and ledger.leave("a") == [ticker, beat]

    def test_no_companion(self) -> None:
        """Where its fields are not to be had, or no variant is for it."""
        lacking = dialect(
            heartbeat={"also": {"channel": "hb", "symbol": "$symbol"}},
            subscribe=[{"for": {"channel": "t"}, "send": {"s": "$symbol"}}],
        )
        assert len(Ledger[str](lacking).join("a", BTC)) == 1
        assert len(Ledger[str](dialect()).join("a", BTC)) == 1


class StateTests:
    """What was asked for and answered."""

    def test_confirmed(self) -> None:
        """And no longer awaited."""
        ledger = Ledger[str](dialect())
        one = joined(ledger, "a", BTC)
        assert one.state is State.NEW and not ledger.is_ack_awaited and ledger.oldest_request() is None
        request = asked(ledger, one)
        assert one.state.value == "asked" and ledger.is_ack_awaited and ledger.oldest_request() is request
        ledger.confirm(one)
        assert one.state.value == "confirmed" and not ledger.is_ack_awaited

    def test_failed(self) -> None:
        """Joining it again asks again; without anybody it is gone."""
        ledger = Ledger[str](dialect())
        one = joined(ledger, "a", BTC)
        asked(ledger, one)
        ledger.fail(one)
        assert one.state is State.FAILED and ledger.join("b", BTC) == [one] and one.request is None
        ledger.leave("a")
        ledger.leave("b")
        ledger.fail(one)
        assert one.state is State.GONE and ledger.all() == []

    def test_ending(self) -> None:
        """It lives again when it is wanted again, and is gone when it fails."""
        ledger = Ledger[str](dialect(LEARNT))
        one = joined(ledger, "a", {"name": "a"})
        asked(ledger, one)
        ledger.leave("a")
        one.state = State.ENDING
        assert ledger.join("a", {"name": "a"}) == [] and one.state.value == "asked"
        one.state = State.ENDING
        ledger.confirm(one)
        assert one.state.value == "ending"
        ledger.fail(one)
        assert one.state.value == "gone"


class IdTests:
    """What answers are known by."""

    def test_while_the_subscription_lives(self) -> None:
        """Then the id means nothing."""
        ledger = Ledger[str](dialect())
        one, two = joined(ledger, "a", BTC), joined(ledger, "b", ETH)
        request = asked(ledger, one, two, ids=("1", "r1"))
        assert ledger.request_of("1") is ledger.request_of("r1") is request
        ledger.remove(one)
        assert ledger.request_of("1") is request and request.subscriptions == [two]
        ledger.remove(two)
        assert ledger.request_of("1") is None

    def test_asking_again_voids_the_first_id(self) -> None:
        """A late answer to it is nobody's."""
        ledger = Ledger[str](dialect())
        one = joined(ledger, "a", BTC)
        asked(ledger, one, ids=("1",))
        second = asked(ledger, one, ids=("2",))
        assert ledger.request_of("1") is None and ledger.request_of("2") is second

    def test_an_id_that_was_used_again(self) -> None:
        """Belongs to the later request, also when the earlier one is over."""
        ledger = Ledger[str](dialect())
        one, two = joined(ledger, "a", BTC), joined(ledger, "b", ETH)
        asked(ledger, one, ids=("x",))
        second = asked(ledger, two, ids=("x",))
        ledger.remove(one)
        assert ledger.request_of("x") is second

    def test_unsubscribes_until_they_are_answered(self) -> None:
        """Or too many are not."""
        ledger = Ledger[str](dialect())
        request = Request[str](UNSUBSCRIBE, [], frozenset({"1"}))
        ledger.asked(request)
        ledger.settle(request)
        assert ledger.request_of("1") is None
        for number in range(module.MAX_ENDED + 1):
            ledger.asked(Request[str](UNSUBSCRIBE, [], frozenset({str(number)})))
        assert ledger.request_of("0") is None and ledger.request_of("1") is not None

    def test_a_subscribe_is_not_settled(self) -> None:
        """Its id may still end the subscription."""
        ledger = Ledger[str](dialect())
        request = asked(ledger, joined(ledger, "a", BTC), ids=("1",))
        ledger.settle(request)
        assert ledger.request_of("1") is request

    def test_http_numbers(self) -> None:
        """By number, or the one sent last."""
        ledger = Ledger[str](dialect())
        assert ledger.request_number(None) is None
        one, two = joined(ledger, "a", BTC), joined(ledger, "b", ETH)
        first, second = asked(ledger, one, number=1), asked(ledger, two, number=2)
        assert ledger.request_number(1) is first and ledger.request_number(None) is second
        assert ledger.request_number(9) is None


class BoundTests:
    """Ids that stand for subscriptions."""

    def test_bound_until_it_is_over(self) -> None:
        """Others are told of every change."""
        changes: list[int] = []
        ledger = Ledger[str](dialect(LEARNT), lambda: changes.append(1))
        one = joined(ledger, "a", {"name": "a"})
        assert ledger.bind(one, 17470) == "17470" and ledger.bound_to("17470") == [one] and one.bound == 17470
        assert ledger.bind(one, 17470) == "17470" and len(changes) == 1
        assert ledger.bind(one, None) is None and ledger.bound_to("x") == []
        ledger.remove(one)
        assert ledger.bound_to("17470") == [] and len(changes) == 2 and one.bound is MISSING

    def test_shared(self) -> None:
        """One id may stand for several."""
        ledger = Ledger[str](dialect(LEARNT))
        one, two = joined(ledger, "a", {"name": "a"}), joined(ledger, "b", {"name": "b"})
        ledger.bind(one, "s")
        ledger.bind(two, "s")
        ledger.remove(one)
        assert ledger.bound_to("s") == [two]

    def test_bound_anew(self) -> None:
        """Only the latest id stands for it."""
        ledger = Ledger[str](dialect(LEARNT))
        one = joined(ledger, "a", {"name": "a"})
        ledger.bind(one, 5)
        ledger.bind(one, 6)
        assert one.bound == 6 and ledger.bound_to("5") == [] and ledger.bound_to("6") == [one]
        ledger.remove(one)
        assert ledger.bound_to("5") == ledger.bound_to("6") == []


class AgreeingTests:
    """Subscriptions that an answer names by fields."""

    def test_whole_and_partial(self) -> None:
        """A part names all that agree; other fields do not count."""
        ledger = Ledger[str](dialect())
        one, two = joined(ledger, "a", BTC), joined(ledger, "b", ETH)
        assert ledger.agreeing(BTC) == [one] and ledger.agreeing({"channel": "t"}) == [one, two]
        assert ledger.agreeing({**ETH, "entity": "x"}) == [two]
        assert ledger.agreeing({"channel": "x"}) == [] and ledger.agreeing({}) == []
        assert ledger.agreeing({"entity": "x"}) == []

    def test_under_another_name(self) -> None:
        """The name that was asked for, or the one under which it is answered."""
        spoken = dialect(topic={"at": "ch"}, topics={"USDC": {"as": "USD"}}, subscribe={"send": {"t": "$topic"}})
        ledger = Ledger[str](spoken)
        one = joined(ledger, "a", {"name": "USDC"})
        assert ledger.agreeing({"name": "USDC"}) == ledger.agreeing({"name": "USD"}) == [one]

    def test_nothing_to_agree_in(self) -> None:
        """A subscription that uses no fields is named by none."""
        ledger = Ledger[str](dialect(subscribe={"send": {"all": True}}))
        joined(ledger, "a", BTC)
        assert ledger.agreeing(BTC) == []
