"""What an upstream session asks of the world, and what the world tells it of a connection's end.

Inputs of the session return effects; `io/upstream.py` carries them out. Publications are no effects: they go straight
to the sink, because that is the way of every message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeVar

from relayd.core.feed.outcome import Sending
from relayd.core.publication import TopicState

Topic = TypeVar("Topic", contravariant=True)


class FeedSink(Protocol[Topic]):
    """Where an upstream publishes: the hub."""

    def publish(
        self,
        topic: Topic,
        payload: bytes,
        is_text: bool,
        snapshot: bool = False,
        is_json: bool = False,
        at: float | None = None,
    ) -> object: ...
    def gap(self, topic: Topic, missed: int | None, why: str) -> object: ...
    def state(self, topic: Topic, state: TopicState, why: str = "") -> object: ...
    def forget(self, topic: Topic) -> object: ...


@dataclass(frozen=True, slots=True)
class DialRequest:
    """Where and how to connect. Its parts may hold secrets: it is never logged whole."""

    url: str
    """ws:// or wss:// (http:// or https:// for an event stream), with its query."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    protocols: tuple[str, ...] = ()
    """Subprotocols offered; empty = the header is not sent."""


class DialImpossible(Exception):
    """A dial could not be prepared (a secret file is missing, for one); the text names the remedy, not the secret."""


@dataclass(frozen=True, slots=True)
class Dial:
    """Connect. Followed by `tcp_up`, `ws_open` or `lost`."""

    request: DialRequest


@dataclass(frozen=True, slots=True)
class Send:
    """Send one frame, or make one HTTP request; its reply comes back as `replied`, or `unanswered` if there is none."""

    sending: Sending


@dataclass(frozen=True, slots=True)
class Ping:
    """Send a WebSocket ping; its pong comes back as `pong`."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Say goodbye: a close frame, then the end of TCP. Followed by `lost`, or by Drop when that takes too long."""

    why: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Abort the connection, or the attempt, and forget it: the session hears no more of it."""

    why: str


@dataclass(frozen=True, slots=True)
class Note:
    """One line for the log; the fields hold nothing secret."""

    event: str
    fields: Mapping[str, object]
    warning: bool = False


Effect = Dial | Send | Ping | Close | Drop | Note
Effects = Sequence[Effect]


class LossKind(Enum):
    """How a connection, or the attempt to make one, ended."""

    CONFIG = "config"
    """The dial could not be prepared."""
    DNS = "dns"
    CONNECT = "connect"
    """TCP: refused, unreachable, or too late."""
    TLS = "tls"
    """The certificate or the handshake was not acceptable."""
    HTTP = "http"
    """The opening request was answered with a status that opens nothing."""
    HANDSHAKE = "handshake"
    """The opening request was answered with something that is neither a WebSocket nor an event stream."""
    CLOSED = "closed"
    """A close frame came; `code` and `text` are its."""
    BROKEN = "broken"
    """TCP ended without a close frame."""
    PROTOCOL = "protocol"
    """The upstream broke the WebSocket protocol, or sent more than `limits.payload`."""
    DEADLINE = "deadline"
    """We gave it up: it was silent, or too slow in a handshake, a login or an answer."""
    LOGIN = "login"
    """The upstream refused the login."""
    ASKED = "asked"
    """A message of the upstream told us to reconnect."""
    OVERRUN = "overrun"
    """More answers were due than `limits.send` lets out."""

    @property
    def shown(self) -> str:
        """What browsers are told of an upstream that cannot be reached, and nothing that it said; else empty."""
        return _SHOWN.get(self, "")


_SHOWN: Mapping[LossKind, str] = {
    LossKind.CONFIG: "the upstream cannot be dialled as it is configured",
    LossKind.DNS: "the upstream's name is not found",
    LossKind.CONNECT: "the upstream cannot be reached",
    LossKind.TLS: "the upstream's certificate is not accepted",
    LossKind.HTTP: "the upstream refused the connection",
    LossKind.HANDSHAKE: "the upstream answers in another protocol",
}


@dataclass(frozen=True, slots=True)
class Loss:
    """The end of a connection. `text` is for people: no secrets, no query strings, at most a few hundred characters."""

    kind: LossKind
    code: int | None = None
    """The WebSocket close code."""
    status: int | None = None
    """The HTTP status of a refused handshake."""
    text: str = ""
    retry_after_s: float | None = None
    """What the upstream asked for (`Retry-After`), in seconds."""

    def __str__(self) -> str:
        """What people read: `http 429: slow down`."""
        number = self.code if self.code is not None else self.status
        head = self.kind.value if number is None else f"{self.kind.value} {number}"
        return f"{head}: {self.text}" if self.text else head


def printable(text: str, most: int = 200) -> str:
    """What a stranger wrote, fit for a log line: one line, no control characters, at most `most` characters."""
    return "".join(character if character.isprintable() else " " for character in text[:most]).strip()
