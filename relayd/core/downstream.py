"""The session of one browser: what it asks, what it is answered (docs/protocol.md).

Pure: whole messages come in, messages go to the subscriber. A request is answered in the turn in which it comes,
and what it subscribes to follows the answer at once: the snapshot, what was recovered, then live data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from relayd.core import answers, wire
from relayd.core.ack_window import MAX_WINDOW, MIN_WINDOW, AckWindow
from relayd.core.asking import BAD_HZ, MAX_HZ, MIN_HZ
from relayd.core.auth.door import Visitor
from relayd.core.auth.verdict import Identity
from relayd.core.bridge import EARLY_MOST_BYTES, NOTHING_BROUGHT, Bridge, Bridges, Brought, Visit
from relayd.core.closecode import (
    CLOSE_BAD_REQUEST,
    CLOSE_BINARY,
    CLOSE_FORBIDDEN,
    CLOSE_OVERLOADED,
    CLOSE_POLICY,
)
from relayd.core.hub import Hub
from relayd.core.mishap import each
from relayd.core.posting import Posting
from relayd.core.publication import Encoding
from relayd.core.readers import Joined
from relayd.core.reading import Asked, AskedTooMuch, Reading, Refused, check_access
from relayd.core.routes import TopicRefused
from relayd.core.subscriber import Sink, Subscriber

# A message that is no command at all: the third closes the connection (one is a slip, three are a program that speaks
# something else: guess). An unknown op or a refused topic is never a strike.
MAX_STRIKES = 3

_RAW_CLOSE = {
    "unknown_topic": CLOSE_BAD_REQUEST,
    "bad_request": CLOSE_BAD_REQUEST,
    "forbidden": CLOSE_FORBIDDEN,
    "unauthorized": CLOSE_FORBIDDEN,
}


@dataclass(slots=True)
class DownstreamCounters:
    """What one connection said; what it was sent stands with its subscriber."""

    received_messages: int = 0
    received_bytes: int = 0
    errors: int = 0


class DownstreamSession:
    """One connection: `/ws` (relayd.v1), or `/raw/<topic>` when `raw_topic` is given.

    Made by the shell when the WebSocket is open. With a `visitor` it says who it is, by its handshake or by `auth`.
    """

    def __init__(
        self,
        hub: Hub,
        sink: Sink,
        *,
        raw_topic: str | None,
        session_id: str,
        ping_every_s: int = 25,
        visitor: Visitor | None = None,
        bridges: Bridges | None = None,
        brought: Brought = NOTHING_BROUGHT,
        closed_before: int = 0,
    ) -> None:
        """`bridges` make those of exclusive routes, from what the handshake has `brought`. `closed_before`: connections
        of its address that were just closed for too much (core/repeaters.py)."""
        self._bridges = bridges
        self._bridge: Bridge | None = None
        self._early: list[tuple[bytes, bool]] | None = [] if raw_topic is not None and bridges is not None else None
        """What is said on `/raw` before it is known who says it."""
        self._brought = brought
        self._hub = hub
        self._sink = sink
        self._raw_topic = raw_topic
        self._id = session_id
        self._ping_every_s = ping_every_s
        self._visitor = visitor
        self.subscriber = Subscriber(sink, Encoding.V1 if raw_topic is None else Encoding.RAW)
        self.counters = DownstreamCounters()
        self._reading = Reading(hub, self.subscriber, self._met, closed_before=closed_before)
        self._posting = Posting(hub, sink)
        self._window = AckWindow(hub, self.subscriber)
        self._strikes = 0
        self._lost = False
        self._going_on = False

    # -- from the shell -----------------------------------------------------------------------------------------------

    def opened(self, topics: Sequence[str] = ()) -> None:
        """The WebSocket is open; `topics` are those of the query."""
        if self._visitor is None:
            self._greet(topics)
        else:
            self._visitor.arrive(lambda identity: self._arrived(identity, topics))

    def _arrived(self, identity: Identity | None, topics: Sequence[str]) -> None:
        self._reading.identity = identity
        self._greet(topics)
        self._go_on()

    def _greet(self, topics: Sequence[str]) -> None:
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
            self._say_raw(payload, True)
            return
        if self._visitor is None or not self._visitor.holds(payload):
            self._obey(payload)

    def _go_on(self) -> None:
        """What was said while the visitor was checked. A token among it, judged at once, comes here again."""
        if self._going_on:
            return
        self._going_on = True
        while self._visitor is not None and (payload := self._visitor.release()) is not None:
            self._obey(payload)
        self._going_on = False

    def _obey(self, payload: bytes) -> None:
        try:
            command = wire.decode_command(payload)
        except wire.BadCommand as fault:
            self._strikes += 1
            self._error("bad_request", str(fault))
            if self._strikes >= MAX_STRIKES:
                self._sink.close(CLOSE_BAD_REQUEST)
            return
        operations = _OPERATIONS if self._visitor is None or not self._visitor.door.places.by_message else _WITH_AUTH
        operation = operations.get(command.op)
        if operation is None:
            self._error("unknown_op", "op is one of " + ", ".join(operations), command.id)
            return
        try:
            operation(self, command)
        except TopicRefused as refused:
            self._error(refused.code, refused.message, command.id, retry_s=refused.retry_s)
            if isinstance(refused, AskedTooMuch):
                self._sink.close(CLOSE_POLICY)

    def binary(self, payload: bytes) -> None:
        """A whole binary message: `/ws` speaks text."""
        self._received(payload)
        if self._raw_topic is None:
            self._sink.close(CLOSE_BINARY)
        else:
            self._say_raw(payload, False)

    def _say_raw(self, payload: bytes, is_text: bool) -> None:
        """On `/raw` only an exclusive topic has somebody who listens; what else is said is counted."""
        if self._bridge is not None:
            self._bridge.up(payload, is_text)
        elif self._early is not None:
            if not self._early:
                self._sink.pause()
            self._early.append((payload, is_text))
            if sum(len(one) for one, _ in self._early[1:]) > EARLY_MOST_BYTES:
                self._early = None
                self._sink.close(CLOSE_POLICY)

    def _listen(self) -> list[tuple[bytes, bool]]:
        """It is known who says it: read on. Returns what was said before."""
        early, self._early = self._early, None
        if early:
            self._sink.resume()
        return early or []

    def lost(self) -> None:
        """The connection is gone. Idempotent."""
        if self._lost:
            return
        self._lost = True
        leaves: list[Callable[[], object]] = [self._posting.leave, self._window.leave, self._reading.leave]
        if self._visitor is not None:
            leaves.append(self._visitor.left)
        if self._bridge is not None:
            leaves.append(self._bridge.leave)
        each(*leaves)

    @property
    def sent_messages(self) -> int:
        """Publications sent so far."""
        return self.subscriber.totals()[0] + (0 if self._bridge is None else self._bridge.sent_messages)

    @property
    def sent_bytes(self) -> int:
        """Their bytes, frames included."""
        return self.subscriber.totals()[1] + (0 if self._bridge is None else self._bridge.sent_bytes)

    @property
    def lost_messages(self) -> int:
        """Publications it did not get and was told of."""
        return self.subscriber.lost_messages

    # -- operations ---------------------------------------------------------------------------------------------------

    def _open_raw(self, name: str) -> None:
        try:
            if self._bridges is not None and self._cross(name, self._bridges):
                return
            self._listen()
            self._reading.open(name)
        except TopicRefused as refused:
            self.counters.errors += 1
            self._early = None
            self._sink.close(_RAW_CLOSE.get(refused.code, CLOSE_OVERLOADED))
            return
        self._reading.settle()

    def _cross(self, name: str, bridges: Bridges) -> bool:
        """Begin a bridge, if the topic is exclusive. Raises TopicRefused."""
        found = self._hub.routes.find(name)
        if not found.route.exclusive:
            return False
        identity, visitor = self._reading.identity, self._visitor
        check_access(found, identity)
        token = None if visitor is None else visitor.token
        visit = Visit(identity, token, self._brought.query, self._brought.subprotocol)
        early = self._listen()
        self._bridge = bridges.open(found, visit, self._sink)
        for payload, is_text in early:
            self._bridge.up(payload, is_text)
        return True

    def _ping(self, command: wire.Command) -> None:
        self._tell(wire.reply("pong", command.id))

    def _subscribe(self, command: wire.Command) -> None:
        names = self._names(command)
        if names is None:
            return
        hz = command.max_hz
        if hz is not None and not MIN_HZ <= hz <= MAX_HZ:
            self._error("bad_request", BAD_HZ, command.id)
            return
        window = command.window
        if window is not None and not MIN_WINDOW <= window <= MAX_WINDOW:
            self._error("bad_request", f"window: a whole number from {MIN_WINDOW} to {MAX_WINDOW}", command.id)
            return
        if command.binary:
            self._go_binary()
        asked = self._reading.subscribe(names, hz, command.since or {})
        self._refuse(asked.refused, command.id)
        self._answer(command.id, asked.joined, asked.matches)
        for joined in asked.joined:
            self._window.set(joined.topic, window)
        self._reading.settle()

    def _go_binary(self) -> None:
        """Binary payloads as such from now on, of all topics: those that are read already get their number told."""
        if self.subscriber.encoding is Encoding.V1:
            held = [Joined(topic, topic.position, None, None) for topic in self.subscriber.topics]
            self.subscriber.encoding = Encoding.BINARY
            if held:
                self._answer(None, held, None)

    def _ack(self, command: wire.Command) -> None:
        """What the page has processed. Without an answer, whatever it is about."""
        if command.topic is None or command.offset is None:
            self._error("bad_request", "ack: a topic, and the offset of the last publication processed", command.id)
        elif (topic := self._hub.topics.get(command.topic)) is not None:
            self._window.ack(topic, command.offset)

    def _unsubscribe(self, command: wire.Command) -> None:
        names = self._names(command)
        if names is None:
            return
        self._reading.unsubscribe(names)
        self._window.changed()
        self._tell(wire.reply("unsubscribed", command.id, topics=names))
        self._reading.settle()

    def _pace(self, command: wire.Command) -> None:
        """One rate over all topics that have no deltas, such as for a hidden tab; without `max_hz` it ends."""
        hz = command.max_hz
        if hz is not None and not MIN_HZ <= hz <= MAX_HZ:
            self._error("bad_request", BAD_HZ, command.id)
            return
        self._reading.pace(hz)
        self._tell(wire.reply("paced", command.id))
        self._reading.settle()

    def _publish(self, command: wire.Command) -> None:
        """One publication. Its answer waits for nobody: what it says happened in this turn."""
        name, data = command.topic, command.data
        if name is None or isinstance(data, msgspec.UnsetType):
            missing = "topic: a text" if name is None else "data: a JSON value"
            self._error("bad_request", missing, command.id)
            return
        try:
            posted = self._posting.post(name, bytes(data), True, self._reading.identity)
        except TopicRefused as refused:
            self._error(refused.code, refused.message, command.id, name, refused.retry_s)
            return
        where = {} if posted.position is None else {"position": posted.position}
        self._tell(wire.reply("published", command.id, topic=name, **where))

    def _auth(self, command: wire.Command) -> None:
        """A token, the first or a new one: while it is checked, what is said waits."""
        if not command.token:
            self._error("bad_request", "token: a text", command.id)
            return
        assert self._visitor is not None  # else there is no such operation
        self._visitor.show(command.token, lambda identity: self._authorized(command.id, identity))

    def _authorized(self, request: int | str | None, identity: Identity | None) -> None:
        if identity is None:
            self._error("unauthorized", "auth: the token names nobody", request)
        else:
            asked = self._reading.identify(identity)
            self._refuse(asked.refused, None)
            ends = {} if identity.expires_at is None else {"expires_ms": int(identity.expires_at * 1000)}
            self._tell(wire.reply("authorized", request, subject=identity.subject, **ends))
            if asked.joined:
                self._answer(None, asked.joined, None)
            self._reading.settle()
        self._go_on()

    # -- answers ------------------------------------------------------------------------------------------------------

    def _names(self, command: wire.Command) -> list[str] | None:
        if not command.topics:
            self._error("bad_request", "topics: a list of topics or patterns", command.id)
            return None
        return list(dict.fromkeys(command.topics))

    def _met(self, asked: Asked) -> None:
        """A pattern met a topic. Announced without `id`."""
        self._refuse(asked.refused, None)
        if asked.joined:
            self._answer(None, asked.joined, None)
            self._reading.settle()

    def _refuse(self, refused: Sequence[Refused], request: int | str | None) -> None:
        self.counters.errors += len(refused)
        self._tell(*(wire.error(one.code, one.message, request=request, topic=one.topic) for one in refused))

    def _answer(self, request: int | str | None, joined: list[Joined], matches: int | None) -> None:
        by_reference = self.subscriber.encoding is Encoding.BINARY
        self._tell(*answers.subscribed(request, joined, matches, by_reference=by_reference))

    # -- small things -------------------------------------------------------------------------------------------------

    def _received(self, payload: bytes) -> None:
        self.counters.received_messages += 1
        self.counters.received_bytes += len(payload)

    def _tell(self, *messages: bytes) -> None:
        self.subscriber.tell(*messages)

    def _error(
        self,
        code: str,
        text: str,
        request: int | str | None = None,
        topic: str | None = None,
        retry_s: float | None = None,
    ) -> None:
        self.counters.errors += 1
        self._tell(wire.error(code, text, request=request, topic=topic, retry_s=retry_s))


_OPERATIONS: dict[str, Callable[[DownstreamSession, wire.Command], None]] = {
    "subscribe": DownstreamSession._subscribe,
    "unsubscribe": DownstreamSession._unsubscribe,
    "pace": DownstreamSession._pace,
    "publish": DownstreamSession._publish,
    "ack": DownstreamSession._ack,
    "ping": DownstreamSession._ping,
}
_WITH_AUTH = {**_OPERATIONS, "auth": DownstreamSession._auth}
