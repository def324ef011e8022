"""A simulated feed: Twelve Data."""

from __future__ import annotations

from typing import ClassVar

from tests.feedsim.peer import Peer
from tests.feedsim.profile import Made, Profile, decoded


class TwelveData(Profile):
    """Symbols in one text; the answer lists those that were taken and those that were not, and has no id."""

    name = "twelvedata"
    topics: ClassVar[dict[str, str]] = {"twelvedata/AAPL": "AAPL", "twelvedata/EUR~2FUSD": "EUR/USD"}
    environ: ClassVar[dict[str, str]] = {"TWELVE_KEY": "k"}

    def heard(self, peer: Peer, text: str) -> None:
        message = decoded(text)
        if message["action"] == "heartbeat":
            peer.say({"event": "heartbeat", "status": "ok"})
            return
        symbols = message["params"]["symbols"].split(",")
        taken = [symbol for symbol in symbols if symbol not in self.refused]
        for symbol in taken:
            if message["action"] == "subscribe":
                peer.subscribed[symbol] = True
            else:
                peer.subscribed.pop(symbol, None)
        answer = {
            "event": f"{message['action']}-status",
            "status": "ok" if taken == symbols else "warning",
            "success": [{"symbol": symbol, "exchange": "X"} for symbol in taken],
            "fails": [{"symbol": symbol} for symbol in symbols if symbol in self.refused],
        }
        self.simulator.ack(peer, answer)

    def make(self, key: str, number: int, peer: Peer | None) -> Made:
        return Made.whole({"event": "price", "symbol": key, "price": 100 + number, "note": "é/"})
