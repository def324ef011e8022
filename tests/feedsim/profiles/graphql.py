"""A simulated feed: GraphQL over WebSocket."""

from __future__ import annotations

from typing import ClassVar

from tests.feedsim.peer import Peer
from tests.feedsim.profile import Made, Profile, decoded


class Graphql(Profile):
    """graphql-transport-ws: 4401 before the ack, 4409 for an id twice, 4429 for a second init; it ends at will."""

    name = "graphql"
    topics: ClassVar[dict[str, str]] = {"live/power": "power", "live/price": "price"}
    environ: ClassVar[dict[str, str]] = {"TOKEN": "t"}
    protocol = "graphql-transport-ws"

    def opened(self, peer: Peer) -> None:
        peer.state["known"] = False
        if "graphql-transport-ws" not in peer.headers.get("sec-websocket-protocol", ""):
            self.offend(peer, "the subprotocol is missing", 4406)

    def heard(self, peer: Peer, text: str) -> None:
        message = decoded(text)
        kind = message["type"]
        if kind == "connection_init":
            if peer.state["known"]:
                self.offend(peer, "Too many initialisation requests", 4429)
            elif message["payload"] != {"Authorization": "Bearer t"}:
                peer.close(4403, "Forbidden")
            else:
                peer.state["known"] = True
                peer.say({"type": "connection_ack"})
        elif kind == "subscribe":
            self._subscribe(peer, message)
        elif kind == "complete":
            for key in [key for key, bound in peer.subscribed.items() if bound == message["id"]]:
                del peer.subscribed[key]

    def _subscribe(self, peer: Peer, message: dict[str, object]) -> None:
        key = "power" if "power" in str(message["payload"]) else "price"
        if not peer.state["known"]:
            self.offend(peer, "Unauthorized", 4401)
        elif message["id"] in peer.subscribed.values():
            self.offend(peer, f"Subscriber for {message['id']} already exists", 4409)
        elif key in self.refused:
            peer.say({"id": message["id"], "type": "error", "payload": [{"message": "no such field"}]})
        else:
            peer.subscribed[key] = message["id"]

    def make(self, key: str, number: int, peer: Peer | None) -> Made:
        bound = "" if peer is None else peer.subscribed[key]
        data = {"live": {key: number, "note": "é/", "exact": 1.10}}
        return Made.around(f'{{"id": "{bound}", "type": "next", "payload": {{"data": ', data, "}}")

    def complete(self, key: str) -> None:
        """It ends a subscription of its own accord."""
        for peer in self.simulator.open:
            peer.say({"id": peer.subscribed.pop(key), "type": "complete"})

    def ping(self) -> None:
        """A ping of the subprotocol."""
        for peer in self.simulator.open:
            peer.say({"type": "ping"})
