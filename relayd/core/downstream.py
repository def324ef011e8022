"""The session of one browser: what it asks, what it is answered (docs/protocol.md).

Pure: bytes of whole messages come in, framed bytes go to the sink. A request is answered in the turn in which it comes,
and what it subscribes to follows the answer at once: the snapshot, what was recovered, then live data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from relayd.core import wire
from relayd.core.closecode import (
    CLOSE_BAD_REQUEST,
    CLOSE_BINARY,
    CLOSE_FORBIDDEN,
    CLOSE_OVERLOADED,
)
from relayd.core.hub import Hub
from relayd.core.publication import Encoding
from relayd.core.readers import Joined, Want
from relayd.core.routes import TopicRefused
from relayd.core.subscriber import Sink, Subscriber
from relayd.core.topic import TopicError, TopicPattern, is_pattern
from relayd.core.topics import Topic

# A message that is no command at all: the third closes the connection (one is a slip, three are a program that speaks
# something else: guess). An unknown op or a refused topic is never a strike.
MAX_STRIKES = 3
# Topics in one `subscribed` message; more follow in further ones (docs/protocol.md).
TOPICS_PER_ANSWER = 500
# Patterns of one connection: each is tried against every topic that comes into being (guess: a page needs one or two).
MAX_PATTERNS = 16
# Rates a browser may ask for: below, a topic would look dead; above, a rate limit is no limit (guess).
MIN_HZ, MAX_HZ = 0.01, 1000.0

_RAW_CLOSE = {"unknown_topic": CLOSE_BAD_REQUEST, "bad_request": CLOSE_BAD_REQUEST, "forbidden": CLOSE_FORBIDDEN}


@dataclass(slots=True)
class DownstreamCounters:
    """What one connection said; what it was sent stands with its subscriber."""

    received_messages: int = 0
    received_bytes: int = 0
    errors: int = 0


@dataclass(slots=True)
class _Held:
    """How a topic is subscribed to."""

    exact: bool
    claims: bool
    max_hz: float | None


@dataclass(frozen=True, slots=True)
class _How:
    """What a request says of a topic it names."""

    max_hz: float | None
    since: str | None
    exact: bool
    claims: bool = True


@dataclass(slots=True)
class _Asked:
    """What a subscribe request came to."""

    wants: dict[Topic, Want] = field(default_factory=dict)
    matches: int | None = None


class DownstreamSession:
    """One connection: `/ws` (relayd.v1), or `/raw/<topic>` when `raw_topic` is given.

    Made by the shell when the WebSocket is open.
    """

    def __init__(self, hub: Hub, sink: Sink, *, raw_topic: str | None, session_id: str, ping_every_s: int = 25) -> None:
        self._hub = hub
        self._sink = sink
        self._raw_topic = raw_topic
        self._id = session_id
        self._ping_every_s = ping_every_s
        self.subscriber = Subscriber(sink, Encoding.V1 if raw_topic is None else Encoding.RAW)
        self.counters = DownstreamCounters()
        self._held: dict[Topic, _Held] = {}
        self._patterns: dict[str, TopicPattern] = {}
        self._pace_hz: float | None = None
        self._strikes = 0
        self._asking = False
        """True while a request makes topics of its own: they are part of its answer, not news."""
        self._lost = False
        self._operations: dict[str, Callable[[wire.Command], None]] = {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "pace": self._pace,
            "ping": self._ping,
        }

    # -- from the shell -----------------------------------------------------------------------------------------------

    def opened(self, topics: Sequence[str] = ()) -> None:
        """The WebSocket is open; `topics` are those of the query."""
        if self._raw_topic is not None:
            self._open_raw(self._raw_topic)
            return
        self._tell(
            wire.message(
                op="welcome",
                relayd="1",
                session=self._id,
                ping_every_s=self._ping_every_s,
                time_ms=int(self._hub.wall() * 1000),
            )
        )
        if topics:
            self._subscribe(wire.Command(op="subscribe", topics=list(topics)))

    def text(self, payload: bytes) -> None:
        """A whole text message."""
        self._received(payload)
        if self._raw_topic is not None:
            return  # a `/raw` connection has nothing to say; what it says is counted
        try:
            command = wire.decode_command(payload)
        except wire.BadCommand as fault:
            self._strikes += 1
            self._error("bad_request", str(fault))
            if self._strikes >= MAX_STRIKES:
                self._sink.close(CLOSE_BAD_REQUEST)
            return
        operation = self._operations.get(command.op)
        if operation is None:
            self._error("unknown_op", "op is one of " + ", ".join(self._operations), command.id)
        else:
            operation(command)

    def binary(self, payload: bytes) -> None:
        """A whole binary message: `/ws` speaks text."""
        self._received(payload)
        if self._raw_topic is None:
            self._sink.close(CLOSE_BINARY)

    def lost(self) -> None:
        """The connection is gone. Idempotent."""
        if self._lost:
            return
        self._lost = True
        self._hub.meet(self, None)
        self._hub.readers.leave(self.subscriber, {topic: held.claims for topic, held in self._held.items()})
        self._held.clear()

    @property
    def sent_messages(self) -> int:
        """Publications sent so far."""
        return self.subscriber.totals()[0]

    @property
    def sent_bytes(self) -> int:
        """Their bytes, frames included."""
        return self.subscriber.totals()[1]

    @property
    def lost_messages(self) -> int:
        """Publications it did not get and was told of."""
        return self.subscriber.lost_messages

    # -- operations ---------------------------------------------------------------------------------------------------

    def _open_raw(self, name: str) -> None:
        try:
            topic = self._hub.topic(name)
        except TopicRefused as refused:
            self.counters.errors += 1
            self._sink.close(_RAW_CLOSE.get(refused.code, CLOSE_OVERLOADED))
            return
        self._held[topic] = _Held(exact=True, claims=True, max_hz=None)
        self._join([Want(topic)])
        self._hub.readers.settle(self.subscriber)

    def _ping(self, command: wire.Command) -> None:
        self._tell(wire.reply("pong", command.id))

    def _subscribe(self, command: wire.Command) -> None:
        names = self._names(command)
        if names is None:
            return
        hz = command.max_hz
        if hz is not None and not MIN_HZ <= hz <= MAX_HZ:
            self._error("bad_request", f"max_hz: a number from {MIN_HZ:g} to {MAX_HZ:g}", command.id)
            return
        since = command.since or {}
        asked = _Asked()
        self._asking = True
        for name in names:
            if is_pattern(name):
                self._ask_pattern(name, command, asked)
            else:
                self._ask(name, command.id, asked, _How(hz, since.get(name), exact=True))
        self._asking = False
        joined = self._join(list(asked.wants.values()))
        self._answer(command.id, joined, asked.matches)
        self._hub.readers.settle(self.subscriber)

    def _unsubscribe(self, command: wire.Command) -> None:
        names = self._names(command)
        if names is None:
            return
        gone: dict[Topic, bool] = {}
        for name in names:
            pattern = self._patterns.pop(name, None)
            for topic, held in list(self._held.items()):
                if topic.name == name:
                    held.exact = False
                elif pattern is None or not pattern.matches(topic.name):
                    continue
                if not held.exact and not any(other.matches(topic.name) for other in self._patterns.values()):
                    gone[topic] = held.claims
                    del self._held[topic]
        if not self._patterns:
            self._hub.meet(self, None)
        self._hub.readers.unsubscribe(self.subscriber, gone)
        self._tell(wire.reply("unsubscribed", command.id, topics=names))
        self._hub.readers.settle(self.subscriber)

    def _pace(self, command: wire.Command) -> None:
        """One rate over all topics that have no deltas, such as for a hidden tab; without `max_hz` it ends."""
        hz = command.max_hz
        if hz is not None and not MIN_HZ <= hz <= MAX_HZ:
            self._error("bad_request", f"max_hz: a number from {MIN_HZ:g} to {MAX_HZ:g}", command.id)
            return
        self._pace_hz = hz
        self._join([Want(topic, held.max_hz, None, held.claims) for topic, held in self._held.items()])
        self._tell(wire.reply("paced", command.id))
        self._hub.readers.settle(self.subscriber)

    # -- subscribing --------------------------------------------------------------------------------------------------

    def _names(self, command: wire.Command) -> list[str] | None:
        if not command.topics:
            self._error("bad_request", "topics: a list of topics or patterns", command.id)
            return None
        return list(dict.fromkeys(command.topics))

    def _ask(self, name: str, request: int | str | None, asked: _Asked, how: _How) -> None:
        """One exact topic, or one that a pattern means: into `asked`, or answered with an error."""
        try:
            topic = self._hub.topic(name)
        except TopicRefused as refused:
            self._error(refused.code, refused.message, request, name)
            return
        if topic not in self._held:
            if len(self._held) >= self._hub.limits.topics_per_client:
                self._error("too_many_topics", "limits.topics_per_client is reached", request, name)
                return
            self._held[topic] = _Held(how.exact, how.claims, how.max_hz)
        elif how.exact:
            held = self._held[topic]
            held.exact, held.max_hz = True, how.max_hz
        held = self._held[topic]
        asked.wants[topic] = Want(topic, held.max_hz, how.since, held.claims)

    def _ask_pattern(self, text: str, command: wire.Command, asked: _Asked) -> None:
        try:
            pattern = TopicPattern.parse(text)
        except TopicError as fault:
            self._error("bad_request", str(fault), command.id, text)
            return
        if len(self._patterns) >= MAX_PATTERNS and text not in self._patterns:
            self._error("too_many_topics", f"at most {MAX_PATTERNS} patterns a connection", command.id, text)
            return
        self._patterns[text] = pattern
        self._hub.meet(self, self._met)
        since = command.since or {}
        before = len(asked.wants)
        finite = list(self._hub.routes.finite_topics(pattern))
        existing = [topic.name for topic in self._hub.names(pattern)]
        claimed = set(finite)
        for name in dict.fromkeys((*finite, *existing)):
            how = _How(command.max_hz, since.get(name), exact=False, claims=name in claimed)
            self._ask(name, command.id, asked, how)
        asked.matches = (asked.matches or 0) + len(asked.wants) - before

    def _met(self, topic: Topic) -> None:
        """A topic came into being: one of the patterns may mean it. Announced without `id`."""
        if self._asking or topic in self._held:
            return
        if not any(pattern.matches(topic.name) for pattern in self._patterns.values()):
            return
        if len(self._held) >= self._hub.limits.topics_per_client:
            self._error("too_many_topics", "limits.topics_per_client is reached", None, topic.name)
            return
        self._held[topic] = _Held(exact=False, claims=False, max_hz=None)
        self._answer(None, self._join([Want(topic, claims=False)]), None)
        self._hub.readers.settle(self.subscriber)

    def _join(self, wants: Iterable[Want]) -> list[Joined]:
        pace = self._pace_hz
        if pace is not None:
            wants = [
                Want(want.topic, pace if want.max_hz is None else min(pace, want.max_hz), want.since, want.claims)
                for want in wants
            ]
        return self._hub.readers.subscribe(self.subscriber, list(wants))

    def _answer(self, request: int | str | None, joined: list[Joined], matches: int | None) -> None:
        for start in range(0, max(1, len(joined)), TOPICS_PER_ANSWER):
            part = joined[start : start + TOPICS_PER_ANSWER]
            members: dict[str, object] = {"topics": {one.topic.name: _described(one) for one in part}}
            if start + TOPICS_PER_ANSWER < len(joined):
                members["more"] = True
            elif matches is not None:
                members["matches"] = matches
            self._tell(wire.reply("subscribed", request, **members))
        for one in joined:
            if one.lost is not None:
                self._tell(one.lost)

    # -- small things -------------------------------------------------------------------------------------------------

    def _received(self, payload: bytes) -> None:
        self.counters.received_messages += 1
        self.counters.received_bytes += len(payload)

    def _tell(self, data: bytes) -> None:
        self.subscriber.tell(data)

    def _error(self, code: str, text: str, request: int | str | None = None, topic: str | None = None) -> None:
        self.counters.errors += 1
        self._tell(wire.error(code, text, request=request, topic=topic))


def _described(joined: Joined) -> dict[str, object]:
    topic = joined.topic
    members: dict[str, object] = {"position": joined.position, "state": topic.state.value}
    if topic.why:
        members["why"] = topic.why
    if joined.recovered is not None:
        members["recovered"] = joined.recovered
    return members
