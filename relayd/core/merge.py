"""A merge: what waits in the flusher for crowds, turned round: each cohort is sent at once all that it waits for.

A publication to a crowd is one volley, however many stand behind it. That is the quickest way, and the dearest in
sends: a relay that is behind has several publications for the same browser in its hands. So where the cohorts that are
looked at wait for DENSE each, all flushes of crowds that stand at the head become one merge. It lists what each cohort
waits for, and then goes through the list by slices of a turn, each one call of the kernel with bytes of its own for
each member.

The further a relay is behind, the more goes into one send, and the less a delivery costs: that bounds its backlog.

A cohort that was served, or has stepped out, is known by its `crowd_number`, as in every flush of a crowd. So whoever
asks between two turns what is still to come to it (core/crowd.py) gets the right answer.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import TYPE_CHECKING, Final, final

from relayd.core.crowd import Block, CrowdFlush, together
from relayd.core.flush import leave_behind
from relayd.core.volley import NO_PORT, Volley, offer, ports_of, short_of

if TYPE_CHECKING:
    from relayd.core.cohort import Cohort
    from relayd.core.counters import HubCounters
    from relayd.core.subscriber import Subscriber

#: Publications that a cohort waits for on average, from which on they are merged. One more in the same send costs
#: 0.5 us in place of 7; to make the lists, and each send of its own, costs 1.5 us a cohort. From 1.5 on a relay that
#: could keep up stays behind, and from 2.5 on it is later than it need be (docs/design/fan-out.md).
DENSE: Final = 2.0
#: How many cohorts are looked at for that, 2 us in all; and, where these wait for so many, how many to be sure.
DENSE_LOOKS: Final = (4, 20)
#: What one member is sent of it, and so what a merge takes up: as a flush of a cohort (core/cohort.py).
BYTES_MOST: Final = 1 << 20
#: Deliveries that one merge takes up: such as ten notices to each of 5,000 cohorts, when all topics change their state.
DELIVERIES_MOST: Final = 50_000
#: Of those so many are listed a turn: 0.36 us each, together as long as the sends of a turn (measured).
LISTED_PER_TURN: Final = 10_000
#: So many that go with others in one send take a turn as long as one member more, 8 us and up (measured).
PER_MEMBER: Final = 32


def is_dense(flush: CrowdFlush) -> bool:
    """Whether those who are offered this one next wait for so many more that they are worth a merge."""
    return all(_wait_for(flush.blocks[flush.passed].cohorts, looks) >= DENSE for looks in DENSE_LOOKS)


def _wait_for(cohorts: Iterable[Cohort], looks: int) -> float:
    """How many flushes, on average of the first so many."""
    some = list(islice(cohorts, looks))
    return sum(len(crowd.flushes) for cohort in some for crowd in cohort.crowds) / len(some)


def take_run(ready: deque[Cohort | CrowdFlush | Merge]) -> list[CrowdFlush]:
    """Take the flushes of crowds that stand at the head, as many as one merge takes up, but one at least."""
    run: list[CrowdFlush] = []
    size = deliveries = 0
    while ready and isinstance(flush := ready[0], CrowdFlush):
        size += len(flush.frame)
        deliveries += flush.left
        if run and (size > BYTES_MOST or deliveries > DELIVERIES_MOST):
            break
        run.append(flush)
        ready.popleft()
    return run


@final
class Merge:
    """Flushes of crowds on their way together, in the order of their numbers. No older one is under way."""

    __slots__ = ("_due", "_flushes", "_left", "_offered", "_ports", "_unlisted", "is_over")

    def __init__(self, flushes: Sequence[CrowdFlush]) -> None:
        self.is_over = False
        """Whether everybody was offered what it waited for."""
        self._flushes = flushes
        self._unlisted = ((flush, block) for flush in flushes for block in flush.to_come)
        self._due: dict[Cohort, list[bytes]] = {}
        """The frames that each cohort waits for, in their order."""
        self._ports: list[int] = []
        """The port of each of these, or NO_PORT."""
        self._left: Iterator[tuple[tuple[Cohort, list[bytes]], int]] | None = None
        """Those of them that were not looked at yet; None: the list is not whole."""
        self._offered: list[Cohort] = []
        """Whom it is being offered to."""

    def flush_slice(self, budget: int, volley: Volley | None, counters: HubCounters) -> int:
        """Offer to the next cohorts, until the budget of members is used. Returns what was used of it."""
        if self._left is None:
            if not self._list():
                return budget
            self._left = zip(self._due.items(), self._ports, strict=True)
        number = self._flushes[-1].number
        fire_each = None if volley is None else volley.fire_each
        offered = self._offered = []
        alone: list[Cohort] = []
        ports: list[int] = []
        portions: list[bytes] = []
        used = size = messages = 0
        for (cohort, frames), port in self._left:
            if cohort.crowd_number >= number:
                continue  # it has stepped out
            cohort.crowd_number = number
            offered.append(cohort)
            portion = b"".join(frames)
            if port and fire_each is not None and portion:
                alone.append(cohort)
                ports.append(port)
                portions.append(portion)
                members = 1
            else:
                members = len(cohort.members)
                if portion:  # else the jump in offsets tells it
                    self._leave_behind(offer(cohort.members, portion), counters)
            used += members
            messages += len(frames) * members
            size += len(portion) * members
            if used + messages // PER_MEMBER >= budget or size >= BYTES_MOST:
                break
        else:
            self._end()
        counters.flushes += len(offered)
        counters.delivered += messages
        counters.delivered_bytes += size
        if ports and fire_each is not None and (answers := fire_each(array("Q", ports), portions)) is not None:
            self._leave_behind(short_of([one.members[0] for one in alone], answers, map(len, portions)), counters)
        return used + messages // PER_MEMBER

    def _list(self) -> bool:
        """List a turn's share of it. Returns whether the list is whole."""
        due, listed = self._due, 0
        for flush, block in self._unlisted:
            number, frame, is_struck = flush.number, flush.frame, flush.is_struck
            for cohort, port in zip(block.cohorts, _ports(block), strict=False):
                if is_struck and cohort.crowd_number >= number:
                    continue
                frames = due.get(cohort)
                if frames is None:
                    due[cohort] = [frame]
                    self._ports.append(port)
                else:
                    frames.append(frame)
            listed += len(block.cohorts)
            if listed >= LISTED_PER_TURN:
                return False
        return True

    def fail(self) -> None:
        """Some could not be offered theirs: nobody knows what they have got, so they come back and ask."""
        for cohort in self._offered:
            cohort.step_out()
            cohort.fail()

    def _end(self) -> None:
        self.is_over = True
        for flush in self._flushes:
            flush.crowd.flushes.popleft()

    def _leave_behind(self, short: Iterable[tuple[Subscriber, int]], counters: HubCounters) -> None:
        for member, taken in short:
            flushes = self._given(member.cohort)
            counters.delivered -= len(flushes)
            counters.delivered_bytes -= sum(len(flush.frame) for flush in flushes)
            leave_behind([(member, taken)], together(flushes))

    def _given(self, cohort: Cohort | None) -> list[CrowdFlush]:
        """What this one was offered of it: the last so many for its crowds, since what it had got before is older."""
        assert cohort is not None
        flushes = [flush for flush in self._flushes if any(cohort in block.cohorts for block in flush.to_come)]
        return flushes[-len(self._due[cohort]) :]


def _ports(block: Block) -> Iterable[int]:
    """The port of each of its cohorts: NO_PORT where it has several members, or one that cannot be part of a volley."""
    if len(block.members) > len(block.cohorts):
        return repeat(NO_PORT)
    if block.ports is None:
        block.ports = ports_of(block.members)
    return block.ports or repeat(NO_PORT)
