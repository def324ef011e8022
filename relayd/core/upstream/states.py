"""The life of an upstream as a total table: every state meets every event, and what must not happen says so.

`docs/design/upstream-states.md` is drawn from this table. What the states do is written in `upstream.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final


class State(Enum):
    """Where an upstream stands."""

    __hash__ = object.__hash__  # Enum's own is a call of Python, and every look at the table or a set of states is one

    STOPPED = "stopped"
    """Not started yet, or stopped: it dials for nobody."""
    IDLE = "idle"
    """Nobody wants anything of it, or its next dial is not due yet."""
    CONNECTING = "connecting"
    """A dial is under way: the name is looked up and TCP connects."""
    HANDSHAKING = "handshaking"
    """TCP stands: TLS and the WebSocket handshake."""
    LOGIN = "login"
    """The connection is open, and the upstream does not know us yet."""
    SUBSCRIBING = "subscribing"
    """What is wanted may be sent; no data has come on this connection."""
    LIVE = "live"
    """Data comes."""
    STALE = "stale"
    """The connection stands, but half of a silence has passed; at the whole of it the connection is given up."""
    BACKOFF = "backoff"
    """The connection failed or was lost: the next dial waits for its delay."""
    REFUSED = "refused"
    """The upstream does not let us in: the next dial waits far longer, or for ever."""
    DRAINING = "draining"
    """We said goodbye, and wait for the connection to end."""


class Event(Enum):
    """What can happen to an upstream."""

    START = "start"
    """The daemon asks it to run."""
    STOP = "stop"
    """The daemon asks it to end."""
    DIAL = "dial"
    """It is time to connect."""
    TCP_UP = "tcp up"
    """TCP stands; TLS and the WebSocket handshake follow."""
    WS_OPEN = "ws open"
    """The WebSocket handshake is done."""
    READY = "ready"
    """The login is done, or there is none."""
    DATA = "data"
    """A message that is published."""
    LATE = "late"
    """Half of a silence passed."""
    CLOSE = "close"
    """We end the connection in good order: nobody wants anything any more, or the upstream asked us to come anew."""
    LOST = "lost"
    """The connection failed, ended, or was given up."""
    REFUSE = "refuse"
    """As LOST, and coming back soon would be wrong."""


class Rule(Enum):
    """Answers of the table that are no state."""

    IGNORE = "ignore"
    """It may happen here and changes nothing."""
    ERROR = "error"
    """It cannot happen here: who sent it broke the order, and is told by OutOfOrder."""


class OutOfOrder(Exception):
    """An event came in a state that cannot know it: a fault of the caller, never of the upstream."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"{event.value!r} cannot happen while {state.value}")


def _row(
    *,
    start: State | Rule,
    stop: State | Rule,
    dial: State | Rule,
    tcp_up: State | Rule,
    ws_open: State | Rule,
    ready: State | Rule,
    data: State | Rule,
    late: State | Rule,
    close: State | Rule,
    lost: State | Rule,
    refuse: State | Rule,
) -> Mapping[Event, State | Rule]:
    # Keywords without defaults: a row that forgets an event is a TypeError at import.
    return MappingProxyType(
        {
            Event.START: start,
            Event.STOP: stop,
            Event.DIAL: dial,
            Event.TCP_UP: tcp_up,
            Event.WS_OPEN: ws_open,
            Event.READY: ready,
            Event.DATA: data,
            Event.LATE: late,
            Event.CLOSE: close,
            Event.LOST: lost,
            Event.REFUSE: refuse,
        }
    )


_S, _IGNORE, _ERROR = State, Rule.IGNORE, Rule.ERROR

TABLE: Final[Mapping[State, Mapping[Event, State | Rule]]] = MappingProxyType(
    {
        # Without a connection: whoever reports one is wrong, but the end of an old one may be told late.
        _S.STOPPED: _row(
            start=_S.IDLE, stop=_IGNORE, dial=_ERROR, tcp_up=_ERROR, ws_open=_ERROR, ready=_ERROR,
            data=_ERROR, late=_ERROR, close=_IGNORE, lost=_IGNORE, refuse=_IGNORE,
        ),
        _S.IDLE: _row(
            start=_IGNORE, stop=_S.STOPPED, dial=_S.CONNECTING, tcp_up=_ERROR, ws_open=_ERROR, ready=_ERROR,
            data=_ERROR, late=_ERROR, close=_IGNORE, lost=_IGNORE, refuse=_IGNORE,
        ),
        _S.BACKOFF: _row(
            start=_IGNORE, stop=_S.STOPPED, dial=_S.CONNECTING, tcp_up=_ERROR, ws_open=_ERROR, ready=_ERROR,
            data=_ERROR, late=_ERROR, close=_S.IDLE, lost=_IGNORE, refuse=_IGNORE,
        ),
        _S.REFUSED: _row(
            start=_IGNORE, stop=_S.STOPPED, dial=_S.CONNECTING, tcp_up=_ERROR, ws_open=_ERROR, ready=_ERROR,
            data=_ERROR, late=_ERROR, close=_IGNORE, lost=_IGNORE, refuse=_IGNORE,
        ),
        # On the way to a connection.
        _S.CONNECTING: _row(
            start=_IGNORE, stop=_S.DRAINING, dial=_ERROR, tcp_up=_S.HANDSHAKING, ws_open=_ERROR, ready=_ERROR,
            data=_ERROR, late=_ERROR, close=_S.DRAINING, lost=_S.BACKOFF, refuse=_S.REFUSED,
        ),
        _S.HANDSHAKING: _row(
            start=_IGNORE, stop=_S.DRAINING, dial=_ERROR, tcp_up=_ERROR, ws_open=_S.LOGIN, ready=_ERROR,
            data=_ERROR, late=_ERROR, close=_S.DRAINING, lost=_S.BACKOFF, refuse=_S.REFUSED,
        ),
        # Connected. A feed may send data before it has answered the login.
        _S.LOGIN: _row(
            start=_IGNORE, stop=_S.DRAINING, dial=_ERROR, tcp_up=_ERROR, ws_open=_ERROR, ready=_S.SUBSCRIBING,
            data=_IGNORE, late=_IGNORE, close=_S.DRAINING, lost=_S.BACKOFF, refuse=_S.REFUSED,
        ),
        _S.SUBSCRIBING: _row(
            start=_IGNORE, stop=_S.DRAINING, dial=_ERROR, tcp_up=_ERROR, ws_open=_ERROR, ready=_ERROR,
            data=_S.LIVE, late=_S.STALE, close=_S.DRAINING, lost=_S.BACKOFF, refuse=_S.REFUSED,
        ),
        _S.LIVE: _row(
            start=_IGNORE, stop=_S.DRAINING, dial=_ERROR, tcp_up=_ERROR, ws_open=_ERROR, ready=_ERROR,
            data=_IGNORE, late=_S.STALE, close=_S.DRAINING, lost=_S.BACKOFF, refuse=_S.REFUSED,
        ),
        _S.STALE: _row(
            start=_IGNORE, stop=_S.DRAINING, dial=_ERROR, tcp_up=_ERROR, ws_open=_ERROR, ready=_ERROR,
            data=_S.LIVE, late=_IGNORE, close=_S.DRAINING, lost=_S.BACKOFF, refuse=_S.REFUSED,
        ),
        # Saying goodbye: what was under way may still be told, and whatever ends it was our wish.
        _S.DRAINING: _row(
            start=_IGNORE, stop=_IGNORE, dial=_ERROR, tcp_up=_IGNORE, ws_open=_IGNORE, ready=_IGNORE,
            data=_IGNORE, late=_IGNORE, close=_IGNORE, lost=_S.IDLE, refuse=_S.IDLE,
        ),
    }
)  # fmt: skip

#: The states in which frames may go out.
OPEN: Final = frozenset({_S.LOGIN, _S.SUBSCRIBING, _S.LIVE, _S.STALE})
#: The states in which topics are served.
SERVING: Final = OPEN - {_S.LOGIN}
#: The states in which there is a connection, or one is being made.
CONNECTED: Final = OPEN | {_S.CONNECTING, _S.HANDSHAKING, _S.DRAINING}

# What every message asks for: looking a member up in an enum costs 0.1 us on CPython 3.11 (measured).
LIVE: Final = State.LIVE
DATA: Final = Event.DATA


def after(state: State, event: Event) -> State:
    """The state that follows; the same one where the event is ignored. Raises OutOfOrder."""
    target = TABLE[state][event]
    if isinstance(target, State):
        return target
    if target is Rule.ERROR:
        raise OutOfOrder(state, event)
    return state
