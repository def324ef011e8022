"""A simulated feed: Jetstream."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from tests.feedsim.peer import Peer
from tests.feedsim.profile import Made, Profile


class Jetstream(Profile):
    """Topics and the point to resume from stand in the URL; resuming repeats that point; our frames are unwelcome."""

    name = "jetstream"
    topics: ClassVar[dict[str, str]] = {
        "bluesky/app.bsky.feed.post": "app.bsky.feed.post",
        "bluesky/app.bsky.feed.like": "app.bsky.feed.like",
    }

    def __init__(self, simulator: Any) -> None:
        super().__init__(simulator)
        self.now_us = 1725911162329308
        self.past: list[tuple[int, str, Made]] = []
        self.oldest_us = 0
        """What is older is answered with 400."""

    def admits(self, peer: Peer) -> tuple[int, bytes] | None:
        cursor = peer.query.get("cursor")
        return (400, b"CursorTooOld") if cursor and int(cursor[0]) < self.oldest_us else None

    def opened(self, peer: Peer) -> None:
        peer.subscribed = dict.fromkeys(peer.query.get("wantedCollections", []), True)
        if cursor := peer.query.get("cursor"):
            for time_us, key, made in self.past:
                if time_us >= int(cursor[0]) and key in peer.subscribed:
                    peer.say(made.frame)
        peer.say({"did": "did:plc:a", "time_us": self.now_us, "kind": "identity", "identity": {"seq": 1}})

    def heard(self, peer: Peer, text: str) -> None:
        self.offend(peer, f"a frame of ours: {text}")

    def make(self, key: str, number: int, peer: Peer | None) -> Made:
        commit = {"rev": "r", "operation": "create", "collection": key, "rkey": str(number), "record": {"note": "é/"}}
        return Made.whole({"did": "did:plc:a", "time_us": self.now_us, "kind": "commit", "commit": commit})

    def publish(self, key: str, *, lose: bool = False, times: int = 1) -> Made:
        self.now_us += 1000
        made = super().publish(key, lose=lose, times=times)
        self.past.append((self.now_us, key, made))
        return made

    def tell(self, key: str, made: Made, sent: bool) -> None:
        # What nobody heard is replayed to whoever comes back: nothing is lost.
        super().tell(key, made, True)
        assert json.loads(made.frame)["time_us"] == self.now_us
