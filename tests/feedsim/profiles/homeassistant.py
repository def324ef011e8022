"""A simulated feed: Home Assistant."""

from __future__ import annotations

import json
from typing import ClassVar

from tests.feedsim.peer import Peer
from tests.feedsim.profile import Made, Profile, decoded


class HomeAssistant(Profile):
    """It speaks first; ids must rise; events come under our own ids, several in one array if it likes."""

    name = "homeassistant"
    topics: ClassVar[dict[str, str]] = {"home/state_changed": "state_changed", "home/call_service": "call_service"}
    environ: ClassVar[dict[str, str]] = {"HA_TOKEN": "t"}

    def opened(self, peer: Peer) -> None:
        peer.state.update(known=False, last_id=0)
        peer.say({"type": "auth_required", "ha_version": "2024.1"})

    def heard(self, peer: Peer, text: str) -> None:
        message = decoded(text)
        if not peer.state["known"]:
            if message != {"type": "auth", "access_token": "t"} or self.refused:
                peer.say({"type": "auth_invalid", "message": "Invalid access token"})
                peer.close(1000)
                return
            peer.state["known"] = True
            peer.say({"type": "auth_ok", "ha_version": "2024.1"})
            return
        number = message["id"]
        if number <= peer.state["last_id"]:
            self.offend(peer, f"id {number} does not rise")
            return
        peer.state["last_id"] = number
        if message["type"] == "ping":
            peer.say({"id": number, "type": "pong"})
        elif message["type"] == "subscribe_events":
            peer.subscribed[message["event_type"]] = number
            self.simulator.ack(peer, {"id": number, "type": "result", "success": True, "result": None})
        else:
            for key in [key for key, bound in peer.subscribed.items() if bound == message["subscription"]]:
                del peer.subscribed[key]
            self.simulator.ack(peer, {"id": number, "type": "result", "success": True, "result": None})

    def make(self, key: str, number: int, peer: Peer | None) -> Made:
        event = {"event_type": key, "data": {"entity_id": "sensor.power", "state": str(number), "note": "é/"}}
        bound = 0 if peer is None else peer.subscribed[key]
        return Made.around(f'{{"id": {bound}, "type": "event", "event": ', event, "}")

    def coalesce(self, key: str, count: int) -> None:
        """Several messages in one array."""
        first = self.counts.get(key, 0) + 1
        self.counts[key] = first + count - 1
        for peer in self.listeners(key):
            made = [self.make(key, number, peer) for number in range(first, first + count)]
            peer.say(b"[" + b", ".join(one.frame for one in made) + b"]")
            for one in made:
                self.tell(key, one, True)
            assert json.loads(made[0].frame)
