"""A hub with readers whose sockets obey, and a client that believes nothing.

`Rig` owns the clock and the pretended reactor. `FakeSink` is a socket with a room that the test chooses. `Client`
decodes what a sink took and holds the promises of the protocol against it: per topic the offsets rise, nothing comes
twice, and every offset that is missing was announced.
"""

from __future__ import annotations

import heapq
import itertools
import json
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from errno import EAGAIN
from typing import Any

from relayd.core.asking import Asking
from relayd.core.auth.verdict import Identity
from relayd.core.closecode import CLOSE_INTERNAL, CloseCode
from relayd.core.counters import HubCounters
from relayd.core.downstream import DownstreamSession
from relayd.core.hub import Hub, HubLimits
from relayd.core.mishap import Report, let_it_out
from relayd.core.poll import Polls
from relayd.core.refusal import HttpRefusal
from relayd.core.routes import AllowAny, AllowValues, Delivery, Form, Mode, Route, RouteTable
from relayd.core.sse import EventStreamSession
from relayd.core.subscriber import PutWay
from relayd.core.topic import TopicTemplate
from relayd.core.topics import Topic
from relayd.core.volley import NO_PORT
from tests.support.frames import take_frames as frames


class Clock:
    """Monotonic time and the calls that wait for it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def __call__(self) -> float:
        return self.now

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        """As a reactor's."""
        assert delay_s >= 0
        heapq.heappush(self._calls, (self.now + delay_s, next(self._order), call))

    def advance(self, seconds: float) -> None:
        """Let time pass and run what is due, in order."""
        end = self.now + seconds
        while self._calls and self._calls[0][0] <= end:
            when, _, call = heapq.heappop(self._calls)
            self.now = max(self.now, when)
            call()
        self.now = end

    def turn(self) -> None:
        """Run what is due now, once."""
        due = []
        while self._calls and self._calls[0][0] <= self.now:
            due.append(heapq.heappop(self._calls)[2])
        for call in due:
            call()

    @property
    def waiting(self) -> int:
        """Calls that have not run."""
        return len(self._calls)


class FakeVolley:
    """A kernel that sends to many at once. Every sink has a port, its identity, while nothing is buffered."""

    least = 2

    def __init__(self) -> None:
        self.sinks: dict[int, FakeSink] = {}
        self.fired = 0

    def fire(self, ports: array[int], data: bytes) -> list[int] | None:
        """As the kernel would, one after the other."""
        return self.fire_each(ports, [data] * len(ports))

    def fire_each(self, ports: array[int], portions: Sequence[bytes]) -> list[int] | None:
        """The same, with a portion of its own for each."""
        self.fired += 1
        answers = []
        for port, data in zip(ports, portions, strict=True):
            assert port and not self.sinks[port].buffer, "this one is not to be sent to"
            try:
                answers.append(self.sinks[port].send_now(data))
            except BlockingIOError:
                answers.append(-EAGAIN)
        return None if answers == [*map(len, portions)] else answers


class FakeSink:
    """A connection whose kernel takes `room` bytes and then no more."""

    def __init__(self, room: int = 1 << 40, volley: FakeVolley | None = None) -> None:
        self.volley = volley
        self._put: PutWay | None = None
        self.room = room
        self.taken = bytearray()
        self.buffer = bytearray()
        self.produce: Callable[[], None] | None = None
        self.closed: CloseCode | None = None
        self.most_buffered = 0
        self.paused = False
        self.is_broken = False
        """What is to be buffered makes it raise."""
        self.clock: Callable[[], float] = lambda: 0.0
        self._drained_at = 0.0

    def bind(self, put: PutWay) -> None:
        """One way to send for all times, and a port while nothing is buffered."""
        self._put = put
        if self.volley is not None:
            self.volley.sinks[id(self)] = self
        self._tell()

    def _tell(self) -> None:
        if self._put is not None:
            self._put(self.send_now, NO_PORT if self.buffer or self.volley is None else id(self))

    def failed(self, error: OSError) -> None:
        """Only a full socket can be meant here."""
        assert isinstance(error, BlockingIOError)

    def send_now(self, data: bytes) -> int:
        """As the kernel would."""
        if self.buffer or self.closed:
            return 0 if not self.closed else len(data)
        count = min(self.room, len(data))
        if not count:
            raise BlockingIOError
        self.taken += data[:count]
        self.room -= count
        return count

    def write(self, data: bytes) -> None:
        """Into the kernel while it takes, the rest into the buffer."""
        if self.is_broken:
            raise RuntimeError("a fault in the sink")
        if self.closed:
            return
        if not self.buffer and self.room:
            data = data[self.send_now(data) :]
        self.buffer += data
        self.most_buffered = max(self.most_buffered, len(self.buffer))
        self._tell()

    def buffered(self) -> int:
        """Bytes that wait."""
        return len(self.buffer)

    def drained_at(self) -> float:
        """When the buffer last became less."""
        return self._drained_at

    def pull(self, produce: Callable[[], None]) -> None:
        """As Twisted does for a pull producer: asked at once, then at each empty buffer."""
        assert self.produce is None, "two producers"
        self.produce = produce
        if not self.buffer:
            produce()

    def unpull(self) -> None:
        """The producer is done."""
        assert self.produce is not None, "no producer"
        self.produce = None

    def pause(self) -> None:
        """Nothing more is read."""
        assert not self.paused, "paused twice"
        self.paused = True

    def resume(self) -> None:
        """It is read again."""
        assert self.paused, "not paused"
        self.paused = False

    def close(self, close: CloseCode, retry_s: int | None = None) -> None:
        """The first close counts."""
        self.closed = self.closed or close

    def read(self, count: int) -> None:
        """The peer reads: room for so many bytes more."""
        self.room += count
        moved = min(self.room, len(self.buffer))
        self.taken += self.buffer[:moved]
        del self.buffer[:moved]
        if moved:
            self._drained_at = self.clock()
        self.room -= moved
        self._tell()
        while self.produce is not None and not self.buffer and self.room:
            before = (len(self.taken), self.produce)
            self.produce()
            if (len(self.taken), self.produce) == before:
                break


@dataclass(frozen=True)
class Event:
    """One event of a text/event-stream."""

    text: str
    name: str = ""
    id: str | None = None
    retry_ms: int | None = None


def events(data: bytearray) -> list[Event]:
    """Whole events at the head of `data`, which are removed from it, read as the HTML standard says (9.2.6)."""
    found = []
    while (end := data.find(b"\n\n")) >= 0:
        block = bytes(data[:end]).decode()
        del data[: end + 2]
        fields: dict[str, list[str]] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
        retry = fields.get("retry")
        found.append(
            Event(
                "\n".join(fields.get("data", [])),
                fields.get("event", [""])[-1],
                fields["id"][-1] if "id" in fields else None,
                int(retry[-1]) if retry else None,
            )
        )
    return found


class Client:
    """What a browser knows from what it was sent. `conflated` topics may jump; on all others a hole is a fault."""

    def __init__(self, sink: FakeSink, conflated: Callable[[str], bool] = lambda _: False) -> None:
        self.sink = sink
        self.conflated = conflated
        self.messages: list[dict[str, Any]] = []
        self.positions: dict[str, tuple[str, int]] = {}
        self.next_offset: dict[str, int | None] = {}
        self.data: dict[str, list[int]] = {}
        self.lost: dict[str, int] = {}
        self.unknown_loss: set[str] = set()
        self.states: dict[str, str] = {}

    def read(self) -> list[dict[str, Any]]:
        """Decode what came, holding the promises against it. Returns the new messages."""
        new = self._decode()
        for message in new:
            self._take(message)
        self.messages += new
        return new

    def _decode(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for opcode, payload in frames(self.sink.taken) if opcode == 1]

    def _take(self, message: dict[str, Any]) -> None:
        op = message.get("op")
        if op == "subscribed":
            for name, described in message["topics"].items():
                self.states[name] = described["state"]
                self.next_offset.setdefault(name, None)
        elif op == "unsubscribed":
            for name in message["topics"]:
                self.next_offset.pop(name, None)
        elif op == "state":
            self.states[message["topic"]] = message["state"]
        elif op == "lost":
            self._take_lost(message)
        elif op is None:
            self._take_publication(message)

    def _take_lost(self, message: dict[str, Any]) -> None:
        name = message["topic"]
        expected = self.next_offset.get(name)
        if message["why"] != "rate":
            after = message["after"]
            # A conflated reader may have met an earlier mark as a jump.
            ahead = self.conflated(name) and expected is not None and after >= expected
            assert expected is None or after == expected - 1 or ahead or self._was_told(message), (expected, message)
            self.next_offset[name] = message["next"]
        if message["count"] is None:
            self.unknown_loss.add(name)
        else:
            self.lost[name] = self.lost.get(name, 0) + message["count"]

    def _was_told(self, message: dict[str, Any]) -> bool:
        """Whether a part of this loss may have been announced before."""
        return False

    def _take_publication(self, message: dict[str, Any]) -> None:
        name, offset = message["topic"], message["offset"]
        assert name in self.next_offset, f"{name} was not subscribed to"
        expected = self.next_offset[name]
        if expected is not None:
            if self.conflated(name) or message.get("snapshot"):
                assert offset >= expected, (expected, message)
            else:
                assert offset == expected, (expected, message)
        self.next_offset[name] = offset + 1
        self.data.setdefault(name, []).append(offset)


class StreamClient(Client):
    """The same for an EventSource. `again` goes on with a new stream, from the id of the last event that was read."""

    last_event_id: str | None = None

    def _decode(self) -> list[dict[str, Any]]:
        new = []
        for event in events(self.sink.taken):
            if event.id is not None:
                # An id never goes back, else what was between would come twice.
                before = self.last_event_id
                assert before is None or _place(event.id) >= _place(before), (before, event)
                self.last_event_id = event.id
            if event.text and not event.name:
                new.append(json.loads(event.text))
        return new

    def _was_told(self, message: dict[str, Any]) -> bool:
        # A notice has no id: what was announced after the last id is announced again, and then goes on from there.
        expected = self.next_offset[message["topic"]]
        assert expected is not None
        before = message["after"] < expected - 1 <= message["next"] - 1
        if before and message["count"] is not None:
            message["count"] = message["next"] - expected
        return before

    def again(self, sink: FakeSink) -> None:
        """What was under way is gone."""
        self.sink = sink


class PollClient(Client):
    """The same for one that polls: each answer is a message of every kind, and positions to go on from."""

    since: dict[str, str]

    def __init__(self, conflated: Callable[[str], bool] = lambda _: False) -> None:
        super().__init__(FakeSink(), conflated)
        self.since = {}

    def take(self, body: bytes) -> dict[str, Any]:
        """An answer."""
        answer: dict[str, Any] = json.loads(body)
        for name in answer["topics"]:
            self.next_offset.setdefault(name, None)
        for message in answer["messages"]:
            self._take(message)
        self.messages += answer["messages"]
        for name, described in answer["topics"].items():
            self.since[name] = described["position"]
            offset = int(described["position"].rpartition(":")[2])
            expected = self.next_offset[name]
            # What a position says was given was given, but for what is never told: marks on conflated topics.
            assert expected is None or expected == offset + 1 or self.conflated(name), (expected, described)
            self.next_offset[name] = offset + 1
        return answer


def _place(event_id: str) -> tuple[str, int]:
    epoch, _, serial = event_id.rpartition(".")
    return epoch, int(serial)


class FakeDemand:
    """Records what it is told."""

    def __init__(self) -> None:
        self.wanted_topics: list[str] = []
        self.refreshed: list[str] = []

    def wanted(self, topic: Topic) -> None:
        """A first reader."""
        assert topic.name not in self.wanted_topics, "wanted twice"
        self.wanted_topics.append(topic.name)

    def unwanted(self, topic: Topic) -> None:
        """No reader is left."""
        self.wanted_topics.remove(topic.name)

    def refresh(self, topic: Topic) -> None:
        """A snapshot is needed."""
        self.refreshed.append(topic.name)


def delivery(mode: Mode = Mode.QUEUE, **changes: Any) -> Delivery:
    """A delivery with small, test-sized bounds."""
    settings: dict[str, Any] = {
        "mode": mode, "history_count": 100, "history_bytes": 1 << 20, "history_age_s": 300.0, "deltas": False,
        "max_hz": None, "max_lag_s": None, "slow_after_s": 10.0, "form": Form.AUTO, "stamp": False, "key_of": None,
    }  # fmt: skip
    return Delivery(**(settings | changes))


def route(template: str, how: Delivery | None = None, **changes: Any) -> Route:
    """A route of upstream `up` that lets everything through."""
    parsed = TopicTemplate.parse(template)
    settings: dict[str, Any] = {
        "allow": {name: AllowAny() for name in parsed.fields}, "stale_after_s": None, "linger_s": 5.0, "pin": (),
    }  # fmt: skip
    settings["upstream"] = "up"
    return Route(template=parsed, delivery=how or delivery(), **(settings | changes))


class Rig:
    """A hub with routes, a clock, and as many clients as the test opens."""

    def __init__(
        self,
        *routes: Route,
        topics: int = 1000,
        topics_per_client: int = 128,
        ring_bytes: int = 1 << 30,
        message_bytes: int = 64 << 10,
        volley: FakeVolley | None = None,
        report: Report = let_it_out,
    ) -> None:
        self.volley = volley
        self.clock = Clock()
        self.counters = HubCounters()
        self.demand = FakeDemand()
        self.hub = Hub(
            RouteTable(routes),
            HubLimits(topics, topics_per_client, ring_bytes, message_bytes),
            monotonic=self.clock,
            wall=lambda: 1_700_000_000.0,
            call_later=self.clock.call_later,
            epoch="e",
            counters=self.counters,
            volley=volley,
            report=report,
        )
        self.hub.demands["up"] = self.demand
        self.polls = Polls(self.hub, self.clock.call_later)

    def open(self, room: int = 1 << 40, raw: str | None = None) -> tuple[DownstreamSession, FakeSink]:
        """A connection that has been greeted."""
        sink = FakeSink(room, self.volley)
        sink.clock = self.clock
        session = DownstreamSession(self.hub, sink, raw_topic=raw, session_id="s")
        session.opened()
        return session, sink

    def stream(
        self, *topics: str, room: int = 1 << 40, max_hz: float | None = None, last_event_id: str | None = None
    ) -> tuple[EventStreamSession, FakeSink]:
        """An event stream that has begun."""
        sink = FakeSink(room)
        sink.clock = self.clock
        begun: list[HttpRefusal | None] = []
        session = EventStreamSession(
            self.hub,
            sink,
            session_id="s",
            asking=Asking(topics, max_hz, last_event_id=last_event_id),
            begin=begun.append,
            visitor=None,
        )
        session.opened()
        assert begun == [None]
        return session, sink

    def poll(self, *topics: str, identity: Identity | None = None, **asked: Any) -> list[Any]:
        """A poll under way; the answer will be the list's only member. Abandoned by `self.last_poll.abandon()`."""
        answers: list[Any] = []
        self.last_poll = self.polls.begin(Asking(topics, **asked), identity, answers.append)
        return answers

    def publish(self, name: str, payload: bytes = b"1", **how: Any) -> None:
        """One text message on a topic."""
        self.hub.publish(self.hub.topic(name), payload, True, **how)


def say(session: DownstreamSession, **command: Any) -> None:
    """A client's message."""
    session.text(json.dumps(command).encode())


def check_who_fails_goes_alone(rig: Rig, topic: str, sinks: Sequence[FakeSink]) -> None:
    """Readers of a topic are sent a publication, and one of them raises while it falls behind: it is closed with 1011,
    and the others have it."""
    rig.clock.turn()  # what they were to be told first
    fails, *others = reversed(sinks)
    fails.room = 0
    fails.is_broken = True
    rig.publish(topic, b'"news"')
    rig.clock.turn()
    assert fails.closed is CLOSE_INTERNAL
    assert others and all(b'"news"' in sink.taken and sink.closed is None for sink in others)


__all__ = [
    "AllowAny", "AllowValues", "Client", "Clock", "Event", "FakeSink", "PollClient", "Rig", "StreamClient",
    "check_who_fails_goes_alone", "delivery", "events", "frames", "route", "say",
]  # fmt: skip
