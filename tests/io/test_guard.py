"""The guard on a transport in memory: who gets which bytes, what is answered, what time and number do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from relayd.core.address import TrustedProxies
from relayd.core.admission import AdmissionLimits
from relayd.core.closecode import CLOSE_INTERNAL, CLOSE_POLICY, CLOSE_TOO_BIG, CloseCode
from relayd.core.counters import ListenerCounters
from relayd.core.meter import MeterLimits
from relayd.core.refusal import NO_WEBSOCKET_HERE
from relayd.core.repeaters import SHUT_MOST_S, Repeaters
from relayd.core.turns import Turns
from relayd.io.guard import SWEEP_EVERY_S, GuardCounters, GuardFactory, GuardSettings, HttpRefusal, RequestHead
from tests.support.browser import PONG, TEXT, client_frame
from tests.support.portions import cut, portions_of
from tests.support.wire import connect

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
GET = b"GET /topics HTTP/1.1\r\nHost: a\r\n\r\n"
CLEAN_GET = b"GET /topics HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 198.51.100.1\r\nconnection: close\r\n\r\n"
SETTINGS = GuardSettings()
HELLO = b"\x81\x85\x00\x00\x00\x00hello"


@implementer(IHalfCloseableDescriptor)
class Socket(StringTransport):
    """A TCP connection that remembers how it was ended."""

    aborted = half_closed = False

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def abortConnection(self) -> None:
        self.aborted = True


class Behind(Protocol):
    """What stands behind the guard: remembers what it was given."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.breaches: list[CloseCode] = []
        self.lost = 0
        self.rests: list[bool] = []
        self.unread = 0.0
        self.answer = b""
        self.shown: list[bytes] = []
        self.addr: Any = None
        self.fails = False

    def dataReceived(self, data: bytes) -> None:
        if self.fails:
            raise RuntimeError("a fault of ours")
        self.received.append(data)

    def connectionLost(self, reason: Failure) -> None:
        self.lost += 1

    def rest(self, resting: bool) -> None:
        self.rests.append(resting)

    def unread_s(self, now: float) -> float:
        return self.unread

    def answered(self, portion: bytes, now: float) -> bool:
        self.shown.append(portion)
        return portion == self.answer

    def breach(self, close: CloseCode) -> None:
        self.breaches.append(close)


class Behinds(Factory[Behind]):
    """Makes them, and keeps them."""

    def __init__(self) -> None:
        self.made: list[Behind] = []
        self.started = 0

    def doStart(self) -> None:
        self.started += 1

    def doStop(self) -> None:
        self.started -= 1

    def buildProtocol(self, addr: Any) -> Behind:
        protocol = Behind()
        protocol.addr = addr
        self.made.append(protocol)
        return protocol


class Rig:
    """A guard factory with a clock, something behind it, and connections."""

    def __init__(self, settings: GuardSettings = SETTINGS, clock: Clock | None = None, **more: Any) -> None:
        self.clock = clock or Clock()
        self.clock.advance(1000.0 - self.clock.seconds())
        self.repeaters: Repeaters = more.get("repeaters") or Repeaters(self.clock.seconds, ListenerCounters())
        self.fails = False
        self.sockets = Behinds()
        self.site = Behinds()
        self.heads: list[RequestHead] = []
        self.refusal: HttpRefusal | None = None
        self.factory = GuardFactory(
            websocket=self.websocket,
            site=self.site,
            settings=settings,
            reactor=self.clock,
            monotonic=self.clock.seconds,
            counters=GuardCounters(),
            **more,
        )
        self.factory.doStart()

    def websocket(self, head: RequestHead) -> Behinds | HttpRefusal:
        self.heads.append(head)
        if self.fails:
            raise RuntimeError("a fault of ours")
        return self.refusal or self.sockets

    def connect(self, host: str = "198.51.100.1", peer: Any = None) -> tuple[Any, Socket]:
        """A connection from there: the guard and its transport."""
        peer = peer or IPv4Address("TCP", host, 55555)
        socket = Socket(peerAddress=peer)
        guard = self.factory.buildProtocol(peer)
        guard.makeConnection(socket)
        return guard, socket

    def send(self, data: bytes, size: int = 1 << 20, **where: Any) -> tuple[Any, Socket]:
        """A new connection that sends this in such portions."""
        guard, socket = self.connect(**where)
        for portion in portions_of(data, size):
            guard.dataReceived(portion)
        return guard, socket

    def pass_time(self, seconds: float) -> None:
        """In steps of a sweep."""
        for _ in range(round(seconds / SWEEP_EVERY_S)):
            self.clock.advance(SWEEP_EVERY_S)
            assert self.is_looking == any(self.rooms.values())

    @property
    def is_looking(self) -> bool:
        """Whether deadlines will be looked at."""
        return bool(self.clock.getDelayedCalls())

    @property
    def rooms(self) -> dict[str, int]:
        """How many have a deadline of each kind."""
        names = ("pending", "lingering", "answering", "resting", "waiting", "open_messages")
        return {name: len(getattr(self.factory, f"_{name}")) for name in names}


def lose(guard: Any) -> None:
    """The connection is gone."""
    guard.connectionLost(Failure(ConnectionDone()))


def status(socket: Socket) -> int:
    """Of the answer; checks that its body is JSON of the length it says."""
    head, _, body = socket.value().partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert set(json.loads(body)) == {"code", "message"}
    return int(head.split()[1])


@pytest.fixture
def logged() -> Any:
    """What is logged meanwhile."""
    events: list[LogEvent] = []
    observer: Callable[[LogEvent], None] = events.append
    globalLogPublisher.addObserver(observer)
    yield events
    globalLogPublisher.removeObserver(observer)


class HandOverTests:
    """Who gets which bytes."""

    @pytest.mark.parametrize("size", [1, 7, 1 << 20])
    def test_a_websocket(self, size: int) -> None:
        """A fresh protocol of the factory that was named gets the clean head, then the frames."""
        rig = Rig()
        guard, socket = rig.send(HANDSHAKE + HELLO, size)
        [behind] = rig.sockets.made
        assert behind.received[0] == HANDSHAKE
        assert b"".join(behind.received[1:]) == HELLO
        assert behind.transport is socket
        assert behind.addr == IPv4Address("TCP", "198.51.100.1", 55555)
        assert [(head.path, head.client) for head in rig.heads] == [("/ws", "198.51.100.1")]
        assert (rig.factory.counters.handshakes, rig.factory.admission.connections) == (1, 1)
        lose(guard)
        assert behind.lost == 1
        assert rig.factory.admission.connections == rig.factory.admission.sockets == 0

    @pytest.mark.parametrize("size", [1, 7, 1 << 20])
    def test_a_plain_request(self, size: int) -> None:
        """The site's protocol gets a clean head that asks for one answer; a second request goes nowhere."""
        rig = Rig()
        guard, socket = rig.send(GET + GET, size)
        [behind] = rig.site.made
        assert b"".join(behind.received) == CLEAN_GET
        assert behind.transport is socket
        assert rig.factory.counters.http_requests == 1
        lose(guard)
        assert behind.lost == 1
        assert rig.factory.admission.connections == 0

    @pytest.mark.parametrize("size", [1, 7, 1 << 20])
    def test_a_body(self, size: int) -> None:
        """So many bytes as declared, and not one of what follows."""
        rig = Rig()
        rig.send(b"POST /topics/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + GET, size)
        received = b"".join(rig.site.made[0].received)
        assert received.endswith(b"connection: close\r\n\r\nhello")
        assert received.count(b"HTTP/1.1") == 1

    @pytest.mark.parametrize("size", [1, 1 << 20])
    def test_a_refused_head(self, size: int) -> None:
        """A fixed answer, our half closed, what follows thrown away, nothing built."""
        rig = Rig()
        guard, socket = rig.send(b"GET <script> HTTP/1.1\r\nHost: a\r\n\r\n" + GET, size)
        assert status(socket) == 400
        assert b"script" not in socket.value()
        assert socket.half_closed
        assert not rig.site.made
        assert not rig.sockets.made
        assert rig.factory.counters.refused["bad_target"] == 1
        lose(guard)
        assert rig.factory.admission.sockets == 0

    def test_a_refused_websocket(self) -> None:
        """By the judge, and by whom the guard asks for a factory."""
        rig = Rig()
        _, socket = rig.send(HANDSHAKE.replace(b"/ws", b"/nowhere"))
        assert status(socket) == 404
        rig.refusal = NO_WEBSOCKET_HERE
        guard, socket = rig.send(HANDSHAKE)
        assert status(socket) == 404
        assert rig.factory.admission.connections == 1
        lose(guard)
        assert rig.factory.admission.connections == 0

    def test_without_half_close(self) -> None:
        """Over TLS there is none: the connection is ended after the answer."""
        rig = Rig()
        guard = rig.factory.buildProtocol(None)
        transport = StringTransport(peerAddress=IPv6Address("TCP", "2001:db8::1", 1))
        guard.makeConnection(transport)
        guard.dataReceived(b"\n")
        assert transport.disconnecting

    def test_no_room(self) -> None:
        """limits.connections: 503 with Retry-After, before anything is built."""
        rig = Rig(replace(SETTINGS, admission=AdmissionLimits(connections=1)))
        rig.send(GET)
        _, socket = rig.send(GET)
        assert status(socket) == 503
        assert b"\r\nRetry-After: " in socket.value()
        assert len(rig.site.made) == 1

    @pytest.mark.parametrize(
        ("peer", "address"),
        [
            (IPv6Address("TCP", "2001:db8::1", 7), IPv6Address("TCP", "2001:db8::1", 7)),
            (UNIXAddress("/run/a"), UNIXAddress("/run/a")),
        ],
    )
    def test_other_sockets(self, peer: Any, address: Any) -> None:
        """IPv6 and unix."""
        rig = Rig()
        rig.send(HANDSHAKE, peer=peer)
        assert rig.sockets.made[0].addr == address


class ProxyTests:
    """Who the client is behind proxies."""

    BEHIND = replace(SETTINGS, trusted_proxies=TrustedProxies.parse(["10.0.0.0/8", "unix"]))
    FORWARDED = GET.replace(
        b"Host: a", b"Host: a\r\nX-Forwarded-For: 6.6.6.6, 198.51.100.7\r\nX-Forwarded-For: 10.0.0.2"
    )

    @pytest.mark.parametrize("peer", [IPv4Address("TCP", "10.0.0.1", 1), UNIXAddress("/run/a")])
    def test_forwarded_for(self, peer: Any) -> None:
        """Only the address that is vouched for goes on."""
        rig = Rig(self.BEHIND)
        rig.send(self.FORWARDED, peer=peer)
        [behind] = rig.site.made
        assert b"\r\nx-forwarded-for: 198.51.100.7\r\n" in behind.received[0]
        assert b"6.6.6.6" not in behind.received[0]
        assert behind.addr.host == "198.51.100.7"

    def test_forwarded_for_by_anybody(self) -> None:
        """Does not count."""
        rig = Rig(self.BEHIND)
        rig.send(self.FORWARDED)
        assert rig.site.made[0].addr.host == "198.51.100.1"

    def test_counts_by_the_client(self) -> None:
        """per_address holds for clients, not for the proxy they share."""
        rig = Rig(replace(self.BEHIND, admission=AdmissionLimits(per_address=1)))
        for client, expected in ((b"198.51.100.7", 0), (b"198.51.100.8", 0), (b"198.51.100.7", 429)):
            _, socket = rig.send(GET.replace(b"Host: a", b"Host: a\r\nX-Forwarded-For: " + client), host="10.0.0.1")
            assert (status(socket) if socket.value() else 0) == expected

    @pytest.mark.parametrize("size", [1, 5, 1 << 20])
    @pytest.mark.parametrize(
        "header",
        [
            b"PROXY TCP4 198.51.100.7 10.0.0.1 5 443\r\n",
            b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes([198, 51, 100, 7, 10, 0, 0, 1, 0, 5, 1, 187]),
        ],
    )
    def test_proxy_protocol(self, header: bytes, size: int) -> None:
        """The client of the header is the client of the request, however the bytes come."""
        rig = Rig(replace(self.BEHIND, proxy_protocol=True))
        rig.send(header + HANDSHAKE + HELLO, size, host="10.0.0.1")
        [behind] = rig.sockets.made
        assert behind.addr.host == "198.51.100.7"
        assert b"".join(behind.received) == HANDSHAKE + HELLO

    def test_proxy_protocol_of_the_proxy_itself(self) -> None:
        """A health check keeps the address it comes from."""
        rig = Rig(replace(self.BEHIND, proxy_protocol=True))
        rig.send(b"PROXY UNKNOWN\r\n" + GET, host="10.0.0.1")
        assert rig.site.made[0].addr.host == "10.0.0.1"

    def test_no_proxy_header(self) -> None:
        """Is no answer either: whoever speaks here should know how."""
        rig = Rig(replace(self.BEHIND, proxy_protocol=True))
        _, socket = rig.send(GET, host="10.0.0.1")
        assert socket.aborted
        assert not socket.value()
        assert rig.factory.counters.unproxied == 1

    def test_proxy_header_of_anybody(self) -> None:
        """Who is no trusted proxy is not listened to."""
        rig = Rig(replace(self.BEHIND, proxy_protocol=True))
        _, socket = rig.connect()
        assert socket.aborted
        assert rig.factory.counters.unproxied == 1


class DeadlineTests:
    """Time, looked at by one sweep."""

    def test_half_a_head(self) -> None:
        """408 after ten seconds in all, however steadily it drips; two seconds later the connection is cut."""
        rig = Rig()
        guard, socket = rig.connect()
        for byte in portions_of(GET[:-5], 1)[:18]:
            guard.dataReceived(byte)
            rig.pass_time(0.5)
        assert not socket.value()
        rig.pass_time(1.0)
        assert status(socket) == 408
        assert not socket.aborted
        rig.pass_time(2.0)
        assert socket.aborted
        lose(guard)
        assert rig.factory.pending == 0

    def test_silence(self) -> None:
        """Who opens a connection ahead of need is let go without a word."""
        rig = Rig()
        _, socket = rig.connect()
        rig.pass_time(10.0)
        assert socket.aborted
        assert not socket.value()

    @pytest.mark.parametrize("size", [1, 1 << 20])
    def test_half_a_body(self, size: int) -> None:
        """The deadline is of the request, body and all; with the last byte of the body it is over."""
        post = b"POST /topics/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
        rig = Rig()
        guard, socket = rig.send(post + b"hell", size)
        _, fine = rig.send(post + b"hello", size)
        assert rig.factory.pending == 1
        rig.pass_time(10.0)
        assert status(socket) == 408
        assert not fine.value()
        lose(guard)
        assert rig.site.made[0].lost == 1

    def test_an_answer_that_nobody_takes(self) -> None:
        """Ten seconds without a byte taken; one is enough for ten more; TLS or not is the same below."""
        rig = Rig()
        guard = rig.factory.buildProtocol(None)
        direct: Any = connect(guard)
        guard.dataReceived(GET)
        direct.buffered_bytes = 5000
        rig.pass_time(9.0)
        direct.drained_bytes = 1
        rig.pass_time(10.0)
        assert not direct.ended
        rig.pass_time(0.5)
        assert direct.ended
        assert rig.factory.counters.stalled == 1

    def test_an_answer_that_is_taken(self) -> None:
        """Waiting for a slow answer is not stalling, and a rest that was taken in time is forgotten."""
        rig = Rig()
        guard = rig.factory.buildProtocol(None)
        direct: Any = connect(guard)
        guard.dataReceived(GET)
        rig.pass_time(30.0)
        for _ in range(3):
            direct.buffered_bytes = 5000
            rig.pass_time(9.0)
            direct.buffered_bytes = 0
            rig.pass_time(1.0)
        assert not direct.ended

    def test_pressure(self) -> None:
        """More than half the room taken: five seconds."""
        rig = Rig(replace(SETTINGS, pending=4))
        made = [rig.connect() for _ in range(3)]
        rig.pass_time(5.0)
        assert all(socket.aborted for _, socket in made)

    def test_pressure_costs_no_answers(self) -> None:
        """Who has begun to speak is cut without a 408 then, and is counted all the same."""
        rig = Rig(replace(SETTINGS, pending=4))
        made = [rig.send(GET[:10]) for _ in range(3)]
        rig.pass_time(5.0)
        assert [(socket.aborted, socket.value()) for _, socket in made] == [(True, b"")] * 3
        assert rig.factory.counters.refused["request_timeout"] == 3

    def test_a_complete_head_has_no_deadline(self) -> None:
        """Neither a WebSocket nor a request that waits for its answer."""
        rig = Rig()
        made = [rig.send(HANDSHAKE), rig.send(GET)]
        rig.pass_time(60.0)
        assert not any(socket.aborted or socket.value() for _, socket in made)

    def test_an_open_message(self) -> None:
        """1008 after ten seconds without its end; not while messages end."""
        rig = Rig()
        slow, _ = rig.send(HANDSHAKE + HELLO[:8])
        fine, _ = rig.send(HANDSHAKE + HELLO[:8])
        rig.pass_time(9.0)
        fine.dataReceived(HELLO[8:])
        rig.pass_time(2.0)
        assert [behind.breaches for behind in rig.sockets.made] == [[CLOSE_POLICY], []]
        assert rig.factory.counters.breaches["open_message_s"] == 1
        slow.dataReceived(HELLO)
        assert len(rig.sockets.made[0].received) == 2
        lose(slow)
        lose(fine)

    @pytest.mark.parametrize(
        ("room", "enter"),
        [
            ("pending", lambda factory, guard: factory.expect(guard)),
            ("lingering", lambda factory, guard: factory.linger(guard)),
            ("answering", lambda factory, guard: factory.answering(guard)),
            ("resting", lambda factory, guard: factory.rest(guard, 1060.0)),
            ("waiting", lambda factory, guard: factory.wait(guard, 1060.0)),
            ("open_messages", lambda factory, guard: factory.watch(guard, True)),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_looks_while_somebody_has_one(self, room: str, enter: Callable[[GuardFactory, Any], object]) -> None:
        """Of whatever kind; not for WebSockets between messages, and again for each that comes anew."""
        rig = Rig()
        guard, _ = rig.send(HANDSHAKE + HELLO)
        rig.pass_time(SWEEP_EVERY_S)
        for _ in range(2):
            assert not rig.is_looking
            enter(rig.factory, guard)
            assert rig.is_looking
            assert rig.rooms == {**dict.fromkeys(rig.rooms, 0), room: 1}
            rig.pass_time(1.0)
            assert rig.is_looking
            rig.factory.forget(guard)
            rig.pass_time(SWEEP_EVERY_S)

    def test_goes_on_after_a_fault(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of the look itself: what is overdue is ended at the next."""
        rig = Rig()
        _, socket = rig.connect()
        with monkeypatch.context() as faulty:
            faulty.setattr(rig.factory, "sweep", lambda now: 1 / 0)
            for _ in range(2):
                with pytest.raises(ZeroDivisionError):
                    rig.pass_time(SWEEP_EVERY_S)
        rig.pass_time(10.0)
        assert socket.aborted

    def test_looks_at_the_same_times_as_others(self) -> None:
        """On the beat, whenever somebody came."""
        rig = Rig()
        rig.clock.advance(0.1)
        rig.connect()
        assert [call.getTime() for call in rig.clock.getDelayedCalls()] == [1000.0 + SWEEP_EVERY_S]

    def test_the_sweep_ends_with_the_last_connection(self) -> None:
        """A listener that is closed keeps its deadlines until nobody is there."""
        rig = Rig()
        guard, socket = rig.send(GET[:9])
        rig.factory.doStop()
        assert rig.site.started == 0
        rig.pass_time(10.0)
        assert status(socket) == 408
        assert rig.clock.getDelayedCalls()
        lose(guard)
        rig.pass_time(0.5)
        assert rig.clock.getDelayedCalls() == []

    def test_stop_and_start(self) -> None:
        """Without connections the sweep ends at once; with one it goes on, once."""
        rig = Rig()
        guard, _ = rig.connect()
        rig.factory.doStop()
        rig.factory.doStart()
        assert len(rig.clock.getDelayedCalls()) == 1
        lose(guard)
        rig.factory.doStop()
        assert not rig.is_looking


class CrowdTests:
    """Number: half-open connections never keep others out."""

    def test_the_oldest_gives_way(self) -> None:
        """At the bound for all."""
        rig = Rig(replace(SETTINGS, pending=3))
        made = [rig.connect(f"198.51.100.{number}")[1] for number in range(5)]
        assert [socket.aborted for socket in made] == [True, True, False, False, False]
        assert rig.factory.counters.evicted == 2
        assert rig.factory.pending == 3

    def test_the_oldest_of_an_address_gives_way(self) -> None:
        """At the bound for one address, while half of the room is taken; a trusted proxy has none."""
        rig = Rig(replace(ProxyTests.BEHIND, pending=5, pending_per_address=2))
        made = [rig.connect(host)[1] for host in ("198.51.100.2", "198.51.100.1", "198.51.100.1", "198.51.100.1")]
        assert [socket.aborted for socket in made] == [False, True, False, False]
        proxied = [rig.connect("10.0.0.1")[1] for _ in range(2)]
        assert not any(socket.aborted for socket in proxied)

    def test_descriptors(self) -> None:
        """Sockets beyond connections and the spare ones: first who was refused, then who waits longest."""
        rig = Rig(replace(SETTINGS, admission=AdmissionLimits(connections=1, spare=2)))
        _, inside = rig.send(GET)
        _, refused = rig.send(GET)
        assert status(refused) == 503
        _, waiting = rig.connect()
        assert not refused.aborted
        rig.connect()
        assert refused.aborted
        rig.connect()
        assert waiting.aborted
        assert not inside.aborted

    def test_refused_ones_give_way(self) -> None:
        """Who does not take a refusal away is cut when too many do not."""
        rig = Rig(replace(SETTINGS, pending=2))
        made = [rig.send(b"\n", host=f"198.51.100.{number}")[1] for number in range(3)]
        assert [socket.aborted for socket in made] == [True, False, False]


class WaitingTests:
    """Who comes from an address that was closed for too much a moment ago."""

    HOST = "198.51.100.1"

    def closed(self, times: int = 1, **more: Any) -> Rig:
        """A rig where so many were closed."""
        clock = Clock()
        clock.advance(1000.0)
        repeaters = Repeaters(clock.seconds, ListenerCounters())
        for _ in range(times):
            repeaters.closed(self.HOST)
        self.soon: list[Callable[[], None]] = []
        return Rig(repeaters=repeaters, turns=Turns(clock.seconds, self.soon.append), clock=clock, **more)

    def pass_turns(self, rig: Rig, seconds: float) -> None:
        """In steps of a sweep, and all turns that are wanted after each."""
        for _ in range(round(seconds / SWEEP_EVERY_S)):
            rig.pass_time(SWEEP_EVERY_S)
            while self.soon:
                self.soon.pop()()

    def test_waits_and_comes_in(self) -> None:
        """For half a second, not read meanwhile; what came with the handshake, and by TLS after it, comes after it."""
        rig = self.closed(times=4)
        guard, socket = rig.send(HANDSHAKE + HELLO[:4])
        assert socket.producerState == "paused"
        guard.dataReceived(HELLO[4:])
        self.pass_turns(rig, 0.25)
        assert not rig.sockets.made
        assert rig.factory.pending == rig.factory.counters.waits == 1
        self.pass_turns(rig, 0.25)
        assert socket.producerState == "producing"
        assert b"".join(rig.sockets.made[0].received).endswith(b"\r\n\r\n" + HELLO)
        assert rig.factory.pending == 0
        assert rig.factory.counters.handshakes == rig.factory.admission.connections == 1

    def test_one_in_a_turn(self) -> None:
        """Many that wait together do not hold the loop together; the next does not wait any more."""
        rig = self.closed()
        for _ in range(3):
            rig.send(HANDSHAKE)
        rig.clock.advance(SWEEP_EVERY_S)
        for made in (1, 2, 3):
            self.soon.pop()()
            assert len(rig.sockets.made) == made
        assert not self.soon
        rig.send(HANDSHAKE)
        assert len(rig.sockets.made) == 4

    def test_nobody_else_waits(self) -> None:
        """Other addresses, and requests that are no handshake."""
        rig = self.closed()
        rig.send(HANDSHAKE, host="198.51.100.2")
        rig.send(GET)
        assert len(rig.sockets.made) == len(rig.site.made) == 1
        assert rig.factory.counters.waits == 0

    def test_told_when_it_came(self) -> None:
        """Closes that come later keep out only who comes later."""
        rig = self.closed()
        rig.send(HANDSHAKE)
        for _ in range(100):
            rig.repeaters.closed(self.HOST)
        rig.send(HANDSHAKE)
        self.pass_turns(rig, 2 * SWEEP_EVERY_S)
        assert len(rig.sockets.made) == 1
        self.pass_turns(rig, SHUT_MOST_S)
        assert len(rig.sockets.made) == 2

    @pytest.mark.parametrize("turns_late", [0, 1])
    def test_gone_meanwhile(self, turns_late: int) -> None:
        """Also between the sweep and its turn."""
        rig = self.closed()
        guard, _ = rig.send(HANDSHAKE)
        rig.clock.advance(SWEEP_EVERY_S * turns_late)
        lose(guard)
        self.pass_turns(rig, 1.0)
        assert not rig.sockets.made
        assert rig.factory.pending == rig.factory.admission.connections == rig.factory.counters.errors == 0

    def test_no_room_when_its_turn_comes(self) -> None:
        """It is refused as anybody is, and may read why."""
        rig = self.closed()
        _, socket = rig.send(HANDSHAKE)
        rig.factory.admission.draining = True
        self.pass_turns(rig, 1.0)
        assert status(socket) == 503
        assert socket.producerState == "producing"
        assert socket.half_closed

    def test_gives_way(self) -> None:
        """It is pending, and bounded as all that are."""
        rig = self.closed(settings=replace(SETTINGS, pending=2))
        _, socket = rig.send(HANDSHAKE)
        for _ in range(2):
            rig.connect("198.51.100.2")
        assert socket.aborted
        assert rig.factory.counters.evicted == 1
        self.pass_turns(rig, 1.0)
        assert not rig.sockets.made

    @pytest.mark.usefixtures("logged")
    def test_a_fault_when_its_turn_comes(self) -> None:
        """Ends this one alone."""
        rig = self.closed()
        _, socket = rig.send(HANDSHAKE)
        rig.fails = True
        self.pass_turns(rig, 1.0)
        assert status(socket) == 500
        assert rig.factory.counters.errors == 1


class MeterTests:
    """What is metered, and how a client is closed for it."""

    def test_what_stands_before_a_breach_is_passed_on(self) -> None:
        """And nothing after it."""
        rig = Rig()
        guard, _ = rig.send(HANDSHAKE + HELLO + b"\x81\xff\x00\x00\x00\x00\x7f\xff\xff\xff" + HELLO)
        [behind] = rig.sockets.made
        assert behind.received == [HANDSHAKE, HELLO]
        assert behind.breaches == [CLOSE_TOO_BIG]
        guard.dataReceived(HELLO)
        rig.pass_time(30.0)
        assert behind.received == [HANDSHAKE, HELLO]
        assert behind.breaches == [CLOSE_TOO_BIG]
        assert rig.factory.counters.breaches["message_bytes"] == 1

    def test_a_breach_at_the_first_byte(self) -> None:
        """Nothing is passed on."""
        rig = Rig(replace(SETTINGS, meter=MeterLimits(bytes_per_s=5)))
        rig.send(HANDSHAKE + HELLO)
        assert rig.sockets.made[0].received == [HANDSHAKE]
        assert rig.sockets.made[0].breaches == [CLOSE_POLICY]

    def test_a_factory_may_have_its_own_limits(self) -> None:
        """`meter_limits` goes before the listener's."""
        rig = Rig(replace(SETTINGS, meter=MeterLimits(frames_per_s=1)))
        rig.sockets.meter_limits = MeterLimits(frames_per_s=2)
        rig.send(HANDSHAKE + HELLO * 2)
        assert rig.sockets.made[0].breaches == []


class RestTests:
    """Clients that are to be heard at a rate, and not closed for being faster."""

    PACED = MeterLimits(frames_per_s=10, is_paced=True)

    def send(self, frames: int) -> tuple[Rig, Any]:
        """So many at once."""
        rig = Rig()
        rig.sockets.meter_limits = self.PACED
        guard, _ = rig.send(HANDSHAKE + HELLO * frames)
        return rig, guard

    def test_rest(self) -> None:
        """All that was read goes on; then nothing is read until it is paid for."""
        rig, guard = self.send(30)
        [behind] = rig.sockets.made
        assert b"".join(behind.received[1:]) == HELLO * 30
        assert behind.rests == [True]
        rig.pass_time(2.25)
        assert behind.rests == [True]
        rig.pass_time(0.25)
        assert behind.rests == [True, False]
        guard.dataReceived(HELLO)
        rig.pass_time(30.0)
        assert behind.rests == [True, False]
        assert behind.breaches == [] and rig.factory.counters.rests == 1

    def test_more_while_it_rests(self) -> None:
        """What was on its way makes it longer, and is passed on as well."""
        rig, guard = self.send(30)
        [behind] = rig.sockets.made
        guard.dataReceived(HELLO * 10)
        rig.pass_time(3.25)
        assert False not in behind.rests
        rig.pass_time(0.25)
        assert behind.rests[-1] is False
        assert b"".join(behind.received[1:]) == HELLO * 40 and rig.factory.counters.rests == 1

    def test_within_the_rate(self) -> None:
        """No rest."""
        rig, _ = self.send(10)
        assert rig.sockets.made[0].rests == [] and rig.factory.counters.rests == 0

    def test_lost_while_it_rests(self) -> None:
        """Nothing is left."""
        rig, guard = self.send(30)
        lose(guard)
        rig.pass_time(30.0)
        assert rig.sockets.made[0].rests == [True]

    def test_a_message_that_nobody_reads(self) -> None:
        """Is not under way while the client is not read."""
        rig = Rig()
        rig.send(HANDSHAKE + HELLO[:8])
        [behind] = rig.sockets.made
        behind.unread = 8.0
        rig.pass_time(18.0)
        assert behind.breaches == []
        rig.pass_time(0.25)
        assert behind.breaches == [CLOSE_POLICY]
        assert rig.factory.counters.breaches["open_message_s"] == 1


class AnswerTests:
    """Pongs that were asked for."""

    answer = client_frame(PONG, b"4242")

    def opened(self) -> tuple[Any, Behind]:
        rig = Rig()
        guard, _ = rig.send(HANDSHAKE)
        (behind,) = rig.sockets.made
        behind.received.clear()
        behind.answer = self.answer
        return guard, behind

    def test_is_not_passed_on_and_not_counted(self) -> None:
        """As often as it is asked for."""
        guard, behind = self.opened()
        for _ in range(50):
            guard.dataReceived(self.answer)
        assert (behind.received, behind.breaches) == ([], [])

    def test_anything_else_is(self) -> None:
        """Also what has its length and is none."""
        guard, behind = self.opened()
        for other in (client_frame(PONG, b"4343"), client_frame(TEXT, b"4242"), self.answer + self.answer):
            guard.dataReceived(other)
            assert behind.received.pop() == other

    @pytest.mark.parametrize(
        "before",
        [client_frame(TEXT, b"a" * 20)[:9], client_frame(TEXT, b"a", fin=False), b"\x81"],
        ids=["in a frame", "between fragments", "in a header"],
    )
    def test_not_inside_a_message(self, before: bytes) -> None:
        """There the same bytes may be something else, and who reads the message must see all of it."""
        guard, behind = self.opened()
        guard.dataReceived(before)
        guard.dataReceived(self.answer)
        assert (behind.received, behind.shown) == ([before, self.answer], [])

    def test_in_portions(self) -> None:
        """One that does not come at once is read by who stands behind."""
        guard, behind = self.opened()
        for portion in portions_of(self.answer, 1):
            guard.dataReceived(portion)
        assert b"".join(behind.received) == self.answer


class GatherTests:
    """A message in very many small reads."""

    def test_small_reads_are_gathered(self) -> None:
        """The first 64 go on as they come, then in portions of a kilobyte, the last with the end of the frame."""
        rig = Rig()
        guard, _ = rig.send(HANDSHAKE)
        [behind] = rig.sockets.made
        message = b"\x81\xfe\x27\x10\x00\x00\x00\x00" + b"a" * 10_000
        for byte in portions_of(message, 1):
            guard.dataReceived(byte)
        received = behind.received[1:]
        assert b"".join(received) == message
        assert [len(each) for each in received] == [1] * 64 + [1024] * 9 + [728]

    def test_the_next_message_goes_on_at_once(self) -> None:
        """And what is gathered goes before a breach."""
        rig = Rig()
        guard, _ = rig.send(HANDSHAKE)
        [behind] = rig.sockets.made
        ping = b"\x89\x80\x00\x00\x00\x00"
        for byte in portions_of(b"\x81\xfe\x00\xc8\x00\x00\x00\x00" + b"a" * 200 + b"\x81\x85", 1):
            guard.dataReceived(byte)
        assert [len(each) for each in behind.received[-4:]] == [1, 144, 1, 1]
        guard.dataReceived(b"\x00\x00\x00\x00hello" + ping * 5 + b"\x01\xfe\x00\xc8\x00\x00\x00\x00")
        for byte in portions_of(b"a" * 100, 1):
            guard.dataReceived(byte)
        before = b"".join(behind.received)
        guard.dataReceived(b"a" * 100 + ping)
        assert b"".join(behind.received) == before + b"a" * 137
        assert behind.breaches == [CLOSE_POLICY]


class StreamTests:
    """Any stream, in any portions."""

    @given(st.data())
    def test_nothing_is_changed(self, data: st.DataObject) -> None:
        """What stands behind gets the stream up to a breach, byte for byte, and nothing waits that is whole."""
        frames = st.builds(
            lambda opcode, fin, payload: bytes([fin | opcode, 0x80 | len(payload)]) + bytes(4) + payload,
            st.sampled_from([0, 1, 2, 8, 9, 10]),
            st.sampled_from([0, 0x80]),
            st.one_of(st.binary(max_size=3), st.just(bytes(125))),
        )
        stream = b"".join(data.draw(st.lists(frames, max_size=20)))
        rest = data.draw(
            st.sampled_from([b"", b"\x81", b"\x81\xfe\x00", b"\x81\xfe\x03\xe8\x00\x00\x00\x00" + bytes(200)])
        )
        cuts = data.draw(st.one_of(st.just(range(1, len(stream))), st.lists(st.integers(0, len(stream)), max_size=9)))
        rig = Rig()
        guard, _ = rig.send(HANDSHAKE)
        for portion in cut(stream, sorted(cuts)):
            guard.dataReceived(portion)
        [behind] = rig.sockets.made
        received = b"".join(behind.received[1:])
        if behind.breaches:
            assert stream.startswith(received)
            assert len(behind.breaches) == 1
            return
        assert received == stream
        for byte in portions_of(rest, 1):
            guard.dataReceived(byte)
        received = b"".join(behind.received[1:])
        assert (stream + rest).startswith(received)
        assert len(stream + rest) - len(received) < 1024


class LogTests:
    """What an operator reads."""

    def test_a_refused_request(self, logged: list[LogEvent]) -> None:
        """Why, where, and which page, since the page's script learns nothing; no query, no address unless asked for."""
        rig = Rig(show_address=lambda address: address.rpartition(".")[0])
        rig.send(HANDSHAKE.replace(b"/ws", b"/ws?token=1").replace(b"Host: a", b"Host: a\r\nOrigin: https://evil.com"))
        [event] = logged
        named = {name: event[name] for name in ("log_format", "why", "path", "origin", "client")}
        assert named == {
            "log_format": "request refused",
            "why": "origin",
            "path": "/ws",
            "origin": "https://evil.com",
            "client": "198.51.100",
        }
        assert event["log_level"] is LogLevel.warn

    def test_without_address(self, logged: list[LogEvent]) -> None:
        """The default."""
        Rig().send(HANDSHAKE.replace(b"13", b"8"))
        [event] = logged
        assert event["why"] == "websocket_version"
        assert not {"client", "origin"} & event.keys()

    def test_what_is_no_request_is_only_counted(self, logged: list[LogEvent]) -> None:
        """The internet is full of it."""
        rig = Rig()
        rig.send(b"\x16\x03\x01")
        assert logged == []
        assert rig.factory.counters.refused["bad_byte"] == 1

    def test_a_breach(self, logged: list[LogEvent]) -> None:
        """Which limit, and whose."""
        Rig(replace(SETTINGS, meter=MeterLimits(frames_per_s=1)), show_address=str).send(HANDSHAKE + HELLO * 2)
        [event] = logged
        assert (event["log_format"], event["limit"]) == ("client went over a limit", "frames_per_s")
        assert event["client"] == "198.51.100.1"


class FaultTests:
    """An exception ends one connection, with one line in the log."""

    def test_before_anything_is_built(self, logged: list[LogEvent]) -> None:
        """500."""
        rig = Rig()
        rig.heads = None
        _, socket = rig.send(HANDSHAKE)
        assert status(socket) == 500
        assert (rig.factory.counters.errors, len(logged)) == (1, 1)

    def test_in_a_websocket(self, logged: list[LogEvent]) -> None:
        """1011, and nothing more is passed on."""
        rig = Rig()
        guard, _ = rig.send(HANDSHAKE)
        [behind] = rig.sockets.made
        behind.fails = True
        guard.dataReceived(HELLO)
        behind.fails = False
        guard.dataReceived(HELLO)
        assert behind.breaches == [CLOSE_INTERNAL]
        assert behind.received == [HANDSHAKE]
        assert (rig.factory.counters.errors, len(logged)) == (1, 1)

    def test_in_closing(self, logged: list[LogEvent]) -> None:
        """Then the connection is cut."""
        rig = Rig()
        guard, socket = rig.send(HANDSHAKE)
        [behind] = rig.sockets.made
        behind.fails = True
        behind.breach = None
        guard.dataReceived(HELLO)
        assert socket.aborted
        assert rig.factory.counters.errors == 1

    def test_in_the_site(self, logged: list[LogEvent]) -> None:
        """The connection is cut: half an answer may be out."""
        rig = Rig()
        guard, socket = rig.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        rig.site.made[0].fails = True
        guard.dataReceived(b"hello")
        assert socket.aborted
        assert rig.factory.counters.errors == 1

    def test_after_the_loss(self) -> None:
        """Bytes that still come go nowhere."""
        rig = Rig()
        guard, _ = rig.send(HANDSHAKE)
        lose(guard)
        guard.dataReceived(HELLO)
        assert rig.sockets.made[0].received == [HANDSHAKE]
