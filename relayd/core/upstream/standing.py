"""How each topic of an upstream stands on the present connection: what may be asked of a ledger (`topics.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from relayd.core.upstream.entry import Entry, Phase, shown

T = TypeVar("T")


class Standing(Generic[T]):
    """The entries of one upstream's topics, to look at. Bounded by what the hub lets exist (`limits.topics`)."""

    def __init__(self) -> None:
        self._entries: dict[T, Entry[T]] = {}

    def __len__(self) -> int:
        """How many topics are wanted, or not yet unsubscribed."""
        return len(self._entries)

    def phases(self) -> dict[T, tuple[Phase, str]]:
        """Every wanted topic with how far it has come, and why it failed."""
        return {topic: shown(entry) for topic, entry in self._entries.items() if not entry.leaving}

    def live(self) -> list[T]:
        """Those that have data on this connection, or had it on the one from which this one took over."""
        return [topic for topic, entry in self._entries.items() if entry.phase is Phase.LIVE or entry.had_data]

    def unconfirmed(self) -> list[T]:
        """Sent on this connection, without an answer so far."""
        return [topic for topic, entry in self._entries.items() if entry.phase is Phase.SENT]

    def comes(self, topic: T) -> bool:
        """Whether this connection may bring it: it was asked for and not refused, and the upstream was not told to end
        it, although nobody may want it any more."""
        entry = self._entries.get(topic)
        return entry is not None and entry.phase not in (Phase.WANTED, Phase.FAILED)

    def is_sent(self, topic: T) -> bool:
        """Whether it is wanted, and asked for on this connection."""
        return self.comes(topic) and not self._entries[topic].leaving

    def fields_of(self, topic: T) -> Mapping[str, str]:
        """The fields it was wanted with; none where nobody asked for it."""
        entry = self._entries.get(topic)
        return (entry.fields if entry is not None else None) or {}

    def is_confirmed(self, topic: T) -> bool:
        """Whether the upstream confirmed it on this connection, or sent data of it."""
        entry = self._entries.get(topic)
        return entry is not None and not entry.leaving and entry.phase in (Phase.CONFIRMED, Phase.LIVE)

    def is_unanswered(self, topic: T) -> bool:
        """Whether it is wanted, sent, and neither confirmed nor failed nor live."""
        entry = self._entries.get(topic)
        return entry is not None and not entry.leaving and entry.phase is Phase.SENT

    def broken(self) -> list[T]:
        """Those that had data before, and none on this connection: a gap is due."""
        return [topic for topic, entry in self._entries.items() if entry.gap_due]

    def is_waiting(self, topic: T) -> bool:
        """Whether it is wanted, and was not asked for on this connection."""
        entry = self._entries.get(topic)
        return entry is not None and entry.phase is Phase.WANTED and not entry.asked

    def knows(self, topic: T) -> bool:
        """Whether it is wanted here, or not yet given up."""
        return topic in self._entries
