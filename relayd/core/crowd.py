"""Crowds: the small cohorts of one topic, flushed together and counted together.

Where every browser has topics of its own choice, each is a cohort of one, and to keep the books of each would cost more
than to send to it. So a small cohort with nothing pending steps into the crowd of each of its topics. From then on a
publication is one `CrowdFlush` for all of them, whatever their number: nothing of a cohort is touched, since the crowd
counts what was sent.

Whatever concerns one cohort alone (somebody comes, goes or has something buffered) or is more than a publication (a
notice, a gap) makes it step out of all of its crowds: it takes over what they counted for it, and what they were still
to send it is pending in it. Then it is flushed by itself, until it steps in again.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Final

from relayd.core import wire
from relayd.core.flush import Flush, Notice
from relayd.core.publication import Encoding, Entry, Publication
from relayd.core.volley import Volley, offer, ports_of

if TYPE_CHECKING:
    from relayd.core.cohort import Cohort
    from relayd.core.counters import HubCounters
    from relayd.core.subscriber import Subscriber

#: A crowd is offered a publication in blocks, so that accepts and reads are never starved. A turn has room for one
#: (core/flusher.py).
BLOCK_MEMBERS: Final = 500

#: Cohorts of so many may be in crowds. Beyond it a flush of its own costs a member little beside its send: 1.5 us of
#: bookkeeping over eight (measured, docs/design/fan-out.md).
SMALL_MEMBERS: Final = 8

#: Publications that wait for a cohort beside the one that it is offered, from which on it is sent them all at once: a
#: send of its own costs 4 us more than a part in a volley, and each further publication 6 less (measured).
DENSE: Final = 3.0
#: How many cohorts are looked at for that (guess: 2 us in all).
DENSE_LOOKS: Final = 4
#: Of that send, as of a flush (core/cohort.py).
MERGED_BYTES_MOST: Final = 1 << 20


class Block:
    """A part of a crowd as it was at one time. Never changed: who steps out is struck from the flushes instead."""

    __slots__ = ("cohorts", "members", "ports")

    def __init__(self, cohorts: Iterable[Cohort]) -> None:
        self.cohorts = dict.fromkeys(cohorts)
        self.members: list[Subscriber] = [member for cohort in self.cohorts for member in cohort.members]
        self.ports: array[int] | None = None
        """Those of all members (`core/volley.py`); None: not known. One that changes makes its cohort step out."""


class Crowd:
    """The small, quiet cohorts of one topic and encoding, and what each of them was sent of it."""

    __slots__ = ("_blocks", "bytes", "cohorts", "encoding", "flushes", "messages", "newest")

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.cohorts: dict[Cohort, None] = {}
        self.flushes: deque[CrowdFlush] = deque()
        """Under way, in their order."""
        self._blocks: list[Block] | None = None
        self.messages = 0
        self.bytes = 0
        """Totals per member, of all publications given to `flush_of`."""
        self.newest = 0
        """Serial of the last of them."""

    def add(self, cohort: Cohort) -> None:
        """One more, from the next publication on."""
        self.cohorts[cohort] = None
        self._blocks = None

    def remove(self, cohort: Cohort) -> None:
        """One less, from the next publication on."""
        del self.cohorts[cohort]
        self._blocks = None

    def flush_of(self, entry: Publication) -> CrowdFlush:
        """The flush of a publication to all who are here now. It counts as sent; who steps out before it takes it
        back."""
        frame = entry.frames[self.encoding] or wire.encode(entry, self.encoding)
        self.messages += 1
        self.bytes += len(frame)
        self.newest = entry.serial
        if self._blocks is None:
            self._blocks = _blocks_of(self.cohorts)
        flush = CrowdFlush(self, entry, frame, self._blocks)
        self.flushes.append(flush)
        return flush


def _blocks_of(cohorts: Iterable[Cohort]) -> list[Block]:
    blocks: list[Block] = []
    some: list[Cohort] = []
    room = BLOCK_MEMBERS
    for cohort in cohorts:
        if len(cohort.members) > room:
            blocks.append(Block(some))
            some, room = [], BLOCK_MEMBERS
        some.append(cohort)
        room -= len(cohort.members)
    return [*blocks, Block(some)]


class CrowdFlush:
    """One publication on its way to a crowd, block by block."""

    __slots__ = ("_blocks", "_crowd", "_next", "_struck", "entry", "frame")

    def __init__(self, crowd: Crowd, entry: Publication, frame: bytes, blocks: list[Block]) -> None:
        self._crowd = crowd
        self.entry = entry
        self.frame = frame
        self._blocks = blocks
        self._next = 0
        """Index of the block that is offered it next."""
        self._struck: set[Cohort] = set()

    @property
    def is_over(self) -> bool:
        """Whether there is nobody left to be offered it."""
        return self._next == len(self._blocks)

    @property
    def next_members(self) -> int:
        """How many members the next block has, those struck among them."""
        return len(self._blocks[self._next].members)

    def is_for(self, cohort: Cohort) -> bool:
        """Whether this cohort is still to be offered it."""
        return cohort not in self._struck and any(cohort in block.cohorts for block in self._blocks[self._next :])

    def strike(self, cohort: Cohort) -> None:
        """This one gets it in another way."""
        self._struck.add(cohort)

    def flush_block(self, volley: Volley | None, counters: HubCounters, *, stands_alone: bool) -> int:
        """Offer it to the next block. Returns the number of members. `stands_alone`: nothing else is to be flushed."""
        block = self._blocks[self._next]
        self._next += 1
        if self.is_over:
            self._crowd.flushes.popleft()
        if self._struck and not self._struck.isdisjoint(block.cohorts):
            block = Block(cohort for cohort in block.cohorts if cohort not in self._struck)
        if not block.members:
            return 0
        if not stands_alone and _is_dense(block.cohorts):
            for cohort in block.cohorts:
                self._flush_all(cohort, counters)
        else:
            self._flush_alone(block, volley, counters)
        return len(block.members)

    def _flush_alone(self, block: Block, volley: Volley | None, counters: HubCounters) -> None:
        """This publication, to all members at once."""
        members, frame = block.members, self.frame
        offered, size = len(members), len(frame)
        if block.ports is None and volley is not None and offered >= volley.least:
            block.ports = ports_of(members)
        for member, taken in offer(members, frame, volley, block.ports):
            _fall_behind(member, [self.entry], [frame], taken)
        counters.flushes += 1
        counters.delivered += offered
        counters.delivered_bytes += offered * size

    def _flush_all(self, cohort: Cohort, counters: HubCounters) -> None:
        """With it all that this cohort waits for beside it, by one send for each member."""
        entries: list[Entry | Notice] = [self.entry]
        frames = [self.frame]
        size = len(self.frame)
        for flush in _under_way(cohort):
            if size + len(flush.frame) > MERGED_BYTES_MOST:
                break
            flush.strike(cohort)
            entries.append(flush.entry)
            frames.append(flush.frame)
            size += len(flush.frame)
        data, members = b"".join(frames), list(cohort.members)
        for member in members:
            if (taken := member.send(data)) != size:
                _fall_behind(member, entries, frames, taken)
        self.strike(cohort)  # not before: `fail` is for those that are not
        counters.flushes += 1
        counters.delivered += len(members) * len(entries)
        counters.delivered_bytes += len(members) * size

    def fail(self) -> None:
        """The last block could not be offered it: nobody knows what its members have got, so they come back and ask."""
        for cohort in self._blocks[self._next - 1].cohorts:
            if cohort not in self._struck:
                cohort.step_out()
                cohort.fail()


def _fall_behind(member: Subscriber, entries: list[Entry | Notice], frames: list[bytes], taken: int) -> None:
    """The member took less than all."""
    assert member.cohort is not None
    try:
        member.cohort.fall_behind(member, Flush(entries, frames, 0, broken=False), taken)
    except Exception:
        member.fault()


def _is_dense(cohorts: Iterable[Cohort]) -> bool:
    """Whether some of these wait for so much that each is better sent to by itself, once for all of it."""
    some = list(islice(cohorts, DENSE_LOOKS))
    return sum(len(crowd.flushes) for cohort in some for crowd in cohort.crowds) >= DENSE * len(some)


def _under_way(cohort: Cohort) -> list[CrowdFlush]:
    """What is still to come to this one, in its order."""
    flushes = [flush for crowd in cohort.crowds for flush in crowd.flushes if flush.is_for(cohort)]
    flushes.sort(key=_serial_of)
    return flushes


def totals(cohort: Cohort) -> tuple[int, int]:
    """Messages and bytes that each member was sent, of a cohort in crowds."""
    messages, size = cohort.messages, cohort.bytes
    for crowd in cohort.crowds:
        messages += crowd.messages
        size += crowd.bytes
    for flush in _under_way(cohort):
        messages -= 1
        size -= len(flush.frame)
    return messages, size


def step_in(cohort: Cohort) -> None:
    """Into the crowds of all of its topics, if nothing concerns it alone. No flush is under way."""
    if cohort.pending or cohort.behind or cohort.lanes:
        return
    crowds = []
    for topic in cohort.topics:
        crowd = topic.crowds.get(cohort.encoding)
        if crowd is None:
            crowd = topic.crowds[cohort.encoding] = Crowd(cohort.encoding)
        crowd.add(cohort)
        cohort.messages -= crowd.messages
        cohort.bytes -= crowd.bytes
        del topic.cohorts[cohort]
        crowds.append(crowd)
    cohort.crowds = crowds


def step_out(cohort: Cohort) -> None:
    """Out of all of them, with the books in order and what was still to come pending."""
    under_way = _under_way(cohort)
    for topic, crowd in zip(cohort.topics, cohort.crowds, strict=True):
        crowd.remove(cohort)
        if not crowd.cohorts:
            del topic.crowds[cohort.encoding]
        cohort.messages += crowd.messages
        cohort.bytes += crowd.bytes
        cohort.flushed = max(cohort.flushed, crowd.newest)
        topic.cohorts[cohort] = None
    cohort.crowds = []
    for flush in under_way:
        flush.strike(cohort)
        cohort.messages -= 1
        cohort.bytes -= len(flush.frame)
        cohort.flushed = min(cohort.flushed, flush.entry.serial - 1)
        cohort.add(flush.entry)


def _serial_of(flush: CrowdFlush) -> int:
    return flush.entry.serial
