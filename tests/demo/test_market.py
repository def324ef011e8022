"""The markets: never crossed, deep enough, consistent, repeatable, and alive."""

from __future__ import annotations

from itertools import pairwise
from math import log
from random import Random
from statistics import pstdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.demo.book import Side
from relayd.demo.market import LEVELS_MAX, LEVELS_MIN, QUIET_MAX_S, TICK_MIN, Market, Step
from relayd.demo.products import PRODUCTS

IDS = [product.id for product in PRODUCTS]
ACTIONS = st.one_of(
    st.tuples(st.just("step"), st.floats(0.001, 5.0)),
    st.tuples(st.just("trade"), st.none()),
    st.tuples(st.just("skip"), st.none()),
    st.tuples(st.just("price"), st.integers(TICK_MIN, 10**8)),
)


def act(market: Market, product: str, action: str, value: float | int | None) -> Step:
    match action:
        case "step":
            return market.step(product, value)
        case "trade":
            return market.trade(product)
        case "price":
            return market.set_price(product, market.listings[product].product.price_text(value))
    market.skip(product)
    return Step((), ())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.tuples(st.sampled_from(IDS), ACTIONS), max_size=40))
def test_snapshot_and_changes_are_the_book(seed: int, actions) -> None:
    """From any market on, through anything: a snapshot plus the changes is the book, deep enough and never crossed."""
    market = Market(Random(seed))
    copies = {
        name: {(side, level.tick): level.size for side in Side for level in listing.book.levels(side)}
        for name, listing in market.listings.items()
    }
    for product, (action, value) in actions:
        before = market.listings[product].sequence
        step = act(market, product, action, value)
        listing, copy = market.listings[product], copies[product]
        for level in step.changes:
            copy[level.side, level.tick] = level.size
        assert {key: size for key, size in copy.items() if size} == {
            (side, level.tick): level.size for side in Side for level in listing.book.levels(side)
        }
        assert listing.book.best(Side.BUY) < listing.book.best(Side.SELL)
        assert all(LEVELS_MIN <= listing.book.count(side) <= LEVELS_MAX for side in Side)
        assert listing.sequence >= before + len(step.trades) + len(step.changes)
        assert listing.low_tick <= listing.last.tick <= listing.high_tick


class MarketTests:
    """One market with a fixed seed."""

    def setup_method(self) -> None:
        self.market = Market(Random(7))

    def trades(self, product: str, steps: int) -> list:
        return [trade for _ in range(steps) for trade in self.market.step(product, 0.1).trades]

    def test_one_seed_makes_one_market(self) -> None:
        """The same calls yield the same steps; another seed yields others."""
        def run(seed: int) -> list[Step]:
            market = Market(Random(seed))
            return [market.step(IDS[index % 6], 0.1) for index in range(120)]

        assert run(3) == run(3)
        assert run(3) != run(4)

    def test_trade_ids_follow_each_other(self) -> None:
        """Until one is lost on purpose."""
        ids = [trade.trade_id for trade in self.trades("BTC-USD", 300)]
        assert len(ids) > 30
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        self.market.skip("BTC-USD")
        assert self.market.trade("BTC-USD").trades[0].trade_id == ids[-1] + 2

    def test_a_price_set_by_hand_is_traded_at(self) -> None:
        """The last trade is at exactly that price, near or far from where the market was."""
        for price in ("64000.00", "3.60", "12345678.90"):
            step = self.market.set_price("BTC-USD", price)
            listing = self.market.listings["BTC-USD"]
            assert [listing.product.price_text(trade.tick) for trade in step.trades] == [price]
            assert listing.product.price_text(listing.last.tick) == price

    def test_an_impossible_price_is_refused(self) -> None:
        """Too low for a book below it, too high for anything; the market stays as it was."""
        last = self.market.listings["BTC-USD"].last
        for price in ("3.59", "0", "-5", "99999999999.00"):
            with pytest.raises(ValueError, match="outside"):
                self.market.set_price("BTC-USD", price)
        assert self.market.listings["BTC-USD"].last == last

    def test_no_product_is_quiet_for_long(self) -> None:
        """Silence always means that something is wrong."""
        for product in IDS:
            quiet_s = 0.0
            for _ in range(600):
                quiet_s = 0.0 if self.market.step(product, 0.1).trades else quiet_s + 0.1
                assert quiet_s <= QUIET_MAX_S + 1e-6

    def test_it_looks_like_a_market(self) -> None:
        """It moves, not wildly, trades some times a second, and its rough minutes come in clusters."""
        minutes, trades = [], 0
        listing = self.market.listings["BTC-USD"]
        for _ in range(40):
            moves, before = [], listing.fair
            for _ in range(600):
                trades += len(self.market.step("BTC-USD", 0.1).trades)
                moves.append(log(listing.fair / before))
                before = listing.fair
            minutes.append(pstdev(moves))
        assert 1.0 < trades / 2400 < 10.0
        assert 1e-5 < min(minutes) < max(minutes) < 2e-4
        middle = sum(minutes) / len(minutes)
        together = sum((a - middle) * (b - middle) for a, b in pairwise(minutes))
        assert together / sum((a - middle) ** 2 for a in minutes) > 0.15
