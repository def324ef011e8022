"""How one connection is let in: what it shows is looked at, what it says meanwhile waits, and its time runs out.

                 a credential                    an Identity
    STRANGER --------------------> CHECKING --------------------> KNOWN
        ^                          |  |  ^                          |
        +------ nobody in ---------+  |  +------ another token -----+
                particular            | Denied: 4500
                                      | Unavailable: 1013        its time is over: 4005
                                      v
                                     GONE

A stranger may have what is public. Where no route is, it has `within` to show who it is (4502). A known one is sent
away (4005) when its time is over, a while later than that so that it can show a new token in time, and each at a moment
of its own, so that those who came together do not come back together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Protocol, TypeAlias

from relayd.core.auth.credentials import Credential, Places, of_message
from relayd.core.auth.sweep import Sweep
from relayd.core.auth.verdict import Denied, Done, Identity, Unavailable, Verdict, Why
from relayd.core.beat import next_beat
from relayd.core.closecode import (
    CLOSE_BAD_TOKEN,
    CLOSE_NO_AUTH,
    CLOSE_OVERLOADED,
    CLOSE_POLICY,
    CLOSE_TOKEN_EXPIRED,
    CloseCode,
)

#: How long an identity outlives its `exp`: the way of a new token through a slow phone (guess).
GRACE_S: Final = 10.0
#: Closes at expiry are spread over so long (guess: as long as a wave of reconnects takes).
JITTER_S: Final = 30.0
#: How exact all of this is.
LOOK_EVERY_S: Final = 1.0
#: What a connection may say while it is checked; then it is no browser that waits for its answers (guess).
MAX_HELD_MESSAGES: Final = 64
MAX_HELD_BYTES: Final = 64 * 1024
#: When one may come back about whom nobody could be asked (guess).
RETRY_S: Final = 5


Then: TypeAlias = "Callable[[Identity | None], None]"


class Authority(Protocol):
    """Who looks at credentials."""

    def check(self, credential: Credential, done: Done) -> None:
        """Call `done` with the verdict, once, in this turn or later. Never raises."""
        ...


@dataclass(slots=True)
class AuthCounters:
    """What the door counts, described as in core/counters.py."""

    accepted: int = field(default=0, metadata={"kind": "counter", "meaning": "credentials accepted"})
    denied: dict[str, int] = field(
        default_factory=lambda: {why.value: 0 for why in Why},
        metadata={"kind": "counter", "meaning": "credentials that are bad, by why", "label": "why"},
    )
    unavailable: int = field(
        default=0, metadata={"kind": "counter", "meaning": "credentials about which nobody could be asked"}
    )
    expired: int = field(default=0, metadata={"kind": "counter", "meaning": "connections whose token ran out"})
    no_auth: int = field(default=0, metadata={"kind": "counter", "meaning": "connections that showed no token in time"})


@dataclass(slots=True)
class Door:
    """What all visitors share."""

    authority: Authority
    places: Places
    within_s: float
    strangers_welcome: bool
    """Some route is public, so that a stranger has something to do here."""
    monotonic: Callable[[], float]
    wall: Callable[[], float]
    random: Callable[[], float]
    """0 to 1."""
    counters: AuthCounters = field(default_factory=AuthCounters)
    _sweep: Sweep[Visitor] = field(default_factory=Sweep)
    _look_at: float = 0.0

    def check(self, credential: Credential, done: Done) -> None:
        """The verdict on a credential, counted; for whoever needs no connection."""

        def count(verdict: Verdict) -> None:
            if isinstance(verdict, Identity):
                self.counters.accepted += 1
            elif isinstance(verdict, Denied):
                self.counters.denied[verdict.why.value] += 1
            elif isinstance(verdict, Unavailable):
                self.counters.unavailable += 1
            done(verdict)

        self.authority.check(credential, count)

    def next_deadline(self) -> float:
        """When `tick` is to be called again: once a second, whoever waits."""
        return self._look_at

    def tick(self, now: float) -> None:
        """Send away whose time is over."""
        self._look_at = next_beat(now, LOOK_EVERY_S)
        for visitor in self._sweep.take_due(now):
            visitor.overdue()

    def expect(self, visitor: Visitor, at: float) -> None:
        """The visitor's time is over then."""
        self._sweep.set(visitor, at)

    def forget(self, visitor: Visitor) -> None:
        """It has all the time of the world, or is gone."""
        self._sweep.discard(visitor)

    @property
    def expected(self) -> int:
        """Visitors whose time is running."""
        return len(self._sweep)


class VisitorState(Enum):
    """How a connection stands."""

    STRANGER = auto()
    CHECKING = auto()
    KNOWN = auto()
    GONE = auto()


class Visitor:
    """One connection at the door. `close` ends it; `run` calls that and what follows a check, and keeps exceptions."""

    def __init__(
        self,
        door: Door,
        close: Callable[[CloseCode, int | None], None],
        shown: Credential,
        run: Callable[..., None],
    ) -> None:
        self.door = door
        self.state = VisitorState.STRANGER
        self.identity: Identity | None = None
        self._close = close
        self._shown = shown
        self._run = run
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self.token: str | None = None
        """The newest that was accepted, for an upstream connection of its own."""

    def arrive(self, then: Then) -> None:
        """Look at what the handshake showed; `then` is called with who it is when the connection may go on."""
        if not self.door.strangers_welcome:
            self.door.expect(self, self.door.monotonic() + self.door.within_s)
        if self._shown.is_empty:
            then(None)
        else:
            self._check(self._shown, then)

    def show(self, token: str, then: Then) -> None:
        """A token came in a message; `then` is called with whom it names, once that is known."""
        self._check(of_message(token, self._shown.client, self._shown.path), then)

    def holds(self, payload: bytes) -> bool:
        """Whether a message must wait, and is kept: True while the connection is being checked or is gone."""
        if self.state is VisitorState.CHECKING:
            self._held.append(payload)
            self._held_bytes += len(payload)
            if len(self._held) > MAX_HELD_MESSAGES or self._held_bytes > MAX_HELD_BYTES:
                self._send_away(CLOSE_POLICY)
        return self.state in (VisitorState.CHECKING, VisitorState.GONE)

    def release(self) -> bytes | None:
        """The next message that waited; None where there is none, or it must still wait."""
        if self.state in (VisitorState.CHECKING, VisitorState.GONE) or not self._held:
            return None
        payload = self._held.popleft()
        self._held_bytes -= len(payload)
        return payload

    def left(self) -> None:
        """The connection is gone. Idempotent."""
        self.state = VisitorState.GONE
        self._held.clear()
        self.door.forget(self)

    def overdue(self) -> None:
        """The time is over: to show a token, or that of the token."""
        if self.identity is None:
            self.door.counters.no_auth += 1
            self._send_away(CLOSE_NO_AUTH)
        else:
            self.door.counters.expired += 1
            self._send_away(CLOSE_TOKEN_EXPIRED)

    def _check(self, credential: Credential, then: Then) -> None:
        self.state = VisitorState.CHECKING
        self.door.check(credential, lambda verdict: self._judged(verdict, credential.token, then))

    def _judged(self, verdict: Verdict, token: str | None, then: Then) -> None:
        if self.state is not VisitorState.CHECKING:
            return  # it did not wait for the answer
        if isinstance(verdict, Denied):
            self._send_away(CLOSE_BAD_TOKEN)
        elif isinstance(verdict, Unavailable):
            self._send_away(CLOSE_OVERLOADED, RETRY_S)
        else:
            if verdict is not None:
                self.token = token
            self._let_in(verdict)
            self._run(then, verdict)

    def _let_in(self, identity: Identity | None) -> None:
        self.identity = identity or self.identity  # a token that names nobody takes nothing away
        self.state = VisitorState.STRANGER if self.identity is None else VisitorState.KNOWN
        if identity is None:
            return
        if identity.expires_at is None:
            self.door.forget(self)
        else:
            rest_s = identity.expires_at - self.door.wall()
            at = self.door.monotonic() + max(rest_s, 0.0) + GRACE_S + JITTER_S * self.door.random()
            self.door.expect(self, at)

    def _send_away(self, close: CloseCode, retry_s: int | None = None) -> None:
        self.left()
        self._run(self._close, close, retry_s)
