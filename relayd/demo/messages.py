"""What the simulated exchange says, in the dialect of Coinbase Exchange: market state in, text frames out.

Shapes and key order follow the feed's documentation (docs.cdp.coinbase.com/exchange/websocket-feed). Prices and sizes
are decimal strings; `time` is UTC with microseconds. All functions are pure and return UTF-8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec

from relayd.demo.book import Side
from relayd.demo.market import Listing, Step, Trade

_encode: Final = msgspec.json.Encoder().encode


def ticker(listing: Listing, wall_s: float) -> bytes:
    """The last trade, the touch and the day so far."""
    product, book, last = listing.product, listing.book, listing.last
    price, size = product.price_text, product.size_text
    bid, ask = book.best(Side.BUY), book.best(Side.SELL)
    assert bid is not None and ask is not None, "a market is always quoted on both sides"
    return _encode({
        "type": "ticker",
        "sequence": listing.sequence,
        "product_id": product.id,
        "price": price(last.tick),
        "open_24h": price(listing.open_tick),
        "volume_24h": size(listing.volume),
        "low_24h": price(listing.low_tick),
        "high_24h": price(listing.high_tick),
        "volume_30d": size(30 * listing.volume),
        "best_bid": price(bid),
        "best_bid_size": size(book.size(Side.BUY, bid)),
        "best_ask": price(ask),
        "best_ask_size": size(book.size(Side.SELL, ask)),
        "side": last.side.other.value,     # a ticker tells the taker's side, a match the maker's
        "time": time_text(wall_s),
        "trade_id": last.trade_id,
        "last_size": size(last.size),
    })


def match(listing: Listing, trade: Trade, wall_s: float, kind: str = "match") -> bytes:
    """One trade. `kind` is `match`, or `last_match` for the one that a new subscription begins with."""
    product = listing.product
    return _encode({
        "type": kind,
        "trade_id": trade.trade_id,
        "maker_order_id": _order_id(trade, 0),
        "taker_order_id": _order_id(trade, 1),
        "side": trade.side.value,
        "size": product.size_text(trade.size),
        "price": product.price_text(trade.tick),
        "product_id": product.id,
        "sequence": trade.sequence,
        "time": time_text(wall_s),
    })


def snapshot(listing: Listing, wall_s: float) -> bytes:
    """The whole book, both sides from the best level outwards."""
    product = listing.product
    bids, asks = (
        [[product.price_text(level.tick), product.size_text(level.size)] for level in listing.book.levels(side)]
        for side in (Side.BUY, Side.SELL)
    )
    return _encode({
        "type": "snapshot", "product_id": product.id, "asks": asks, "bids": bids, "time": time_text(wall_s),
    })


def l2update(listing: Listing, step: Step, wall_s: float) -> bytes:
    """The levels that a step changed: side, price and the size there is now, zero for a level that is gone."""
    product = listing.product
    changes = [
        [level.side.value, product.price_text(level.tick), product.size_text(level.size)] for level in step.changes
    ]
    return _encode({"type": "l2update", "product_id": product.id, "changes": changes, "time": time_text(wall_s)})


def heartbeat(listing: Listing, wall_s: float) -> bytes:
    """The numbers a reader compares with its own."""
    return _encode({
        "type": "heartbeat",
        "last_trade_id": listing.trade_id,
        "product_id": listing.product.id,
        "sequence": listing.sequence,
        "time": time_text(wall_s),
    })


def subscriptions(channels: Mapping[str, Sequence[str]]) -> bytes:
    """All that a connection is subscribed to, not only what changed."""
    listed = [{"name": name, "product_ids": list(products)} for name, products in channels.items()]
    return _encode({"type": "subscriptions", "channels": listed})


def error(message: str, reason: str) -> bytes:
    """A request that was refused, and why."""
    return _encode({"type": "error", "message": message, "reason": reason})


def time_text(wall_s: float) -> str:
    """Seconds since 1970 as the feed writes a time: `2024-01-01T00:00:00.000000Z`."""
    return datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _order_id(trade: Trade, party: int) -> str:
    """An order id that looks like one and follows from the trade, so that a seeded run repeats itself."""
    return str(UUID(int=(trade.trade_id * 2 + party) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128), version=4))
