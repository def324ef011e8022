"""What simulated feeds have in common: topics, subscriptions, messages that happen whether anybody listens or not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tests.feedsim.journal import most_in
from tests.feedsim.peer import Peer

if TYPE_CHECKING:
    from tests.feedsim.simulator import Simulator


@dataclass(frozen=True, slots=True)
class Made:
    """A message as the feed sends it, and the part of it that browsers must see."""

    frame: bytes
    payload: bytes

    @classmethod
    def whole(cls, value: object) -> Made:
        """Browsers see the whole frame."""
        text = json.dumps(value).encode()
        return cls(text, text)

    @classmethod
    def around(cls, before: str, value: object, after: str) -> Made:
        """Browsers see `value`; the rest is the feed's envelope."""
        payload = json.dumps(value).encode()
        return cls(before.encode() + payload + after.encode(), payload)


class Profile:
    """A feed. Subclasses speak: what they answer is their own affair."""

    name: ClassVar[str]
    topics: ClassVar[dict[str, str]]
    """The relay's topics to the feed's own names."""
    environ: ClassVar[dict[str, str]] = {}
    conflated: ClassVar[bool] = False
    """Its routes conflate: a jump in the offsets is the mark of a loss."""
    protocol: ClassVar[str | None] = None
    beat_every_s: ClassVar[float | None] = None
    most_frames: ClassVar[tuple[int, float] | None] = None
    """So many frames of ours in so many seconds; one more is an offence and closes with 1008."""
    most_connects: ClassVar[tuple[int, float] | None] = None

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.journal = simulator.journal
        self.counts: dict[str, int] = {}
        self.refused: set[str] = set()
        """The feed's own names that it does not know."""
        self.topic_of = {key: topic for topic, key in self.topics.items()}

    # -- what subclasses say

    def opened(self, peer: Peer) -> None:
        """The handshake is done."""

    def heard(self, peer: Peer, text: str) -> None:
        """A text frame came."""

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        """An HTTP request came: status and JSON of the answer."""
        return 404, {"message": "no such page"}

    def admits(self, peer: Peer) -> tuple[int, bytes] | None:
        """None, or with what status and body the handshake is refused."""
        return None

    def beat(self, peer: Peer) -> None:
        """Called every `beat_every_s` for each open connection."""

    def make(self, key: str, number: int, peer: Peer | None) -> Made:
        """The message `number` of a topic, as this connection sees it; None = nobody does."""
        raise NotImplementedError

    def send(self, peer: Peer, made: Made) -> None:
        """Put a message on the wire."""
        peer.say(made.frame)

    def listeners(self, key: str) -> list[Peer]:
        """Who gets the messages of this topic."""
        return [peer for peer in self.simulator.open if key in peer.subscribed]

    # -- what tests call

    def publish(self, key: str, *, lose: bool = False, times: int = 1) -> Made:
        """A message happens; with `lose` it is dropped on its way, `times` > 1 says it so often."""
        number = self.counts[key] = self.counts.get(key, 0) + 1
        listeners = self.listeners(key)
        made = self.make(key, number, None)
        for peer in listeners:
            made = self.make(key, number, peer)
            if not lose:
                for _ in range(times):
                    self.send(peer, made)
        reached = bool(listeners) and not lose and not listeners[0].mute
        self.tell(key, made, reached)
        return made

    def tell(self, key: str, made: Made, sent: bool) -> None:
        """Write it down."""
        self.journal.tell(self.topic_of[key], made.payload, sent=sent)

    def tell_one(self, peer: Peer, key: str, made: Made) -> None:
        """Something that goes to one connection alone, such as a snapshot after a subscribe."""
        self.send(peer, made)
        self.tell(key, made, not peer.mute)

    # -- helpers of subclasses

    def offend(self, peer: Peer, what: str, code: int = 1008) -> None:
        """What a real feed closes for."""
        self.journal.offences.append(what)
        peer.close(code, what)

    def check_rate(self, peer: Peer) -> bool:
        """Whether the frames of this connection keep the limit."""
        if self.most_frames is None:
            return True
        count, span_s = self.most_frames
        if most_in([one.at for one in self.journal.heard if one.connection == peer.number], span_s) <= count:
            return True
        self.offend(peer, "Too many requests")
        return False


def decoded(text: str) -> Any:
    """JSON, or the text as it stands."""
    return json.loads(text) if text[:1] in "{[" else text
