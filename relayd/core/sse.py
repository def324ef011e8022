"""The session of one event stream (`GET /sse`): what a browser's EventSource is told (docs/protocol.md).

The reader is a subscriber like any other: it shares the flushes of its cohort, is served from the rings when it lags
and has no queue. What differs is that it says nothing after its request: its topics, its rate and where it left off
stand in the query, and a token that ends cannot be renewed.

The response begins once it is known who asks and that there is something to have; until then everything that fails is a
status that an EventSource obeys: 4xx is the end, while a stream that ends is dialled again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from relayd.core import answers, wire
from relayd.core.asking import CHALLENGE, Asking, refusal_of
from relayd.core.auth.door import Visitor
from relayd.core.auth.verdict import Identity
from relayd.core.closecode import CLOSE_BAD_TOKEN, CLOSE_NO_AUTH, CloseCode
from relayd.core.heartbeat import SILENCE_S
from relayd.core.hub import Hub
from relayd.core.mishap import each
from relayd.core.publication import Encoding
from relayd.core.readers import rate_of
from relayd.core.reading import Asked, Reading
from relayd.core.refusal import HttpRefusal
from relayd.core.resume import Positions, SerialPositions
from relayd.core.routes import TopicRefused
from relayd.core.subscriber import Sink, Subscriber

#: How long an EventSource waits before it dials again, unless it is told otherwise at the end of a stream (guess).
RETRY_MS: Final = 2000
#: An end that we chose: clients are spread over so much more (guess).
RETRY_SPREAD_MS: Final = 3000
#: What a proxy may do to a stream: nothing (nginx reads X-Accel-Buffering).
HEADERS: Final = (
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("X-Accel-Buffering", "no"),
    ("X-Content-Type-Options", "nosniff"),
)
#: A sign of life: a comment, which no EventSource shows its page.
COMMENT: Final = b":\n\n"

_TOKEN_REFUSED: Final = HttpRefusal(
    401, "unauthorized", "bad_token", "auth does not accept what this request shows", CHALLENGE
)


class EventStreamSession:
    """One stream.

    Args:
        hub: whose topics are read.
        sink: where its bytes go once `begin` was called.
        session_id: said in `welcome`.
        asking: what the request asks for.
        begin: called once, with a refusal, or with None when the stream begins; then the head is to be written.
        visitor: who asks; None where nobody is known.
    """

    def __init__(
        self,
        hub: Hub,
        sink: Sink,
        *,
        session_id: str,
        asking: Asking,
        begin: Callable[[HttpRefusal | None], None],
        visitor: Visitor | None,
    ) -> None:
        self._hub = hub
        self._id = session_id
        self._asking = asking
        self._begin = begin
        self._visitor = visitor
        self._lost = False
        self.subscriber = Subscriber(sink, Encoding.SSE)
        self._reading = Reading(hub, self.subscriber, self._met)
        self._looked_at_bytes = -1

    def opened(self) -> None:
        """The request is whole."""
        if self._visitor is None:
            self._arrived(None)
        else:
            self._visitor.arrive(self._arrived)

    def _arrived(self, identity: Identity | None) -> None:
        asking = self._asking
        since: Positions = asking.since
        if asking.last_event_id is not None:
            since = SerialPositions(self._hub, asking.last_event_id, lambda topic: rate_of(topic, asking.max_hz))
        self._reading.identity = identity
        try:
            asked = self._reading.subscribe(asking.topics, asking.max_hz, since)
        except TopicRefused as refused:
            self._begin(refusal_of(refused.code, refused.message))
            return
        if not asked.joined and asked.matches is None:
            first = asked.refused[0]
            self._begin(refusal_of(first.code, first.message))
            return
        self._begin(None)
        self.subscriber.tell(
            wire.message(
                op="welcome",
                relayd="1",
                session=self._id,
                silence_s=int(SILENCE_S),
                time_ms=int(self._hub.wall() * 1000),
            )
        )
        self._tell(asked)

    def _met(self, asked: Asked) -> None:
        """A pattern met a topic."""
        self._tell(asked)

    def _tell(self, asked: Asked) -> None:
        for one in asked.refused:
            self.subscriber.tell(wire.error(one.code, one.message, topic=one.topic))
        for joined in asked.joined:
            joined.topic.ring.keep_ledger()
        if asked.joined or asked.matches is not None:
            for message in answers.subscribed(None, asked.joined, asked.matches):
                self.subscriber.tell(message)
        self._reading.settle()

    def beat(self) -> bytes:
        """A comment if nothing was sent since the last look, else nothing. Called every few seconds."""
        _, sent_bytes = self.subscriber.totals()
        was_silent, self._looked_at_bytes = sent_bytes == self._looked_at_bytes, sent_bytes
        return COMMENT if was_silent else b""

    def lost(self) -> None:
        """The connection is gone. Idempotent."""
        if self._lost:
            return
        self._lost = True
        if self._visitor is None:
            self._reading.leave()
        else:
            each(self._reading.leave, self._visitor.left)


def ending(close: CloseCode, retry_s: int | None, chance: float) -> bytes:
    """The last event of a stream: the close of a WebSocket in its words. `retry:` tells an EventSource by itself when
    to come back, each a little later than the other (`chance` is 0 to 1).
    """
    members: dict[str, object] = {"code": close.code, "name": close.name}
    if retry_s is not None:
        members["retry_s"] = retry_s
    retry_ms = (RETRY_MS if retry_s is None else retry_s * 1000) + int(RETRY_SPREAD_MS * chance)
    return b"retry: %d\n%b" % (retry_ms, wire.event(wire.message(**members), name=b"close"))


def refusal_of_close(close: CloseCode, retry_s: int | None) -> HttpRefusal:
    """What a close is before the stream has begun."""
    if close in (CLOSE_BAD_TOKEN, CLOSE_NO_AUTH):
        return _TOKEN_REFUSED
    if close.may_come_back:
        return refusal_of("unavailable", close.meaning, "stream").later(5 if retry_s is None else retry_s)
    return refusal_of("forbidden", close.meaning, "stream")


def head(cors: tuple[tuple[str, str], ...]) -> bytes:
    """The head of the response: no length, it lasts as long as the connection. The stream begins with how long to wait
    before dialling again.
    """
    lines = ["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in (*HEADERS, *cors)), "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + b"retry: %d\n\n" % RETRY_MS


def render_refusal(refusal: HttpRefusal, cors: tuple[tuple[str, str], ...]) -> bytes:
    """The whole response to a request for a stream that is refused.

    An EventSource never dials again after a status that is not 200. So where it should come back later, it gets a
    stream that says when and ends.
    """
    if refusal.retry_after_s is None:
        return refusal.with_headers(cors).render()
    text = wire.message(code=1013, name="overloaded", retry_s=refusal.retry_after_s, message=refusal.message)
    end = b"retry: %d\n%b" % (refusal.retry_after_s * 1000, wire.event(text, name=b"close"))
    return head(cors) + end
