"""What a simulated feed did and heard, with times, and the questions tests ask of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Connect:
    """A WebSocket handshake that came; times are monotonic seconds."""

    at: float
    number: int
    target: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Heard:
    """A frame that came: a text as it stands, or `ping` and `pong` for control frames."""

    at: float
    connection: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Requested:
    """An HTTP request that came."""

    at: float
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Told:
    """One message of one topic: the bytes a browser must see, and whether they were sent at all."""

    payload: bytes
    sent: bool


@dataclass(slots=True)
class Journal:
    """All of it, in order. Bounded by the length of a test."""

    connects: list[Connect] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    requests: list[Requested] = field(default_factory=list)
    told: dict[str, list[Told]] = field(default_factory=dict)
    """By the relay's topic."""
    offences: list[str] = field(default_factory=list)
    """What a real feed would have closed or banned for."""
    bytes_out: int = 0

    def tell(self, topic: str, payload: bytes, *, sent: bool) -> None:
        """A message of a topic happened."""
        self.told.setdefault(topic, []).append(Told(payload, sent))

    def texts(self, connection: int | None = None) -> list[str]:
        """The text frames heard, of one connection or of all."""
        return [one.text for one in self.heard if one.kind == "text" and connection in (None, one.connection)]

    def most_sent_in(self, span_s: float) -> int:
        """The most frames, pings and pongs included, that came on all connections in any window of this length."""
        return most_in([one.at for one in self.heard], span_s)

    def most_connects_in(self, span_s: float) -> int:
        """The most handshakes in any window of this length."""
        return most_in([one.at for one in self.connects], span_s)

    def most_requests_in(self, span_s: float) -> int:
        """The most HTTP requests in any window of this length."""
        return most_in([one.at for one in self.requests], span_s)


LOST = None
"""Stands in what a browser received where it was told of a loss."""


def most_in(times: Sequence[float], span_s: float) -> int:
    """The most events in any window [t, t + span_s)."""
    most = start = 0
    for end, at in enumerate(times):
        while at - times[start] >= span_s:
            start += 1
        most = max(most, end - start + 1)
    return most


def unaccounted(told: Iterable[Told], received: Sequence[bytes | None]) -> list[str]:
    """What is wrong with what a browser received of one topic: bytes changed, out of order, doubled, or a loss without
    its mark in its place. A mark where nothing is missing is no fault: nobody can know what a dead connection lost."""
    problems: list[str] = []
    at, marked, missing, began = 0, False, 0, False
    for number, message in enumerate(told):
        if not message.sent:
            missing += began
            continue
        while at < len(received) and received[at] is LOST:
            marked, at = True, at + 1
        if at == len(received):
            problems.append(f"message {number} was sent and did not arrive: {message.payload[:80]!r}")
            break
        if received[at] != message.payload:
            problems.append(f"message {number} is {message.payload[:80]!r}, the browser has {received[at]!r:.80}")
            break
        if missing and not marked:
            problems.append(f"{missing} messages before message {number} are missing without a mark")
        at, marked, missing, began = at + 1, False, 0, True
    else:
        if rest := [one for one in received[at:] if one is not LOST]:
            problems.append(f"{len(rest)} messages more than were sent, first {rest[0]!r:.80}")
    return problems
