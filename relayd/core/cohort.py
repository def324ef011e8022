"""Cohorts: all subscribers with the same topics, rates and encoding, flushed together.

A publication is appended to the pending list of each cohort of its topic, whatever the number of members. A flush joins
the pending frames once and offers the same bytes to every member. A member whose socket does not take them whole leaves
the flush path and becomes lagging; it comes back when it has caught up with what the cohort has flushed. That is also
how a newcomer enters, so there is one way in and no second delivery:

    everything with a serial up to `flushed` is the business of the rings, everything after it of the next flush.

Long flushes go in slices over a copy of the member list, so a member may come or go between two slices; whether it has
the flush in progress is told by its `flush_number`.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING

from relayd.core import wire
from relayd.core.closecode import CLOSE_POSITION_LOST
from relayd.core.crowd import SMALL_MEMBERS, Crowd, step_in, step_out, totals
from relayd.core.flush import Flush, Notice, breaks, leave_behind
from relayd.core.lagging import Lagging
from relayd.core.lane import Lane
from relayd.core.publication import Encoding, Entry, GapMark
from relayd.core.subscriber import Pace, Subscriber
from relayd.core.volley import offer, ports_of

if TYPE_CHECKING:
    from relayd.core.flusher import Flusher
    from relayd.core.topics import Topic

CohortKey = tuple[Encoding, frozenset[tuple["Topic", float | None]]]
"""Encoding, and each topic with its rate in hertz."""

# A cohort with this much pending is flushed at the next turn whatever the merge rule says: it bounds the memory that
# waiting can hold, and more gains nothing (at 64 KiB the system call is already lost in the copying; measured).
MAX_PENDING_BYTES = 1024 * 1024

# What a lagging member keeps of one flush, or publication (decision; a healthy client's kernel buffer is larger).
MAX_REST_BYTES = 64 * 1024


class Cohort:
    """Subscribers that read alike. Its key is (encoding, {(topic, rate)}). Slots: there may be one for each browser."""

    __slots__ = (
        "behind", "bytes", "carried", "cost_s", "crowd_number", "crowds", "encoding", "flush", "flush_number",
        "flushed", "flusher", "is_aside", "key", "lanes", "members", "messages", "not_before", "pending",
        "pending_bytes", "ports", "scheduled", "slow_after_s", "spent_s", "topics", "waiting",
    )  # fmt: skip

    def __init__(
        self, key: CohortKey, encoding: Encoding, topics: Mapping[Topic, float | None], flusher: Flusher, serial: int
    ) -> None:
        self.key = key
        self.encoding = encoding
        self.topics = dict(topics)
        self.slow_after_s = max(topic.route.delivery.slow_after_s for topic in self.topics)
        self.flusher = flusher
        self.members: list[Subscriber] = []
        self.ports: array[int] | None = None
        """Those of all members (`core/volley.py`), until somebody comes, goes or has another; None: not known."""
        self.behind: dict[Subscriber, None] = {}
        """Lagging, yielding or waiting ones; a dict for its order."""
        self.waiting: dict[Subscriber, None] = {}
        """Those of them that join after the next flush. Kept apart: a flush must not look at everybody who lags."""
        self.pending: list[Entry | Notice] = []
        self.pending_bytes = 0
        self.crowds: list[Crowd] = []
        """Of each of its topics, while it is flushed with others (core/crowd.py): then nothing is pending here."""
        self.crowd_number = 0
        """Number of the newest flush of a crowd that does not concern it: it came later, or got it in another way."""
        self.flushed = serial
        """Serial of the newest entry whose flush has begun (or of the hub when the cohort was made)."""
        self.flush: Flush | None = None
        self.flush_number = 0
        self.is_aside = False
        """All are behind, and it is told of notices only."""
        self.scheduled = False
        self.not_before = 0.0
        self.cost_s = 0.0
        """EWMA of what a flush costs."""
        self.spent_s = 0.0
        """What the flush under way has cost so far. These four are kept by the flusher."""
        self.carried = 0
        """Entries of the last flush."""
        self.messages = 0
        self.bytes = 0
        """Totals over all flushes of its own, per member; those of its crowds come on top (`totals`)."""
        self.lanes: dict[Topic, Lane] = {}
        by_rate: dict[float, Lane] = {}
        for topic, hz in self.topics.items():
            if hz is None:
                topic.cohorts[self] = None
            else:
                lane = by_rate.setdefault(hz, Lane(self, hz))
                lane.flushed[topic] = topic.ring.end - 1
                self.lanes[topic] = lane
                topic.cohorts[lane] = None

    def disband(self) -> None:
        """Nobody is left: leave the topics."""
        for topic in self.topics:
            if self.is_aside:
                del topic.aside[self]
            else:
                del topic.cohorts[self.lanes.get(topic, self)]

    # -- what comes in ------------------------------------------------------------------------------------------------

    def add(self, entry: Entry | Notice, now: float = 0.0) -> None:
        """Something for the next flush. This is the whole cost of a cohort per message."""
        self.pending.append(entry)
        self.pending_bytes += entry.size
        if not self.scheduled:
            self.scheduled = True
            self.flusher.want(self, now or entry.at)
            return
        if self.pending_bytes > MAX_PENDING_BYTES and self.not_before:
            self.not_before = 0.0
            self.flusher.ready(self)

    def add_notice(self, notice: Notice) -> None:
        """A control message in its place. Those who are behind get them at once: rings hold publications only."""
        if self.encoding is Encoding.RAW:
            return
        if not self.is_aside:
            self.add(notice)
        for member in self.behind:
            member.tell(notice.data)

    # -- who comes and goes -------------------------------------------------------------------------------------------

    def expect(self, member: Subscriber) -> None:
        """The member is behind, on its way to us."""
        self.step_out()
        self.behind[member] = None

    def join(self, member: Subscriber) -> None:
        """The member has all that was flushed."""
        if self.is_aside:
            self._come_back()
        member.pace = Pace.CURRENT
        member.slot = len(self.members)
        member.flush_number = self.flush_number
        member.joined_messages = self.messages
        member.joined_bytes = self.bytes
        self.members.append(member)
        self.ports = None
        self.behind.pop(member, None)
        self.waiting.pop(member, None)

    def quit(self, member: Subscriber, unsent_frames: int = 0, unsent_bytes: int = 0) -> None:
        """The member is CURRENT no more and did not get the last so many frames. O(1): the last one takes its slot."""
        self.step_out()
        messages, size = member.totals()
        member.sent_messages, member.sent_bytes = messages - unsent_frames, size - unsent_bytes
        member.pace = Pace.IDLE
        last = self.members.pop()
        self.ports = None
        if last is not member:
            self.members[member.slot] = last
            last.slot = member.slot
        member.slot = -1

    def port_changed(self) -> None:
        """A member cannot be sent to as before."""
        self.ports = None
        self.step_out()

    def step_out(self) -> None:
        """Be flushed by itself from here on."""
        if self.crowds:
            step_out(self)

    @property
    def reached(self) -> int:
        """Serial of the newest entry that those who are behind may have."""
        return next(iter(self.topics)).hub.serial if self.is_aside else self.flushed

    def _step_aside(self) -> None:
        """All are behind: what comes is the business of the rings at once, and costs nothing here."""
        self.is_aside = True
        for topic in self.topics:
            del topic.cohorts[self]
            topic.aside[self] = None

    def _come_back(self) -> None:
        self.flushed = self.reached
        self.is_aside = False
        for topic in self.topics:
            del topic.aside[self]
            topic.cohorts[self] = None

    def totals(self) -> tuple[int, int]:
        """Messages and bytes sent so far, per member."""
        return totals(self) if self.crowds else (self.messages, self.bytes)

    def leave(self, member: Subscriber) -> list[Entry | Notice]:
        """A CURRENT member goes elsewhere. Returns what it has not got, oldest first; rings hold the publications."""
        flush = self.flush
        if flush is None or member.flush_number == flush.number:
            self.quit(member)
            return self.pending
        self.quit(member, len(flush.frames), len(flush.data))
        return flush.entries + self.pending

    def is_level(self, serial: int, positions: Mapping[Topic, int]) -> bool:
        """Whether one who has everything up to that serial, and these offsets, may join: no flush will repeat it."""
        quiet = not self.pending and self.flush is None
        if quiet:
            self.flushed = max(self.flushed, serial)  # nothing of ours lies between
        if self.flushed < serial:
            return False
        for topic, lane in self.lanes.items():
            if positions[topic] > lane.flushed[topic]:
                if not quiet or any(held is topic for held, _ in lane.held):
                    return False
                lane.flushed[topic] = positions[topic]
        return True

    def positions(self, undelivered: list[Entry | Notice]) -> dict[Topic, int]:
        """The offset up to which a member has each topic, when `undelivered` is what it has not got."""
        reached = {
            topic: self.lanes[topic].flushed[topic] if topic in self.lanes else topic.ring.end - 1
            for topic in self.topics
        }
        for entry in reversed(undelivered):
            if type(entry) is not Notice:
                reached[entry.topic] = entry.offset - 1
        return reached

    def beat(self, now: float) -> None:
        """The merge rule allows the next flush."""
        self.flusher.ready(self)

    # -- flushing -----------------------------------------------------------------------------------------------------

    def flush_slice(self, budget: int) -> int:
        """Offer the pending bytes to up to `budget` members. Returns how many were offered; `flush` is None at the
        end."""
        flush = self.flush or self._begin()
        volley = self.flusher.volley
        due = self.members
        offered = len(due)
        is_last = offered <= budget and not flush.next
        if is_last:
            # One slice does: nobody can come or go meanwhile, so nothing is kept of who has it.
            if self.ports is None and volley is not None and offered >= volley.least:
                self.ports = ports_of(due)
            ports = self.ports
        else:
            members = flush.members = flush.members or list(due)
            end = min(flush.next + budget, len(members))
            offered = end - flush.next
            due = [member for member in members[flush.next : end] if self._is_due(member, flush)]
            ports = None
            flush.next = end
            is_last = end == len(members)
        if flush.data and (short := offer(due, flush.data, volley, ports)):
            leave_behind(short, flush)
        if is_last:
            self._end(flush)
        return offered

    def _is_due(self, member: Subscriber, flush: Flush) -> bool:
        """Whether it is still here, and joined before this flush. From here on it has the flush."""
        if member.cohort is not self or member.pace is not Pace.CURRENT or member.flush_number == flush.number:
            return False
        member.flush_number = flush.number
        return True

    def fail(self) -> None:
        """A flush that cannot be made: nobody knows what the members have got, so they come back and ask."""
        self.pending = []
        self.pending_bytes = 0
        self.flush = None
        self.scheduled = False
        for member in [*self.members, *self.behind]:
            member.give_up()

    def _begin(self) -> Flush:
        entries = self.pending
        self.pending = []
        self.pending_bytes = 0
        self.flush_number += 1
        encoding = self.encoding
        is_taken = bool(self.members)  # else it is left to the rings, and encoded for who reads them
        frames: list[bytes] = []
        broken = False
        for entry in entries:
            if type(entry) is Notice:
                if is_taken:
                    frames.append(wire.dress(entry.data, encoding))
                continue
            if is_taken:
                frames.append(entry.frames[encoding] or wire.encode(entry, encoding))
            if type(entry) is GapMark:
                broken = breaks(entry, encoding)
            elif self.lanes and entry.topic in self.lanes:
                self.lanes[entry.topic].flushed_now(entry)
                if is_taken and encoding is Encoding.SSE:
                    frames[-1] = wire.without_id(frames[-1])  # others may have overtaken it (core/resume.py)
                continue
            self.flushed = entry.serial
            if broken:
                break
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        self.flush = flush = Flush(entries, frames, data, self.flush_number, broken)
        self.carried = len(entries)
        self.messages += len(frames)
        self.bytes += len(data)
        return flush

    def fall_behind(self, member: Subscriber, flush: Flush, taken: int) -> None:
        """The socket took `taken` bytes: the member keeps the rest of this flush within its bound, and its
        positions."""
        kept, end = 0, 0
        for frame in flush.frames:
            # The frame that was cut has to be finished, and with an empty buffer nobody would call us again: keep one
            # at least. What does not fit after it is left to the rings.
            if kept and end >= taken and end + len(frame) > taken + MAX_REST_BYTES:
                break
            kept += 1
            end += len(frame)
        self.quit(member, len(flush.frames) - kept, len(flush.data) - end)
        member.sink.write(flush.rest(taken, end))
        # What came while the flush was under way is for members only, and it is none any more.
        missed = flush.entries[kept:] + self.pending
        for entry in missed:
            if type(entry) is Notice:
                member.tell(entry.data)
        self.behind[member] = None
        member.lagging = Lagging(member, self.positions(missed), self.flushed)
        member.lagging.cohort = self
        self.flusher.counters.lagged += 1
        member.lagging.wait_for_socket()

    def _end(self, flush: Flush) -> None:
        self.flush = None
        counters = self.flusher.counters
        counters.flushes += 1
        members = len(self.members)
        counters.delivered += len(flush.frames) * members
        counters.delivered_bytes += len(flush.data) * members
        if flush.broken:
            for member in (*self.members, *self.behind):
                member.sink.close(CLOSE_POSITION_LOST)
            return
        if self.waiting:
            self._admit_waiting()
        # To step in costs as much as there are topics; so did what came before it, to be made or to step out.
        if 0 < len(self.members) <= SMALL_MEMBERS:
            step_in(self)
        elif self.behind and not (self.members or self.pending or self.lanes or self.encoding is Encoding.RAW):
            self._step_aside()  # but for those whom a gap closes

    def _admit_waiting(self) -> None:
        """A flush has ended: those who had more than it can join now."""
        waiting, self.waiting = self.waiting, {}
        for member in waiting:
            assert member.lagging is not None
            member.lagging.produce()
