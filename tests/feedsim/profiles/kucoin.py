"""A simulated feed: Kucoin."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.feedsim.peer import Peer
from tests.feedsim.profile import Made, Profile, decoded


class Kucoin(Profile):
    """Address and token by HTTP, a welcome that must be waited for, a ping at the pace it told."""

    name = "kucoin"
    topics: ClassVar[dict[str, str]] = {
        "kucoin/ticker/BTC-USDT": "/market/ticker:BTC-USDT",
        "kucoin/ticker/ETH-USDT": "/market/ticker:ETH-USDT",
        "kucoin/match/BTC-USDT": "/market/match:BTC-USDT",
    }
    most_frames = (100, 10.0)
    most_connects = (30, 60.0)
    ping_ms = 200

    def __init__(self, simulator: Any) -> None:
        super().__init__(simulator)
        self.tokens: list[str] = []
        self.valid: set[str] = set()

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        if (method, path) != ("POST", "/api/v1/bullet-public"):
            return 404, {"code": "404000"}
        token = f"t/{len(self.tokens) + 1}"
        self.tokens.append(token)
        self.valid.add(token)
        server = {"endpoint": f"ws://{self.simulator.host}/endpoint", "pingInterval": self.ping_ms}
        return 200, {"code": "200000", "data": {"token": token, "instanceServers": [server]}}

    def opened(self, peer: Peer) -> None:
        token = peer.query.get("token", [""])[0]
        peer.state.update(token=token, welcomed=False)
        if token not in self.valid:
            peer.say({"id": "1", "type": "error", "code": 401, "data": "token is expired"})
            peer.close(1000)
            return

        def welcome() -> None:
            if peer.is_open:
                peer.state["welcomed"] = True
                peer.say({"id": peer.query["connectId"][0], "type": "welcome"})

        self.simulator.reactor.callLater(0.05, welcome)

    def heard(self, peer: Peer, text: str) -> None:
        if not peer.state["welcomed"]:
            self.offend(peer, "a message before the welcome")
            return
        message = decoded(text)
        number = str(message["id"])
        if message["type"] == "ping":
            peer.say({"id": number, "type": "pong"})
            return
        head, _, symbols = message["topic"].partition(":")
        keys = [f"{head}:{symbol}" for symbol in symbols.split(",")]
        if len(keys) > 100:
            self.offend(peer, "more than 100 topics in one message")
            return
        if unknown := self.refused.intersection(keys):
            text = f"topic {min(unknown)} is not found"
            self.simulator.ack(peer, {"id": number, "type": "error", "code": 404, "data": text})
            return
        for key in keys:
            if message["type"] == "subscribe":
                peer.subscribed[key] = True
            else:
                peer.subscribed.pop(key, None)
        if message["response"]:
            self.simulator.ack(peer, {"id": number, "type": "ack"})

    def make(self, key: str, number: int, peer: Peer | None) -> Made:
        data = {"sequence": str(number), "price": "1.10", "note": "é/"}
        return Made.whole({"type": "message", "topic": key, "subject": "trade.ticker", "data": data})

    def expire(self) -> None:
        """The tokens given out are worth nothing any more, and whoever uses one hears it."""
        self.valid.clear()
        for peer in list(self.simulator.open):
            peer.say({"id": "9", "type": "error", "code": 401, "data": "token is expired"})
