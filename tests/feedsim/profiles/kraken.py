"""A simulated feed: Kraken."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.feedsim.peer import Peer
from tests.feedsim.profile import Made, Profile, decoded


class Kraken(Profile):
    """One ack for each symbol of a batch; heartbeats of its own; books begin with a snapshot."""

    name = "kraken"
    topics: ClassVar[dict[str, str]] = {
        "kraken/ticker/BTC~2FUSD": "ticker BTC/USD",
        "kraken/trade/ETH~2FUSD": "trade ETH/USD",
        "kraken/book/BTC~2FUSD": "book BTC/USD",
    }
    beat_every_s = 1.0
    most_connects = (150, 600.0)

    def heard(self, peer: Peer, text: str) -> None:
        message = decoded(text)
        method, number = message["method"], message.get("req_id")
        if method == "ping":
            peer.say({"method": "pong", "req_id": number})
            return
        channel = message["params"]["channel"]
        for symbol in message["params"]["symbol"]:
            key = f"{channel} {symbol}"
            answer: dict[str, Any] = {"method": method, "req_id": number}
            if key in self.refused:
                error = f"Currency pair not supported {symbol}"
                self.simulator.ack(peer, answer | {"error": error, "success": False, "symbol": symbol})
                continue
            self.simulator.ack(peer, answer | {"result": {"channel": channel, "symbol": symbol}, "success": True})
            if method == "unsubscribe":
                peer.subscribed.pop(key, None)
                continue
            peer.subscribed[key] = True
            if channel == "book":
                book = {"symbol": symbol, "bids": [], "asks": [], "checksum": 1}
                self.tell_one(peer, key, Made.whole({"channel": "book", "type": "snapshot", "data": [book]}))

    def beat(self, peer: Peer) -> None:
        if peer.subscribed:
            peer.say({"channel": "heartbeat"})

    def make(self, key: str, number: int, peer: Peer | None) -> Made:
        channel, _, symbol = key.partition(" ")
        row = {"symbol": symbol, "bid": 1.10, "trade_id": number, "note": "é/"}
        return Made.whole({"channel": channel, "type": "update", "data": [row]})
