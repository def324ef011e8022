"""CPU time that a server costs: that of its processes, and what the kernel charges to a thread of its own."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a server has cost so far, or between two moments."""

    processes_s: float
    softirq_s: float | None  # of the kernel's thread; None where it cannot be seen

    @property
    def total_s(self) -> float:
        """All that is known of."""
        return self.processes_s + (self.softirq_s or 0.0)

    def since(self, before: Cost) -> Cost:
        """What came to it after `before`."""
        # The same thread is seen at both moments or at none.
        more_s = None if self.softirq_s is None or before.softirq_s is None else self.softirq_s - before.softirq_s
        return Cost(self.processes_s - before.processes_s, more_s)

    def us_each(self, count: int) -> float:
        """All of it in microseconds, over `count` pieces of work; NaN of none."""
        return self.total_s * 1e6 / count if count else float("nan")

    def softirq_us_each(self, count: int) -> float | None:
        """The thread's part of that; None where it cannot be seen."""
        return None if self.softirq_s is None else Cost(self.softirq_s, None).us_each(count)


def process_s(pid: int) -> float:
    """CPU seconds (user and system) of one process, a thread of the kernel's included. OSError when there is none.

    Read from its CPU clock: the same sum as utime + stime in /proc/PID/stat, in ns instead of ticks.
    """
    return time.clock_gettime(~pid << 3 | 2)  # CPUCLOCK_SCHED of a process, as clock_getcpuclockid(3) makes it


def softirq_s(core: int, proc: Path = PROC) -> float | None:
    """CPU seconds of ksoftirqd on this core; None where it cannot be seen, as in a container.

    A kernel that wakes this thread during a long system call may charge the rest of the call to it and not to the
    caller (Linux 6.18; docs/design/fan-out.md). Where the thread does work of its own, it delivers the packets that the
    server has sent. Either way the time was spent on the server's core for the server.
    """
    pid = _ksoftirqd(core, proc)
    if pid is not None:
        with contextlib.suppress(OSError):
            return process_s(pid)
    return None


@cache
def _ksoftirqd(core: int, proc: Path) -> int | None:
    for comm in proc.glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if comm.read_text().strip() == f"ksoftirqd/{core}":
                return int(comm.parent.name)
    return None
