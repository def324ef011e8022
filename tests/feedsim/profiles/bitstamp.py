"""A simulated feed: Bitstamp."""

from __future__ import annotations

from typing import ClassVar

from tests.feedsim.peer import Peer
from tests.feedsim.profile import Made, Profile, decoded


class Bitstamp(Profile):
    """One topic a message, acks by channel, a heartbeat that is answered, a wish that we reconnect."""

    name = "bitstamp"
    topics: ClassVar[dict[str, str]] = {
        "bitstamp/live_trades_btcusd": "live_trades_btcusd",
        "bitstamp/order_book_ethusd": "order_book_ethusd",
    }

    def heard(self, peer: Peer, text: str) -> None:
        message = decoded(text)
        event = message["event"]
        if event == "bts:heartbeat":
            peer.say({"event": event, "channel": "", "data": {"status": "success"}})
            return
        key = message["data"]["channel"]
        if key in self.refused:
            error = {"code": None, "message": "Bad subscription string."}
            self.simulator.ack(peer, {"event": "bts:error", "channel": "", "data": error})
            return
        if event == "bts:subscribe":
            peer.subscribed[key] = True
            self.simulator.ack(peer, {"event": "bts:subscription_succeeded", "channel": key, "data": {}})
        else:
            peer.subscribed.pop(key, None)
            self.simulator.ack(peer, {"event": "bts:unsubscription_succeeded", "channel": key, "data": {}})

    def make(self, key: str, number: int, peer: Peer | None) -> Made:
        event = "trade" if key.startswith("live_trades") else "data"
        return Made.whole({"event": event, "channel": key, "data": {"id": number, "price": 30000.10, "note": "é/"}})

    def ask_to_reconnect(self) -> None:
        """It is about to restart."""
        for peer in self.simulator.open:
            peer.say({"event": "bts:request_reconnect", "channel": "", "data": ""})
