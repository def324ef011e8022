"""A Twisted server transport that tries the socket first.

`transport.write` of Twisted buffers, registers the descriptor with epoll and sends on the next turn of the reactor.
For a fan-out that costs three to five times the `send()` itself. `DirectServer` (TCP) and `DirectUnixServer` (unix)
send at once while nothing is buffered and leave everything else to Twisted: the rest of a partial send, producers,
half-close, loss. Plug one in with `port.transport = transport_for(port)` on what `endpoint.listen` returned: a
documented, replaceable attribute of Twisted's ports (24.3 to 26.10), which adopted ports have too.

The rule: **bytes go straight to the socket only while Twisted has no work of its own for it.** `startWriting` is how
Twisted says that it has (bytes are buffered, or a close waits), `stopWriting` that it has done. Whatever ends the
connection (`loseConnection`, `loseWriteConnection`, `abortConnection`, loss, `startTLS`) ends the direct way for good.
A socket error while sending directly counts as "took nothing"; the loss is reported on the next turn of the reactor
and never in the middle of a flush.

Ask for the capability by `find_direct(transport)`, never by attribute: protocol wrappers (TLS) forward unknown
attributes to the transport below them, and a `send_now` found that way would send plain text.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from errno import ENOBUFS
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp, unix
from twisted.internet.error import ConnectionLost
from twisted.internet.main import CONNECTION_LOST

from relayd.core.subscriber import PutWay
from relayd.core.volley import NO_PORT
from relayd.io.volley import KernelVolley

#: How many unsent bytes the kernel takes before the socket counts as full. A client that does not read otherwise parks
#: 2.3-4.1 MB in the kernel; with this 20 KB, and clients that read lose nothing (measured on Linux, loopback, 44 KB
#: flushes). The kernel's send buffer itself stays automatic: a fixed one throttles far clients to size/RTT.
NOTSENT_LOWAT_BYTES = 16 * 1024

#: The number of the socket option; None where the system has none, and then unread clients cost kernel memory.
TCP_NOTSENT_LOWAT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)


class Backlog:
    """What the sockets of a process have not taken yet, all together."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self.bytes = 0


def _took_nothing(_data: bytes) -> int:
    return 0


def _is_lost() -> ConnectionLost:
    return CONNECTION_LOST


if TYPE_CHECKING:
    _Base = tcp.Server
else:
    _Base = object


class DirectTransport(_Base):
    """The direct way, mixed in before one of Twisted's buffering transports."""

    # Twisted has work for this socket: bytes in its buffer, or a close that waits for them.
    _busy = False

    #: Who is told how to send; a dialled socket gets its transport before it is one.
    _put: PutWay | None = None

    #: Its port while it may be part of a volley, from the first `bind` to the end.
    _port = NO_PORT

    #: Bytes that Twisted's buffer holds for this socket.
    buffered_bytes = 0

    #: Bytes that the kernel took from that buffer so far: while it grows the other end reads.
    drained_bytes = 0

    #: When it last took some, in monotonic seconds.
    drained_at = 0.0

    #: Where what waits is counted; a transport that nobody gave one counts for nobody.
    _backlog = Backlog()

    def __init__(
        self, sock: socket.socket, *args: Any, volley: KernelVolley | None = None, backlog: Backlog | None = None
    ) -> None:
        super().__init__(sock, *args)
        self._send: Callable[[bytes], int] = sock.send
        self._volley = volley
        self._backlog = backlog or self._backlog

    def bind(self, put: PutWay) -> None:
        """Give `put` the socket's own `send` and its port, or one that takes nothing: now, and whenever that changes.

        What it raises goes to `failed`. Calling it spares a call of Python for each delivery (a tenth of it; measured).
        """
        self._put = put
        if self._volley is not None and not self._port and self._send is not _took_nothing:
            self._port = self._volley.port(self.fileno())
        self._tell_send()

    def _tell_send(self) -> None:
        if self._put is None:
            return
        if self._busy:
            self._put(_took_nothing, NO_PORT)
        else:
            self._put(self._send, self._port)

    def failed(self, error: OSError) -> None:
        """What the bound `send` raised: a full socket is no fault."""
        if not isinstance(error, BlockingIOError) and error.errno != ENOBUFS:
            self._fail()

    def send_now(self, data: bytes) -> int:
        """The number of bytes that the kernel took at once: 0 while anything is buffered, on a full or a broken socket.

        Never raises, never calls back, never buffers: what was not taken is still the caller's.
        """
        if self._busy:
            return 0
        try:
            return self._send(data)
        except OSError as error:
            self.failed(error)
            return 0

    def _fail(self) -> None:
        # The error is consumed: what is read now would look like an orderly end. Both ways say that it was none, on the
        # next turn of the reactor.
        self.end_direct()
        self.doRead = self.doWrite = _is_lost  # type: ignore[method-assign]  # of this one alone
        self.startWriting()

    @property
    def busy(self) -> bool:
        """Whether Twisted has something to send or to close, so that nothing can be sent directly."""
        return self._busy

    def end_direct(self) -> None:
        """From here on `send_now` takes nothing and every `write` goes through Twisted's buffer."""
        self._send = _took_nothing
        port, self._port = self._port, NO_PORT
        self._tell_send()
        if port and self._volley is not None:
            self._volley.free(port)

    def write(self, data: bytes) -> None:
        # A pull producer is asked again when the *buffer* has become empty, so its bytes must pass through the buffer.
        # What is not bytes is left to Twisted's own complaint.
        if self._busy or type(data) is not bytes or (self.producer is not None and not self.streamingProducer):
            self._buffer(data)
            return
        taken = self.send_now(data)
        if taken < len(data):
            self._buffer(data[taken:] if taken else data)

    def _buffer(self, data: bytes) -> None:
        super().write(data)
        if self.connected:
            self.buffered_bytes += len(data)
            self._backlog.bytes += len(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        try:
            data = b"".join(iovec)
        except TypeError:
            super().writeSequence(iovec)  # Twisted's own complaint
        else:
            self.write(data)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        if not streaming and self.producer is not None:
            self.startWriting()  # what was sent directly has left no buffer to become empty: ask on the next turn

    def writeSomeData(self, data: bytes) -> Any:
        taken = super().writeSomeData(data)
        if isinstance(taken, int):
            backlog = self._backlog
            self.buffered_bytes -= taken
            self.drained_bytes += taken
            self.drained_at = backlog.monotonic()
            backlog.bytes -= taken
        return taken

    def startWriting(self) -> None:
        self._busy = True
        self._tell_send()
        super().startWriting()

    def stopWriting(self) -> None:
        self._busy = False
        self._tell_send()
        super().stopWriting()

    def loseConnection(self) -> None:
        self.end_direct()
        super().loseConnection()

    def loseWriteConnection(self) -> None:
        self.end_direct()
        super().loseWriteConnection()

    def abortConnection(self) -> None:
        self.end_direct()
        super().abortConnection()

    def connectionLost(self, reason: Any) -> None:
        self.end_direct()
        self._put = None
        self._backlog.bytes -= self.buffered_bytes
        self.buffered_bytes = 0
        super().connectionLost(reason)

    def startTLS(self, ctx: Any, normal: bool = True) -> None:
        self.end_direct()
        super().startTLS(ctx, normal)


class DirectServer(DirectTransport, tcp.Server):
    """A TCP connection that sends directly. Its options are those of its port (`transport_for`)."""


class DirectUnixServer(DirectTransport, unix.Server):
    """A unix-socket connection that sends directly."""

    def sendFileDescriptor(self, fileno: int) -> None:
        # A descriptor travels with a buffered byte, so the bytes that follow must be buffered.
        self.end_direct()
        super().sendFileDescriptor(fileno)


def transport_for(
    port: Any, volley: KernelVolley | None = None, backlog: Backlog | None = None
) -> Callable[..., DirectTransport]:
    """What makes the connections of `port`, which is what `endpoint.listen` returned (TCP or unix).

    Over TCP they have no Nagle's delay, and little unsent data in the kernel: options of the listening socket, which
    Linux passes on to every socket that it accepts, so that no connection pays for them.
    """
    if isinstance(port, unix.Port):
        return partial(DirectUnixServer, volley=volley, backlog=backlog)
    port.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if TCP_NOTSENT_LOWAT is not None:
        port.socket.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_BYTES)
    return partial(DirectServer, volley=volley, backlog=backlog)


def find_direct(transport: Any) -> DirectTransport:
    """The direct transport that is `transport` or lies below it (wrappers such as TLS call it `transport`).

    Raises TypeError where there is none: the listening port was not given its transport class.
    """
    below = transport
    while not isinstance(below, DirectTransport):
        below = vars(below).get("transport")
        if below is None:
            raise TypeError(f"{transport!r} does not send directly: set port.transport = transport_for(port)")
    return below
