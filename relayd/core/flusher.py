"""When a cohort is flushed: the merge rule.

    Publications gather in the cohort and are flushed on the next reactor turn. Only if the last flush carried two
    publications or more does the next one start no sooner than HOLD_SHARE x EWMA(flush cost) after its end.

So an idle relay adds a turn of the reactor and nothing else, and a busy one merges: the longer a flush takes, the more
the next one carries. A fixed interval wastes one or the other (figures in docs/performance.md).

What goes to small cohorts goes to them as crowds (core/crowd.py): one entry or notice after the other, held back by
nothing but those before it, and merged where several stand.

Long flushes go in slices of SLICE_MEMBERS, so that accepts, pongs and upstream reads are never starved.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from relayd.core.counters import HubCounters
from relayd.core.crowd import BLOCK_MEMBERS, CrowdFlush
from relayd.core.merge import Merge, is_dense, take_run
from relayd.core.mishap import CATCHING_UP, FLUSH, Report, let_it_out
from relayd.core.stalls import Stalls
from relayd.core.volley import Volley

if TYPE_CHECKING:
    from relayd.core.cohort import Cohort
    from relayd.core.lagging import Lagging
    from relayd.core.lane import Lane

# Measured at 500 clients x 50/s, 1,000 x 1,000/s and 5,000 x 20/s: p50 1.7, 8.5 and 16 ms with these three; a larger
# share trebles the latency of big slow cohorts and saves nothing (design section 3).
HOLD_SHARE = 0.5
EWMA_ALPHA = 0.3
HOLD_MAX_S = 0.020
# 500 sends are about 3 ms (6 us each with the copying of a merged flush; measured). A block of a crowd has to fit in.
SLICE_MEMBERS = BLOCK_MEMBERS
# Lagging clients that could go on at once and gave way: so many of them per turn, each at most 512 KiB.
CHORES_PER_TURN = 32


class Flusher:
    """Owns the order of flushes. `call_later(delay_s, f)` wakes it; `next_turn(f)` has it called on the reactor's next
    turn, where there is a shorter way to that. It asks for one call of each at a time."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], object],
        counters: HubCounters,
        volley: Volley | None = None,
        report: Report = let_it_out,
        next_turn: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self.counters = counters
        self.volley = volley
        """How the cohorts send to many at once; None: one by one."""
        self.stalls = Stalls(monotonic)
        """Who waits for its socket."""
        self.report = report
        """Hears of exceptions that nobody foresaw, while they are handled."""
        self._monotonic = monotonic
        self._call_later = call_later
        self._next_turn = next_turn or partial(call_later, 0.0)
        self.crowd_number = 0
        """Of the newest flush of a crowd: they are numbered in their order, whatever the crowd."""
        self._ready: deque[Cohort | CrowdFlush | Merge] = deque()
        self._held: list[tuple[float, int, Cohort | Lane]] = []
        self._order = count()
        self._chores: deque[Lagging] = deque()
        self._turn = self._run
        """Bound once."""
        self._turn_asked = False
        self._timer_at: float | None = None

    # -- asked by cohorts ---------------------------------------------------------------------------------------------

    def want(self, cohort: Cohort, now: float) -> None:
        """The cohort has its first pending entry, arrived at `now`."""
        if cohort.not_before > now:
            self.at(cohort.not_before, cohort)
            return
        self._ready.append(cohort)
        if not self._turn_asked:  # as `_ask_turn`, without a call on the way of every publication
            self._turn_asked = True
            next_turn = self._next_turn
            next_turn(self._turn)

    def want_crowd(self, flush: CrowdFlush) -> None:
        """A flush of a crowd, which gets its number: it is never held back, since each is of one entry."""
        self.crowd_number = flush.number = self.crowd_number + 1
        self._ready.append(flush)
        if not self._turn_asked:
            self._turn_asked = True
            next_turn = self._next_turn
            next_turn(self._turn)

    def ready(self, cohort: Cohort) -> None:
        """Flush this cohort at the next turn. Asked twice, it is flushed once: nothing is pending the second time."""
        self._ready.append(cohort)
        self._ask_turn()

    def at(self, when: float, what: Cohort | Lane) -> None:
        """Call `what.beat` at that monotonic time."""
        heapq.heappush(self._held, (when, next(self._order), what))
        self._ask_timer(when)

    def defer(self, lagging: Lagging) -> None:
        """A lagging subscriber gave way to others."""
        self._chores.append(lagging)
        self._ask_turn()

    # -- run by the reactor -------------------------------------------------------------------------------------------

    def _ask_turn(self) -> None:
        if not self._turn_asked:
            self._turn_asked = True
            self._next_turn(self._turn)

    def _ask_timer(self, when: float) -> None:
        # A call asked for a later time stays: it finds nothing due, which is cheaper than cancelling each.
        if self._timer_at is None or when < self._timer_at:
            self._timer_at = when
            self._call_later(max(0.0, when - self._monotonic()), self._timer)

    def _timer(self) -> None:
        self._timer_at = None
        now = self._monotonic()
        while self._held and self._held[0][0] <= now:
            held = heapq.heappop(self._held)[2]
            try:
                held.beat(now)
            except Exception:
                self.report(FLUSH)
        if self._held:
            self._ask_timer(self._held[0][0])

    def _run(self) -> None:
        """One turn: up to a slice of members, and a bounded number of chores."""
        self._turn_asked = False
        budget = SLICE_MEMBERS
        ready = self._ready
        while ready and budget > 0:
            first = ready[0]
            if type(first) is CrowdFlush:
                if len(ready) > 1 and first.left and is_dense(first):
                    ready.appendleft(Merge(take_run(ready)))
                    continue
                if first.next_members > budget:
                    break
                try:
                    budget -= first.flush_block(self.volley, self.counters) or 1
                except Exception:  # as with a cohort of its own
                    self.report(FLUSH)
                    first.fail()
                    budget -= 1
                if not first.left:
                    first.crowd.flushes.popleft()
                    ready.popleft()
            elif type(first) is Merge:
                try:
                    budget -= first.flush_slice(budget, self.volley, self.counters) or 1
                except Exception:
                    self.report(FLUSH)
                    first.fail()
                    budget -= 1
                if first.is_over:
                    ready.popleft()
            else:
                budget -= self._flush_slice(first, budget)
                if first.flush is not None:
                    break
                ready.popleft()
        if self._chores:
            self._do_chores()
        if ready or self._chores:
            self._ask_turn()

    def _flush_slice(self, cohort: Cohort, budget: int) -> int:
        """Its next members. Returns what that used of the turn's budget."""
        if not cohort.pending and cohort.flush is None:
            return 0
        monotonic = self._monotonic
        begun = monotonic()
        try:
            offered = cohort.flush_slice(budget)
        except Exception:  # its members may have lost something, so they are closed; the other cohorts go on
            self.report(FLUSH)
            cohort.fail()
            return 0
        ended = monotonic()
        cohort.spent_s += ended - begun
        if cohort.flush is None:  # it is over: when may the next one begin?
            cohort.cost_s += EWMA_ALPHA * (cohort.spent_s - cohort.cost_s)
            cohort.spent_s = 0.0
            cohort.not_before = ended + min(HOLD_SHARE * cohort.cost_s, HOLD_MAX_S) if cohort.carried > 1 else 0.0
            cohort.scheduled = bool(cohort.pending)
            if cohort.pending:
                self.want(cohort, ended)
        return offered or 1

    def _do_chores(self) -> None:
        for _ in range(min(CHORES_PER_TURN, len(self._chores))):
            lagging = self._chores.popleft()
            try:
                lagging.produce()
            except Exception:
                self.report(CATCHING_UP)
                lagging.subscriber.give_up()
