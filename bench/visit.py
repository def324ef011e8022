"""Two relays side by side on one core, one of which is visited by clients that read nothing.

The other never has a client, and is the clock: what the machine's own pace does to both is left out of a ratio of the
two.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench import machine
from bench.peers.base import Peer
from bench.process import ProgramFailed
from bench.rig import Rig
from bench.workload import Workload

# Kernel memory of a client that takes nothing: 25 KiB when its sockets are full, 2 when nothing was sent to it.
STALLED_BYTES, SILENT_BYTES = 16 << 10, 8 << 10
WARM_S = 1.0  # rings and sockets are full; what has rested costs a tenth more in its first second
FILL_S = 1.0  # the sockets of the last clients, after they have come
GONE_WITHIN_S = 30.0
SPARE_DESCRIPTORS = 10  # of publishers that come and go meanwhile

Count = Callable[[Rig], tuple[int, int]]
"""How many publications a relay has been given and has taken, and when that was, in ns."""


class Turn(NamedTuple):
    """What one relay took in in a window."""

    messages: int
    seconds: float
    cpu_s: float  # of its processes alone: ksoftirqd is charged with time of all relays of the core

    @property
    def per_s(self) -> float:
        """Messages taken in a second."""
        return self.messages / self.seconds

    @property
    def cpu_us(self) -> float:
        """For each message."""
        return self.cpu_s * 1e6 / self.messages

    @property
    def share(self) -> float:
        """Part of the core it had."""
        return self.cpu_s / self.seconds


class Window(NamedTuple):
    """What two relays took in at the same time, on one core."""

    subject: Turn
    reference: Turn

    @property
    def pace(self) -> float:
        """The subject's rate by the reference's, which is the clock."""
        return self.subject.per_s / self.reference.per_s


@dataclass(frozen=True, slots=True)
class Visit:
    """The subject before, while and after clients stood at it that read nothing: one time those for whom messages wait,
    one time as many whose topic is silent."""

    before: Window
    silent: Window
    stalled: Window
    after: Window
    stayed: int
    """Clients that were still there at the end of `silent` and of `stalled`, the fewer."""

    @property
    def windows(self) -> tuple[Window, Window, Window, Window]:
        """All four."""
        return self.before, self.silent, self.stalled, self.after

    @property
    def waiting(self) -> float:
        """The rate with those for whom messages wait / with those for whom none come."""
        return self.stalled.pace / self.silent.pace

    @property
    def presence(self) -> float:
        """The rate with those for whom messages wait / with none at all."""
        return self.stalled.pace / math.sqrt(self.before.pace * self.after.pace)

    @property
    def least_share(self) -> float:
        """The smallest part of the core that either relay had in a window."""
        return min(turn.share for window in self.windows for turn in window)


@dataclass(frozen=True, slots=True)
class Visitors:
    """Two kinds of clients that read nothing, by what they subscribe to."""

    workload: Workload
    stalled: Peer
    """Their topic is the one that is published to."""
    silent: Peer
    """Theirs is another."""
    silent_first: bool
    """Who comes second finds a heap in which others have stood; so they take turns."""

    @property
    def in_order(self) -> tuple[Peer, Peer]:
        """Who comes first, and second."""
        return (self.silent, self.stalled) if self.silent_first else (self.stalled, self.silent)


def turns(count: Count, rigs: Sequence[Rig], seconds: float) -> list[Turn]:
    """What each of them takes in meanwhile. ProgramFailed if one takes in nothing."""
    first = [(*count(rig), rig.server.cpu_s()) for rig in rigs]
    time.sleep(seconds)
    last = [(*count(rig), rig.server.cpu_s()) for rig in rigs]
    took = [
        Turn(messages - messages0, (ns - ns0) / 1e9, cpu_s - cpu0_s)
        for (messages0, ns0, cpu0_s), (messages, ns, cpu_s) in zip(first, last, strict=True)
    ]
    if not all(turn.messages for turn in took):
        raise ProgramFailed(f"a relay took in nothing for {seconds:g} s: {took}")
    return took


def visit(count: Count, subject: Rig, reference: Rig, visitors: Visitors, seconds: float) -> Visit:
    """Two relays that are published to at full speed, at the same time: the scheduler gives each half of the core in
    slices of milliseconds, so that the machine's own pace, which changes by half within seconds, is the same for both.
    The reference has no client ever. Beside it the subject is measured before clients come, while each kind of them
    stands there, and after they have gone: a heap in which ten thousand have come and gone is slower than a fresh one,
    and that is not what they cost while they wait. Each window is so many seconds.
    """

    def window() -> Window:
        time.sleep(WARM_S)
        return Window(*turns(count, (subject, reference), seconds))

    def stay(peer: Peer) -> tuple[Window, int]:
        descriptors = subject.server.descriptors()
        with contextlib.ExitStack() as visiting:
            # They come and go in half of the time while the other rests: the first of them are pinged as they come, and
            # closed 20 s later.
            with reference.server.at_rest():
                visited = visiting.enter_context(subject.visited_by(visitors.workload, peer))
                time.sleep(FILL_S)
            _demand(visited, waits=peer is visitors.stalled)
            during = window()
            stayed = visitors.workload.connections - closed(visited)
            with reference.server.at_rest():
                visiting.close()
                _wait_until_gone(subject, descriptors)
        return during, stayed

    before = window()
    stays = {peer: stay(peer) for peer in visitors.in_order}
    return Visit(
        before,
        silent=stays[visitors.silent][0],
        stalled=stays[visitors.stalled][0],
        after=window(),
        stayed=min(stayed for _, stayed in stays.values()),
    )


def _demand(rig: Rig, *, waits: bool) -> None:
    """ProgramFailed unless the sockets of clients for whom messages wait are full, and those of others empty: else it
    is other clients that are there."""
    held_bytes = (machine.kernel_socket_bytes() - rig.kernel_before_bytes) // rig.place.workload.connections
    if waits and held_bytes < STALLED_BYTES:
        raise ProgramFailed(f"clients that read nothing hold {held_bytes} bytes each: nothing is sent to them")
    if not waits and held_bytes > SILENT_BYTES:
        raise ProgramFailed(f"clients of a silent topic hold {held_bytes} bytes each: something is sent to them")


def _wait_until_gone(rig: Rig, descriptors: int) -> None:
    """Until relayd has closed all who left. ProgramFailed when it does not."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while (more := rig.server.descriptors() - descriptors) > SPARE_DESCRIPTORS:
        if time.monotonic() > deadline:
            raise ProgramFailed(f"relayd holds {more} descriptors of clients that left {GONE_WITHIN_S:.0f} s ago")
        time.sleep(0.1)


def closed(rig: Rig) -> int:
    """Clients that relayd has closed so far; it ends their account."""
    final = rig.finish(0, 0.1)
    count: int = final.get("closed_others", 0) + final.get("closed_readers", 0)
    return count
