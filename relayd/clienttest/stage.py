"""What a scenario can do: wait for a client's connections, say things, cut them off, and judge what it hears.

Scenarios see this and nothing of sockets. The two Protocols are implemented in `server.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

#: What the client is to subscribe to, but where a scenario wants a pattern.
TOPIC: Final = "test/a"
PATTERN: Final = "test/*"

#: Beyond what the protocol allows: for a busy machine, and for a program that starts.
SLACK_S: Final = 3.0
#: A client's first wait is below 1 s (docs/protocol.md, "Coming back").
FIRST_WAIT_S: Final = 1.0
#: For an answer that needs no waiting on the client's side.
AT_ONCE_S: Final = 5.0


class Fault(Exception):
    """What the client did wrong, for the table."""


class NotAsked(Exception):
    """What the scenario is about this client does not ask for: it is skipped, with these words."""


def expect(is_so: bool, otherwise: str) -> None:
    """Raises Fault where it is not."""
    if not is_so:
        raise Fault(otherwise)


@dataclass(frozen=True, slots=True)
class Asked:
    """A `subscribe` of the client."""

    id: int | str | None
    topics: tuple[str, ...]
    since: Mapping[str, str]
    window: int | None = None
    binary: bool = False


class Peer(Protocol):
    """One connection of the client, from the server's end."""

    began_at: float
    ended_at: float
    """Monotonic seconds; `ended_at` once it has ended."""

    async def heard(self, op: str, within_s: float = AT_ONCE_S) -> dict[str, Any]:
        """The next request of this kind; raises Fault if none comes, or the client hangs up."""
        ...

    async def quiet(self, op: str, for_s: float, why: str) -> None:
        """Raises Fault, with `why`, if such a request comes."""
        ...

    async def stays(self, for_s: float) -> None:
        """Raises Fault if the client hangs up meanwhile."""
        ...

    async def pause(self, for_s: float) -> None:
        """Time passes, whatever the client does."""
        ...

    async def gone(self, within_s: float, why: str) -> None:
        """Waits for the client to hang up; raises Fault, with `why`, if it does not."""
        ...

    def say(self, **message: Any) -> None:
        """One message."""
        ...

    def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        ...

    async def in_pieces(self, data: bytes, size: int) -> None:
        """Bytes as they are, a few at a time, each in a segment of its own."""
        ...

    async def pinged(self, payload: bytes, within_s: float) -> None:
        """Sends a WebSocket ping; raises Fault if its pong does not come."""
        ...

    def close(self, code: int, reason: str, *, stay: bool = False) -> None:
        """A close frame; with `stay` the TCP connection is left open."""
        ...

    def drop(self) -> None:
        """The connection ends without a close frame."""
        ...

    def ignore(self) -> None:
        """From now on nothing is answered, not even pings."""
        ...


class Stage(Protocol):
    """Where the client comes in."""

    async def connection(self, within_s: float) -> Peer:
        """The client's next connection; raises Fault if it does not come."""
        ...

    async def nobody(self, for_s: float, why: str) -> None:
        """Raises Fault, with `why`, if the client has connected again, or does meanwhile."""
        ...

    def refuse(self, times: int) -> None:
        """The next handshakes are answered with 503."""
        ...

    def hang(self) -> None:
        """The next connection is taken, and its handshake not answered."""
        ...

    @property
    def attempts(self) -> list[float]:
        """When a connection was begun, in monotonic seconds: also those refused and hung."""
        ...


Script = Callable[[Stage], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row: its name, what a good client does, and the script that finds out.

    Args:
        within_s: what a good client needs at most, for the clock of the whole scenario.
        topic: what the client is to subscribe to.
        needs_token: the client must be able to show one.
        publishes: the client is to publish one JSON value, to the topic that it subscribes to.
        may_end: a client that ends when the connection is closed for good is right.
    """

    name: str
    expects: str
    script: Script
    within_s: float = 30.0
    topic: str = TOPIC
    needs_token: bool = False
    publishes: bool = False
    may_end: bool = False


# -- what many scripts do ---------------------------------------------------------------------------------------------


def welcome(peer: Peer, ping_every_s: float = 25) -> None:
    """The first message."""
    peer.say(op="welcome", relayd="1", session="test", ping_every_s=ping_every_s, time_ms=1_700_000_000_000)


async def asked(peer: Peer, topic: str = TOPIC, within_s: float = AT_ONCE_S) -> Asked:
    """The client's subscription, which must name the topic."""
    request = await peer.heard("subscribe", within_s)
    topics = request.get("topics")
    since = request.get("since", {})
    if not isinstance(topics, list) or topic not in topics:
        raise Fault(f"subscribed to {topics}, expected [{topic!r}]")
    if not isinstance(since, dict):
        raise Fault(f"since is {since!r}, expected an object of topics and positions")
    window = request.get("window")
    if window is not None and not isinstance(window, int):
        raise Fault(f"window is {window!r}, expected a number of publications")
    return Asked(request.get("id"), tuple(topics), since, window, request.get("binary") is True)


def subscribed(peer: Peer, request: Asked, topics: Mapping[str, Mapping[str, Any]], **more: Any) -> None:
    """The answer to it."""
    identity = {} if request.id is None else {"id": request.id}
    answers = {name: {"state": "live", **answer} for name, answer in topics.items()}
    peer.say(op="subscribed", **identity, topics=answers, **more)


def publish(peer: Peer, *offsets: int, topic: str = TOPIC, **flags: Any) -> None:
    """Publications, whose data is their offset."""
    for offset in offsets:
        peer.say(topic=topic, offset=offset, **flags, data={"n": offset})


async def opened(stage: Stage, position: str = "e:0", within_s: float = 20.0) -> Peer:
    """The first connection, welcomed and subscribed at a position."""
    peer = await stage.connection(within_s)
    welcome(peer)
    request = await asked(peer)
    subscribed(peer, request, {TOPIC: {"position": position}})
    return peer


async def resumes(
    stage: Stage, *positions: str, topic: str = TOPIC, pattern: str = TOPIC, within_s: float = FIRST_WAIT_S + SLACK_S
) -> tuple[Peer, Asked]:
    """The next connection, which must say `since` one of these positions."""
    peer = await stage.connection(within_s)
    welcome(peer)
    request = await asked(peer, pattern)
    since = request.since.get(topic)
    expect(
        since in positions,
        f"came back with since {since!r} for {topic}, expected {' or '.join(map(repr, positions))}",
    )
    return peer, request
