"""A simulated feed: Bitfinex."""

from __future__ import annotations

from typing import ClassVar

from tests.feedsim.peer import Peer
from tests.feedsim.profile import Made, Profile, decoded


class Bitfinex(Profile):
    """New channel ids on each connection, data before the ack that tells them, a counter that heartbeats share."""

    name = "bitfinex"
    topics: ClassVar[dict[str, str]] = {
        "bitfinex/trades/tBTCUSD": "trades tBTCUSD",
        "bitfinex/book/tETHUSD": "book tETHUSD",
    }
    beat_every_s = 1.0
    most_connects = (20, 60.0)

    def opened(self, peer: Peer) -> None:
        peer.state.update(next_id=1000 * peer.number + 17, counter=0, counts=False)
        peer.say({"event": "info", "version": 2, "platform": {"status": 1}})

    def heard(self, peer: Peer, text: str) -> None:
        message = decoded(text)
        if message["event"] == "conf":
            peer.state["counts"] = bool(message["flags"] & 65536)
            peer.say({"event": "conf", "status": "OK"})
        elif message["event"] == "unsubscribe":
            for key in [key for key, number in peer.subscribed.items() if number == message["chanId"]]:
                del peer.subscribed[key]
            peer.say({"event": "unsubscribed", "status": "OK", "chanId": message["chanId"]})
        else:
            self._subscribe(peer, message["channel"], message["symbol"])

    def _subscribe(self, peer: Peer, channel: str, symbol: str) -> None:
        key = f"{channel} {symbol}"
        names = {"channel": channel, "symbol": symbol}
        if key in self.refused or len(peer.subscribed) >= 25:
            self.simulator.ack(peer, {"event": "error", **names, "msg": "subscribe: limit", "code": 10305})
            return
        number = peer.subscribed[key] = peer.state["next_id"]
        peer.state["next_id"] += 1
        if channel == "book":
            rows = [[7245.2, 1, 0.5], [7245.4, 2, -0.5]]
            self.tell_one(peer, key, Made.whole([number, rows, self._count(peer)]))
        self.simulator.ack(peer, {"event": "subscribed", "chanId": number, **names, "pair": symbol[1:]})

    def _count(self, peer: Peer) -> int:
        count: int = peer.state["counter"] + 1
        peer.state["counter"] = count
        return count

    def beat(self, peer: Peer) -> None:
        for number in peer.subscribed.values():
            peer.say([number, "hb", self._count(peer)])

    def make(self, key: str, number: int, peer: Peer | None) -> Made:
        chan_id = 0 if peer is None else peer.subscribed[key]
        count = 0 if peer is None else self._count(peer)
        if key.startswith("book "):
            return Made.whole([chan_id, [7245.1, 0, number], count])
        return Made.whole([chan_id, "te", [number, 1574694478808, 0.005, 7245.3], count])

    def inform(self, code: int) -> None:
        """Maintenance, or a wish that we reconnect."""
        for peer in self.simulator.open:
            peer.say({"event": "info", "code": code, "msg": "told"})
