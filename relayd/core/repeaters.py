"""Addresses from which connections were closed for too much a moment ago.

Who is closed and comes back at once has a new connection, and with it a new account of what it may ask for. So what was
closed is remembered by address for a while, and who comes from there meanwhile

* begins with less: half of what is allowed at once, after the second close a quarter (core/effort.py),
* waits for its turn behind everybody else with all it says, one share of a turn for all of these together
  (core/turns.py),
* stands before the door: each close keeps it shut to that address for a tenth of a second more, so that no more than
  ten visits a second end that way, however fast they come. Opening and closing a connection costs more than many a
  flood does until it is closed (measured: 400 visits a second took a third of a core).

Nobody is refused for what a neighbour did: behind one router a page is let in some seconds later at most, and with all
the topics it may have still gets them at its first request, some turns of the loop later. Who stands before the door
waits for the time that was told when it came: closes that come after that keep out only who comes after them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from relayd.core.counters import ListenerCounters

#: How long a close is remembered after the last one (guess: an honest client waits for 1 to 30 s before it comes back).
REMEMBERED_S: Final = 10.0
#: Addresses at once, 200 bytes each; the one that was quiet for longest is forgotten first (guess).
ADDRESSES_MOST: Final = 4_096
#: For how long one close keeps the door shut (a visit takes up to 3 ms of CPU: ten a second are 3 % of a core).
SHUT_S: Final = 0.1
#: And many closes together at most, for the neighbours' sake; less than what a client has for its request while many
#: wait (core/guard.py, 5 s).
SHUT_MOST_S: Final = 4.0


class _Closes(NamedTuple):
    """Of one address."""

    times: int
    until: float  # when they are forgotten
    opens_at: float


class Repeaters:
    """By address, as core/address.client_key has it; None is nobody (a unix socket)."""

    def __init__(self, monotonic: Callable[[], float], counters: ListenerCounters) -> None:
        self._monotonic = monotonic
        self._counters = counters
        self._closed: dict[str, _Closes] = {}
        """Ascending by the time when they are forgotten."""

    def closed(self, address: str | None) -> None:
        """A connection from there was closed for too much."""
        if address is None:
            return
        times, now = self.times(address), self._monotonic()
        before = self._closed.pop(address, None)
        if len(self._closed) >= ADDRESSES_MOST:
            del self._closed[next(iter(self._closed))]
            self._counters.repeaters_forgotten += 1
        opens_at = max(now, before.opens_at if before is not None else now) + SHUT_S
        self._closed[address] = _Closes(times + 1, now + REMEMBERED_S, min(opens_at, now + SHUT_MOST_S))

    def times(self, address: str | None) -> int:
        """How often that was so, as far as it is remembered."""
        closes = self._closed.get(address) if address is not None else None
        return closes.times if closes is not None and self._monotonic() < closes.until else 0

    def opens_at(self, address: str | None) -> float | None:
        """When the door is open for who comes from there now; None: it is."""
        closes = self._closed.get(address) if address is not None else None
        return closes.opens_at if closes is not None and self._monotonic() < closes.opens_at else None
