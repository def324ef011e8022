"""A simulated feed: a WAMP router."""

from __future__ import annotations

from typing import ClassVar

from tests.feedsim.peer import Peer
from tests.feedsim.profile import Made, Profile, decoded


class Wamp(Profile):
    """A ticket for the realm, subscription ids that the router gives, new ones on each connection."""

    name = "wamp"
    topics: ClassVar[dict[str, str]] = {"wamp/com.example.a": "com.example.a", "wamp/com.example.b": "com.example.b"}
    environ: ClassVar[dict[str, str]] = {"WAMP_TICKET": "t"}
    protocol = "wamp.2.json"

    def opened(self, peer: Peer) -> None:
        peer.state.update(next_id=5500 + 100 * peer.number, known=False)

    def heard(self, peer: Peer, text: str) -> None:
        kind, *rest = decoded(text)
        if kind == 1:
            peer.say([4, "ticket", {}])
        elif kind == 5:
            if rest[0] != "t":
                peer.say([3, {}, "wamp.error.not_authorized"])
                return
            peer.state["known"] = True
            peer.say([2, 9129137332, {"roles": {"broker": {}}}])
        elif not peer.state["known"]:
            self.offend(peer, "a message before the welcome")
        elif kind == 32:
            self._subscribe(peer, rest[0], rest[2])
        elif kind == 34:
            for key in [key for key, bound in peer.subscribed.items() if bound == rest[1]]:
                del peer.subscribed[key]
            self.simulator.ack(peer, [35, rest[0]])

    def _subscribe(self, peer: Peer, request: int, uri: str) -> None:
        if uri in self.refused:
            self.simulator.ack(peer, [8, 32, request, {}, "wamp.error.not_authorized"])
            return
        peer.subscribed[uri] = peer.state["next_id"]
        peer.state["next_id"] += 1
        self.simulator.ack(peer, [33, request, peer.subscribed[uri]])

    def make(self, key: str, number: int, peer: Peer | None) -> Made:
        bound = 0 if peer is None else peer.subscribed[key]
        return Made.around(f"[36, {bound}, {number}, {{}}, ", [number, "é/", 1.10], "]")

    def say_goodbye(self) -> None:
        """The router shuts down."""
        for peer in self.simulator.open:
            peer.say([6, {}, "wamp.close.system_shutdown"])
