"""How long one client may hold the event loop with what it said.

A read brings up to 64 KiB, and that is two hundred requests: done one after another they would hold the loop, and
everybody behind it, for as long as they take. So a client has a share of time. What it said beyond that waits for the
next turn of the loop; meanwhile it is not read, and of all who wait one is served in a turn. A request under way is
never cut off: the longest hold is a share and one request.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

#: The share of one client. A flush to 1,000 clients takes 5 ms (measured), so this adds little to what everybody waits;
#: a request takes 20 to 1,000 us.
SHARE_S: Final = 0.002


class Turns:
    """Whose turn it is, and who waits for the next."""

    def __init__(self, monotonic: Callable[[], float], next_turn: Callable[[Callable[[], None]], object]) -> None:
        """`next_turn` calls in the next turn of the event loop."""
        self._monotonic = monotonic
        self._next_turn = next_turn
        self._ends_at = 0.0
        self._waiting: OrderedDict[Callable[[], None], None] = OrderedDict()
        self._asked = False

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self) -> None:
        """From now on the time is one client's."""
        self._ends_at = self._monotonic() + SHARE_S

    @property
    def is_over(self) -> bool:
        """Whether that client has had its share."""
        return self._monotonic() >= self._ends_at

    def wait(self, go_on: Callable[[], None]) -> None:
        """Call `go_on` when all who wait longer have had their turns. It may wait again."""
        self._waiting[go_on] = None
        self._ask()

    def leave(self, go_on: Callable[[], None]) -> None:
        """It waits no longer, and those behind it wait for one less."""
        del self._waiting[go_on]

    def _ask(self) -> None:
        if self._waiting and not self._asked:
            self._asked = True
            self._next_turn(self._next)

    def _next(self) -> None:
        try:
            if self._waiting:  # they may all have left
                go_on, _ = self._waiting.popitem(last=False)
                go_on()
        finally:
            self._asked = False
            self._ask()
