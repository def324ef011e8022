"""One topic of an upstream: what is wanted, and how far it has come on the present connection."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T")


class Phase(Enum):
    """How far a topic has come on the present connection."""

    WANTED = "wanted"
    SENT = "sent"
    CONFIRMED = "confirmed"
    LIVE = "live"
    FAILED = "failed"


class Entry(Generic[T]):
    """One topic. Slots and no dataclass of values: it lives as long as the demand."""

    __slots__ = (
        "asked", "fields", "gap_due", "gap_sure", "had_data",
        "leaving", "phase", "returned", "told_away", "topic", "why",
    )  # fmt: skip

    def __init__(self, topic: T, fields: Mapping[str, str] | None) -> None:
        self.topic = topic
        self.fields = fields
        """None: nobody asked for it, the upstream pushed it."""
        self.phase = Phase.WANTED
        self.asked = False
        """The conversation of the present connection knows of it."""
        self.leaving = False
        """Nobody wants it any more, and the upstream has not been told yet."""
        self.returned = False
        """It was ended on this connection a short while ago, and is not confirmed anew."""
        self.gap_due = False
        """It had data before the connection was lost: nobody knows what was missed since."""
        self.gap_sure = False
        """With `gap_due`: no cursor can undo it, because more than the last connection lies between."""
        self.had_data = False
        """It had data on the connection from which this one took over: when this one is lost, a gap is due."""
        self.why = ""
        """Why it failed."""
        self.told_away = False
        """Its readers wait for their first data, and were told that the upstream cannot be reached."""

    def follow(self) -> None:
        """The upstream resumed where the connection before had ended."""
        asked = self.fields is None or self.phase in (Phase.SENT, Phase.CONFIRMED)
        if asked and self.gap_due and not self.gap_sure:
            self.gap_due, self.had_data = False, True


def shown(entry: Entry[T]) -> tuple[Phase, str]:
    """How far it has come, and why it failed."""
    # What waits for a place is wanted, but whoever looks is told that there is none.
    return (Phase.FAILED if entry.phase is Phase.WANTED and entry.why else entry.phase), entry.why
