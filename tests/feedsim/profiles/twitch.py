"""A simulated feed: Twitch EventSub."""

from __future__ import annotations

import json
from typing import ClassVar

from tests.feedsim.peer import Peer
from tests.feedsim.profile import Made, Profile


class Twitch(Profile):
    """It greets with the id of a session, for which topics are subscribed by HTTP; what it says may come twice."""

    name = "twitch"
    topics: ClassVar[dict[str, str]] = {
        "twitch/stream.online/1234": "stream.online 1234",
        "twitch/stream.offline/1234": "stream.offline 1234",
    }
    environ: ClassVar[dict[str, str]] = {"TWITCH_ID": "i", "TWITCH_TOKEN": "t"}
    beat_every_s = 0.05

    def opened(self, peer: Peer) -> None:
        self._say(peer, "session_welcome", {"session": {"id": f"session-{peer.number}"}})

    def beat(self, peer: Peer) -> None:
        self._say(peer, "session_keepalive", {})

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        if (headers.get("client-id"), headers.get("authorization")) != ("i", "Bearer t"):
            return 401, {"status": 401, "message": "OAuth token is missing"}
        asked = json.loads(body)
        key = f"{asked['type']} {asked['condition']['broadcaster_user_id']}"
        for peer in self.simulator.open:
            if asked["transport"]["session_id"] == f"session-{peer.number}":
                peer.subscribed[key] = True
                return 202, {"data": [{"status": "enabled"}]}
        return 400, {"status": 400, "message": "websocket transport session does not exist"}

    def make(self, key: str, number: int, peer: Peer | None) -> Made:
        type_, _, who = key.partition(" ")
        head = {"message_type": "notification", "message_id": f"{key} {number}", "subscription_type": type_}
        asked = {"type": type_, "condition": {"broadcaster_user_id": who}}
        before = f'{{"metadata":{json.dumps(head)},"payload":{{"subscription":{json.dumps(asked)},"event":'
        return Made.around(before, {"id": number, "note": "é/"}, "}}")

    @staticmethod
    def _say(peer: Peer, kind: str, payload: object) -> None:
        peer.say({"metadata": {"message_type": kind, "message_id": kind}, "payload": payload})
