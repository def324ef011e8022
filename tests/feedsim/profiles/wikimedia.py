"""A simulated feed: Wikimedia's event streams."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from tests.feedsim.peer import Peer
from tests.feedsim.profile import Made, Profile


class Wikimedia(Profile):
    """Server-sent events: the streams stand in the URL, an id says from where to go on, and goes back as it came."""

    name = "wikimedia"
    topics: ClassVar[dict[str, str]] = {
        "wikimedia/mediawiki.recentchange": "mediawiki.recentchange",
        "wikimedia/mediawiki.page-create": "mediawiki.page-create",
    }

    def __init__(self, simulator: Any) -> None:
        super().__init__(simulator)
        self.past: list[tuple[str, Made]] = []
        """Every message; its place from 1 is its offset."""
        self.end = "\n"
        """Ends a line."""
        self.cut_at = 0
        """Where each event is cut in two chunks, in bytes; 0 = nowhere."""

    def opened(self, peer: Peer) -> None:
        peer.subscribed = dict.fromkeys(peer.path.rpartition("/")[2].split(","), True)
        peer.chunk(b"\xef\xbb\xbf: ok" + self.end.encode() * 2)
        if "last-event-id" in peer.headers:
            [place] = json.loads(peer.headers["last-event-id"])
            for number, (key, made) in enumerate(self.past[place["offset"] :], place["offset"] + 1):
                if key in peer.subscribed:
                    self.send_event(peer, number, made)

    def make(self, key: str, number: int, peer: Peer | None) -> Made:
        return Made.whole({"meta": {"stream": key, "id": f"{key}/{number}"}, "comment": "é\u2028 /", "n": number})

    def publish(self, key: str, *, lose: bool = False, times: int = 1) -> Made:
        number = self.counts.get(key, 0) + 1
        self.past.append((key, self.make(key, number, None)))
        return super().publish(key, lose=lose, times=times)

    def send(self, peer: Peer, made: Made) -> None:
        self.send_event(peer, len(self.past), made)

    def send_event(self, peer: Peer, number: int, made: Made) -> None:
        """One event, perhaps in two chunks."""
        place = json.dumps([{"topic": "eqiad.mediawiki", "partition": 0, "offset": number}])
        lines = [b"event: message", b"id: " + place.encode(), b"data: " + made.frame, b"", b""]
        data = self.end.encode().join(lines)
        if self.cut_at:
            peer.chunk(data[: self.cut_at])
            data = data[self.cut_at :]
        peer.chunk(data)

    def tell(self, key: str, made: Made, sent: bool) -> None:
        # What nobody heard is sent to whoever comes back with the id of the last.
        super().tell(key, made, True)
