"""What a message says of the connection that it came by, beside what it is for its topics."""

from __future__ import annotations

from typing import TypeAlias

from relayd.core.upstream.effects import Loss
from relayd.core.upstream.states import Event

Signal: TypeAlias = Event | Loss | None
"""An event of the upstream's life, the loss that ends the connection, or nothing."""


def graver(one: Signal, other: Signal) -> Signal:
    """Of two signals of one frame the one that matters more: an end, then anything but data, then data."""
    if isinstance(one, Loss) or other is None or (other is Event.DATA and one is not None):
        return one
    return other
