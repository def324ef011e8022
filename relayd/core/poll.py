"""Long-polling: one request, one answer, and the positions from which the next request goes on (docs/protocol.md).

    asked -> reads as a subscriber -> something came, or its time is over -> the answer, and the subscriber is gone

A poll reads as every other client does: its sink pretends to be a socket that takes so many bytes and then no more.
What it was given is the answer; where it then stands are its positions. Nothing is kept between polls but the topic,
which stays wanted for its route's `linger`. No poll has a timer: one sweep looks at all deadlines while there are any.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from relayd.core import answers, wire
from relayd.core.asking import Asking, refusal_of
from relayd.core.auth.verdict import Identity
from relayd.core.closecode import CloseCode
from relayd.core.deadlines import Deadlines
from relayd.core.hub import Hub
from relayd.core.mishap import WAITER
from relayd.core.publication import Encoding
from relayd.core.reading import Asked, Reading
from relayd.core.refusal import INTERNAL, HttpRefusal
from relayd.core.routes import TopicRefused
from relayd.core.subscriber import Pace, PutWay, Subscriber
from relayd.core.topics import Topic
from relayd.core.volley import NO_PORT

#: What one answer holds at most, but for a chunk of the rings or a publication that is longer; `more` says that the
#: rings have more (guess: 0.2 s of a good mobile connection).
ANSWER_BYTES: Final = 1024 * 1024
#: Once the answers of the last 10 s, after which a client that takes nothing is cut, are more than this together, each
#: holds only SHORT_ANSWER_BYTES: a crowd that asks and does not read must not cost a megabyte each (guess).
ANSWERS_BYTES: Final = 64 * 1024 * 1024
SHORT_ANSWER_BYTES: Final = 64 * 1024
ANSWERS_S: Final = 10.0
#: How exact the end of a wait is.
SWEEP_S: Final = 0.1

_json = msgspec.json.Encoder()


class PollSink:
    """The sink of a poll: takes `most_bytes`, then nothing. `wake` is called when the first bytes have come."""

    def __init__(self, most_bytes: int, wake: Callable[[], None]) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.closed = False
        self._most_bytes = most_bytes
        self._wake = wake

    def bind(self, put: PutWay) -> None:
        """One way to send for all times."""
        put(self.send_now, NO_PORT)

    def failed(self, error: OSError) -> None:
        """Nothing can fail here."""

    def send_now(self, data: bytes) -> int:
        """All or nothing."""
        if self.size >= self._most_bytes:
            return 0
        self.write(data)
        return len(data)

    def write(self, data: bytes) -> None:
        """The control lane, and the rest of what was too much: the writer bounds both."""
        self.parts.append(data)
        self.size += len(data)
        self._wake()

    def buffered(self) -> int:
        """Nothing waits: what is here is on its way."""
        return 0

    def drained_at(self) -> float:
        """Nothing ever waited."""
        return 0.0

    def pull(self, produce: Callable[[], None]) -> None:
        """It is full for good."""

    def unpull(self) -> None:
        """As `pull`."""

    def pause(self) -> None:
        """A poll says nothing after its request."""

    def resume(self) -> None:
        """As `pause`."""

    def close(self, close: CloseCode, retry_s: int | None = None) -> None:
        """Answer now."""
        self.closed = True
        self._wake()

    def end(self) -> None:
        """Whose it is looks no more. It holds this: without a circle, counting references frees both."""
        self._wake = _wake_nobody


def _wake_nobody() -> None:
    """After the end."""


class Poll:
    """One request. `done` is called once, with the body of the answer or a refusal, unless it is abandoned before."""

    def __init__(
        self,
        polls: Polls,
        asking: Asking,
        identity: Identity | None,
        most_bytes: int,
        done: Callable[[bytes | HttpRefusal], None],
    ) -> None:
        self._polls = polls
        self._asking = asking
        self._done = done
        self._is_over = False
        self._sink = PollSink(most_bytes, lambda: polls.look_soon(self))
        self._subscriber = Subscriber(self._sink, Encoding.V1)
        self._reading = Reading(polls.hub, self._subscriber, self._met)
        self._reading.identity = identity
        self._recovered: dict[Topic, bool | None] = {}
        self._not_before = 0.0
        self._has_waited = False

    def begin(self) -> None:
        """Read what there is; answer at once if that is something."""
        asking, polls = self._asking, self._polls
        try:
            asked = self._reading.subscribe(asking.topics, asking.max_hz, asking.since)
        except TopicRefused as refused:
            self._refuse(refused.code, refused.message)
            return
        if not asked.joined and asked.matches is None:
            self._refuse(asked.refused[0].code, asked.refused[0].message)
            return
        if asking.max_hz is not None and asking.since:
            # What came since the poll before is not given sooner than the rate allows, whatever came right after it.
            self._not_before = polls.hub.now() + 1 / asking.max_hz
        self._has_waited = not asking.wait_s
        self._take(asked)
        polls.wait(self, asking.wait_s)
        self.look()

    def _refuse(self, code: str, message: str) -> None:
        self.abandon()
        self._done(refusal_of(code, message))

    def _met(self, asked: Asked) -> None:
        """A pattern met a topic."""
        self._take(asked)
        self._polls.look_soon(self)

    def _take(self, asked: Asked) -> None:
        for one in asked.refused:
            self._subscriber.tell(wire.error(one.code, one.message, topic=one.topic))
        for joined in asked.joined:
            self._recovered[joined.topic] = joined.recovered
            if joined.lost is not None:
                self._subscriber.tell(joined.lost)
        self._reading.settle()

    def look(self) -> None:
        """Answer if it is time."""
        if self._is_over:
            return
        early_s = self._not_before - self._polls.hub.now()
        if self._subscriber.pace is Pace.YIELDING:
            self._polls.look_soon(self)  # it is being served, a portion a turn
        elif self._sink.closed or self._has_waited or (self._sink.size and early_s <= 0):
            self._answer()
        elif self._sink.size and early_s < self._asking.wait_s:
            self._polls.wait(self, early_s)

    def overdue(self) -> None:
        """Its time is over, or the rate allows an answer."""
        self._has_waited = True
        self.look()

    def abandon(self) -> None:
        """Nobody waits for the answer any more. Idempotent."""
        if not self._is_over:
            self._is_over = True
            self._polls.forget(self)
            self._reading.leave()
            self._sink.end()

    def fail(self) -> None:
        """An error in relayd is its answer."""
        self.abandon()
        self._done(INTERNAL)

    def _answer(self) -> None:
        self._is_over = True
        self._polls.forget(self)
        was_full = self._subscriber.pace is Pace.LAGGING
        positions = self._reading.leave()  # which tells notices that were still to be flushed
        self._sink.end()
        topics = {
            topic.name: answers.described(topic, f"{topic.epoch}:{positions[topic]}", recovered)
            for topic, recovered in self._recovered.items()
            if topic in positions
        }
        messages = b",".join(wire.payloads(b"".join(self._sink.parts)))
        more = b',"more":true' if was_full else b""
        body = b'{"topics":%b,"messages":[%b]%b}' % (_json.encode(topics), messages, more)
        self._polls.answered(len(body), was_full)
        self._done(body)


class Polls:
    """All polls of a hub. `call_later(delay_s, f)` wakes them; it is asked for two calls at a time at most."""

    def __init__(self, hub: Hub, call_later: Callable[[float, Callable[[], None]], object]) -> None:
        self.hub = hub
        self._call_later = call_later
        self._waiting: Deadlines[Poll] = Deadlines()
        self._soon: dict[Poll, None] = {}
        self.is_sweeping = False
        """Whether a look at the deadlines is under way."""
        self._given: deque[tuple[float, int]] = deque()
        """When an answer was given, and its bytes: those of the last 10 s."""
        self._given_bytes = 0

    def begin(self, asking: Asking, identity: Identity | None, done: Callable[[bytes | HttpRefusal], None]) -> Poll:
        """A request has come. `done` may be called before this returns."""
        self._let_go()
        is_crowded = self._given_bytes > ANSWERS_BYTES
        poll = Poll(self, asking, identity, SHORT_ANSWER_BYTES if is_crowded else ANSWER_BYTES, done)
        poll.begin()
        return poll

    # -- asked by polls -----------------------------------------------------------------------------------------------

    def wait(self, poll: Poll, wait_s: float) -> None:
        """Call `overdue` in so many seconds; replaces what was asked for before."""
        if poll not in self._waiting:
            self.hub.counters.polls_waiting += 1
        self._waiting.set(poll, round(wait_s + SWEEP_S / 2, 1), self.hub.now())  # few lengths, whatever clients ask
        if not self.is_sweeping:
            self.is_sweeping = True
            self._call_later(SWEEP_S, self._sweep)

    def look_soon(self, poll: Poll) -> None:
        """Something came: look on the next turn, when whoever is sending has ended."""
        if not self._soon:
            self._call_later(0.0, self._look)
        self._soon[poll] = None

    def forget(self, poll: Poll) -> None:
        """It is over."""
        if self._waiting.discard(poll):
            self.hub.counters.polls_waiting -= 1
        self._soon.pop(poll, None)

    def answered(self, size: int, was_full: bool) -> None:
        """An answer of so many bytes was given."""
        self.hub.counters.polls_answered += 1
        self.hub.counters.polls_full += was_full
        self._given.append((self.hub.now(), size))
        self._given_bytes += size

    # -- run by the reactor -------------------------------------------------------------------------------------------

    def _look(self) -> None:
        soon, self._soon = self._soon, {}
        for poll in soon:
            self._try(poll, poll.look)

    def _sweep(self) -> None:
        for poll in self._waiting.take_due(self.hub.now()):
            self.hub.counters.polls_waiting -= 1
            self._try(poll, poll.overdue)
        self.is_sweeping = len(self._waiting) > 0
        if self.is_sweeping:
            self._call_later(SWEEP_S, self._sweep)

    def _try(self, poll: Poll, call: Callable[[], None]) -> None:
        """On behalf of one: an exception is told as its answer, and reaches neither another poll nor the sweep."""
        try:
            call()
        except Exception:
            self.hub.flusher.report(WAITER)
            try:
                poll.fail()
            except Exception:
                self.hub.flusher.report(WAITER)

    def _let_go(self) -> None:
        horizon = self.hub.now() - ANSWERS_S
        while self._given and self._given[0][0] < horizon:
            self._given_bytes -= self._given.popleft()[1]
