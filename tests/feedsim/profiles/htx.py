"""A simulated feed: Htx."""

from __future__ import annotations

import gzip
import json
from typing import ClassVar

from tests.feedsim.peer import Peer
from tests.feedsim.profile import Made, Profile, decoded


class Htx(Profile):
    """Everything in gzip; its pings want pongs with their number, and two missed ones are the end."""

    name = "htx"
    topics: ClassVar[dict[str, str]] = {
        "htx/trade.detail/btcusdt": "market.btcusdt.trade.detail",
        "htx/ticker/ethusdt": "market.ethusdt.ticker",
    }
    beat_every_s = 0.2  # the real one pings every 5 s

    def _say(self, peer: Peer, message: object) -> None:
        peer.say(gzip.compress(json.dumps(message).encode()), binary=True)

    def heard(self, peer: Peer, text: str) -> None:
        message = decoded(text)
        if "pong" in message:
            if message["pong"] not in peer.state["open"]:
                self.offend(peer, f"a pong for no ping: {message['pong']!r}")
            peer.state["open"].clear()
            return
        verb = "sub" if "sub" in message else "unsub"
        key, number = message[verb], str(message["id"])
        if key in self.refused:
            answer = {"status": "error", "id": number, "err-code": "bad-request", "err-msg": f"invalid topic {key}"}
        else:
            answer = {"id": number, "status": "ok", f"{verb}bed": key}
            if verb == "sub":
                peer.subscribed[key] = True
            else:
                peer.subscribed.pop(key, None)
        self.simulator.ack(peer, gzip.compress(json.dumps(answer).encode()), binary=True)

    def opened(self, peer: Peer) -> None:
        peer.state.update(open=[], next=1492420473027)

    def beat(self, peer: Peer) -> None:
        if len(peer.state["open"]) >= 2:
            self.offend(peer, "two pongs are missing")
            return
        peer.state["next"] += 1
        peer.state["open"].append(peer.state["next"])
        self._say(peer, {"ping": peer.state["next"]})

    def make(self, key: str, number: int, peer: Peer | None) -> Made:
        payload = json.dumps({"ch": key, "ts": number, "tick": {"id": number, "note": "é/"}}).encode()
        return Made(gzip.compress(payload), payload)

    def send(self, peer: Peer, made: Made) -> None:
        peer.say(made.frame, binary=True)
