"""Catching up: how a subscriber that is not CURRENT is served from the rings.

It holds one position per topic and nothing else: what its socket has not taken waits in the transport's buffer, at
most the
rest of one flush or one chunk. Each time that buffer is empty the next chunk is read from the rings, in the order of
serials,
by the route's mode. When nothing is left of what the cohort has flushed, it joins the cohort. Newcomers, resuming
clients
and lagging ones all come in by this door.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from itertools import takewhile
from typing import TYPE_CHECKING

from relayd.core import wire
from relayd.core.closecode import CLOSE_POSITION_LOST
from relayd.core.publication import Encoding, Entry, GapMark, Publication
from relayd.core.routes import Mode
from relayd.core.subscriber import Pace, Subscriber

if TYPE_CHECKING:
    from relayd.core.cohort import Cohort
    from relayd.core.topics import Topic

# One write to a lagging socket; the same bound as for the rest of a flush. A longer publication goes alone.
MAX_CHUNK_BYTES = 64 * 1024
# After so many chunks that the kernel took whole, others have their turn: half a megabyte is about 0.2 ms of copying.
MAX_CHUNKS_PER_TURN = 8
# `slow_after` looks for this much progress (design decision: a modem's 1 KiB in 10 s is alive).
PROGRESS_BYTES = 1024


class Lagging:
    """The position of one subscriber on its way to its cohort."""

    __slots__ = (
        "_mark_at", "_mark_taken", "_producing", "_pulling", "_written",
        "cohort", "is_held", "look_at", "newcomer_to", "positions", "reached", "subscriber",
    )  # fmt: skip

    cohort: Cohort
    """The one it is on its way to. Set by whoever puts the subscriber there, before anything else is asked of us."""

    def __init__(self, subscriber: Subscriber, positions: dict[Topic, int], reached: int) -> None:
        self.subscriber = subscriber
        self.positions = positions
        """Per topic the offset up to which it was given everything, or told of the loss."""
        self.reached = reached
        """It may have publications up to this serial: it joins no cohort that has flushed less."""
        self.newcomer_to: set[Topic] = set()
        """Topics without deltas whose next publication carries the snapshot flag."""
        self.is_held = False
        """Nothing is to be sent whatever the socket takes."""
        self.look_at = -1
        """Its second in the calendar of core/stalls.py, which keeps this; -1 while it does not wait for its socket."""
        self._pulling = False
        self._producing = False
        self._written = 0
        self._mark_taken = 0
        self._mark_at: float | None = None

    def wait_for_socket(self) -> None:
        """Something is in the buffer: go on when it is empty."""
        self.subscriber.pace = Pace.LAGGING
        if not self._pulling:
            self._pulling = True
            self._mark_at = None
            self.cohort.flusher.stalls.watch(self)
            self.subscriber.sink.pull(self.produce)

    def stop(self) -> None:
        """It has caught up, or the connection goes."""
        if self._pulling:
            self._pulling = False
            self.cohort.flusher.stalls.forget(self)
            self.subscriber.sink.unpull()

    def moved(self) -> None:
        """It waits for its socket on the way to another cohort now, with another `slow_after`."""
        if self._pulling:
            self.cohort.flusher.stalls.watch(self)

    def due(self, now: float) -> float:
        """When it will have taken less than 1 KiB, and less than all, during `slow_after`, if it goes on like this:
        a time that is past means that it makes no progress."""
        sink = self.subscriber.sink
        buffered = sink.buffered()
        taken = self._written - buffered
        if self._mark_at is None or buffered == 0:
            self._mark_at, self._mark_taken = now, taken
        elif taken - self._mark_taken >= PROGRESS_BYTES:
            self._mark_at, self._mark_taken = max(self._mark_at, sink.drained_at()), taken
        return self._mark_at + self.cohort.slow_after_s

    def stalled_s(self, now: float) -> float:
        """For how long its socket has taken nothing since it fell behind."""
        return 0.0 if self._mark_at is None else now - max(self._mark_at, self.subscriber.sink.drained_at())

    def produce(self) -> None:
        """The buffer is empty: give the next chunks, or join the cohort."""
        # Registering a pull producer asks for bytes at once, from inside the call.
        if self._producing or self.subscriber.lagging is not self:
            return
        if self.is_held:
            self._rest()
            return
        self._producing = True
        try:
            self._produce()
        finally:
            self._producing = False

    def _produce(self) -> None:
        subscriber = self.subscriber
        for _ in range(MAX_CHUNKS_PER_TURN):
            data = self._next_chunk()
            if subscriber.pace is Pace.GONE:
                return
            if not data:
                if self.is_held:
                    self._rest()
                else:
                    self._catch_up()
                return
            subscriber.sent_bytes += len(data)
            taken = subscriber.send(data)
            if taken < len(data):
                subscriber.sink.write(data[taken:])
                self._written += len(data)
                self.wait_for_socket()
                return
            self._written += taken
        self.stop()
        subscriber.pace = Pace.YIELDING
        self.cohort.flusher.defer(self)

    def _rest(self) -> None:
        """Held: nothing goes out before somebody lets it go."""
        self.stop()
        self.subscriber.pace = Pace.HELD

    def _catch_up(self) -> None:
        self.stop()
        if not self.cohort.is_level(self.reached, self.positions):
            self.subscriber.pace = Pace.WAITING
            self.cohort.waiting[self.subscriber] = None
            return
        self.subscriber.lagging = None
        self.cohort.join(self.subscriber)

    # -- reading the rings --------------------------------------------------------------------------------------------

    def _next_chunk(self) -> bytes:
        """Up to MAX_CHUNK_BYTES of frames, or one longer; empty when there is nothing that the cohort has flushed."""
        frames: list[bytes] = []
        sources: list[tuple[int, Entry, Iterator[Entry]]] = []
        for topic, position in self.positions.items():
            if position + 1 >= topic.ring.end:
                continue
            entries = self._readable(topic, frames)
            if self.subscriber.pace is Pace.GONE:
                return b""
            first = next(entries, None)
            if first is not None:
                sources.append((first.serial, first, entries))
        heapq.heapify(sources)
        size = sum(map(len, frames))
        window = self.subscriber.window
        while sources and size < MAX_CHUNK_BYTES:
            _, entry, entries = sources[0]
            if window is not None:
                ceiling = window.ceiling(entry.topic, self.positions[entry.topic])
                if ceiling is not None and entry.offset > ceiling:
                    self.is_held = True
                    window.filled()
                    break
                window.gave(entry.topic)
            frame = self._frame(entry)
            if self.subscriber.pace is Pace.GONE:
                return b""
            if frames and size + len(frame) > MAX_CHUNK_BYTES:
                break
            self.positions[entry.topic] = entry.offset
            self.newcomer_to.discard(entry.topic)
            frames.append(frame)
            size += len(frame)
            self.subscriber.sent_messages += 1
            following = next(entries, None)
            if following is None:
                heapq.heappop(sources)
            else:
                heapq.heapreplace(sources, (following.serial, following, entries))
        return b"".join(frames)

    def _readable(self, topic: Topic, frames: list[bytes]) -> Iterator[Entry]:
        """What this topic has for us, oldest first, up to what the cohort has flushed; losses are announced into
        `frames`."""
        position = self.positions[topic]
        lane = self.cohort.lanes.get(topic)
        delivery = topic.route.delivery
        if lane is not None or delivery.mode is Mode.CONFLATE:
            return self._newest(topic)
        if position + 1 < topic.ring.first:
            following = self._restart(topic) if delivery.mode is Mode.LOSSLESS else topic.ring.first
            self._lose(topic, following, frames)
        if delivery.max_lag_s is not None:
            self._skip_late(topic, delivery.max_lag_s, frames)
        return self._flushed_only(topic.ring.after(self.positions[topic]))

    def _flushed_only(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        reached = self.cohort.reached
        for entry in entries:
            if entry.serial > reached:
                return
            yield entry

    def _newest(self, topic: Topic) -> Iterator[Entry]:
        """The newest publication per key, of those flushed."""
        lane = self.cohort.lanes.get(topic)
        newest: dict[Hashable, Publication] = {}
        for entry in topic.ring.after(self.positions[topic]):
            if (entry.serial > self.cohort.reached) if lane is None else (entry.offset > lane.flushed[topic]):
                break
            if isinstance(entry, Publication):
                newest.pop(entry.key, None)  # popped, so that the order is that of the newest
                newest[entry.key] = entry
        return iter(newest.values())

    def _frame(self, entry: Entry) -> bytes:
        encoding = self.subscriber.encoding
        if not isinstance(entry, Publication) and encoding is Encoding.RAW:
            self._cannot_tell()
            return b""
        if isinstance(entry, Publication) and entry.topic in self.newcomer_to:
            frame = wire.encode_snapshot(entry, encoding)
        else:
            frame = wire.encode(entry, encoding)
        return wire.without_id(frame) if encoding is Encoding.SSE and entry.topic in self.cohort.lanes else frame

    # -- losses -------------------------------------------------------------------------------------------------------

    def _cannot_tell(self) -> None:
        """A `/raw` reader has no place for a notice: it is closed, and knows by the code."""
        self.subscriber.sink.close(CLOSE_POSITION_LOST)
        self.subscriber.pace = Pace.GONE
        self.stop()

    def _lose(self, topic: Topic, following: int, frames: list[bytes]) -> None:
        """Everything before offset `following` is lost to this subscriber: say so, go on there."""
        position = self.positions[topic]
        count = following - position - 1
        self.positions[topic] = following - 1
        if self.subscriber.window is not None:
            self.subscriber.window.lost(topic, position)
        topic.hub.counters.lost_slow += count
        self.subscriber.lost_messages += count
        if self.subscriber.encoding is Encoding.RAW:
            self._cannot_tell()
            return
        # A gap mark among the lost stands for a number that went with it.
        skipped = takewhile(lambda entry: entry.offset < following, topic.ring.after(position))
        has_mark = position < topic.ring.last_gap_gone or any(type(entry) is GapMark for entry in skipped)
        known = None if has_mark else count
        frames.append(wire.dress(wire.lost(topic.name, position, following, known, "slow"), self.subscriber.encoding))

    def _restart(self, topic: Topic) -> int:
        """LOSSLESS after a loss: from the newest snapshot, or from the one that the upstream is asked for. Returns the
        offset that follows what is lost."""
        start = topic.ring.start_for_newcomer()
        if start is None:
            topic.hub.refresh(topic)
            return topic.ring.first
        # One that is not flushed yet comes with its flush, and so does what stands before it there: to go on from it
        # would leave a hole between that nobody is told of.
        is_flushed = next(topic.ring.after(start)).serial <= self.cohort.reached
        return start + 1 if is_flushed else topic.ring.first

    def _skip_late(self, topic: Topic, max_lag_s: float, frames: list[bytes]) -> None:
        """What is older than `max_lag` is no news any more."""
        horizon = topic.hub.now() - max_lag_s
        following = topic.ring.end
        for entry in topic.ring.after(self.positions[topic]):
            if entry.at >= horizon or entry.serial > self.cohort.reached:
                following = entry.offset
                break
        if following > self.positions[topic] + 1:
            self._lose(topic, following, frames)

