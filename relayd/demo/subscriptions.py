"""What one connection of the simulated exchange is subscribed to, and how its requests change that.

A request is taken whole or refused whole: one bad product refuses its neighbours too, as on the real feed.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import msgspec

#: What every product offers.
MARKET_CHANNELS: Final = ("ticker", "matches", "level2", "heartbeat")
#: An extension for tests: its `product_ids` are any names, and what is sent on it is up to the test.
RAW_CHANNEL: Final = "raw"
_RAW_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
#: Channel and product pairs on one connection (guess: six products need 24).
TOPICS_MAX: Final = 1024
#: A refusal quotes what it refuses up to so many characters.
_QUOTE_MAX: Final = 80


@dataclass(frozen=True, slots=True)
class Accepted:
    """The topics, as (channel, product), that a request added and removed; what changed nothing is not in them."""

    added: tuple[tuple[str, str], ...]
    removed: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that changed nothing, and why, in the feed's words."""

    message: str
    reason: str


class _Channel(msgspec.Struct):
    name: str
    product_ids: list[str] | None = None


class _Request(msgspec.Struct):
    type: str
    channels: list[_Channel | str] = []
    product_ids: list[str] = []


class Subscriptions:
    """The state list of one connection: channel -> products, in the order they were asked for."""

    def __init__(self, products: Collection[str]) -> None:
        self._products = products
        self.channels: dict[str, list[str]] = {}

    def request(self, payload: bytes) -> Accepted | Refused:
        """Take one request of the client: `subscribe` or `unsubscribe`, with channels and products."""
        try:
            asked = msgspec.json.decode(payload, type=_Request)
        except msgspec.ValidationError as error:
            return Refused("Failed to subscribe", str(error))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Refused("Malformed JSON", str(error))
        if asked.type not in ("subscribe", "unsubscribe"):
            return Refused("Failed to subscribe", "Type has to be either subscribe or unsubscribe")
        if not asked.channels and not (asked.type == "unsubscribe" and asked.product_ids):
            return Refused("Failed to subscribe", "No channels provided")
        topics: dict[tuple[str, str], None] = {}
        for channel in asked.channels or list(self.channels):
            entry = _Channel(channel) if isinstance(channel, str) else channel
            products = asked.product_ids if entry.product_ids is None else entry.product_ids
            if asked.type == "unsubscribe" and not products:
                products = self.channels.get(entry.name, [])
            reason = self._refusal(entry.name, products, asked.type)
            if reason is not None:
                return Refused("Failed to subscribe", reason)
            topics.update(((entry.name, product), None) for product in products)
        return self._subscribe(topics) if asked.type == "subscribe" else self._unsubscribe(topics)

    def _refusal(self, channel: str, products: Collection[str], verb: str) -> str | None:
        if channel != RAW_CHANNEL and channel not in MARKET_CHANNELS:
            return f"{channel[:_QUOTE_MAX]} is not a valid channel"
        if not products and verb == "subscribe":
            return f"{channel} needs product_ids"
        for product in products:
            known = _RAW_NAME.fullmatch(product) if channel == RAW_CHANNEL else product in self._products
            if not known:
                return f"{product[:_QUOTE_MAX]} is not a valid product"
        return None

    def _subscribe(self, topics: Collection[tuple[str, str]]) -> Accepted | Refused:
        added = tuple(topic for topic in topics if topic[1] not in self.channels.get(topic[0], ()))
        if sum(map(len, self.channels.values())) + len(added) > TOPICS_MAX:
            return Refused("Failed to subscribe", f"more than {TOPICS_MAX} subscriptions on one connection")
        for channel, product in added:
            self.channels.setdefault(channel, []).append(product)
        return Accepted(added, ())

    def _unsubscribe(self, topics: Collection[tuple[str, str]]) -> Accepted:
        removed = tuple(topic for topic in topics if topic[1] in self.channels.get(topic[0], ()))
        for channel, product in removed:
            self.channels[channel].remove(product)
            if not self.channels[channel]:
                del self.channels[channel]
        return Accepted((), removed)
