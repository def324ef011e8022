"""The life of a connection: its phases, and what each event makes of each."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, Literal

State = Literal["connecting", "open", "waiting", "closed"]


class Phase(Enum):
    """Where a connection stands; the value is what its user is told."""

    NEW = auto()
    TOKEN = auto()
    """The token function was called."""
    DIALLING = auto()
    GREETING = auto()
    """The WebSocket is open; a token was shown."""
    OPEN = auto()
    WAITING = auto()
    CLOSED = auto()

    @property
    def state(self) -> State:
        """The word of the four that users know."""
        return _STATES[self]


_STATES: Final[dict[Phase, State]] = {
    Phase.NEW: "connecting",
    Phase.TOKEN: "connecting",
    Phase.DIALLING: "connecting",
    Phase.GREETING: "connecting",
    Phase.OPEN: "open",
    Phase.WAITING: "waiting",
    Phase.CLOSED: "closed",
}


class Event(Enum):
    """What happens to it."""

    START = auto()
    TOKEN = auto()
    """There is a token, or none is needed."""
    NO_TOKEN = auto()
    UP = auto()
    READY = auto()
    """The token was accepted, or there is none to show."""
    LOST = auto()
    FINAL = auto()
    """Closed with a code that says not to come back."""
    DUE = auto()
    """The wait is over."""
    CLOSE = auto()
    """The user is done."""


def _row(**to: Phase) -> dict[Event, Phase | None]:
    return {event: to.get(event.name) for event in Event}


#: Every phase meets every event; None: nothing happens.
TABLE: Final[dict[Phase, dict[Event, Phase | None]]] = {
    Phase.NEW: _row(START=Phase.TOKEN, CLOSE=Phase.CLOSED),
    Phase.TOKEN: _row(TOKEN=Phase.DIALLING, NO_TOKEN=Phase.WAITING, CLOSE=Phase.CLOSED),
    Phase.DIALLING: _row(UP=Phase.GREETING, LOST=Phase.WAITING, FINAL=Phase.CLOSED, CLOSE=Phase.CLOSED),
    Phase.GREETING: _row(READY=Phase.OPEN, LOST=Phase.WAITING, FINAL=Phase.CLOSED, CLOSE=Phase.CLOSED),
    Phase.OPEN: _row(LOST=Phase.WAITING, FINAL=Phase.CLOSED, CLOSE=Phase.CLOSED),
    Phase.WAITING: _row(DUE=Phase.TOKEN, CLOSE=Phase.CLOSED),
    Phase.CLOSED: _row(),
}
