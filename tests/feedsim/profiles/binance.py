"""A simulated feed: Binance."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from tests.feedsim.peer import Peer
from tests.feedsim.profile import Made, Profile, decoded


class Binance(Profile):
    """Batches with one ack; 5 frames in any second, pings and pongs included; ranges on depth, its snapshot by HTTP."""

    name = "binance"
    topics: ClassVar[dict[str, str]] = {
        "binance/aggTrade/btcusdt": "btcusdt@aggTrade",
        "binance/trade/ethusdt": "ethusdt@trade",
        "binance/book/btcusdt": "btcusdt@depth",
    }
    most_frames = (5, 1.0)
    most_connects = (300, 300.0)

    def __init__(self, simulator: Any) -> None:
        super().__init__(simulator)
        self.last_u: dict[str, int] = {}
        self.snapshot_lag = 0
        """How many updates behind the stream the HTTP snapshot is."""

    def heard(self, peer: Peer, text: str) -> None:
        message = decoded(text)
        if unknown := self.refused.intersection(message["params"]):
            error = {"code": 2, "msg": f"Invalid request: {min(unknown)}"}
            self.simulator.ack(peer, {"error": error, "id": message["id"]})
            return
        for stream in message["params"]:
            if message["method"] == "SUBSCRIBE":
                peer.subscribed[stream] = True
            else:
                peer.subscribed.pop(stream, None)
        self.simulator.ack(peer, {"result": None, "id": message["id"]})

    def make(self, key: str, number: int, peer: Peer | None) -> Made:
        symbol, _, stream = key.partition("@")
        data: dict[str, Any] = {"e": stream, "E": 1700000000000 + number, "s": symbol.upper(), "note": "é/"}
        if stream == "depth":
            data |= {"e": "depthUpdate", "U": 10 * number + 1, "u": 10 * number + 10, "b": [["1.10", "0"]], "a": []}
            self.last_u[key] = data["u"]
        else:
            data |= {"a": number, "p": "30000.10"}
        return Made.around(f'{{"stream": {json.dumps(key)}, "data": ', data, "}")

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        if path != "/api/v3/depth":
            return 404, {"code": -1, "msg": "no such page"}
        last = self.last_u.get("btcusdt@depth", 10) - self.snapshot_lag
        return 200, {"lastUpdateId": last, "bids": [["1.10", "5"]], "asks": []}

    def shut_down(self) -> None:
        """What comes ten minutes before the end."""
        for peer in self.simulator.open:
            peer.say({"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": 1}})
