"""The simulated exchange as a server: WebSocket on a loopback port of its own, in the dialect of Coinbase Exchange.

    python -m relayd.demo.exchange --port 0 --seed 1 --control-port 0

prints one JSON line with its addresses and runs until it is told to stop. Two paths are served:

`/`          the feed: `subscribe` and `unsubscribe` for `ticker`, `matches`, `level2` and `heartbeat`. An extension of
             the simulator is the channel `raw`, whose product_ids are any names: it carries what a test hands to
             `POST /raw`.
`/firehose`  pushes unasked, exactly what it is handed, text or binary, empty or several MiB: an upstream without
             `subscribe`, for a route whose topic is a constant.

The control port speaks HTTP (control.py).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from random import Random
from typing import Any, Final

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny
from twisted.application.service import Service
from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.web.server import Site
from zope.interface import implementer

from relayd.demo.control import Control
from relayd.demo.floor import Floor
from relayd.demo.journal import FRAMES_MAX, PAYLOAD_BYTES_MAX, Journal
from relayd.demo.market import Market

LOOPBACK: Final = "127.0.0.1"
#: What a client may send in one frame; the largest sensible subscribe has some 20 KB (guess).
REQUEST_BYTES_MAX: Final = 64 * 1024
#: What may wait for one slow reader before it is cut, as the real feed does (guess: five payloads of 3 MiB).
UNREAD_BYTES_MAX: Final = 16 * 1024 * 1024
CONNECTIONS_MAX: Final = 1000
#: For the handshake, and for the answer to a close frame (guess).
DEADLINE_S: Final = 5.0


@implementer(IPushProducer)
class ExchangeProtocol(WebSocketServerProtocol):
    """One connection: hands requests to the floor and writes what the floor says."""

    factory: ExchangeFactory
    transport: Any

    def connectionMade(self) -> None:
        super().connectionMade()
        self.paused = self.is_cut = False
        self.unread_bytes = 0
        self.deadline = self.factory.reactor.callLater(DEADLINE_S, self.abort)
        self.transport.registerProducer(self, True)

    def onConnect(self, request: Any) -> None:
        refusing = self.factory.floor.refusing
        if refusing is not None:
            raise ConnectionDeny(refusing, "the simulated exchange was told to refuse")
        if request.path not in ("/", "/firehose"):
            raise ConnectionDeny(404, "the simulated exchange serves / and /firehose")
        self.is_firehose = request.path == "/firehose"

    def onOpen(self) -> None:
        self.deadline.cancel()
        self.factory.floor.opened(self, self.is_firehose)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.factory.floor.received(self, payload)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if self.deadline.active():
            self.deadline.cancel()
        self.factory.floor.closed(self)

    def send(self, payload: bytes, is_text: bool) -> None:
        """Write one message. A reader that was sent UNREAD_BYTES_MAX since it last kept up is cut and counted."""
        if self.is_cut or self.state != self.STATE_OPEN:
            return
        if self.paused:
            self.unread_bytes += len(payload)
            if self.unread_bytes > UNREAD_BYTES_MAX:
                self.factory.floor.counters.slow_readers += 1
                self.abort()
                return
        self.sendMessage(payload, isBinary=not is_text)

    def close(self, code: int, reason: str) -> None:
        """Close with a close frame, and without waiting longer than DEADLINE_S for the answer."""
        if self.state != self.STATE_OPEN:
            return
        self.sendCloseFrame(code, reason.encode())      # sendClose keeps 1008 and its like for Autobahn itself
        self.deadline = self.factory.reactor.callLater(DEADLINE_S, self.abort)

    def abort(self) -> None:
        """Cut the connection."""
        self.is_cut = True
        self.transport.abortConnection()

    def pauseProducing(self) -> None:
        self.paused = True      # comes at every write while the reader is behind

    def resumeProducing(self) -> None:
        self.paused, self.unread_bytes = False, 0
        if self.transport.disconnecting:    # else a close that was asked for meanwhile waits for ever
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.paused = True


class ExchangeFactory(WebSocketServerFactory):
    """Makes connections for one floor. All of Autobahn's own timers are off: they ignore the reactor they are given."""

    protocol: Any = ExchangeProtocol
    noisy = False

    def __init__(self, reactor: Any, floor: Floor) -> None:
        super().__init__(reactor=reactor, server="")
        self.reactor = reactor
        self.floor = floor
        self.setProtocolOptions(
            openHandshakeTimeout=0, closeHandshakeTimeout=0, autoPingInterval=0,
            # Autobahn holds what is sent to maxMessagePayloadSize too; what is received is held to the frame's limit.
            maxMessagePayloadSize=UNREAD_BYTES_MAX, maxFramePayloadSize=REQUEST_BYTES_MAX,
            maxConnections=CONNECTIONS_MAX, allowNullOrigin=True,
        )


class ExchangeService(Service):
    """The floor and its listening port. `bind` may come before the start, for whoever must know the port."""

    def __init__(self, reactor: Any, floor: Floor, port: int = 0) -> None:
        self.floor = floor
        self._reactor = reactor
        self._asked_port = port
        self._port: Any = None

    def bind(self) -> int:
        """Listen, if it does not yet; returns the port. Raises CannotListenError where the port is taken."""
        if self._port is None:
            self._port = self._reactor.listenTCP(
                self._asked_port, ExchangeFactory(self._reactor, self.floor), interface=LOOPBACK
            )
        return int(self._port.getHost().port)

    @property
    def url(self) -> str:
        """Where the feed is."""
        return f"ws://{LOOPBACK}:{self.bind()}/"

    @property
    def firehose(self) -> str:
        """Where the endpoint is that pushes unasked."""
        return f"{self.url}firehose"

    def startService(self) -> None:
        """Open the market."""
        self.bind()
        self.floor.start()
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Close the market, cut the connections, free the port."""
        super().stopService()
        port, self._port = self._port, None
        self.floor.stop()
        return Deferred.fromCoroutine(_stop_listening(port))


async def _stop_listening(port: Any) -> None:
    if port is not None and (stopping := port.stopListening()) is not None:
        await stopping


def make_exchange(
    reactor: Any, *, port: int = 0, seed: int | None = None, monotonic: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time, journal: Journal | None = None,
) -> ExchangeService:
    """An exchange that is ready to start; without a seed no two are alike."""
    floor = Floor(reactor, Market(Random(seed)), monotonic=monotonic, wall=wall, journal=journal)
    return ExchangeService(reactor, floor, port)


def main(reactor: Any, *argv: str) -> Deferred[None]:
    """The exchange in a process of its own, with its control port; runs until the reactor stops."""
    parser = argparse.ArgumentParser(prog="python -m relayd.demo.exchange", description="A simulated exchange.")
    parser.add_argument("--port", type=int, default=0, help="the feed's port on 127.0.0.1; 0 for any free one")
    parser.add_argument("--control-port", type=int, default=0, help="the same for the HTTP control")
    parser.add_argument("--seed", type=int, default=None, help="the same seed makes the same markets")
    parser.add_argument("--journal-frames", type=int, default=FRAMES_MAX, help="how many frames the journal keeps")
    parser.add_argument("--journal-bytes", type=int, default=PAYLOAD_BYTES_MAX, help="how many bytes of their payloads")
    options = parser.parse_args(argv)
    journal = Journal(options.journal_frames, options.journal_bytes)
    exchange = make_exchange(reactor, port=options.port, seed=options.seed, journal=journal)
    exchange.startService()
    site = Site(Control(exchange.floor), reactor=reactor)
    site.noisy = False
    control = reactor.listenTCP(options.control_port, site, interface=LOOPBACK)
    control_port = control.getHost().port
    print(json.dumps({
        "url": exchange.url, "firehose": exchange.firehose, "port": exchange.bind(),
        "control": f"http://{LOOPBACK}:{control_port}/", "control_port": control_port,
    }), flush=True)
    reactor.addSystemEventTrigger("before", "shutdown", exchange.stopService)
    return Deferred()


if __name__ == "__main__":
    import sys

    task.react(main, sys.argv[1:])
