"""Autobahn as a reader of frames behind the guard: its protocol without its own handshake, and without its adapter to
Twisted.

Both do again what the guard has done, and format, in colour, texts for a log that is mute: eight of them for each
connection, and one more for each read (bench/figures/accept.py measures what it costs to take a browser in). Here a
connection is opened by the head that the guard wrote (core/handshake.py), and what an adapter has to do is done in a
line each. No extension is agreed to. All that is left of reading (frames, masks, UTF-8, fragments, the close) is
Autobahn's own.
"""

from __future__ import annotations

from typing import Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from relayd.core import handshake
from relayd.core.handshake import Opening
from relayd.io.mute import Mute

_HEAD_END = b"\r\n\r\n"


class FrameReader(WebSocketServerProtocol):
    """One WebSocket. Who derives from it says in `choose` whether it opens, and hears `onOpen`, `onMessage` ..."""

    transport: Any
    log = Mute()

    def choose(self, opening: Opening) -> str | None:
        """The subprotocol that is answered, None for none. An exception refuses the handshake (`refuse`)."""
        raise NotImplementedError

    def refuse(self, fault: Exception | None) -> None:
        """Answer a handshake that does not open: `choose` raised, or (None) the head is none of the guard's."""
        raise NotImplementedError

    # -- what Autobahn's adapter to Twisted does, without what it writes about it -------------------------------------

    def connectionMade(self) -> None:
        self.peer = ""  # the guard knows better whose connection it is
        WebSocketProtocol._connectionMade(self)

    def dataReceived(self, data: bytes) -> None:
        self._dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        WebSocketProtocol._connectionLost(self, reason)  # type: ignore[arg-type]  # a Failure, from every adapter

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        self.transport.write(data)

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
        self.websocket_version = 13
        self.websocket_protocols = list(opening.protocols)
        self.websocket_protocol_in_use = subprotocol
        self.websocket_extensions: list[object] = []
        self.websocket_extensions_in_use: list[object] = []
        self.inside_message = False
        self.current_frame = None  # type: ignore[assignment]  # as Autobahn itself says "no frame"
        self.sendData(handshake.answer(opening.key, subprotocol))
        self.state = self.STATE_OPEN
        self.onOpen()

    def _turn_away(self, fault: Exception | None) -> None:
        self.refuse(fault)
        self.dropConnection(abort=False)
