"""A simulated feed: mempool.space."""

from __future__ import annotations

from typing import ClassVar

from tests.feedsim.peer import Peer
from tests.feedsim.profile import Made, Profile, decoded


class Mempool(Profile):
    """One message states all that is wanted, and nothing answers it; a message is told by its one key."""

    name = "mempool"
    topics: ClassVar[dict[str, str]] = {"mempool/blocks": "blocks", "mempool/stats": "stats"}

    def heard(self, peer: Peer, text: str) -> None:
        message = decoded(text)
        if message["action"] == "ping":
            peer.say({"pong": True})
        else:
            peer.subscribed = dict.fromkeys(message["data"], True)

    def make(self, key: str, number: int, peer: Peer | None) -> Made:
        return Made.whole({key: {"height": 840_000 + number, "note": "é/"}})
