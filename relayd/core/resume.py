"""Where somebody left off who knows one number: the id of the last event of a stream, `hubepoch.serial`.

Everything with a serial up to that number was given, so each topic's position follows from it. Topics that are read at
a rate are the exception: what waits for their next beat is overtaken by others, so their events carry no id, and they
begin with the newest value again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from relayd.core.hub import Hub
from relayd.core.topics import Topic

#: A position of no numbering: what was missed since cannot be known.
FOREIGN: Final = "-:0"


class Positions(Protocol):
    """Where a reader left off, by the name of a topic."""

    def get(self, name: str) -> str | None:
        """`epoch:offset`, or None for a newcomer."""
        ...


class SerialPositions:
    """The positions of a reader that had everything up to the id's serial.

    Args:
        hub: whose topics and numbering are meant.
        last_event_id: as the client gives it back; one that is not of this hub's numbering is a loss of unknown size.
        rate_of: the rate at which it reads a topic, None where as it comes.
    """

    def __init__(self, hub: Hub, last_event_id: str, rate_of: Callable[[Topic], float | None]) -> None:
        self._hub = hub
        self._rate_of = rate_of
        epoch, _, number = last_event_id.rpartition(".")
        is_number = number.isascii() and number.isdigit() and len(number) <= 16
        serial = int(number) if epoch == hub.epoch and is_number else -1
        self._serial = serial if serial <= hub.serial else -1

    def get(self, name: str) -> str | None:
        """The position in one topic."""
        topic = self._hub.topics.get(name)
        if topic is None or self._serial < topic.born_after:
            return FOREIGN
        if self._rate_of(topic) is not None:
            return None
        offset = topic.ring.offset_at(self._serial)
        return FOREIGN if offset is None else f"{topic.epoch}:{offset}"
