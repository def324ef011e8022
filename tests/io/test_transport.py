"""The transport that sends directly: on a kernel in the hand, and on real sockets."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import tempfile
from errno import ENOBUFS
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from relayd.core.volley import NO_PORT
from relayd.io.transport import (
    NOTSENT_LOWAT_BYTES,
    TCP_NOTSENT_LOWAT,
    Backlog,
    DirectServer,
    DirectUnixServer,
    find_direct,
    transport_for,
)
from tests.support.fake_socket import FakeReactor, FakeSocket

reactor: Any = global_reactor

ACTIONS = st.sampled_from(["write", "send", "sequence", "turn"])


class Recorder(Protocol):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert self.lost is None, "lost twice"
        self.lost = reason


class FakeVolley:
    """Who may be part of a volley."""

    def __init__(self) -> None:
        self.descriptors: dict[int, int] = {}

    def port(self, descriptor: int) -> int:
        port = 64 * (len(self.descriptors) + 1)
        self.descriptors[port] = descriptor
        return port

    def free(self, port: int) -> None:
        del self.descriptors[port]


class Bench:
    """A connection on a fake socket with `room` for so many bytes."""

    def __init__(self, room: int = 1 << 40, volley: Any = None, backlog: Backlog | None = None) -> None:
        self.reactor = FakeReactor()
        self.socket = FakeSocket(room)
        self.protocol = Recorder()
        address = ("192.0.2.1", 50000)
        self.transport = DirectServer(
            self.socket, self.protocol, address, None, 0, self.reactor, volley=volley, backlog=backlog
        )
        self.protocol.makeConnection(self.transport)

    @property
    def taken(self) -> bytes:
        return bytes(self.socket.taken)


class SendNowTests:
    """`send_now`: what the kernel takes, and nothing else happens."""

    def test_all(self) -> None:
        """An empty socket takes all; nothing is buffered, no writer is registered."""
        bench = Bench()
        assert bench.transport.send_now(b"hello") == 5
        assert bench.taken == b"hello"
        assert not bench.transport.busy
        assert not bench.reactor.writers

    def test_a_part(self) -> None:
        """What was not taken is the caller's: it is not buffered."""
        bench = Bench(room=3)
        assert bench.transport.send_now(b"hello") == 3
        assert bench.transport.buffered_bytes == 0
        assert not bench.reactor.writers

    def test_nothing_from_a_full_socket(self) -> None:
        """A full socket is no error."""
        bench = Bench(room=0)
        assert bench.transport.send_now(b"hello") == 0
        bench.reactor.turn()
        assert bench.protocol.lost is None

    def test_nothing_while_something_is_buffered(self) -> None:
        """Else the bytes would overtake those in the buffer; the socket is not even asked."""
        bench = Bench(room=3)
        bench.transport.write(b"hello")
        sends = bench.socket.sends
        bench.socket.room = 100
        assert bench.transport.send_now(b"!") == 0
        assert bench.socket.sends == sends
        bench.reactor.turn()
        assert bench.transport.send_now(b"!") == 1
        assert bench.taken == b"hello!"

    def test_an_error_surfaces_on_a_turn(self) -> None:
        """A reset found while sending is nothing taken now, and a loss on the next turn, though nobody writes."""
        bench = Bench()
        bench.socket.broken = True
        assert bench.transport.send_now(b"hello") == 0
        assert bench.protocol.lost is None
        bench.reactor.turn()
        assert bench.protocol.lost is not None
        assert bench.protocol.lost.check(ConnectionLost)
        assert bench.transport.send_now(b"hello") == 0

    def test_an_error_is_not_an_orderly_end(self) -> None:
        """The failed send has consumed the socket's error; what can still be read must not hide it."""
        bench = Bench()
        bench.socket.broken = True
        bench.transport.send_now(b"hello")
        bench.socket.broken = False
        bench.socket.incoming += b"late"
        bench.socket.room = 0
        bench.reactor.turn()
        assert bench.protocol.lost is not None
        assert bench.protocol.lost.check(ConnectionLost)
        assert not bench.protocol.received

    def test_no_memory_in_the_kernel_is_a_full_socket(self) -> None:
        """ENOBUFS passes, as it does for Twisted."""
        bench = Bench()

        def send(_: bytes) -> int:
            raise OSError(105, "no buffer space")

        bench.transport._send = send
        assert bench.transport.send_now(b"hello") == 0
        bench.reactor.turn()
        assert bench.protocol.lost is None

    @pytest.mark.parametrize("end", ["loseConnection", "abortConnection", "loseWriteConnection", "end_direct"])
    def test_nothing_after_the_end(self, end: str) -> None:
        """Once the end has begun nothing goes directly any more, now and later."""
        bench = Bench()
        getattr(bench.transport, end)()
        assert bench.transport.send_now(b"late") == 0
        for _ in range(3):
            bench.reactor.turn()
            assert bench.transport.send_now(b"late") == 0
        assert bench.taken == b""


class BindTests:
    """The socket's own `send`, while it may be called."""

    def test_changes_hands(self) -> None:
        """The socket's own at first; nothing is taken while something is buffered, or after the end."""
        bench = Bench()
        bound: list[Any] = []
        bench.transport.bind(lambda send_now, port: bound.append(send_now))
        assert bound[-1](b"hello") == 5
        bench.transport.startWriting()
        assert bound[-1](b"hello") == 0
        bench.transport.stopWriting()
        assert bound[-1](b"hello") == 5
        bench.transport.end_direct()
        assert bound[-1](b"hello") == 0

    def test_port(self) -> None:
        """A place in volleys while nothing is buffered, given back at the end, and never had without one."""
        volley = FakeVolley()
        bench = Bench(volley=volley)
        ports: list[int] = []
        bench.transport.bind(lambda send_now, port: ports.append(port))
        assert ports[-1] == 64 and volley.descriptors == {64: 1_000_000}
        bench.transport.startWriting()
        assert ports[-1] == NO_PORT and volley.descriptors
        bench.transport.stopWriting()
        assert ports[-1] == 64
        bench.transport.bind(lambda send_now, port: ports.append(port))
        assert ports[-1] == 64 and len(volley.descriptors) == 1
        bench.transport.loseConnection()
        assert ports[-1] == NO_PORT and not volley.descriptors
        bench.transport.bind(lambda send_now, port: ports.append(port))
        assert ports[-1] == NO_PORT and not volley.descriptors

    def test_failed(self) -> None:
        """A full socket is no fault; a broken one is lost on a later turn."""
        bench = Bench()
        bench.transport.failed(BlockingIOError())
        bench.transport.failed(OSError(ENOBUFS, "no room"))
        assert not bench.transport.busy
        bench.transport.failed(ConnectionResetError())
        assert bench.transport.busy
        assert bench.transport.send_now(b"hello") == 0


class WriteTests:
    """`write`: at once if possible, in order always."""

    def test_at_once(self) -> None:
        """Nothing waits for a turn of the reactor."""
        bench = Bench()
        bench.transport.write(b"hello")
        bench.transport.writeSequence([b" ", b"world"])
        assert bench.taken == b"hello world"
        assert not bench.reactor.writers

    def test_the_rest_waits(self) -> None:
        """A partial send leaves the rest in Twisted's buffer, counted, and what follows behind it."""
        bench = Bench(room=3)
        bench.transport.write(b"hello")
        bench.transport.write(b" world")
        assert bench.taken == b"hel"
        assert bench.transport.buffered_bytes == 8
        assert (bench.transport.drained_bytes, bench.transport.drained_at) == (0, 0.0)
        bench.socket.room = 4
        bench.reactor.turn()
        assert bench.transport.buffered_bytes == 4
        bench.socket.room = 100
        bench.reactor.turn()
        assert bench.taken == b"hello world"
        assert bench.transport.buffered_bytes == 0
        assert bench.transport.drained_bytes == 8
        assert not bench.transport.busy

    def test_backlog(self) -> None:
        """What waits is counted for all sockets together, until it is taken or its connection is lost."""
        times = iter([7.0, 8.0])
        backlog = Backlog(lambda: next(times))
        bench, lost = Bench(room=3, backlog=backlog), Bench(room=0, backlog=backlog)
        bench.transport.write(b"hello world")
        lost.transport.write(b"goodbye")
        assert backlog.bytes == 8 + 7
        bench.socket.room = 5
        bench.reactor.turn()
        assert (backlog.bytes, bench.transport.drained_at) == (3 + 7, 7.0)
        lost.transport.abortConnection()
        lost.reactor.turn()
        assert lost.protocol.lost is not None
        assert backlog.bytes == 3
        bench.socket.room = 5
        bench.reactor.turn()
        assert (backlog.bytes, bench.transport.drained_at) == (0, 8.0)

    def test_on_a_broken_socket(self) -> None:
        """The loss comes on a turn, once."""
        bench = Bench()
        bench.socket.broken = True
        bench.transport.write(b"hello")
        assert bench.protocol.lost is None
        bench.reactor.turn()
        bench.reactor.turn()
        assert bench.protocol.lost is not None
        assert bench.protocol.lost.check(ConnectionLost)

    @pytest.mark.parametrize("wrong", ["text", bytearray(b"x"), None, memoryview(b"x")])
    def test_bytes_alone(self, wrong: Any) -> None:
        """What Twisted refuses is refused, with its words, and nothing is sent or counted."""
        bench = Bench()
        with pytest.raises(TypeError, match="Data must"):
            bench.transport.write(wrong)
        assert bench.taken == b""
        assert bench.transport.buffered_bytes == 0

    def test_text_in_a_sequence(self) -> None:
        """The same for writeSequence."""
        bench = Bench()
        with pytest.raises(TypeError, match="Data must be bytes"):
            bench.transport.writeSequence(["text"])

    def test_close_after_the_rest(self) -> None:
        """loseConnection waits for the buffer, as ever."""
        bench = Bench(room=2)
        bench.transport.write(b"hello")
        bench.transport.loseConnection()
        bench.reactor.turn()
        assert bench.protocol.lost is None
        bench.socket.room = 100
        bench.reactor.turn()
        assert bench.taken == b"hello"
        assert bench.protocol.lost is not None
        assert bench.protocol.lost.check(ConnectionDone)

    def test_half_close_after_the_rest(self) -> None:
        """loseWriteConnection sends what is there and shuts one direction."""
        bench = Bench(room=2)
        bench.transport.write(b"hello")
        bench.transport.loseWriteConnection()
        bench.socket.room = 100
        bench.reactor.turn()
        assert bench.taken == b"hello"
        assert bench.socket.shut
        bench.transport.write(b"late")
        bench.reactor.turn()
        assert bench.taken == b"hello"
        assert bench.protocol.lost is None

    def test_abort(self) -> None:
        """abortConnection drops the rest, and the loss comes on a turn."""
        bench = Bench(room=2)
        bench.transport.write(b"hello")
        bench.transport.abortConnection()
        bench.socket.room = 100
        assert bench.protocol.lost is None
        bench.reactor.turn()
        assert bench.taken == b"he"
        assert bench.protocol.lost is not None
        assert bench.protocol.lost.check(ConnectionAborted)

    @given(st.lists(st.tuples(ACTIONS, st.binary(max_size=40), st.integers(0, 50))))
    def test_order_is_kept(self, steps: list[tuple[str, bytes, int]]) -> None:
        """Whatever the kernel takes when: it gets each byte that was taken or written, once, in order."""
        bench = Bench(room=0)
        expected = b""
        for action, data, room in steps:
            bench.socket.room = room
            if action == "write":
                bench.transport.write(data)
                expected += data
            elif action == "sequence":
                bench.transport.writeSequence([data, data])
                expected += data * 2
            elif action == "send":
                expected += data[: bench.transport.send_now(data)]
            else:
                bench.reactor.turn()
            assert bench.transport.buffered_bytes == len(expected) - len(bench.taken)
            assert bench.transport.busy or bench.transport.buffered_bytes == 0
        bench.socket.room = 1 << 40
        for _ in range(3):
            bench.reactor.turn()
        assert bench.taken == expected
        assert not bench.reactor.writers


@implementer(IPullProducer, IPushProducer)
class Producer:
    """Counts what it is asked, and writes when it is asked to produce."""

    def __init__(self, transport: Any, *chunks: bytes) -> None:
        self.transport = transport
        self.chunks = list(chunks)
        self.asked: list[str] = []

    def resumeProducing(self) -> None:
        self.asked.append("resume")
        if self.chunks:
            self.transport.write(self.chunks.pop(0))

    def pauseProducing(self) -> None:
        self.asked.append("pause")

    def stopProducing(self) -> None:
        self.asked.append("stop")


class ProducerTests:
    """Producers notice no difference."""

    def test_pull(self) -> None:
        """A pull producer is asked again at each empty buffer, however fast the kernel is."""
        bench = Bench()
        producer = Producer(bench.transport, b"a", b"b", b"c")
        bench.transport.registerProducer(producer, False)
        for _ in range(4):
            bench.reactor.turn()
        assert bench.taken == b"abc"
        assert producer.asked == ["resume"] * 4
        bench.transport.unregisterProducer()
        bench.transport.write(b"d")
        assert bench.taken == b"abcd"

    def test_pull_after_a_direct_write(self) -> None:
        """What went directly left no buffer to become empty; the producer is asked all the same."""
        bench = Bench()
        bench.transport.write(b"first ")
        producer = Producer(bench.transport)
        bench.transport.registerProducer(producer, False)
        bench.reactor.turn()
        assert producer.asked == ["resume", "resume"]

    def test_push(self) -> None:
        """A push producer is paused when the buffer is full and resumed when it is empty."""
        bench = Bench(room=10)
        producer = Producer(bench.transport)
        bench.transport.registerProducer(producer, True)
        bench.transport.write(b"x" * 60_000)
        assert producer.asked == []
        bench.transport.write(b"x" * 60_000)
        assert producer.asked == ["pause"]
        bench.socket.room = 1 << 40
        bench.reactor.turn()
        assert producer.asked == ["pause", "resume"]

    def test_stop(self) -> None:
        """Loss stops the producer."""
        bench = Bench()
        producer = Producer(bench.transport)
        bench.transport.registerProducer(producer, True)
        bench.transport.abortConnection()
        bench.reactor.turn()
        assert producer.asked == ["stop"]


class FindDirectTests:
    """Asking for the capability."""

    def test_itself(self) -> None:
        """A direct transport is its own."""
        bench = Bench()
        assert find_direct(bench.transport) is bench.transport

    def test_below_a_wrapper(self) -> None:
        """Under a wrapper, although the wrapper would hand out `send_now` as if it were its own."""
        bench = Bench()
        wrapper = ProtocolWrapper(WrappingFactory(Factory.forProtocol(Recorder)), Recorder())
        wrapper.makeConnection(bench.transport)
        assert wrapper.send_now == bench.transport.send_now
        assert find_direct(wrapper) is bench.transport

    def test_nowhere(self) -> None:
        """Without one the error says what was forgotten."""
        with pytest.raises(TypeError, match=r"set port.transport = transport_for\(port\)"):
            find_direct(Recorder())

    def test_no_plain_text_after_start_tls(self) -> None:
        """Once TLS has begun on the transport itself nothing goes directly."""
        bench = Bench()
        bench.transport.startTLS(CertificateOptions(), True)
        assert bench.transport.send_now(b"secret") == 0
        bench.transport.write(b"secret")
        bench.reactor.turn()
        assert b"secret" not in bench.taken


class RealSocketTests(TestCase):
    """On the sockets of this machine."""

    async def connect(self, listening: str) -> tuple[Any, Recorder, Any]:
        """A server's protocol, a client's, and the port."""
        accepted: Deferred[Recorder] = Deferred()

        class Accepting(Recorder):
            def connectionMade(self) -> None:
                accepted.callback(self)

        if listening == "unix":
            path = os.path.join(self.mktemp_short(), "s")
            port = reactor.listenUNIX(path, Factory.forProtocol(Accepting))
            place = f"unix:{path}"
        else:
            port = reactor.listenTCP(0, Factory.forProtocol(Accepting), interface=listening)
            host = listening.replace(":", "\\:")
            place = f"tcp:{host}:{port.getHost().port}"
        port.transport = transport_for(port)
        self.addCleanup(port.stopListening)
        client = await connectProtocol(clientFromString(reactor, place), Recorder())
        server = await accepted
        return server, client, port

    def mktemp_short(self) -> str:
        """A directory whose path is short enough for a unix socket."""
        path = tempfile.mkdtemp(prefix="relayd")
        self.addCleanup(shutil.rmtree, path)
        return path

    async def until(self, condition: Any) -> None:
        """Turn the reactor until the condition holds."""
        for _ in range(2000):
            if condition():
                return
            later: Deferred[None] = Deferred()
            reactor.callLater(0.001, later.callback, None)
            await later
        raise AssertionError("it did not come true")

    async def check(self, listening: str, kind: type) -> None:
        server, client, _ = await self.connect(listening)
        assert type(server.transport) is kind
        assert server.transport.send_now(b"now ") == 4
        server.transport.write(b"and then")
        await self.until(lambda: bytes(client.received) == b"now and then")
        client.transport.write(b"back")
        await self.until(lambda: bytes(server.received) == b"back")
        client.transport.loseConnection()
        await self.until(lambda: server.lost and client.lost)

    async def test_ipv4(self) -> None:
        """Both directions and the end over IPv4."""
        await self.check("127.0.0.1", DirectServer)

    async def test_ipv6(self) -> None:
        """The same over IPv6."""
        await self.check("::1", DirectServer)

    async def test_unix(self) -> None:
        """The same over a unix socket."""
        await self.check("unix", DirectUnixServer)

    async def test_options(self) -> None:
        """Nagle's delay is off, and the kernel takes little of what cannot be sent."""
        server, client, _ = await self.connect("127.0.0.1")
        handle = server.transport.getHandle()
        assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        if TCP_NOTSENT_LOWAT is not None:
            assert handle.getsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT) == NOTSENT_LOWAT_BYTES
        client.transport.loseConnection()
        await self.until(lambda: server.lost and client.lost)

    async def test_three_mebibytes(self) -> None:
        """What is larger than any buffer arrives whole, through partial sends, to a client that pauses."""
        server, client, _ = await self.connect("127.0.0.1")
        payload = os.urandom(3 << 20)
        client.transport.pauseProducing()
        server.transport.write(payload)
        assert server.transport.buffered_bytes > 0
        assert server.transport.send_now(b"!") == 0
        client.transport.resumeProducing()
        await self.until(lambda: len(client.received) == len(payload))
        assert bytes(client.received) == payload
        assert server.transport.buffered_bytes == 0
        client.transport.loseConnection()
        await self.until(lambda: server.lost and client.lost)

    async def test_a_peer_that_resets(self) -> None:
        """Sending into a reset connection calls nobody back; the loss comes on a turn, once."""
        accepted: Deferred[Recorder] = Deferred()

        class Accepting(Recorder):
            def connectionMade(self) -> None:
                accepted.callback(self)

        port = reactor.listenTCP(0, Factory.forProtocol(Accepting), interface="127.0.0.1")
        port.transport = transport_for(port)
        self.addCleanup(port.stopListening)
        peer = socket.create_connection(("127.0.0.1", port.getHost().port))
        server = await accepted
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        taken = [server.transport.send_now(b"hello") for _ in range(5)]
        assert taken[-1] == 0
        assert server.lost is None
        await self.until(lambda: server.lost)
        assert server.lost is not None
        assert server.lost.check(ConnectionLost)
