"""What the exchange says: the shapes of the feed it stands in for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random

import pytest

from relayd.demo import messages
from relayd.demo.book import Side
from relayd.demo.market import Market
from relayd.demo.subscriptions import Accepted, Subscriptions

NOW_S = 1704067200.25
SCRIPT = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "feeds" / "coinbase.jsonl").read_text("utf-8").splitlines()
]
HEARD = [line["in"] for line in SCRIPT if isinstance(line.get("in"), dict)]


def spoken() -> dict[str, dict]:
    """One message of each type, as a reader gets it."""
    market = Market(Random(5))
    listing = market.listings["BTC-USD"]
    step = market.trade("BTC-USD")
    said = (
        messages.ticker(listing, NOW_S),
        messages.match(listing, step.trades[0], NOW_S),
        messages.match(listing, step.trades[0], NOW_S, "last_match"),
        messages.snapshot(listing, NOW_S),
        messages.l2update(listing, step, NOW_S),
        messages.heartbeat(listing, NOW_S),
        messages.subscriptions({"ticker": ["BTC-USD"]}),
        messages.error("Failed to subscribe", "BTC-USDX is not a valid product"),
    )
    return {message["type"]: message for message in map(json.loads, said)}


def shape(value: object) -> object:
    """A value by its types: a table keeps its keys, a list the shape of its first item."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def fits(want: object, have: object) -> bool:
    """Whether all that `want` has is in `have`, alike; `have` may say more."""
    if isinstance(want, dict) and isinstance(have, dict):
        return all(key in have and fits(value, have[key]) for key, value in want.items())
    if isinstance(want, list) and isinstance(have, list):
        return not want or (bool(have) and fits(want[0], have[0]))
    return want == have


class DialectTests:
    """Against the script of the real feed's messages."""

    @pytest.mark.parametrize("heard", HEARD, ids=lambda heard: heard["type"])
    def test_each_message_of_the_script_is_spoken_alike(self, heard: dict) -> None:
        """Same keys, same types; `status` is a channel that the simulator does not have."""
        if heard["type"] == "status":
            assert "status" not in spoken()
        else:
            assert fits(shape(heard), shape(spoken()[heard["type"]]))

    def test_every_request_of_the_script_is_taken(self) -> None:
        """Signed ones too: the simulator does not look at signatures."""
        subscriptions = Subscriptions(("BTC-USD", "ETH-USD"))
        sent = [message for line in SCRIPT for message in line.get("sends", [])]
        assert len(sent) >= 6
        for message in sent:
            assert isinstance(subscriptions.request(json.dumps(message).encode()), Accepted), message
        assert subscriptions.channels == {
            "ticker": ["BTC-USD"], "heartbeat": ["BTC-USD"], "matches": ["BTC-USD"], "level2": ["BTC-USD"],
        }


class MessageTests:
    """Details that the script does not show."""

    def test_a_ticker_tells_the_taker_and_a_match_the_maker(self) -> None:
        """The two sides are opposite, as on the feed."""
        said = spoken()
        assert {said["ticker"]["side"], said["match"]["side"]} == {"buy", "sell"}
        assert said["ticker"]["trade_id"] >= said["match"]["trade_id"]

    def test_a_ticker_stands_between_the_best_bid_and_ask(self) -> None:
        """And its numbers are those of the book."""
        market = Market(Random(5))
        listing = market.listings["ETH-USD"]
        ticker = json.loads(messages.ticker(listing, NOW_S))
        assert float(ticker["best_bid"]) < float(ticker["best_ask"])
        assert ticker["best_bid"] == listing.product.price_text(listing.book.best(Side.BUY))
        assert float(ticker["low_24h"]) <= float(ticker["price"]) <= float(ticker["high_24h"])

    def test_a_snapshot_is_sorted_outwards(self) -> None:
        """Bids fall, asks rise, at least fifty of each."""
        said = spoken()["snapshot"]
        bids, asks = ([float(price) for price, _ in said[side]] for side in ("bids", "asks"))
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert min(len(bids), len(asks)) >= 50

    def test_a_level_that_is_gone_has_size_zero(self) -> None:
        """However many decimals a product has, it is the number zero."""
        market = Market(Random(5))
        sizes = []
        for _ in range(50):
            step = market.step("DOGE-USD", 0.1)
            update = json.loads(messages.l2update(market.listings["DOGE-USD"], step, NOW_S))
            sizes += [float(size) for _, _, size in update["changes"]]
        assert 0.0 in sizes
        assert max(sizes) > 0

    def test_times_are_utc_with_microseconds(self) -> None:
        """As the feed writes them."""
        assert messages.time_text(NOW_S) == "2024-01-01T00:00:00.250000Z"

    def test_order_ids_follow_from_the_trade(self) -> None:
        """They look like ids, differ, and a seeded run repeats them."""
        match = spoken()["match"]
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", match["maker_order_id"])
        assert match["maker_order_id"] != match["taker_order_id"]
        assert match == spoken()["match"]
