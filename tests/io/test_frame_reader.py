"""Autobahn behind our handshake is in the state in which its own leaves it."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from autobahn.twisted.websocket import WebSocketServerProtocol

from relayd.core.handshake import Opening, write_clean
from relayd.io.downstream_factory import DownstreamFactory
from relayd.io.frame_reader import FrameReader, prepared
from relayd.io.mute import Mute
from tests.support.browser import KEY, TEXT, client_frame
from tests.support.fake_socket import FakeReactor

#: What Autobahn keeps of the handshake and its connection, and looks at no more once it is open.
KEPT = frozenset(
    {
        "http_headers", "http_request_data", "http_request_host", "http_request_params", "http_request_path",
        "http_request_uri", "http_response_data", "http_status_line", "websocket_origin", "_wskey",
    }
)  # fmt: skip
#: Not to be compared: futures and events that nobody waits for, objects without equality, and who the peer is.
BESIDE = frozenset(
    {
        "_results", "_transport_details", "_valid_events", "is_closed", "is_open", "peer", "trafficStats", "transport",
        "utf8validator",
    }
)  # fmt: skip


class Pipe:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def loseConnection(self) -> None:
        self.closed = True

    def unregisterProducer(self) -> None: ...

    def getPeer(self) -> None: ...

    def getHost(self) -> None: ...


class Heard:
    """What both kinds of protocol say they have heard."""

    def onOpen(self) -> None:
        self.heard: list[Any] = ["open"]

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.heard.append((payload, isBinary))


class Ours(Heard, FrameReader):
    fault: Exception | None = None

    def choose(self, opening: Opening) -> str | None:
        if self.fault is not None:
            raise self.fault
        return opening.protocols[0] if opening.protocols else None

    def refuse(self, fault: Exception | None) -> None:
        self.sendData(b"refused: %r" % str(fault).encode())


class Theirs(Heard, WebSocketServerProtocol):
    log = Mute()

    def onConnect(self, request: Any) -> str | None:
        return request.protocols[0] if request.protocols else None


FACTORY = DownstreamFactory(
    None,  # who derives from the reader would ask for clients and sessions
    None,
    new_id=str,
    message_bytes=1000,
    reactor=FakeReactor(),
)


def connected(kind: type[Any], head: bytes) -> Any:
    """A protocol that has got a head."""
    protocol = kind() if kind is Theirs else prepared(kind, FACTORY)()
    protocol.factory = FACTORY
    protocol.makeConnection(Pipe())
    protocol.dataReceived(head)
    return protocol


def state_of(protocol: Any) -> dict[str, Any]:
    """All of Autobahn that it keeps and that matters once it is open."""
    names = vars(connected(Theirs, write_clean("/ws", "relay.example", KEY, [], []))).keys() - KEPT - BESIDE
    return {name: getattr(protocol, name) for name in names}


class FrameReaderTests:
    """The handshake that Autobahn does not do."""

    @pytest.mark.parametrize("protocols", [[], ["relayd.v1"], ["a", "b"]])
    def test_the_same_answer_and_the_same_state(self, protocols: list[str]) -> None:
        """Attribute by attribute: a release of Autobahn that keeps something new is noticed here."""
        head = write_clean("/ws?topics=a", "relay.example", KEY, protocols, [])
        ours, theirs = connected(Ours, head), connected(Theirs, head)
        assert ours.transport.written == theirs.transport.written
        assert state_of(ours) == state_of(theirs)
        assert ours.state == ours.STATE_OPEN

    def test_little_of_it_is_its_own(self) -> None:
        """What is alike in all connections is kept once; what can change in place is not shared, counts apart."""
        head = write_clean("/ws", "relay.example", KEY, [], [])
        own = vars(connected(Ours, head)).keys() - {"factory", "heard", "transport"}
        assert own == {"connected", "data", "state", "utf8validator"}
        kind = prepared(Ours, FACTORY)
        shared = {name for name, value in vars(kind).items() if isinstance(value, list | dict | set | deque)}
        assert shared == {"allowedOrigins", "allowedOriginsPatterns", "send_queue", "versions"} | {
            name for name in shared if name.startswith("websocket_")
        }

    def test_offers_of_compression_are_passed_over(self) -> None:
        """As by Autobahn where nothing is agreed to."""
        head = write_clean("/ws", "relay.example", KEY, [], ["permessage-deflate; client_max_window_bits"])
        ours, theirs = connected(Ours, head), connected(Theirs, head)
        assert ours.transport.written == theirs.transport.written
        assert ours.websocket_extensions_in_use == theirs.websocket_extensions_in_use == []

    def test_in_portions_with_a_message_behind_it(self) -> None:
        """A head that is not whole waits; what follows it in the same bytes is read."""
        head = write_clean("/ws", "relay.example", KEY, [], [])
        ours = connected(Ours, head[:10])
        assert ours.transport.written == b""
        ours.dataReceived(head[10:] + client_frame(TEXT, b"hi"))
        assert ours.heard == ["open", (b"hi", False)]

    def test_refused(self) -> None:
        """By who derives from it, and where the head is none of the guard's: answered and closed, never opened."""
        head = write_clean("/ws", "relay.example", KEY, [], [])
        Ours.fault = ValueError("no")
        try:
            ours = connected(Ours, head)
        finally:
            Ours.fault = None
        strange = connected(Ours, head.replace(b"GET", b"PUT"))
        for protocol, why in ((ours, b"refused: b'no'"), (strange, b"refused: b'None'")):
            assert protocol.transport.written == why
            assert protocol.transport.closed
            assert not hasattr(protocol, "heard")
