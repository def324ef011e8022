"""Small cohorts that wait for the same one publication are flushed together.

Where every browser has topics of its own choice, each is a cohort of one, and a publication makes as many cohorts ready
as it has readers. They stand in a row in the flusher, all with the same single entry pending: their members are offered
its frame as if they were one cohort, in one volley, and each cohort is told that it has been flushed. What is larger,
merged, rated or already under way takes the long way (`Cohort.flush_slice`), with the same result.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from relayd.core import wire
from relayd.core.flush import Flush
from relayd.core.publication import Publication
from relayd.core.volley import Volley, offer

if TYPE_CHECKING:
    from relayd.core.cohort import Cohort
    from relayd.core.counters import HubCounters
    from relayd.core.subscriber import Subscriber


def flush_gathered(ready: deque[Cohort], budget: int, volley: Volley | None, counters: HubCounters) -> int:
    """Flush the small cohorts at the head of `ready` that wait for the same publication alone, and take them from it.

    Returns how many members were offered it; 0 when the first cohort is not of that kind, which is then left there.
    """
    first = ready[0]
    entry = first.lone
    if type(entry) is not Publication or not first.is_small:
        return 0
    encoding = first.encoding
    frame = entry.frames[encoding] or wire.encode(entry, encoding)
    size, serial = len(frame), entry.serial
    members: list[Subscriber] = []
    waited: list[Cohort] = []
    taken = 0
    # This loop is what a delivery costs beside the kernel: it touches what must change and nothing else. The number of
    # the flush stays as it is, since it only tells who has a flush that goes in slices.
    for cohort in ready:
        if (
            cohort.lone is not entry
            or cohort.encoding is not encoding
            or not cohort.is_small
            or len(members) >= budget
        ):
            break
        taken += 1
        cohort.lone = None  # so that one which stands here twice is not flushed twice
        cohort.pending.clear()
        cohort.pending_bytes = 0
        cohort.flushed = serial
        cohort.messages += 1
        cohort.bytes += size
        cohort.scheduled = False
        members += cohort.members
        if cohort.waiting:
            waited.append(cohort)
    for _ in range(taken):
        ready.popleft()
    offered = len(members)
    for member, took in offer(members, frame, volley):
        assert member.cohort is not None
        flush = Flush([entry], [frame], member.cohort.flush_number, broken=False)
        try:
            member.cohort.fall_behind(member, flush, took)
        except Exception:
            member.fault()
    counters.flushes += 1
    counters.delivered += offered
    counters.delivered_bytes += offered * size
    for cohort in waited:
        cohort.admit_waiting()
    return offered

