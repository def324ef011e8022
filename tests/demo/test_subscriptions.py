"""Subscriptions of one connection: the state list, and requests taken or refused whole."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.demo.subscriptions import TOPICS_MAX, Accepted, Refused, Subscriptions

PRODUCTS = ("BTC-USD", "ETH-USD")


def ask(subscriptions: Subscriptions, verb: str, *channels: object, **keys: object) -> Accepted | Refused:
    return subscriptions.request(json.dumps({"type": verb, "channels": channels, **keys}).encode())


class SubscriptionsTests:
    """One connection on two products."""

    def setup_method(self) -> None:
        self.subscriptions = Subscriptions(PRODUCTS)

    def test_channels_with_products_are_added(self) -> None:
        """What is new is told, and the state holds it."""
        answer = ask(self.subscriptions, "subscribe", {"name": "ticker", "product_ids": ["BTC-USD", "ETH-USD"]})
        assert answer == Accepted((("ticker", "BTC-USD"), ("ticker", "ETH-USD")), ())
        assert self.subscriptions.channels == {"ticker": ["BTC-USD", "ETH-USD"]}

    def test_channels_by_name_take_the_products_of_the_request(self) -> None:
        """The feed's short form."""
        answer = ask(self.subscriptions, "subscribe", "ticker", "matches", product_ids=["BTC-USD"])
        assert answer == Accepted((("ticker", "BTC-USD"), ("matches", "BTC-USD")), ())

    def test_what_is_subscribed_already_is_not_added_again(self) -> None:
        """A second subscribe brings no second snapshot."""
        for expected in ((("level2", "BTC-USD"),), ()):
            answer = ask(self.subscriptions, "subscribe", {"name": "level2", "product_ids": ["BTC-USD"]})
            assert answer == Accepted(expected, ())

    def test_unsubscribe_takes_away_what_is_there(self) -> None:
        """Some products of a channel, a channel whole, or products of every channel."""
        ask(self.subscriptions, "subscribe", "ticker", "matches", product_ids=["BTC-USD", "ETH-USD"])
        answer = ask(self.subscriptions, "unsubscribe", {"name": "ticker", "product_ids": ["ETH-USD"]})
        assert answer == Accepted((), (("ticker", "ETH-USD"),))
        answer = ask(self.subscriptions, "unsubscribe", "ticker")
        assert answer == Accepted((), (("ticker", "BTC-USD"),))
        answer = ask(self.subscriptions, "unsubscribe", product_ids=["BTC-USD"])
        assert answer == Accepted((), (("matches", "BTC-USD"),))
        assert self.subscriptions.channels == {"matches": ["ETH-USD"]}

    def test_raw_takes_any_name(self) -> None:
        """But only names."""
        assert isinstance(ask(self.subscriptions, "subscribe", "raw", product_ids=["marker-1"]), Accepted)
        assert isinstance(ask(self.subscriptions, "subscribe", "raw", product_ids=["a b"]), Refused)

    @pytest.mark.parametrize(
        ("payload", "message", "reason"),
        [
            (b"{nope", "Malformed JSON", "byte 1"),
            (b"\xff\xfe", "Malformed JSON", "malformed"),
            (b"[1]", "Failed to subscribe", "Expected `object`"),
            (b'{"type": 5}', "Failed to subscribe", "$.type"),
            (b'{"type": "order"}', "Failed to subscribe", "subscribe or unsubscribe"),
            (b'{"type": "subscribe"}', "Failed to subscribe", "No channels"),
            (b'{"type": "subscribe", "channels": ["ticker"]}', "Failed to subscribe", "ticker needs product_ids"),
            (b'{"type": "subscribe", "channels": ["tickers"], "product_ids": ["BTC-USD"]}', "Failed to subscribe",
             "tickers is not a valid channel"),
            (b'{"type": "subscribe", "channels": ["ticker"], "product_ids": ["BTC-USD", "BTC-USDX"]}',
             "Failed to subscribe", "BTC-USDX is not a valid product"),
        ],
    )
    def test_a_bad_request_changes_nothing(self, payload: bytes, message: str, reason: str) -> None:
        """It is refused in the feed's words, with the reason."""
        answer = self.subscriptions.request(payload)
        assert isinstance(answer, Refused)
        assert answer.message == message
        assert reason in answer.reason
        assert self.subscriptions.channels == {}

    def test_a_connection_holds_so_many_topics(self) -> None:
        """One more than TOPICS_MAX refuses the whole request."""
        names = [f"n{index}" for index in range(TOPICS_MAX)]
        assert isinstance(ask(self.subscriptions, "subscribe", "raw", product_ids=names), Accepted)
        answer = ask(self.subscriptions, "subscribe", "ticker", product_ids=["BTC-USD"])
        assert isinstance(answer, Refused)
        assert str(TOPICS_MAX) in answer.reason


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_never_raises(payload: bytes) -> None:
    """Whatever comes, the answer is Accepted or Refused."""
    assert isinstance(Subscriptions(PRODUCTS).request(payload), Accepted | Refused)
