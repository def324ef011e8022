"""Six markets that look alive: prices, takers, and the makers' books. Pure: the random source and the time come in.

Each product has a fair value that nobody sees. Its volatility wanders, so that calm and rough minutes come in clusters;
a part of the movement, the tide, is common to all products. Makers quote around the fair value and withdraw what it has
run over; takers come at random, more of them when it is rough, and eat what is quoted too cheap. What a feed shows is
only what follows from that: trades, and the levels that changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, log, sqrt
from random import Random
from typing import Final

from relayd.demo.book import Level, OrderBook, Side
from relayd.demo.products import PRODUCTS, Product

#: Levels that each side has after every step, and the most it keeps: the farthest are withdrawn first.
LEVELS_MIN: Final = 60
LEVELS_MAX: Final = 90
#: Rough and calm minutes: the log volatility returns to its mean in this time and strays by this much (guess, by eye).
VOLATILITY_MEMORY_S: Final = 75.0
VOLATILITY_SPREAD: Final = 0.5
VOLATILITY_LOG_MIN: Final = -1.2
VOLATILITY_LOG_MAX: Final = 1.4
#: A trade makes the market a little rougher, so that trades cluster (guess, by eye).
EXCITEMENT: Final = 0.0015
#: How often a taker meets a quote that the fair value has run over before its maker withdraws it (guess, by eye).
TAKER_IS_FIRST: Final = 0.12
#: Standard deviation of the common movement over one second.
TIDE_PER_SQRT_S: Final = 4e-5
#: Prices return to where they started within hours, so that a demo left alone for a week still looks like a market.
HOME_S: Final = 10_800.0
#: One taker order eats at most so many levels; a burst of takers in one step is cut at so many orders.
FILLS_MAX: Final = 4
ORDERS_MAX: Final = 6
#: A calm product trades at least this often, so that silence always means that something is wrong.
QUIET_MAX_S: Final = 1.5
#: `set_price` needs room for a book below the price.
TICK_MIN: Final = 4 * LEVELS_MAX
TICK_MAX: Final = 10**12


@dataclass(frozen=True, slots=True)
class Trade:
    """One match. `side` is the maker's, as the feed tells it: a `sell` was bought from."""

    trade_id: int
    sequence: int
    side: Side
    tick: int
    size: int


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did: the trades in order, and the levels as they are after it."""

    trades: tuple[Trade, ...]
    changes: tuple[Level, ...]


@dataclass(slots=True)
class Listing:
    """One product's market as it stands: all that a snapshot, a ticker or a heartbeat says."""

    product: Product
    book: OrderBook
    fair: float
    home: float
    sequence: int
    trade_id: int
    open_tick: int
    low_tick: int
    high_tick: int
    volume: int
    roughness: float = 0.0
    """The log of how much rougher than calm it is."""
    tide_seen: float = 0.0
    quiet_s: float = 0.0
    """How long there has been no trade."""
    last: Trade = field(init=False)


class Market:
    """The listings and what moves them.

    `step` moves one product on; `trade`, `set_price` and `skip` are for tests and demonstrations. Every call leaves
    each side of the book with LEVELS_MIN to LEVELS_MAX levels and never crossed. Products are named by id; an unknown
    one raises KeyError.
    """

    def __init__(self, random: Random, products: Sequence[Product] = PRODUCTS) -> None:
        self._random = random
        self._tide = 0.0
        self.listings: dict[str, Listing] = {product.id: self._list(product) for product in products}

    def step(self, product_id: str, elapsed_s: float) -> Step:
        """Let `elapsed_s` seconds pass for one product."""
        listing = self.listings[product_id]
        self._drift(listing, elapsed_s)
        trades = self._arbitrage(listing)
        expected = listing.product.trades_per_s * exp(listing.roughness) * elapsed_s
        for _ in range(self._poisson(expected)):
            trades += self._order(listing)
        listing.quiet_s = 0.0 if trades else listing.quiet_s + elapsed_s
        if listing.quiet_s >= QUIET_MAX_S:
            trades, listing.quiet_s = self._order(listing), 0.0
        self._requote(listing)
        self._churn(listing)
        return self._close(listing, trades)

    def trade(self, product_id: str) -> Step:
        """One taker order now, without any time passing."""
        listing = self.listings[product_id]
        trades = self._order(listing)
        self._requote(listing)
        return self._close(listing, trades)

    def set_price(self, product_id: str, price: str | int | float) -> Step:
        """Move the market to `price`: the book is made anew around it and one trade happens exactly there.

        Raises ValueError where the price is no number, between two ticks, or leaves no room for a book.
        """
        listing = self.listings[product_id]
        tick = listing.product.tick(price)
        if not TICK_MIN <= tick <= TICK_MAX:
            lowest, highest = (listing.product.price_text(limit) for limit in (TICK_MIN, TICK_MAX))
            raise ValueError(f"price: {price} is outside {lowest} to {highest}")
        for side in Side:
            for level in listing.book.levels(side):
                listing.book.put(side, level.tick, 0)
        listing.fair = listing.home = float(tick)
        size = 2 * listing.product.units(listing.product.order_usd, tick)
        listing.book.put(Side.SELL, tick, size)
        trades = self._fill(listing, Side.SELL, size // 2, 1)
        self._refill(listing)
        return self._close(listing, trades)

    def skip(self, product_id: str) -> None:
        """Lose one trade: its number is used up and nobody is told."""
        listing = self.listings[product_id]
        listing.trade_id += 1
        listing.sequence += 1

    # The opening

    def _list(self, product: Product) -> Listing:
        fair = product.start_usd * 10**product.price_decimals * exp(self._random.gauss(0.0, 0.01))
        opened = fair * exp(self._random.gauss(0.0, 0.02))
        low = min(fair, opened) * exp(-abs(self._random.gauss(0.0, 0.008)))
        high = max(fair, opened) * exp(abs(self._random.gauss(0.0, 0.008)))
        day_usd = product.order_usd * product.trades_per_s * 86_400 * self._random.uniform(0.8, 1.6)
        listing = Listing(
            product=product, book=OrderBook(), fair=fair, home=fair,
            sequence=self._random.randrange(10**9, 9 * 10**9), trade_id=self._random.randrange(10**6, 9 * 10**6),
            open_tick=round(opened), low_tick=round(low), high_tick=round(high), volume=product.units(day_usd, fair),
        )
        self._refill(listing)
        self._order(listing)
        self._refill(listing)
        listing.book.changes()
        return listing

    # The fair value

    def _drift(self, listing: Listing, elapsed_s: float) -> None:
        gauss, root = self._random.gauss, sqrt(elapsed_s)
        pull = elapsed_s / VOLATILITY_MEMORY_S
        listing.roughness += -pull * listing.roughness + VOLATILITY_SPREAD * sqrt(2 * pull) * gauss(0.0, 1.0)
        listing.roughness = min(max(listing.roughness, VOLATILITY_LOG_MIN), VOLATILITY_LOG_MAX)
        # Each step of any product moves the tide by its share, so that its pace does not depend on who steps.
        self._tide += TIDE_PER_SQRT_S * root / sqrt(len(self.listings)) * gauss(0.0, 1.0)
        product = listing.product
        move = product.volatility_per_sqrt_s * exp(listing.roughness) * root * gauss(0.0, 1.0)
        move += product.tide * (self._tide - listing.tide_seen)
        move += log(listing.home / listing.fair) * elapsed_s / HOME_S
        listing.tide_seen = self._tide
        listing.fair = min(max(listing.fair * exp(move), float(TICK_MIN)), float(TICK_MAX))

    # The takers

    def _arbitrage(self, listing: Listing) -> list[Trade]:
        """Quotes that the fair value has run over are taken, as far as one order reaches, unless makers are faster."""
        book = listing.book
        if self._random.random() > TAKER_IS_FIRST:
            return []
        for side, sign in ((Side.SELL, 1), (Side.BUY, -1)):
            levels, most = 0, min(FILLS_MAX, book.count(side))
            while levels < most and (listing.fair - book.nth(side, levels)) * sign > 0:
                levels += 1
            if levels:
                size = sum(book.size(side, book.nth(side, index)) for index in range(levels))
                return self._fill(listing, side, max(1, round(size * self._random.uniform(0.3, 1.0))), levels)
        return []

    def _order(self, listing: Listing) -> list[Trade]:
        """One taker order of a random side and size; the side leans to where the fair value is."""
        book, product = listing.book, listing.product
        bid, ask = book.best(Side.BUY), book.best(Side.SELL)
        assert bid is not None and ask is not None
        lean = (listing.fair - (bid + ask) / 2) / (ask - bid)
        maker = Side.SELL if self._random.random() < 0.5 + max(-0.3, min(0.3, lean)) else Side.BUY
        usd = product.order_usd * self._random.lognormvariate(0.0, 1.3)
        listing.roughness = min(listing.roughness + EXCITEMENT, VOLATILITY_LOG_MAX)
        return self._fill(listing, maker, product.units(usd, listing.fair), FILLS_MAX)

    def _fill(self, listing: Listing, maker: Side, size: int, most_levels: int) -> list[Trade]:
        trades: list[Trade] = []
        for fill in listing.book.take(maker, size, most_levels):
            listing.trade_id += 1
            listing.sequence += 1
            trade = Trade(listing.trade_id, listing.sequence, maker, fill.tick, fill.size)
            listing.last = trade
            listing.low_tick = min(listing.low_tick, fill.tick)
            listing.high_tick = max(listing.high_tick, fill.tick)
            listing.volume += fill.size
            trades.append(trade)
        return trades

    def _poisson(self, expected: float) -> int:
        """A Poisson number, cut at ORDERS_MAX (Knuth's product of uniforms; the expectation is below 2)."""
        limit, product, count = exp(-expected), self._random.random(), 0
        while product > limit and count < ORDERS_MAX:
            product *= self._random.random()
            count += 1
        return count

    # The makers

    def _requote(self, listing: Listing) -> None:
        """Withdraw what the fair value has run over, then see to it that both sides are quoted again."""
        book = listing.book
        for side, sign in ((Side.BUY, 1), (Side.SELL, -1)):
            while (best := book.best(side)) is not None and (best - listing.fair) * sign > 0:
                book.put(side, best, 0)
        self._refill(listing)

    def _churn(self, listing: Listing) -> None:
        """Near the spread makers come, go and change their minds."""
        book, random = listing.book, self._random
        for side in Side:
            if random.random() < 0.50:
                self._quote(listing, side, _half_spread(listing) * (0.7 + random.expovariate(0.15)))
            if random.random() < 0.35:
                tick = book.nth(side, min(int(random.expovariate(0.2)), book.count(side) - 1))
                book.put(side, tick, self._depth(listing, abs(tick - listing.fair)))
            if random.random() < 0.35:
                book.put(side, book.nth(side, min(int(random.expovariate(0.1)), book.count(side) - 1)), 0)
        self._refill(listing)

    def _refill(self, listing: Listing) -> None:
        """Quote near the fair value where the spread is wide; keep LEVELS_MIN to LEVELS_MAX levels."""
        book, random, half, reach = listing.book, self._random, _half_spread(listing), _reach(listing)
        for side, sign in ((Side.BUY, -1), (Side.SELL, 1)):
            while (worst := book.worst(side)) is not None and (
                book.count(side) > LEVELS_MAX or (worst - listing.fair) * sign > 1.4 * reach
            ):
                book.put(side, worst, 0)
            best = book.best(side)
            if best is None or (best - listing.fair) * sign > 2.5 * half:
                self._quote(listing, side, half * random.uniform(0.6, 1.4))
            while book.count(side) < LEVELS_MIN:
                self._quote(listing, side, 0.7 * half + reach * random.random() ** 1.5, free=True)

    def _quote(self, listing: Listing, side: Side, distance: float, free: bool = False) -> None:
        """Put an order at a distance from the fair value, never across the spread.

        It joins what stands at that tick already, or with `free` goes to the next tick outwards where nothing stands.
        """
        book = listing.book
        sign = -1 if side is Side.BUY else 1
        tick = max(1, round(listing.fair + sign * max(0.5, distance)))
        facing = book.best(side.other)
        if facing is not None and (tick - facing) * sign <= 0:
            tick = facing + sign
        while free and book.size(side, tick):
            tick += sign
        book.put(side, tick, book.size(side, tick) + self._depth(listing, abs(tick - listing.fair)))

    def _depth(self, listing: Listing, distance: float) -> int:
        """How much is offered so far from the fair value: little at the touch, more behind it, now and then a wall."""
        product = listing.product
        behind = min(distance / _reach(listing), 1.0)
        usd = product.order_usd * (2.0 + 5.0 * behind) * self._random.lognormvariate(0.0, 0.7)
        if self._random.random() < 0.03:
            usd *= self._random.uniform(4.0, 9.0)
        return product.units(usd, listing.fair)

    def _close(self, listing: Listing, trades: list[Trade]) -> Step:
        changes = tuple(listing.book.changes())
        listing.sequence += len(changes)
        return Step(tuple(trades), changes)


def _half_spread(listing: Listing) -> float:
    """Half the usual spread in ticks, at least one tick."""
    return max(1.0, listing.product.half_spread * listing.fair)


def _reach(listing: Listing) -> float:
    """How far from the fair value makers quote, in ticks: 40 usual half spreads, and room for LEVELS_MIN levels."""
    return max(40.0 * _half_spread(listing), 1.3 * LEVELS_MIN)
