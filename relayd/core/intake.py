"""Whether one client is read. There is more than one reason not to: while any holds, its transport stands."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto


class Hold(Enum):
    """For whom a client is not read."""

    SESSION = auto()
    """Where its messages go takes nothing more."""
    METER = auto()
    """It has said more than it may for now."""
    TURN = auto()
    """It has said more than is done in one turn of the loop."""


class Intake:
    """The holds of one connection, and how long they lasted. The caller brings the time in monotonic seconds."""

    __slots__ = ("_go_on", "_holds", "_since", "_stop", "_unread_s")

    def __init__(self, stop: Callable[[], object], go_on: Callable[[], object]) -> None:
        """`stop` and `go_on` are the transport's, which is being read."""
        self._stop = stop
        self._go_on = go_on
        self._holds: frozenset[Hold] = frozenset()
        self._since = 0.0  # of the first of the present holds
        self._unread_s = 0.0  # before it

    @property
    def is_held(self) -> bool:
        """Whether it is not read."""
        return bool(self._holds)

    def hold(self, why: Hold, held: bool, now: float) -> None:
        """Begin or end one hold. Idempotent."""
        self._become(self._holds | {why} if held else self._holds - {why}, now)

    def release(self, now: float) -> None:
        """End them all. Idempotent."""
        self._become(frozenset(), now)

    def unread_s(self, now: float) -> float:
        """For how long in all it was not read."""
        return self._unread_s + (now - self._since if self._holds else 0.0)

    def _become(self, holds: frozenset[Hold], now: float) -> None:
        was_held, unread_s = self.is_held, self.unread_s(now)
        self._holds = holds
        if self.is_held is was_held:
            return
        self._since, self._unread_s = now, unread_s
        (self._stop if self.is_held else self._go_on)()
