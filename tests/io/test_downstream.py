"""A browser's WebSocket: opening, messages, faults, and every way to its end.

Most tests run in memory: the real transport on a socket in the hand, Autobahn, a session that records. `RelayTests` are
whole: real sockets, the guard, a real hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from errno import EAGAIN
from functools import partial
from typing import Any

import pytest
from twisted.internet.address import IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from relayd.core.closecode import CLOSE_BINARY, CLOSE_POLICY, CLOSE_RESTART, CLOSE_SLOW
from relayd.core.counters import ListenerCounters
from relayd.core.guard import GuardSettings
from relayd.core.keepalive import STEP_S
from relayd.core.meter import MeterLimits
from relayd.core.publication import TopicState
from relayd.core.subscriber import Sink
from relayd.core.turns import SHARE_S
from relayd.core.volley import NO_PORT, Volley
from relayd.io import clients
from relayd.io.clients import CLOSE_WITHIN_S, DEAF_CLOSE_WITHIN_S, Clients
from relayd.io.downstream import READ_AFTER_CLOSE_BYTES, DownstreamProtocol
from relayd.io.downstream_factory import DownstreamFactory
from relayd.io.transport import DirectServer
from tests.support.browser import (
    ACCEPT,
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    client_frame,
    handshake,
)
from tests.support.fake_socket import FakeReactor, FakeSocket
from tests.support.frames import take_frames
from tests.support.relay_rig import Relay, eventually, turn


class RecordingSession:
    """A session that says yes to everything, or raises what it was given."""

    def __init__(self, sink: Sink, *, raw_topic: str | None, session_id: str) -> None:
        self.sink = sink
        self.raw_topic = raw_topic
        self.session_id = session_id
        self.heard: list[tuple[str, Any]] = []
        self.fault: Exception | None = None
        self.subscriber = self
        self.port = NO_PORT
        self.counters = self
        self.lost_messages = self.received_messages = self.errors = 0

    def totals(self) -> tuple[int, int]:
        return 7, 70

    def opened(self, topics: Sequence[str]) -> None:
        self._hear("opened", list(topics))

    def text(self, payload: bytes) -> None:
        self._hear("text", payload)

    def binary(self, payload: bytes) -> None:
        self._hear("binary", payload)

    def lost(self) -> None:
        self._hear("lost", None)

    def _hear(self, what: str, value: Any) -> None:
        self.heard.append((what, value))
        if self.fault is not None:
            raise self.fault


class Shot:
    """A kernel that answers every volley to one socket alike."""

    least = 1
    fire_each = None

    def __init__(self, answer: int) -> None:
        self.answer = answer
        self.fired: list[tuple[Sequence[int], bytes]] = []

    def fire(self, ports: Sequence[int], data: bytes) -> Sequence[int] | None:
        self.fired.append((list(ports), data))
        return None if self.answer == len(data) else [self.answer]


class Line:
    """One connection in memory, from the head that the guard would hand over."""

    def __init__(
        self,
        target: str = "/ws",
        *headers: str,
        room: int = 1 << 40,
        fault: Exception | None = None,
        volley: Volley | None = None,
    ) -> None:
        self.reactor = FakeReactor()
        self.clients = Clients(ListenerCounters(), self.reactor.seconds, partial(self.reactor.callLater, 0), volley)
        self.sessions: list[RecordingSession] = []

        def make_session(sink: Sink, *, raw_topic: str | None, session_id: str, visitor: object) -> Any:
            session = RecordingSession(sink, raw_topic=raw_topic, session_id=session_id)
            session.fault = fault
            self.sessions.append(session)
            return session

        self.factory = DownstreamFactory(
            self.clients, make_session, new_id=lambda: "s1", message_bytes=1000, reactor=self.reactor, prefix="/feed"
        )
        self.protocol: DownstreamProtocol = self.factory.buildProtocol(IPv6Address("TCP", "::ffff:192.0.2.7", 5))
        self.socket = FakeSocket(room)
        self.transport = DirectServer(self.socket, self.protocol, ("192.0.2.7", 5), None, 0, self.reactor)
        self.protocol.makeConnection(self.transport)
        self.feed(handshake(f"/feed{target}", *headers))
        self.head = bytes(self.socket.taken)
        if b"\r\n\r\n" in self.head:
            end = self.head.index(b"\r\n\r\n") + 4
            del self.socket.taken[:end]

    @property
    def session(self) -> RecordingSession:
        return self.sessions[0]

    @property
    def counters(self) -> ListenerCounters:
        return self.clients.counters

    @property
    def heard(self) -> list[tuple[str, Any]]:
        return self.session.heard

    def feed(self, data: bytes) -> None:
        """Bytes from the browser."""
        self.socket.incoming += data
        self.turn()

    def send(self, opcode: int, payload: bytes = b"", **how: Any) -> None:
        self.feed(client_frame(opcode, payload, **how))

    def turn(self) -> None:
        for _ in range(3):
            self.reactor.turn()

    def frames(self) -> list[tuple[int, bytes]]:
        """What the browser got since the last call."""
        return take_frames(self.socket.taken)

    def close_frame(self) -> tuple[int, str] | None:
        for opcode, payload in self.frames():
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big"), payload[2:].decode()
        return None

    def tick_for(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.reactor.advance(STEP_S)
            self.clients.tick(self.reactor.seconds())
            self.reactor.turn()


class Logged:
    """The log of a test, as events."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)

    def stop(self) -> None:
        globalLogPublisher.removeObserver(self.events.append)

    def of(self, format: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("log_format") == format]


@pytest.fixture
def logged() -> Any:
    """The log while the test runs."""
    log = Logged()
    yield log
    log.stop()


class OpeningTests:
    """The handshake, as far as it is not the guard's."""

    def test_open(self) -> None:
        """101 without a Server line; the session is made and opened with the topics of the query."""
        line = Line("/ws?topics=t/a,t/b&topics=c&topics=")
        assert line.head.startswith(b"HTTP/1.1 101 ")
        assert ACCEPT in line.head
        assert b"server" not in line.head.lower()
        assert line.heard == [("opened", ["t/a", "t/b", "c"])]
        assert line.session.raw_topic is None
        assert line.session.session_id == "s1"
        assert line.clients.open == {"s1": line.protocol}
        assert (line.counters.opened, line.counters.open) == (1, 1)

    def test_raw(self) -> None:
        """The rest of the path is the topic; a program that encodes it is understood."""
        assert Line("/raw/market/ticker/BTC-USD").session.raw_topic == "market/ticker/BTC-USD"
        assert Line("/raw/market/ticker/BTC%7E2FUSD?x=1").session.raw_topic == "market/ticker/BTC~2FUSD"

    def test_subprotocol(self) -> None:
        """relayd.v1 is taken where it is offered, and no other."""
        assert b"Sec-WebSocket-Protocol: relayd.v1\r\n" in Line("/ws", "Sec-WebSocket-Protocol: relayd.v1").head
        assert b"sec-websocket-protocol" not in Line("/ws").head.lower()
        assert b"sec-websocket-protocol" not in Line("/raw/t", "Sec-WebSocket-Protocol: other").head.lower()

    def test_no_extension(self) -> None:
        """Compression is not agreed to."""
        line = Line("/ws", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
        assert line.head.startswith(b"HTTP/1.1 101 ")
        assert b"extensions" not in line.head.lower()

    @pytest.mark.parametrize(
        ("target", "headers", "status"),
        [
            ("/elsewhere", (), 404),
            ("/raw/", (), 404),
            ("/ws", ("Sec-WebSocket-Protocol: other",), 400),
            ("/ws", ("Sec-WebSocket-Extensions: permessage-deflate; <script>",), 400),
        ],
    )
    def test_refused(self, target: str, headers: tuple[str, ...], status: int) -> None:
        """What slips through the guard is refused in fixed words, without a byte of the request."""
        line = Line(target, *headers)
        assert line.head.startswith(f"HTTP/1.1 {status} ".encode())
        assert b"Content-Type: application/json" in line.head
        assert b"script" not in line.head
        assert line.sessions == []
        assert line.transport.disconnected
        assert line.counters.open == 0
        assert sum(line.counters.closed.values()) == 0

    def test_no_timer_of_autobahns(self) -> None:
        """Autobahn would set them on a reactor of its own choosing; there are none."""
        line = Line()
        assert line.reactor.getDelayedCalls() == []
        assert line.protocol.openHandshakeTimeoutCall is None
        assert line.protocol.autoPingPendingCall is None

    def test_a_session_that_cannot_be_made(self, logged: Logged) -> None:
        """1011, counted and logged; nothing is left behind."""
        line = Line(fault=RuntimeError("boom"))
        assert line.close_frame() == (1011, "internal")
        line.send(CLOSE, b"\x03\xf3")
        assert line.counters.errors == 2  # opening, and the end
        assert line.counters.closed["internal"] == 1
        assert line.clients.open == {}
        failures = [event for event in logged.events if event.get("log_level") is LogLevel.critical]
        assert len(failures) == 2


class MessageTests:
    """What the browser says."""

    def test_text_and_binary(self) -> None:
        """Whole messages reach the session as bytes, fragments put together, and are counted."""
        line = Line()
        line.send(TEXT, b'{"op":"ping"}')
        line.send(BINARY, b"\0\xff")
        line.send(TEXT, b"ab", fin=False)
        line.send(0, b"cd")
        line.send(TEXT, b"")
        assert line.heard[1:] == [("text", b'{"op":"ping"}'), ("binary", b"\0\xff"), ("text", b"abcd"), ("text", b"")]
        assert line.counters.received_messages == 4
        assert line.counters.received_bytes == 13 + 2 + 4

    @pytest.mark.parametrize(
        ("data", "code", "reason"),
        [
            (b"\x81\x05hello", 1002, "protocol"),  # not masked
            (client_frame(3, b"x"), 1002, "protocol"),
            (client_frame(CLOSE, b"\x03\xe7"), 1002, "protocol"),  # code 999
            (client_frame(TEXT, b"\xff\xfe"), 1007, "bad-utf8"),
            (client_frame(TEXT, b"x" * 1001), 1009, "too-big"),
        ],
    )
    def test_faults(self, data: bytes, code: int, reason: str) -> None:
        """Autobahn finds the fault; the close says our fixed word, never Autobahn's text."""
        line = Line()
        line.feed(data)
        assert line.close_frame() == (code, reason)
        line.send(CLOSE, code.to_bytes(2, "big"))
        assert line.counters.closed[reason] == 1
        assert line.heard[-1] == ("lost", None)

    def test_an_exception_in_the_session(self, logged: Logged) -> None:
        """1011; one line in the log, with the traceback; the session is told of the loss all the same."""
        line = Line()
        line.session.fault = ValueError("boom")
        line.send(TEXT, b"x")
        line.session.fault = None
        assert line.close_frame() == (1011, "internal")
        line.send(CLOSE, b"\x03\xf3")
        assert line.heard[-1] == ("lost", None)
        assert line.counters.errors == 1
        assert [event["log_failure"].type for event in logged.events if "log_failure" in event] == [ValueError]

    def test_after_a_close_nothing_is_heard(self) -> None:
        """Messages that were on their way when we closed are not for the session."""
        line = Line()
        line.session.sink.close(CLOSE_BINARY)
        line.send(TEXT, b"late")
        assert line.heard == [("opened", [])]

    def test_after_a_close_little_is_read(self) -> None:
        """Who goes on talking after a close is not listened to any more."""
        line = Line()
        line.session.sink.close(CLOSE_POLICY)
        frame = client_frame(BINARY, b"x" * 900)
        for _ in range(READ_AFTER_CLOSE_BYTES // len(frame) + 2):
            line.feed(frame)
        assert line.transport not in line.reactor.readers
        assert line.heard == [("opened", [])]

    def test_two_reasons_not_to_read(self) -> None:
        """The session's pause and the guard's rest do not undo each other."""
        line = Line()
        line.session.sink.pause()
        line.protocol.rest(True)
        line.session.sink.resume()
        assert line.transport not in line.reactor.readers
        line.reactor.advance(2.0)
        line.protocol.rest(False)
        assert line.transport in line.reactor.readers
        line.reactor.advance(2.0)
        assert line.protocol.unread_s(line.reactor.seconds()) == 2.0

    def test_a_close_ends_a_rest(self) -> None:
        """The client's answer to it is read."""
        line = Line()
        line.protocol.rest(True)
        line.session.sink.close(CLOSE_POLICY)
        assert line.transport in line.reactor.readers
        line.protocol.rest(True)
        assert line.transport in line.reactor.readers


class TurnTests:
    """Who says much at once."""

    @staticmethod
    def slow() -> tuple[Line, list[tuple[bytes, bool]]]:
        """A session that takes 1 ms for a message, and what it heard, with whether the client was read then."""
        line, heard = Line(), []

        def text(payload: bytes) -> None:
            heard.append((payload, line.transport in line.reactor.readers))
            line.reactor.rightNow += SHARE_S / 2

        line.session.text = text
        return line, heard

    def test_the_rest_waits_for_the_next_turn(self) -> None:
        """In order, and the client is not read meanwhile; then it is again."""
        line, heard = self.slow()
        line.feed(b"".join(client_frame(TEXT, b"%d" % number) for number in range(5)))
        assert heard == [(b"0", True), (b"1", True), (b"2", False), (b"3", False), (b"4", False)]
        assert line.counters.turns_over == 2
        assert len(line.clients.turns) == 0
        line.send(TEXT, b"5")
        assert heard[5:] == [(b"5", True)]

    def test_what_comes_while_it_waits(self) -> None:
        """Over TLS more may have been read already: it stands behind."""
        line, heard = self.slow()
        for first in (0, 3):
            line.protocol.dataReceived(b"".join(client_frame(TEXT, b"%d" % (first + more)) for more in range(3)))
        assert [payload for payload, _ in heard] == [b"0", b"1"]
        line.turn()
        assert [payload for payload, _ in heard] == [b"%d" % number for number in range(6)]

    def test_a_breach_meanwhile(self) -> None:
        """What waits of a client that went over a limit is not done, and takes nobody's turn."""
        line, heard = self.slow()
        line.protocol.dataReceived(client_frame(TEXT, b"x") * 5)
        assert len(line.clients.turns) == 1
        line.protocol.breach(CLOSE_POLICY)
        assert len(line.clients.turns) == 0
        line.turn()
        assert len(heard) == 2
        assert line.close_frame() == (1008, "policy")

    def test_a_loss_meanwhile(self) -> None:
        """Nobody is served who is gone."""
        line, heard = self.slow()
        line.protocol.dataReceived(client_frame(TEXT, b"x") * 5)
        line.socket.broken = True
        line.transport.connectionLost(Failure(ConnectionLost()))
        assert len(line.clients.turns) == 0
        line.turn()
        assert len(heard) == 2
        assert line.session.heard[-1] == ("lost", None)
        assert line.counters.errors == 0

    def test_a_close_of_ours_meanwhile(self) -> None:
        """The client's answer stands behind what it said before, and is found."""
        line, heard = self.slow()
        line.protocol.dataReceived(client_frame(TEXT, b"x") * 5 + client_frame(CLOSE, b"\x03\xf0"))
        line.session.sink.close(CLOSE_POLICY)
        line.turn()
        assert len(heard) == 2
        assert line.session.heard[-1] == ("lost", None)


class RepeaterTests(TestCase):
    """Who was closed for too much and comes back, over real connections."""

    def setUp(self) -> None:
        self.relay = Relay()
        self.relay.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.relay.close()))

    async def closed(self) -> None:
        """A connection that asks for too much."""
        client = await self.relay.browse("/ws")
        for _ in range(MeterLimits().frames_per_s + 1):
            client.send(TEXT, b'{"op":"ping"}')
        await client.until(lambda: client.close)
        assert client.close == (1008, "policy")

    async def test_begins_with_less_and_is_served(self) -> None:
        """It is counted, and what an honest neighbour asks for comes all the same."""
        client = await self.relay.browse("/ws?topics=t/a")
        await client.until(lambda: client.messages)
        assert self.relay.clients.counters.repeaters == 0
        await self.closed()
        neighbour = await self.relay.browse("/ws")
        neighbour.say(op="subscribe", id=1, topics=[f"t/{number}" for number in range(128)])
        for number in range(20):
            neighbour.say(op="ping", id=number)
        await neighbour.until(lambda: sum(one.get("op") == "pong" for one in neighbour.messages) == 20)
        assert [one["id"] for one in neighbour.messages if one.get("op") == "pong"] == list(range(20))
        assert any(one.get("op") == "subscribed" for one in neighbour.messages)
        assert neighbour.close is None
        assert self.relay.clients.counters.repeaters == self.relay.guards.counters.waits == 1
        assert self.relay.clients.repeaters.times("127.0.0.1") == 1

    async def test_a_flood_is_not_read_to_its_end(self) -> None:
        """The close for the third wrong request comes, and what stands behind it is let go."""
        client = await self.relay.browse("/ws")
        for _ in range(60):
            client.send(TEXT, b"x" * 1000)
        await client.until(lambda: client.close)
        assert client.close == (4501, "bad-request")
        ((_, server),) = self.relay.clients._closing
        assert server.data == b""
        assert self.relay.clients.repeaters.times("127.0.0.1") == 1

    async def test_what_no_browser_does_counts_too(self) -> None:
        """Binary where text is meant, as bytes that are no WebSocket."""
        client = await self.relay.browse("/ws")
        client.send(BINARY, b"x")
        await client.until(lambda: client.close)
        assert self.relay.clients.repeaters.times("127.0.0.1") == 1

    async def test_another_close_is_none_of_this(self) -> None:
        """Who leaves by itself, or is sent away by us, did nothing."""
        client = await self.relay.browse("/ws")
        client.send(CLOSE, b"\x03\xe8")
        await client.until(lambda: client.close)
        client = await self.relay.browse("/ws")
        self.relay.clients.close_all(CLOSE_RESTART)
        await client.until(lambda: client.close)
        assert self.relay.clients.repeaters.times("127.0.0.1") == 0


class RepeatedTurnTests:
    """The turns of who was closed before."""

    def test_behind_everybody_else(self) -> None:
        """Also what would go into its share: it has the next turn."""
        line = Line()
        line.protocol.comes_last = True
        line.protocol.dataReceived(client_frame(TEXT, b"a") + client_frame(TEXT, b"b"))
        assert line.heard == [("opened", [])]
        assert line.transport not in line.reactor.readers
        line.turn()
        assert line.heard[1:] == [("text", b"a"), ("text", b"b")]
        assert line.transport in line.reactor.readers
        assert line.counters.turns_over == 0

    def test_a_fault_in_its_turn(self, logged: Logged) -> None:
        """Nobody knows where Autobahn stands: nothing more is read, and the connection ends."""
        line = Line()
        line.protocol.comes_last = True
        line.protocol.dataReceived(client_frame(TEXT, b"a"))
        line.protocol.processData = lambda: 1 / 0
        line.turn()
        assert line.close_frame() == (1011, "internal")
        line.protocol.dataReceived(client_frame(TEXT, b"b"))
        line.turn()
        assert line.counters.errors == 1
        assert sum("log_failure" in event for event in logged.events) == 1


class PingTests:
    """Pings in both directions."""

    def test_pong(self) -> None:
        """A ping is answered with its own bytes."""
        line = Line()
        line.send(PING, b"hello")
        assert line.frames() == [(PONG, b"hello")]

    def test_pings_of_a_client_that_does_not_read(self) -> None:
        """Only the newest is answered, once there is room."""
        line = Line()
        line.socket.room = 3
        line.session.sink.write(b"\x81\x05hello")
        for number in range(50):
            line.send(PING, b"%d" % number)
        assert line.transport.buffered_bytes == 4
        line.socket.room = 1 << 40
        line.turn()
        line.tick_for(STEP_S)
        assert line.frames() == [(TEXT, b"hello"), (PONG, b"49")]
        line.tick_for(3 * STEP_S)
        assert line.frames() == []

    def test_no_ping_behind_what_waits(self) -> None:
        """A client that has not read what was sent is not asked as well; that it reads on is its sign of life."""
        line = Line()
        line.socket.room = 3
        line.session.sink.write(b"\x81\x05hello")
        waits = line.transport.buffered_bytes
        line.tick_for(26.0)
        assert line.transport.buffered_bytes == waits
        line.socket.room = 1
        line.turn()
        line.tick_for(20.0)
        assert line.transport.connected
        line.tick_for(46.0)
        assert line.frames() == [] and not line.transport.connected

    def test_ping_and_round_trip_time(self, logged: Logged) -> None:
        """A ping within 25 s; its pong is timed and the time stands in the log at the end."""
        line = Line()
        while not (frames := line.frames()):
            line.tick_for(STEP_S)
        assert line.reactor.seconds() <= 25.0
        ((opcode, payload),) = frames
        assert opcode == PING
        line.reactor.advance(0.5)
        line.send(PONG, payload)
        assert line.counters.pongs == 1
        line.send(CLOSE, b"\x03\xe8")
        (closed,) = logged.of("client closed")
        assert closed["rtt_ms"] >= 500

    @pytest.mark.parametrize("answer", [6, 2, -EAGAIN])
    def test_a_ping_in_a_volley(self, answer: int) -> None:
        """What the socket has not taken of it follows by the way that everything goes."""
        volley = Shot(answer)
        line = Line(volley=volley)
        line.session.port = 7
        while not volley.fired:
            line.tick_for(STEP_S)
        ((ports, frame),) = volley.fired
        assert (ports, frame[:2]) == ([7], b"\x89\x04")
        assert bytes(line.socket.taken) == frame[max(answer, 0) :]
        line.feed(client_frame(PONG, frame[2:]))
        assert line.counters.pongs == 1

    def test_the_ping_that_is_repeated(self) -> None:
        """Goes alone: from here on it counts what the client takes."""
        volley = Shot(6)
        line = Line(volley=volley)
        line.session.port = 7
        while not volley.fired:
            line.tick_for(STEP_S)
        line.tick_for(10)
        assert len(volley.fired) == 1
        assert [opcode for opcode, _ in line.frames()] == [PING]

    def test_no_pong(self) -> None:
        """Two pings without an answer: 4012, and the connection is aborted 2 s later."""
        line = Line()
        line.tick_for(46)
        frames = line.frames()
        assert [opcode for opcode, _ in frames] == [PING, PING, CLOSE]
        assert frames[-1][1] == (4012).to_bytes(2, "big") + b"no-pong"
        assert line.transport.disconnected
        assert line.counters.closed["no-pong"] == 1
        assert line.counters.aborted == 1

    @pytest.mark.parametrize(
        "sign", [client_frame(PONG), client_frame(TEXT, b"x"), client_frame(PING), client_frame(TEXT, b"x", fin=False)]
    )
    def test_any_frame_is_a_sign_of_life(self, sign: bytes) -> None:
        """A frame of any kind after the ping will do; even the first of a message that goes on."""
        line = Line()
        for _ in range(40):
            line.tick_for(2)
            line.feed(sign)
            if sign == client_frame(TEXT, b"x", fin=False):
                sign = client_frame(0, b"", fin=False)
        assert not line.transport.disconnected

    def test_a_slow_reader_is_not_a_dead_one(self) -> None:
        """Its pings stand behind a rest that it takes byte by byte: it reads, so it lives."""
        line = Line()
        line.socket.room = 0
        line.session.sink.write(b"\x82\x7e\xff\xff" + b"x" * 65535)
        for _ in range(100):
            line.tick_for(1)
            line.socket.room = 500
        assert not line.transport.disconnected

    def test_who_does_not_read_is_dead(self) -> None:
        """The same without a byte taken ends with 4012."""
        line = Line()
        line.socket.room = 0
        line.session.sink.write(b"\x82\x7e\xff\xff" + b"x" * 65535)
        line.tick_for(50)
        assert line.transport.disconnected
        assert line.counters.closed["no-pong"] == 1

    def test_a_wall_clock_that_jumps(self) -> None:
        """Only the injected clock counts; a stall of it closes nobody either."""
        line = Line()
        line.tick_for(25)
        line.reactor.advance(3600)
        line.clients.tick(line.reactor.seconds())
        assert not line.transport.disconnected


class EndTests:
    """Every way to the end leaves nothing behind."""

    def ended(self, line: Line, cause: str) -> None:
        assert line.transport.disconnected
        assert line.clients.open == {}
        assert line.counters.open == 0
        assert {name: count for name, count in line.counters.closed.items() if count} == {cause: 1}
        assert [what for what, _ in line.heard].count("lost") == 1
        line.tick_for(60)  # no ping, no deadline, no second end

    def test_the_client_closes(self, logged: Logged) -> None:
        """Its close is answered with 1000 and the connection ends; the log has its code."""
        line = Line()
        line.send(CLOSE, (4999).to_bytes(2, "big") + b"bye")
        assert line.frames() == [(CLOSE, b"\x03\xe8")]
        self.ended(line, "client")
        assert logged.of("client closed")[0]["code"] == 4999
        assert line.counters.aborted == 0

    def test_the_client_vanishes(self) -> None:
        """A lost connection is a loss."""
        line = Line()
        line.socket.broken = True
        line.turn()
        self.ended(line, "loss")

    def test_we_close_and_the_client_answers(self) -> None:
        """Code, reason and hint; after its answer the connection ends in order, not by a reset."""
        line = Line()
        line.session.sink.close(CLOSE_RESTART, 7)
        assert line.close_frame() == (1012, "restart; retry=7")
        assert not line.transport.disconnected
        line.send(CLOSE, b"\x03\xf4")
        self.ended(line, "restart")
        assert line.counters.aborted == 0
        assert line.socket.shut

    def test_we_close_and_nobody_answers(self) -> None:
        """Aborted 2 s later."""
        line = Line()
        line.session.sink.close(CLOSE_SLOW)
        line.tick_for(CLOSE_WITHIN_S - 0.2)
        assert not line.transport.disconnected
        line.tick_for(0.3)
        self.ended(line, "slow")
        assert line.counters.aborted == 1

    def test_close_behind_a_rest_nobody_takes(self) -> None:
        """A lagging client with a producer: aborted in time, where loseConnection alone would wait for ever."""
        line = Line()
        line.socket.room = 0
        line.session.sink.write(b"rest")
        line.session.sink.pull(lambda: None)
        line.session.sink.close(CLOSE_RESTART)
        assert line.transport.producer is None
        line.tick_for(CLOSE_WITHIN_S + 0.1)
        self.ended(line, "restart")

    def test_who_takes_nothing_is_not_waited_for(self) -> None:
        """Closed for being slow, with something before the close: it would not hear of it in 2 s either."""
        line = Line()
        line.socket.room = 0
        line.session.sink.write(b"rest")
        line.session.sink.close(CLOSE_SLOW)
        line.tick_for(DEAF_CLOSE_WITHIN_S - STEP_S)
        assert not line.transport.disconnected
        line.tick_for(STEP_S)
        self.ended(line, "slow")
        assert line.counters.aborted == 1

    def test_the_client_closes_and_does_not_read(self) -> None:
        """The answer to its close cannot be sent; aborted in time."""
        line = Line()
        line.socket.room = 0
        line.session.sink.write(b"rest")
        line.send(CLOSE, b"\x03\xe8")
        assert not line.transport.disconnected
        line.tick_for(CLOSE_WITHIN_S + 0.1)
        self.ended(line, "client")

    def test_a_breach(self) -> None:
        """What the guard found: the close frame, and nothing more is read."""
        line = Line()
        line.protocol.breach(CLOSE_POLICY)
        assert line.close_frame() == (1008, "policy")
        assert line.transport not in line.reactor.readers
        line.tick_for(CLOSE_WITHIN_S + 0.1)
        self.ended(line, "policy")

    def test_the_first_close_counts(self) -> None:
        """A second close sends nothing and changes nothing."""
        line = Line()
        line.session.sink.close(CLOSE_SLOW)
        line.session.sink.close(CLOSE_RESTART)
        line.protocol.breach(CLOSE_POLICY)
        assert len(line.frames()) == 1
        line.tick_for(CLOSE_WITHIN_S + 0.1)
        self.ended(line, "slow")

    def test_close_all(self) -> None:
        """All at once, each with the hint."""
        line = Line()
        line.clients.close_all(CLOSE_RESTART, 3)
        assert line.close_frame() == (1012, "restart; retry=3")
        line.clients.abort_all()
        line.turn()
        self.ended(line, "restart")

    def test_the_log(self, logged: Logged) -> None:
        """One line at the open, one at the close; the address unmapped, the query never."""
        line = Line("/ws?topics=t/a&token=secret")
        line.send(CLOSE)
        (opened,), (closed,) = logged.of("client opened"), logged.of("client closed")
        assert (opened["id"], opened["client"], opened["path"]) == ("s1", "192.0.2.7", "/ws")
        assert (closed["id"], closed["reason"], closed["sent"], closed["sent_bytes"]) == ("s1", "client", 7, 70)
        assert "secret" not in repr([event for event in logged.events if "relayd" in event.get("log_namespace", "")])


class RelayTests(TestCase):
    """The whole of it, over real sockets."""

    def relay(self, *args: Any, **kwargs: Any) -> Relay:
        relay = Relay(*args, **kwargs)
        relay.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(relay.close()))
        return relay

    async def test_welcome_and_data(self) -> None:
        """A plain `?topics=` needs nothing more: welcome, subscribed, data."""
        relay = self.relay()
        relay.publish("t/a", b'{"price":1}')
        browser = await relay.browse("/ws?topics=t/a")
        await browser.until(lambda: len(browser.messages) >= 3)
        assert [message.get("op") for message in browser.messages] == ["welcome", "subscribed", None]
        relay.publish("t/a", b'{"price":2}')
        await browser.until(lambda: len(browser.messages) == 4)
        assert browser.messages[-1]["data"] == {"price": 2}
        assert relay.demand.wanted_topics == ["t/a"]
        browser.send(CLOSE)
        await browser.until(lambda: browser.lost)
        assert relay.demand.wanted_topics == []

    async def test_raw_payloads_are_untouched(self) -> None:
        """Text, binary, empty and 3 MiB arrive byte by byte as they were; what the browser says is ignored."""
        relay = self.relay()
        browser = await relay.browse("/raw/t/a")
        browser.send(TEXT, b"hello?")
        browser.send(BINARY, b"\0")
        sent = [(TEXT, b'{"a": 1}'), (BINARY, bytes(range(256))), (TEXT, b""), (BINARY, b""), (TEXT, b"x" * (3 << 20))]
        topic = relay.hub.topic("t/a")
        for opcode, payload in sent:
            relay.hub.publish(topic, payload, opcode == TEXT)
        await browser.until(lambda: len(browser.frames) == len(sent))
        assert browser.frames == sent

    async def test_pongs_pass_autobahn_by(self) -> None:
        """The answer to a ping is taken as it comes from the socket; one that nobody asked for is read by Autobahn."""
        read: list[bytes] = []
        self.patch(DownstreamProtocol, "onPong", lambda protocol, payload: read.append(payload))
        now = 1000.0
        relay = self.relay(monotonic=lambda: now)
        browser = await relay.browse("/ws")
        while not relay.clients.counters.pings:
            now += STEP_S
            relay.clients.tick(now)
        await eventually(lambda: relay.clients.counters.pongs == 1)
        assert read == []
        (ping,) = (payload for opcode, payload in browser.frames if opcode == PING)
        browser.send(PONG, ping)
        await eventually(lambda: read == [ping])

    async def test_binary_on_v1(self) -> None:
        """1003 with its word."""
        relay = self.relay()
        browser = await relay.browse("/ws")
        browser.send(BINARY, b"\0")
        await browser.until(lambda: browser.close)
        assert browser.close == (1003, "binary")
        await browser.until(lambda: browser.lost)

    async def test_ten_mebibytes(self) -> None:
        """A message far beyond limits.message: 1009 before it has been read."""
        self.patch(clients, "CLOSE_WITHIN_S", 0.2)
        relay = self.relay()
        browser = await relay.browse("/ws")
        browser.transport.write(b"\x81\xff" + (10 << 20).to_bytes(8, "big") + b"\0\0\0\0" + b"x" * 1000)
        await browser.until(lambda: browser.close)
        assert browser.close == (1009, "too-big")

    async def test_a_prefix(self) -> None:
        """Everything lies under the listener's prefix."""
        relay = self.relay(settings=GuardSettings(prefix="/feed"))
        browser = await relay.browse("/feed/ws?topics=t/a")
        await browser.until(lambda: len(browser.messages) == 2)
        assert (await relay.browse("/ws")).head.startswith(b"HTTP/1.1 404")

    async def test_one_never_reads(self) -> None:
        """A client that does not read costs the others nothing, and little memory: they get all, it holds one rest."""
        self.patch(clients, "CLOSE_WITHIN_S", 0.2)
        relay = self.relay()
        sleeper = await relay.browse("/raw/t/a")
        sleeper.transport.pauseProducing()
        reader = await relay.browse("/raw/t/a")
        payload = b"x" * 20_000
        for number in range(500):
            relay.publish("t/a", b"%04d" % number + payload)
            if number % 50 == 0:
                await reader.until(lambda number=number: len(reader.frames) >= number)
        await reader.until(lambda: len(reader.frames) == 500)
        assert [int(data[:4]) for _, data in reader.frames] == list(range(500))
        most = max(client.transport.buffered_bytes for client in relay.clients.open.values())
        assert 0 < most <= 64 * 1024 + len(payload) + 100

    async def test_a_lagging_client_catches_up(self) -> None:
        """When it reads again it is served from the ring, in order, and rejoins the others."""
        relay = self.relay()
        browser = await relay.browse("/raw/t/a")
        browser.transport.pauseProducing()
        payload = b"x" * 100_000
        for number in range(90):  # beyond what the kernel takes, within the ring of a hundred
            relay.publish("t/a", b"%04d" % number + (payload if number < 5 else b""))
            await turn()
        browser.transport.resumeProducing()
        await browser.until(lambda: len(browser.frames) == 90)
        assert [int(data[:4]) for _, data in browser.frames] == list(range(90))
        relay.publish("t/a", b"live")
        await browser.until(lambda: browser.frames[-1] == (TEXT, b"live"))

    async def test_states_of_many_topics(self) -> None:
        """Forty browsers with topics of their own, in crowds: each hears of a state of one topic, and of all at once,
        in its place and once."""
        relay = self.relay()
        sets = [("t/all", f"t/{n}", f"t/{n + 100}") for n in range(40)]
        browsers = [await relay.browse(f"/ws?topics={','.join(topics)}") for topics in sets]
        for browser in browsers:
            await browser.until(lambda browser=browser: len(browser.messages) == 2)
        topic = relay.hub.topic("t/all")
        told = 2
        while sum(len(crowd.cohorts) for crowd in topic.crowds.values()) < len(browsers):
            relay.publish("t/all")
            told += 1 if told > 2 else 2  # the first brings the state along
            for browser in browsers:
                await browser.until(lambda browser=browser, told=told: len(browser.messages) == told)
        relay.publish("t/all", b"1")
        relay.hub.state(topic, TopicState.STALE)
        await eventually(lambda: all(len(browser.messages) == told + 2 for browser in browsers))
        for name in dict.fromkeys(name for topics in sets for name in topics):
            relay.hub.state(relay.hub.topic(name), TopicState.RECONNECTING)
        relay.hub.gap(topic, None, "upstream")
        relay.publish("t/all", b"2")
        assert sum(len(crowd.cohorts) for crowd in topic.crowds.values()) == len(browsers)
        await eventually(lambda: all(len(browser.messages) == told + 8 for browser in browsers))
        for browser, topics in zip(browsers, sets, strict=True):
            news = [
                message.get("data", (message.get("op"), message["topic"], message.get("state")))
                for message in browser.messages[told:]
            ]
            assert news == [
                1,
                ("state", "t/all", "stale"),
                *[("state", name, "reconnecting") for name in topics],
                ("lost", "t/all", None),
                ("state", "t/all", "live"),
                2,
            ]

    async def test_a_crowd_comes_and_goes(self) -> None:
        """Fifty connections, half of them cut without a word: all are forgotten."""
        relay = self.relay()
        browsers = [await relay.browse("/ws?topics=t/a") for _ in range(50)]
        assert len(relay.clients.open) == 50
        for browser in browsers[::2]:
            browser.transport.abortConnection()
        for browser in browsers[1::2]:
            browser.send(CLOSE)
        await eventually(lambda: not relay.clients.open)
        assert relay.clients.counters.closed["loss"] == 25
        assert relay.clients.counters.closed["client"] == 25
        assert relay.hub.topic("t/a").readers == 0
