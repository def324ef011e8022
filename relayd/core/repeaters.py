"""Addresses from which connections were closed for too much a moment ago.

Who is closed and comes back at once has a new connection, and with it a new account of what it may ask for. So what was
closed is remembered by address for a while, and who comes from there meanwhile

* begins with less: half of what is allowed at once, after the second close a quarter (core/effort.py),
* waits for its turn behind everybody else with all it says, one share of a turn for all of these together
  (core/turns.py).

Nobody is refused for what a neighbour did: behind one router a page with all the topics it may have still gets them at
its first request, some turns of the loop later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from relayd.core.counters import ListenerCounters

#: How long a close is remembered after the last one (guess: an honest client waits for 1 to 30 s before it comes back).
REMEMBERED_S: Final = 10.0
#: Addresses at once, 200 bytes each; the one that was quiet for longest is forgotten first (guess).
ADDRESSES_MOST: Final = 4_096


class Repeaters:
    """By address, as core/address.client_key has it; None is nobody (a unix socket)."""

    def __init__(self, monotonic: Callable[[], float], counters: ListenerCounters) -> None:
        self._monotonic = monotonic
        self._counters = counters
        self._closed: dict[str, tuple[int, float]] = {}
        """How often, and until when that counts; ascending by the time."""

    def closed(self, address: str | None) -> None:
        """A connection from there was closed for too much."""
        if address is None:
            return
        times = self.times(address)
        self._closed.pop(address, None)
        if len(self._closed) >= ADDRESSES_MOST:
            del self._closed[next(iter(self._closed))]
            self._counters.repeaters_forgotten += 1
        self._closed[address] = (times + 1, self._monotonic() + REMEMBERED_S)

    def times(self, address: str | None) -> int:
        """How often that was so, as far as it is remembered."""
        if address is None:
            return 0
        times, until = self._closed.get(address, (0, 0.0))
        return times if self._monotonic() < until else 0
