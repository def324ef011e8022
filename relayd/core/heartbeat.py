"""A sign of life for connections that have no ping: a comment in an event stream that was silent.

Proxies hang up on what is silent for long, and a connection whose other end is gone is found by writing to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

#: The longest silence of a stream (nginx's proxy_read_timeout and most load balancers cut at 60 s; the HTML standard
#: advises 15 s).
SILENCE_S: Final = 15.0
#: Each member is looked at this often, so that no silence is longer than SILENCE_S.
LOOK_EVERY_S: Final = SILENCE_S / 2
#: Members looked at in one tick; the next comes 0.25 s later while some wait: a crowd that came together is spread
#: within seconds (10,000 in 5 s).
LOOKS_PER_TICK: Final = 500

T = TypeVar("T", bound=Hashable)


class Heartbeats(Generic[T]):
    """All members of one process. `join` and `leave` are O(1); a tick costs what is due."""

    def __init__(self) -> None:
        self._members: set[T] = set()
        self._due: deque[tuple[float, T]] = deque()  # ascending: one interval for all

    def __len__(self) -> int:
        return len(self._members)

    def join(self, member: T, now: float) -> None:
        """Look at it from now on."""
        self._members.add(member)
        self._due.append((now + LOOK_EVERY_S, member))

    def leave(self, member: T) -> None:
        """Look at it no more; idempotent."""
        self._members.discard(member)

    def is_quiet(self, until: float) -> bool:
        """Whether nobody has a turn before or at that time; who joins now has it later."""
        return not self._due or self._due[0][0] > until

    def tick(self, now: float) -> list[T]:
        """Whose turn it is. Those that left stay in the line until their turn, which is 7.5 s at most."""
        turn: list[T] = []
        due = self._due
        while due and due[0][0] <= now and len(turn) < LOOKS_PER_TICK:
            member = due.popleft()[1]
            if member in self._members:
                turn.append(member)
                due.append((now + LOOK_EVERY_S, member))
        return turn
