"""`twistd` with a gauge: the longest time for which one client held the event loop.

    python -m tests.attack.watched GAUGE [arguments of twistd ...]

Each call by which bytes of one connection are worked on (its read, and the turns that it has when there was more), and
each call that accepts connections, is timed in CPU time of the thread, so that pauses of the machine do not count; nor
does the garbage collector, which falls upon whoever is there when 50,000 objects are new. The longest is in the file
GAUGE, a float64 that the other side sets to 0.

A message `{"op":"hold"}` holds the loop for 30 ms: what a run of attacks must find to be a miss, or its judgement is
worth nothing.
"""

from __future__ import annotations

import gc
import mmap
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.internet import tcp
from twisted.scripts import twistd

from relayd.core.downstream import DownstreamSession
from relayd.core.turns import Turns

FORMAT: Final = struct.Struct("d")
HOLD: Final = b'{"op":"hold"}'
HOLD_S: Final = 0.030


class Gauge:
    """A number that two processes see."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(FORMAT.size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), FORMAT.size)

    @property
    def longest_s(self) -> float:
        """The longest hold since `reset`, in seconds of CPU."""
        found: float = FORMAT.unpack_from(self._memory)[0]
        return found

    def reset(self) -> None:
        """Begin anew."""
        FORMAT.pack_into(self._memory, 0, 0.0)

    def hear(self, seconds: float) -> None:
        """One hold."""
        if seconds > self.longest_s:
            FORMAT.pack_into(self._memory, 0, seconds)


class Collector:
    """How long the garbage collector took, in seconds of CPU."""

    def __init__(self) -> None:
        self.took_s = 0.0
        self._began = 0.0

    def __call__(self, phase: str, _: object) -> None:
        """As gc.callbacks are called."""
        if phase == "start":
            self._began = time.thread_time()
        else:
            self.took_s += time.thread_time() - self._began


def watch(gauge: Gauge) -> None:
    """Time what is done for clients from now on."""

    collector = Collector()
    gc.callbacks.append(collector)

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(self: Any, *args: Any) -> Any:
            began, collected_s = time.thread_time(), collector.took_s
            try:
                return call(self, *args)
            finally:
                gauge.hear(time.thread_time() - began - (collector.took_s - collected_s))

        return wrapped

    # What the reactor calls, whichever reactor it is.
    server: Any = tcp.Server
    port: Any = tcp.Port
    turns: Any = Turns
    server.doRead, server.doWrite = timed(server.doRead), timed(server.doWrite)
    port.doRead = timed(port.doRead)
    turns._next = timed(turns._next)


def hold_when_told() -> None:
    """Let a message hold the loop."""
    session: Any = DownstreamSession
    text = session.text

    def held(self: Any, payload: bytes) -> None:
        if payload != HOLD:
            text(self, payload)
            return
        until = time.thread_time() + HOLD_S
        while time.thread_time() < until:
            pass

    session.text = held


if __name__ == "__main__":
    watch(Gauge(Path(sys.argv[1])))
    hold_when_told()
    sys.argv = ["twistd", *sys.argv[2:]]
    twistd.run()
