"""Messages whose id is not known yet: a feed may send data before the ack that tells what the id stands for."""

from __future__ import annotations

from dataclasses import dataclass

from relayd.core.feed.decode import Message
from relayd.core.feed.fields import Reading

# Both bounds are those of docs/reference/config.md: a snapshot or two, not a history.
MAX_HELD = 64
MAX_HELD_BYTES = 1 << 20


@dataclass(slots=True)
class HeldMessage:
    """One message that waits."""

    message: Message
    reading: Reading
    gap: tuple[bool, int | None]
    """What the connection's counter said when it came."""
    number: int | None = None
    """Its place in the connection's sequence."""


class HeldMessages:
    """The messages of one connection that wait, in order."""

    def __init__(self) -> None:
        self._waiting: list[HeldMessage] = []
        self._bytes = 0
        self.dropped = 0
        """Given up: they came in too great a number, or nobody told their id."""
        self._overflowed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def hold(self, held: HeldMessage) -> bool:
        """Keeps the message; False = there is no room, and whoever wanted it has a gap."""
        size = len(held.message.payload)
        if len(self._waiting) >= MAX_HELD or self._bytes + size > MAX_HELD_BYTES:
            self.dropped += 1
            self._overflowed = True
            return False
        self._waiting.append(held)
        self._bytes += size
        return True

    def release(self, bound: str) -> tuple[list[HeldMessage], bool]:
        """The messages of an id that is now known, and whether some that may be its were not kept."""
        mine = [held for held in self._waiting if held.reading.bound == bound]
        if mine:
            self._waiting = [held for held in self._waiting if held.reading.bound != bound]
            self._bytes -= sum(len(held.message.payload) for held in mine)
        return mine, self._overflowed

    def give_up(self) -> None:
        """No ack is awaited any more: what still waits is nobody's."""
        self.dropped += len(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        self._overflowed = False
