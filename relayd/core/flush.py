"""What a cohort sends to its members at once: the publications of one flush, and the notices among them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, final

import msgspec

from relayd.core.publication import Encoding, Entry, GapMark
from relayd.core.routes import Mode

if TYPE_CHECKING:
    from relayd.core.subscriber import Subscriber


@final
class Notice:
    """A control message that keeps its place among the publications, such as a topic's new state. Not held by any
    ring."""

    __slots__ = ("at", "data", "size")

    def __init__(self, data: bytes, at: float) -> None:
        self.data = data
        """The message (JSON)."""
        self.at = at
        """Monotonic seconds at which it was given."""
        self.size = len(data)


def breaks(mark: GapMark, encoding: Encoding) -> bool:
    """Whether its readers are closed for it: they have no place for a notice, and a jump is not what they asked for."""
    return encoding is Encoding.RAW and mark.topic.route.delivery.mode is not Mode.CONFLATE


@final
class Flush(msgspec.Struct, eq=False):
    """A flush under way: the bytes, and who is still to be offered them. One is made per message, in C."""

    entries: list[Entry | Notice]
    frames: list[bytes]
    data: bytes
    """All frames."""
    number: int = 0
    broken: bool = False
    """True when it ends with a loss that its readers cannot be told of: they are closed."""
    members: list[Subscriber] | None = None
    """A copy of the member list, where one slice does not do."""
    next: int = 0
    """Index into it: who is offered the bytes next."""
    kept: bytes = b""
    kept_at: tuple[int, int] = (0, 0)

    def rest(self, taken: int, end: int) -> bytes:
        """What a member keeps of `data` that took `taken` bytes. Full sockets mostly took as much, so those who stop at
        the same time have one object of it: 10,000 of them held 640 MB else, which left the heap full of holes."""
        if self.kept_at != (taken, end):
            self.kept_at = (taken, end)
            self.kept = self.data[taken:end]
        return self.kept


def leave_behind(short: Iterable[tuple[Subscriber, int]], flush: Flush) -> None:
    """Those who did not take all of it, each with the bytes taken, lag from here on."""
    for member, taken in short:
        assert member.cohort is not None
        try:
            member.cohort.fall_behind(member, flush, taken)
        except Exception:
            member.fault()
