"""A simulated feed: Coinbase."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Any, ClassVar

from tests.feedsim.peer import Peer
from tests.feedsim.profile import Made, Profile, decoded


class Coinbase(Profile):
    """The ack is the whole list; level2 is signed; a heartbeat channel; types are not channels."""

    name = "coinbase"
    topics: ClassVar[dict[str, str]] = {
        "coinbase/ticker/BTC-USD": "ticker BTC-USD",
        "coinbase/matches/BTC-USD": "matches BTC-USD",
        "coinbase/level2/ETH-USD": "level2 ETH-USD",
    }
    environ: ClassVar[dict[str, str]] = {
        "CB_SECRET": base64.b64encode(b"secret").decode(),
        "CB_KEY": "key",
        "CB_PASS": "pass",
    }
    beat_every_s = 1.0
    most_frames = (8, 1.0)
    most_connects = (8, 1.0)
    types: ClassVar[dict[str, str]] = {"ticker": "ticker", "matches": "match", "level2": "l2update"}

    ahead_s = 0.0
    """How far this feed's clock is ahead."""

    def opened(self, peer: Peer) -> None:
        def look() -> None:
            if peer.is_open and not peer.subscribed:
                self.offend(peer, "no subscribe within 5 s")

        call = self.simulator.reactor.callLater(5.0, look)
        peer.state["deadline"] = call

    def heard(self, peer: Peer, text: str) -> None:
        if peer.state["deadline"].active():
            peer.state["deadline"].cancel()
        message = decoded(text)
        fresh = []
        for channel in message["channels"]:
            if channel["name"] == "level2" and message["type"] == "subscribe" and not self._is_signed(message):
                peer.say({"type": "error", "message": "Authentication Failed", "reason": "signature"})
                return
            for product in channel["product_ids"]:
                key = f"{channel['name']} {product}"
                if key in self.refused:
                    reason = f"{product} is not a valid product"
                    peer.say({"type": "error", "message": "Failed to subscribe", "reason": reason})
                    return
                if message["type"] == "subscribe":
                    peer.subscribed[key] = True
                    fresh.append(key)
                else:
                    peer.subscribed.pop(key, None)
        self.simulator.ack(peer, {"type": "subscriptions", "channels": self._state(peer)})
        for key in fresh:
            if key in self.topic_of and key.startswith("level2 "):
                product = key.partition(" ")[2]
                book = {"type": "snapshot", "product_id": product, "bids": [["30000.10", "1"]], "asks": []}
                self.tell_one(peer, key, Made.whole(book))

    def _is_signed(self, message: dict[str, Any]) -> bool:
        stamp = str(message.get("timestamp"))
        wanted = hmac.new(b"secret", f"{stamp}GET/users/self/verify".encode(), hashlib.sha256).digest()
        is_young = abs(float(stamp) - time.time() - self.ahead_s) < 30
        return is_young and message.get("signature") == base64.b64encode(wanted).decode()

    def _state(self, peer: Peer) -> list[dict[str, Any]]:
        channels: dict[str, list[str]] = {}
        for key in peer.subscribed:
            name, _, product = key.partition(" ")
            channels.setdefault(name, []).append(product)
        return [{"name": name, "product_ids": products} for name, products in channels.items()]

    def beat(self, peer: Peer) -> None:
        for key in peer.subscribed:
            if key.startswith("heartbeat "):
                peer.say({"type": "heartbeat", "sequence": 90, "last_trade_id": 20, "product_id": key[10:]})

    def make(self, key: str, number: int, peer: Peer | None) -> Made:
        channel, _, product = key.partition(" ")
        data = {"type": self.types[channel], "product_id": product, "price": "30000.10", "note": "é/"}
        return Made.whole(data | ({"trade_id": number} if channel == "matches" else {"sequence": 7 * number}))
