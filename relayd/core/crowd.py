"""Crowds: the small cohorts of one topic, flushed together and counted together.

Where every browser has topics of its own choice, each is a cohort of one, and to keep the books of each would cost more
than to send to it. So a small cohort with nothing pending steps into the crowd of each of its topics. From then on an
entry of a topic (a publication, a gap) or a notice about it is one `CrowdFlush` for all of them, whatever their number:
nothing of a cohort is touched, since the crowd counts what was sent.

Whatever concerns one cohort alone (somebody comes, goes or has something buffered), and a gap that closes its readers,
makes it step out of all of its crowds: it takes over what they counted for it, and what they were still to send it is
pending in it. Then it is flushed by itself, until it steps in again.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Final, final

import msgspec

from relayd.core import wire
from relayd.core.flush import Flush, Notice, breaks, leave_behind
from relayd.core.publication import Encoding, Entry, GapMark
from relayd.core.volley import Volley, offer, ports_of

if TYPE_CHECKING:
    from relayd.core.cohort import Cohort
    from relayd.core.counters import HubCounters
    from relayd.core.flusher import Flusher
    from relayd.core.subscriber import Subscriber

#: A crowd is offered a publication in blocks, so that accepts and reads are never starved. A turn has room for one
#: (core/flusher.py).
BLOCK_MEMBERS: Final = 500

#: Cohorts of so many may be in crowds. Beyond it a flush of its own costs a member little beside its send: 1.5 us of
#: bookkeeping over eight (measured, docs/design/fan-out.md).
SMALL_MEMBERS: Final = 8

_number_of = attrgetter("number")


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
        """Totals per member, of all that was given."""
        self.newest = 0
        """Serial of the newest entry among it."""

    def add(self, cohort: Cohort) -> None:
        """One more, from the next flush on."""
        self.cohorts[cohort] = None
        self._blocks = None

    def remove(self, cohort: Cohort) -> None:
        """One less, from the next flush on."""
        del self.cohorts[cohort]
        self._blocks = None

    def give(self, entry: Entry | Notice, flusher: Flusher) -> None:
        """One flush to all who are here now. It counts as sent; who steps out before it takes it back. What closes
        its readers makes them all step out."""
        if type(entry) is Notice:
            if self.encoding is Encoding.RAW:
                return
            frame = wire.dress(entry.data, self.encoding)
        else:
            if type(entry) is GapMark and breaks(entry, self.encoding):
                for cohort in list(self.cohorts):
                    cohort.step_out()
                return
            self.newest = entry.serial
            frame = entry.frames[self.encoding] or wire.encode(entry, self.encoding)
        self.messages += 1
        self.bytes += len(frame)
        if self._blocks is None:
            self._blocks = _blocks_of(self.cohorts)
        blocks = self._blocks
        flush = CrowdFlush(self, entry, frame, blocks, len(self.cohorts), len(blocks[0].members))
        self.flushes.append(flush)
        flusher.want_crowd(flush)


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


@final
class CrowdFlush(msgspec.Struct, eq=False, gc=False):
    """One entry on its way to a crowd, block by block. One is made per message, in C; the circle by which its crowd
    holds it is opened when it is over."""

    crowd: Crowd
    entry: Entry | Notice
    frame: bytes
    blocks: list[Block]
    left: int
    """Cohorts that are still to be offered it; 0: it is over."""
    next_members: int
    """How many members the next block has, those struck among them."""
    number: int = 0
    """Its place among those of all crowds, from one on, given by the flusher."""
    passed: int = 0
    """Blocks that were offered it."""
    is_struck: bool = False
    """Whether some of the blocks' cohorts are not to be offered it."""
    offered: Iterable[Cohort] = ()
    """Whom it is being offered to."""

    def is_for(self, cohort: Cohort) -> bool:
        """Whether this cohort of the crowd is still to be offered it."""
        return self.number > cohort.crowd_number and any(cohort in block.cohorts for block in self.to_come)

    @property
    def to_come(self) -> list[Block]:
        """Blocks that are still to be offered it."""
        return self.blocks[self.passed :]

    def strike(self) -> None:
        """One of those left gets it in another way: its `crowd_number` says which."""
        self.is_struck = True
        self.left -= 1

    def flush_block(self, volley: Volley | None, counters: HubCounters) -> int:
        """Offer it to the next block. Returns how many members were offered it."""
        if not self.left:
            return 0
        block = self.blocks[self.passed]
        cohorts = self.offered = block.cohorts
        if self.is_struck:
            block = Block(cohort for cohort in cohorts if cohort.crowd_number < self.number)
            cohorts = self.offered = block.cohorts
        self.left -= len(cohorts)
        self.passed += 1
        if self.left:
            self.next_members = len(self.blocks[self.passed].members)
        if not cohorts:
            return 0
        members, data = block.members, self.frame
        if block.ports is None and volley is not None and len(members) >= volley.least:
            block.ports = ports_of(members)
        short = offer(members, data, volley, block.ports) if data else ()
        whole = len(members) - len(short)
        counters.flushes += 1
        counters.delivered += whole
        counters.delivered_bytes += whole * len(data)
        if short:
            leave_behind(short, together((self,)))
        return len(members)

    def fail(self) -> None:
        """It could not be offered to some: nobody knows what they have got, so they come back and ask."""
        for cohort in self.offered:
            cohort.step_out()
            cohort.fail()


def together(flushes: Sequence[CrowdFlush]) -> Flush:
    """What somebody was offered at once, as of a cohort of its own."""
    frames = [flush.frame for flush in flushes]
    return Flush([flush.entry for flush in flushes], frames, b"".join(frames))


def _under_way(cohort: Cohort) -> list[CrowdFlush]:
    """What is still to come to this one, in its order."""
    number = cohort.crowd_number
    flushes = [
        flush
        for crowd in cohort.crowds
        for flush in crowd.flushes
        if flush.number > number and (not flush.passed or flush.is_for(cohort))
    ]
    flushes.sort(key=_number_of)
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
    cohort.crowd_number = cohort.flusher.crowd_number


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
    cohort.crowd_number = cohort.flusher.crowd_number
    for flush in under_way:
        flush.strike()
        entry = flush.entry
        cohort.messages -= 1
        cohort.bytes -= len(flush.frame)
        if type(entry) is not Notice:
            cohort.flushed = min(cohort.flushed, entry.serial - 1)
        cohort.add(entry)
