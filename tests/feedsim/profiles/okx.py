"""A simulated feed: Okx."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.feedsim.journal import most_in
from tests.feedsim.peer import Peer
from tests.feedsim.profile import Made, Profile, decoded


class Okx(Profile):
    """Text ping and pong, an ack for each argument, 480 subscribes an hour, acks that are taken back."""

    name = "okx"
    topics: ClassVar[dict[str, str]] = {
        "okx/tickers/BTC-USDT": "tickers BTC-USDT",
        "okx/trades/ETH-USDT": "trades ETH-USDT",
        "okx/books/BTC-USDT": "books BTC-USDT",
    }
    most_connects = (3, 1.0)

    def heard(self, peer: Peer, text: str) -> None:
        if text == "ping":
            peer.say(b"pong")
            return
        asked = [one.at for one in self.journal.heard if '"op"' in one.text and one.connection == peer.number]
        if most_in(asked, 3600.0) > 480:
            self.offend(peer, "more than 480 subscribes an hour")
            return
        message = decoded(text)
        for arg in message["args"]:
            key = f"{arg['channel']} {arg['instId']}"
            if key in self.refused:
                text = f"channel:{arg['channel']},instId:{arg['instId']} doesn't exist"
                self.simulator.ack(peer, {"event": "error", "code": "60018", "msg": text, "connId": "a"})
                continue
            self.simulator.ack(peer, {"event": message["op"], "arg": arg, "connId": "a"})
            if message["op"] == "unsubscribe":
                peer.subscribed.pop(key, None)
                continue
            peer.subscribed[key] = True
            if arg["channel"] == "books":
                row = {"asks": [], "bids": [], "prevSeqId": -1, "seqId": self._at(key, 0)}
                self.tell_one(peer, key, Made.whole({"arg": arg, "action": "snapshot", "data": [row]}))

    def make(self, key: str, number: int, peer: Peer | None) -> Made:
        channel, _, inst = key.partition(" ")
        row: dict[str, Any] = {"instId": inst, "last": "1.10", "n": number, "note": "é/"}
        frame: dict[str, Any] = {"arg": {"channel": channel, "instId": inst}}
        if channel == "books":
            row |= {"prevSeqId": self._at(key, -1), "seqId": self._at(key, 0)}
            frame["action"] = "update"
        return Made.whole(frame | {"data": [row]})

    def _at(self, key: str, step: int) -> int:
        """The number of a book's newest message, or of one before it: the same on all connections."""
        return 100 + 3 * (self.counts.get(key, 0) + step)

    def revoke(self, channel: str) -> None:
        """Taken back after the ack: too many connections on the channel."""
        for peer in self.simulator.open:
            for key in [key for key in peer.subscribed if key.startswith(f"{channel} ")]:
                del peer.subscribed[key]
            peer.say({"event": "channel-conn-count-error", "channel": channel, "connCount": "30", "connId": "a"})

    def give_notice(self) -> None:
        """What comes 60 s before the end."""
        for peer in self.simulator.open:
            peer.say({"event": "notice", "code": "64008", "msg": "The connection will soon be closed", "connId": "a"})
