"""Autobahn as a reader of frames behind the guard: its protocol without its own handshake, and without its adapter to
Twisted.

Both do again what the guard has done, and format, in colour, texts for a log that is mute: eight of them for each
connection, and one more for each read (bench/figures/accept.py measures what it costs to take a browser in). Here a
connection is opened by the head that the guard wrote (core/handshake.py), and what an adapter has to do is done in a
line each. No extension is agreed to. All that is left of reading (frames, masks, UTF-8, fragments, the close) is
Autobahn's own.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, TypeVar

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.protocol import TrafficStats, WebSocketProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from relayd.core import handshake
from relayd.core.handshake import Opening
from relayd.io.mute import Mute
from relayd.io.utf8 import Utf8Validator

_HEAD_END: Final = b"\r\n\r\n"

Kind = TypeVar("Kind", bound="FrameReader")


class Unheard:
    """In place of a Deferred that Autobahn fires and nobody waits for."""

    def callback(self, _result: object) -> None:
        """It has come."""


class FrameReader(WebSocketServerProtocol):
    """One WebSocket. Who derives from it says in `choose` whether it opens, and hears `onOpen`, `onMessage` ... Its
    factory makes instances of what `prepared` says.
    """

    transport: Any
    utf8validator: Any
    message_data: Any
    log = Mute()
    peer = ""  # the guard knows better whose connection it is
    is_open = is_closed = Unheard()

    def __init__(self) -> None:
        """Without Autobahn's own: what that makes is above."""

    def choose(self, opening: Opening) -> str | None:
        """The subprotocol that is answered, None for none. An exception refuses the handshake (`refuse`)."""
        raise NotImplementedError

    def refuse(self, fault: Exception | None) -> None:
        """Answer a handshake that does not open: `choose` raised, or (None) the head is none of the guard's."""
        raise NotImplementedError

    # -- what Autobahn's adapter to Twisted does, without what it writes about it -------------------------------------

    def connectionMade(self) -> None:
        self.utf8validator = Utf8Validator()

    def dataReceived(self, data: bytes) -> None:
        self._dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        WebSocketProtocol._connectionLost(self, reason)  # type: ignore[arg-type]  # a Failure, from every adapter

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        self.transport.write(data)

    def onMessageEnd(self) -> None:
        # As Autobahn's, but without the Deferred by which it tells others of the message: there are none.
        if not self.failedByMe:
            self.onMessage(b"".join(self.message_data), self.message_is_binary)
        self.message_data = None

    # -- the handshake -------------------------------------------------------------------------------------------------

    def processHandshake(self) -> None:
        """Called with what has come so far in `data`, until the state is another."""
        head, end, rest = self.data.partition(_HEAD_END)
        if not end:
            return
        opening = handshake.read_clean(head + end)
        if opening is None:
            self._turn_away(None)
            return
        try:
            subprotocol = self.choose(opening)
        except Exception as fault:
            self._turn_away(fault)
            return
        self.data = rest
        self._answer(opening, subprotocol)
        if rest:
            self.consumeData()

    def _answer(self, opening: Opening, subprotocol: str | None) -> None:
        """Answer, and leave the protocol as Autobahn's own handshake does (tests/io/test_frame_reader.py)."""
        if opening.protocols:
            self.websocket_protocols = list(opening.protocols)
            self.websocket_protocol_in_use = subprotocol
        self.sendData(handshake.answer(opening.key, subprotocol))
        self.state = self.STATE_OPEN
        self.onOpen()

    def _turn_away(self, fault: Exception | None) -> None:
        self.refuse(fault)
        self.dropConnection(abort=False)


def prepared(kind: type[Kind], factory: Any) -> type[Kind]:
    """The protocol with all that is alike in its connections as attributes of the class: Autobahn's options, and the
    state in which it begins. Else each connection gets some ninety attributes of its own, and a pretty-printed list of
    the options for a log that nobody reads: 1.7 KB and 150 us for the options, and 30 us for the rest (measured).
    """
    shared: dict[str, object] = {}
    for name in kind.CONFIG_ATTRS:
        value = getattr(factory, name)
        shared[name] = staticmethod(value) if callable(value) else value
    begun: Any = WebSocketServerProtocol()
    begun.factory, begun.log = factory, Mute()
    WebSocketProtocol._connectionMade(begun)
    for name, value in vars(begun).items():
        # Counts that nobody reads, and a queue for bytes that are held back, which `sendData` never does.
        if value is None or isinstance(value, bool | int | bytes | TrafficStats | deque):
            shared.setdefault(name, value)
    shared |= {
        "CONFIG_ATTRS": (),
        "current_frame": None,
        "inside_message": False,
        "websocket_extensions": [],
        "websocket_extensions_in_use": [],
        "websocket_protocol_in_use": None,
        "websocket_protocols": [],
        "websocket_version": 13,
    }
    return type(f"Prepared{kind.__name__}", (kind,), shared)
