"""A direct transport (relayd/io/transport.py) in memory: what was written to it, and whether it was ended."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address

from relayd.io.transport import DirectTransport


class Wire:
    """The end of a connection: what was written, and whether it was ended. In place of Twisted's."""

    producer: Any = None
    streamingProducer = False
    connected = True
    disconnecting = False

    def __init__(self, _: Any) -> None:
        self.written = bytearray()
        self.ended = False

    def write(self, data: bytes) -> None:
        if not self.ended:
            self.written += data

    def loseConnection(self) -> None:
        self.ended = self.disconnecting = True

    abortConnection = loseConnection

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 5)

    getHost = getPeer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer, self.streamingProducer = producer, streaming

    def unregisterProducer(self) -> None:
        self.producer = None

    def setTcpNoDelay(self, _: bool) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...


class Socket:
    """The kernel's side of it, for what is sent directly."""

    def __init__(self) -> None:
        self.wire: Wire | None = None

    def send(self, data: bytes) -> int:
        assert self.wire is not None
        Wire.write(self.wire, data)
        return len(data)


class Transport(DirectTransport, Wire):
    """A direct transport without a socket."""


def connect(protocol: Any) -> Transport:
    """Give the protocol a transport."""
    socket = Socket()
    transport: Any = Transport(socket)
    socket.wire = transport
    protocol.makeConnection(transport)
    return transport
