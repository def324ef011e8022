"""The two peers that the Autobahn Testsuite talks to: relayd's own protocol classes with an echo behind them.

The way in is the whole of production: DirectServer, TLS if asked for, the guard with its meter, DownstreamProtocol,
the sink. Only what the session says differs: it sends back what it gets. The way out is UpstreamProtocol as
UpstreamService dials it. Both take messages of 16 MiB and speak permessage-deflate, which the suite tests and
listeners have off by default; the meter's rates are raised to what the suite sends.

    python -m tests.conformance.peers server [--tls] [--chop]
        prints its port, serves until its input ends
    python -m tests.conformance.peers client PORT [--via PORT] [--ca FILE] [--chop]
        runs the cases of the suite that listens there
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.wamp.types import TransportDetails
from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateOfferAccept,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from autobahn.websocket.types import ConnectionRequest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ServerEndpoint, wrapClientTLS
from twisted.internet.task import LoopingCall
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.pages import notFound
from twisted.web.server import Site

from relayd.core import wire
from relayd.core.admission import AdmissionLimits
from relayd.core.counters import HubCounters, ListenerCounters
from relayd.core.downstream import DownstreamSession
from relayd.core.feed.outcome import Frame
from relayd.core.guard import GuardCounters
from relayd.core.handshake import Opening
from relayd.core.hub import Hub, HubLimits
from relayd.core.meter import MeterLimits
from relayd.core.routes import RouteTable
from relayd.core.upstream.effects import DialRequest, Loss
from relayd.io.certificates import ServerTls
from relayd.io.clients import Clients
from relayd.io.downstream import DownstreamProtocol
from relayd.io.downstream_factory import DownstreamFactory
from relayd.io.guard import GuardFactory, GuardSettings
from relayd.io.transport import transport_for
from relayd.io.upstream_plan import plan
from relayd.io.upstream_protocol import UpstreamFactory, UpstreamProtocol
from tests.support import certs
from tests.support.portions import portions_of

AGENT = "relayd"
#: The largest message of the suite is 16 MiB (cases 9.*).
MESSAGE_BYTES = 16 << 20
#: Ten pings at once, 16 MiB in fragments of 64 bytes, a thousand messages as fast as they go (cases 2.10, 9.3.1, 12.*).
METER = MeterLimits(
    message_bytes=MESSAGE_BYTES,
    fragments=1 << 20,
    open_message_s=120.0,
    frames_per_s=1 << 30,
    pings_per_s=1 << 30,
    pongs_per_s=1 << 30,
    bytes_per_s=1 << 40,
)
CLIENTS_TICK_S = 0.1


class EchoSession(DownstreamSession):
    """The production session of a browser, which sends back what it gets instead of reading it as a request."""

    def opened(self, topics: Sequence[str] = ()) -> None:
        """Says nothing: the suite counts what comes."""

    def text(self, payload: bytes, *_: Any) -> None:
        self._sink.write(wire.frame(wire.TEXT, payload))

    def binary(self, payload: bytes, *_: Any) -> None:
        self._sink.write(wire.frame(wire.BINARY, payload))


def chopped(protocol: Any) -> Any:
    """The protocol, made to get every read in portions of one byte."""
    receive = protocol.dataReceived

    def one_by_one(data: bytes) -> None:
        for portion in portions_of(data, 1):
            receive(portion)

    protocol.dataReceived = one_by_one
    return protocol


class AutobahnHandshake(WebSocketServerProtocol):
    """Autobahn's own handshake in front of ours."""

    processHandshake = WebSocketServerProtocol.processHandshake
    _transport_details = TransportDetails()

    def onConnect(self, request: ConnectionRequest) -> str | None:
        query = urlencode(request.params, doseq=True)
        return self.choose(Opening(request.path, query, "", tuple(request.protocols)))


class EchoDownstreamFactory(DownstreamFactory):
    """The production factory, which agrees to permessage-deflate; what comes out of it is bounded as every message."""

    def setProtocolOptions(self, **options: Any) -> None:
        def accept(offers: list[Any]) -> PerMessageDeflateOfferAccept | None:
            for offer in offers:
                if isinstance(offer, PerMessageDeflateOffer):
                    return PerMessageDeflateOfferAccept(offer, max_message_size=options["maxMessagePayloadSize"])
            return None

        super().setProtocolOptions(**options, perMessageCompressionAccept=accept)

    def _configured(self) -> type[DownstreamProtocol]:
        """With the handshake of Autobahn, since ours agrees to no extension."""
        return type("Compressing", (AutobahnHandshake, super()._configured()), {"CONFIG_ATTRS": ()})


class EchoGuardFactory(GuardFactory):
    """The production guards; `chop` has them read byte by byte."""

    def __init__(
        self,
        reactor: Any,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        meter: MeterLimits = METER,
        chop: bool = False,
    ) -> None:
        hub = Hub(
            RouteTable(()),
            HubLimits(topics=0, topics_per_client=0, ring_bytes=0),
            monotonic=monotonic,
            wall=time.time,
            call_later=reactor.callLater,
            epoch="e",
            counters=HubCounters(),
        )
        numbers = count()
        clients = Clients(ListenerCounters(), monotonic, partial(reactor.callLater, 0))
        echo = EchoDownstreamFactory(
            clients,
            partial(EchoSession, hub),
            new_id=lambda: str(next(numbers)),
            message_bytes=meter.message_bytes,
            reactor=reactor,
        )
        self.clients = clients
        self._chop = chop
        super().__init__(
            websocket=lambda head: echo,
            site=Site(notFound(), reactor=reactor),
            settings=GuardSettings(meter=meter, admission=AdmissionLimits(ramp_s=0.0)),
            reactor=reactor,
            monotonic=monotonic,
            counters=GuardCounters(),
        )

    def buildProtocol(self, addr: Any) -> Any:
        guard = super().buildProtocol(addr)
        return chopped(guard) if self._chop else guard


class EchoOwner:
    """Sends back what an upstream says, in place of UpstreamService, or keeps it."""

    name = "suite"
    monotonic = staticmethod(time.monotonic)

    def __init__(self, *, echo: bool) -> None:
        self.ended: Deferred[None] = Deferred()
        self.messages: list[bytes] = []
        self._echo = echo
        self._protocol: UpstreamProtocol | None = None

    def tcp_up(self, protocol: UpstreamProtocol) -> None:
        self._protocol = protocol

    def message(self, payload: bytes, is_text: bool, now: float) -> None:
        assert self._protocol is not None
        if self._echo:
            self._protocol.send(Frame(payload, is_text))
        else:
            self.messages.append(payload)

    def lost(self, protocol: UpstreamProtocol, loss: Loss) -> None:
        """The suite judges how it ended."""

    def gone(self, protocol: UpstreamProtocol) -> None:
        self.ended.callback(None)

    def failed(self, protocol: UpstreamProtocol, loss: object = None) -> None:
        """An exception is being handled: the case fails, and the log of our side tells why."""
        traceback.print_exc()
        protocol.let_go()

    def answered(self, fields: object) -> None: ...
    def ws_open(self) -> None: ...
    def pong(self) -> None: ...
    def ponged(self) -> None: ...
    def buffer_filled(self, protocol: UpstreamProtocol, full: bool) -> None: ...


def _accept_response(response: Any) -> PerMessageDeflateResponseAccept | None:
    if isinstance(response, PerMessageDeflateResponse):
        return PerMessageDeflateResponseAccept(response, max_message_size=MESSAGE_BYTES)
    return None


class EchoUpstreamFactory(UpstreamFactory):
    """The production client; `chop` has it read byte by byte."""

    def __init__(self, owner: Any, url: str, reactor: Any, *, ca: str | None = None, chop: bool = False) -> None:
        self.dial = plan(DialRequest(url), ca, AGENT)
        self._chop = chop
        super().__init__(owner, self.dial, reactor, MESSAGE_BYTES)
        self.setProtocolOptions(
            perMessageCompressionOffers=[PerMessageDeflateOffer()], perMessageCompressionAccept=_accept_response
        )

    def buildProtocol(self, addr: Any) -> Any:
        protocol = super().buildProtocol(addr)
        return chopped(protocol) if self._chop else protocol


def serve(reactor: Any, *, tls: bool, chop: bool) -> None:
    """Listen on a port of the loopback that is printed; end when the standard input does."""
    factory: Any = EchoGuardFactory(reactor, chop=chop)
    clients = factory.clients
    LoopingCall(lambda: clients.tick(time.monotonic())).start(CLIENTS_TICK_S)
    if tls:
        with tempfile.TemporaryDirectory() as folder:
            cert, key = Path(folder, "cert.pem"), Path(folder, "key.pem")
            cert.write_bytes(certs.good().pem)
            key.write_bytes(certs.good().key_pem)
            factory = TLSMemoryBIOFactory(ServerTls(str(cert), str(key)), False, factory, reactor)

    def listening(port: Any) -> None:
        port.transport = transport_for(port)
        print(port.getHost().port, flush=True)

    TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory).addCallback(listening)
    reactor.callInThread(lambda: (sys.stdin.read(), reactor.callFromThread(reactor.stop)))
    reactor.run()


async def run_cases(reactor: Any, port: int, *, via: int, ca: str | None, chop: bool) -> None:
    """Ask how many cases there are, connect once for each, echo until the suite ends it, and ask for the report.

    The suite looks at the port in the URL; connections go to the port `via`.
    """

    async def visit(path: str, *, echo: bool) -> list[bytes]:
        owner = EchoOwner(echo=echo)
        url = f"{'ws' if ca is None else 'wss'}://127.0.0.1:{port}/{path}"
        factory = EchoUpstreamFactory(owner, url, reactor, ca=ca, chop=chop)
        endpoint: Any = HostnameEndpoint(reactor, "127.0.0.1", via)
        if factory.dial.tls is not None:
            endpoint = wrapClientTLS(factory.dial.tls, endpoint)
        await endpoint.connect(factory)
        await owner.ended
        return owner.messages

    [cases] = await visit("getCaseCount", echo=False)
    for number in range(1, int(cases) + 1):
        await visit(f"runCase?case={number}&agent={AGENT}", echo=True)
    await visit(f"updateReports?agent={AGENT}", echo=False)


def main() -> None:
    """As above."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["server", "client"])
    parser.add_argument("port", nargs="?", type=int)
    parser.add_argument("--via", type=int)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--ca")
    parser.add_argument("--chop", action="store_true")
    options = parser.parse_args()
    from twisted.internet import reactor

    if options.role == "server":
        serve(reactor, tls=options.tls, chop=options.chop)
        return
    failures: list[Any] = []
    cases = run_cases(reactor, options.port, via=options.via or options.port, ca=options.ca, chop=options.chop)
    running = Deferred.fromCoroutine(cases)
    running.addErrback(failures.append)
    running.addBoth(lambda _: reactor.callWhenRunning(reactor.stop))
    reactor.run()
    if failures:
        sys.exit(failures[0].getTraceback())


if __name__ == "__main__":
    main()
