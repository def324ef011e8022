"""A Twisted server transport that tries the socket first.

`transport.write` of Twisted buffers, registers the descriptor with epoll and sends on the next turn of the reactor.
For a fan-out that costs three to five times the `send()` itself. `DirectServer` (TCP) and `DirectUnixServer` (unix)
send at once while nothing is buffered and leave everything else to Twisted: the rest of a partial send, producers,
half-close, loss. Plug one in with `port.transport = direct_transport(port)` on what `endpoint.listen` returned: a
documented, replaceable attribute of Twisted's ports (24.3 to 26.10), which adopted ports have too.

The rule: **bytes go straight to the socket only while Twisted has no work of its own for it.** `startWriting` is how
Twisted says that it has (bytes are buffered, or a close waits), `stopWriting` that it has done. Whatever ends the
connection (`loseConnection`, `loseWriteConnection`, `abortConnection`, loss, `startTLS`) ends the direct way for good.
A socket error while sending directly counts as "took nothing": the bytes then go through Twisted's buffer, so that
the loss is found and reported on a reactor turn and never in the middle of a flush.

Ask for the capability by `isinstance(transport, DirectServer)`, never by attribute: protocol wrappers (TLS) forward
unknown attributes to the transport below them, and `send_now` found that way would send plain text.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp, unix

#: How many unsent bytes the kernel takes before the socket counts as full. A client that does not read otherwise parks
#: 2.3-4.1 MB in the kernel; with this 20 KB, and clients that read lose nothing (measured on Linux, loopback, 44 KB
#: flushes). The kernel's send buffer itself stays automatic: a fixed one throttles far clients to size/RTT.
NOTSENT_LOWAT_BYTES = 16 * 1024

#: The number of the socket option; None where the system has none, and then unread clients cost kernel memory.
TCP_NOTSENT_LOWAT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)


def _took_nothing(_data: bytes) -> int:
    return 0


if TYPE_CHECKING:
    _Base = tcp.Server
else:
    _Base = object


class _DirectMixin(_Base):
    """The direct way, mixed in before one of Twisted's server transports."""

    # Twisted has work for this socket: bytes in its buffer, or a close that waits for them.
    _buffered = False

    def __init__(self, sock: socket.socket, *args: Any) -> None:
        super().__init__(sock, *args)
        self._send: Callable[[bytes], int] = sock.send

    def send_now(self, data: bytes) -> int:
        """The number of bytes that the kernel took at once: 0 while anything is buffered, on a full or a broken socket.

        Never raises, never calls back, never buffers: what was not taken is still the caller's.
        """
        if self._buffered:
            return 0
        try:
            return self._send(data)
        except OSError:
            return 0

    @property
    def buffered(self) -> bool:
        """Whether Twisted holds something for this socket, so that nothing can be sent directly."""
        return self._buffered

    def end_direct(self) -> None:
        """From here on `send_now` takes nothing and every `write` goes through Twisted's buffer."""
        self._send = _took_nothing

    def write(self, data: bytes) -> None:
        # A pull producer is asked again when the *buffer* has become empty, so its bytes must pass through the buffer.
        # What is not bytes is left to Twisted's own complaint.
        if self._buffered or type(data) is not bytes or (self.producer is not None and not self.streamingProducer):
            super().write(data)
            return
        taken = self.send_now(data)
        if taken == 0:
            super().write(data)
        elif taken < len(data):
            super().write(data[taken:])

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        if self._buffered:
            super().writeSequence(iovec)
        else:
            self.write(b"".join(iovec))

    def startWriting(self) -> None:
        self._buffered = True
        super().startWriting()

    def stopWriting(self) -> None:
        self._buffered = False
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
        super().connectionLost(reason)

    def startTLS(self, ctx: Any, normal: bool = True) -> None:
        self.end_direct()
        super().startTLS(ctx, normal)


class DirectServer(_DirectMixin, tcp.Server):
    """A TCP connection that sends directly, without Nagle's delay and with little unsent data in the kernel."""

    def __init__(self, sock: socket.socket, *args: Any) -> None:
        super().__init__(sock, *args)
        # A socket that its peer has reset already refuses options on some systems; the next read finds the loss.
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if TCP_NOTSENT_LOWAT is not None:
                sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_BYTES)


class DirectUnixServer(_DirectMixin, unix.Server):
    """A unix-socket connection that sends directly."""

    def sendFileDescriptor(self, fileno: int) -> None:
        # A descriptor travels with the next buffered byte, so its bytes must be buffered.
        self.end_direct()
        super().sendFileDescriptor(fileno)


#: What `isinstance` is asked with.
DIRECT_TRANSPORTS = (DirectServer, DirectUnixServer)


def direct_transport(port: tcp.Port) -> type[DirectServer] | type[DirectUnixServer]:
    """The transport class for connections that `port` (what `endpoint.listen` returned, TCP or unix) accepts."""
    return DirectUnixServer if isinstance(port, unix.Port) else DirectServer
