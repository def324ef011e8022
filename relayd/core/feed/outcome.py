"""What a conversation wants sent, and what a message turned out to be.

`Outcome.sends` is what goes out in answer; `topics` are the caller's own topic objects, in the order they were wanted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Generic, Literal, TypeAlias, TypeVar

import msgspec

T = TypeVar("T")

Number: TypeAlias = int | tuple[int, int]
"""A message's place in its sequence: one number, `(first, last)` or `(prev, at)`."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One WebSocket message to send."""

    payload: bytes
    is_text: bool = True


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request to make; its parts may hold secrets, so it is never logged whole."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    content_type: str | None = None
    """Of the body; None = there is no body."""
    number: int = 0
    """Names the request when its reply is handed in; 0 = it is not one of a conversation."""


Sending: TypeAlias = Frame | HttpRequest
Sends: TypeAlias = tuple[Sending, ...]


class Data(msgspec.Struct, Generic[T], gc=False):
    """A publication. A Struct, because one is made for every message: a fifth of a dataclass's cost. The collector need
    not look at it, which is a fifth again: nothing that it holds leads back to it."""

    topics: tuple[T, ...]
    payload: bytes
    is_text: bool
    is_json: bool = False
    """It is one JSON value, since it was decoded as one; False: nobody has looked."""
    snapshot: bool = False
    """It holds the topic's whole state."""
    gap: bool = False
    """It does not follow the one before."""
    seq: Number | None = None
    """None = no sequence applies, or the message has no number."""
    missed: int | None = None
    """With `gap`: how many messages are missing; None = nobody can know."""
    repair: str = ""
    """With `gap`: what the dialect asks for, `mark`, `resubscribe`, `resync` or `reconnect`."""

    sends: ClassVar[Sends] = ()


@dataclass(slots=True)
class Ack(Generic[T]):
    """Subscriptions are confirmed; no topics = the answer to an unsubscribe, or to nothing that is known."""

    topics: tuple[T, ...] = ()
    failed: tuple[T, ...] = ()
    """Topics of the same request that the answer leaves out."""
    text: str = ""
    """Why those failed."""
    released: tuple[Data[T], ...] = ()
    """Held messages that are data now that their id is known."""
    sends: Sends = ()


@dataclass(slots=True)
class Fail(Generic[T]):
    """Subscriptions are refused, or ended after they were confirmed."""

    topics: tuple[T, ...] = ()
    """Empty: the message does not say which."""
    text: str = ""
    named: bool = True
    """False: a whole message of several subscriptions failed, and only some of them need be at fault."""
    sends: Sends = ()


@dataclass(slots=True)
class Held:
    """Its id is not known yet, and an ack that may tell it is awaited."""

    sends: Sends = ()


@dataclass(slots=True)
class Beat:
    """Alive, or known and of no interest: never data."""

    seq: int | None = None
    """The connection's counter, where one counts this message."""
    gap: bool = False
    """The connection's counter shows a loss before this message."""
    missed: int | None = None
    repair: str = ""
    answer: bool = False
    """It is what `heartbeat.expect` waits for."""
    sends: Sends = ()


@dataclass(slots=True)
class Login:
    """A step of the login was answered."""

    step: Literal["next", "done", "refused"]
    sends: Sends = ()


@dataclass(slots=True)
class Control(Generic[T]):
    """What a `do` rule says."""

    do: Literal["drain", "reconnect", "resubscribe", "resync"]
    """`resync` is no rule's: the reply to a snapshot request was no snapshot, and another one is to be asked for."""
    topics: tuple[T, ...] = ()
    """For `resubscribe` and `resync`: which topics."""
    url: str | None = None
    """For `drain`: where the new connection goes, if the message says."""
    sends: Sends = ()


@dataclass(slots=True)
class Unrouted:
    """A topic could be read, and nobody wants it."""

    sends: Sends = ()


@dataclass(slots=True)
class Unknown:
    """Nothing in the dialect knows it."""

    sends: Sends = ()


@dataclass(slots=True)
class Parts(Generic[T]):
    """What each part of a split frame was, in order."""

    parts: tuple[Outcome[T], ...]

    @property
    def sends(self) -> Sends:
        """What goes out in answer to all parts."""
        return tuple(sending for part in self.parts for sending in part.sends)


Outcome: TypeAlias = Data[T] | Ack[T] | Fail[T] | Held | Beat | Login | Control[T] | Unrouted | Unknown | Parts[T]
