"""The PROXY header before everything else on a connection, TLS included: who the client of a TCP load balancer is.

    bytes -> PROXY header -> a fresh protocol of the factory behind, told the client's address, and all that follows

With `proxy_protocol` the header is required, and only from `trusted_proxies`: a connection without it ends without a
word. What stands behind learns the client's address where Twisted tells every factory one, in `buildProtocol`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure

from relayd.core.address import canonical
from relayd.core.proxy_protocol import NotProxied, ProxyParser
from relayd.io.mishaps import safely

if TYPE_CHECKING:
    from relayd.io.guard import GuardFactory


def host_of(address: IAddress | None) -> str:
    """The address as text; empty for a unix socket. IPv4 through a socket for both families is IPv4."""
    if not isinstance(address, IPv4Address | IPv6Address):
        return ""
    host = str(address.host)
    return host if ":" not in host else canonical(host)


def address_of(client: str, peer: IAddress | None) -> IAddress | None:
    """The client's address as Twisted writes one; the port is the peer's. A client without address is the peer."""
    if not client or (isinstance(peer, IPv4Address) and peer.host == client):
        return peer
    port = peer.port if isinstance(peer, IPv4Address | IPv6Address) else 0
    return IPv6Address("TCP", client, port) if ":" in client else IPv4Address("TCP", client, port)


class Proxied(Protocol):
    """One connection, until its header is read; from then on it passes everything to the protocol behind.

    While it waits it is one of the `guards` that wait for a request: their deadline and their bounds hold.
    """

    transport: Any

    def __init__(self, guards: GuardFactory, build: Callable[[IAddress | None], Any], addr: IAddress | None) -> None:
        self.peer = host_of(addr)
        self._guards = guards
        self._build = build
        self._addr = addr
        self._parser: ProxyParser | None = ProxyParser()
        self._behind: Any = None

    def connectionMade(self) -> None:
        """Wait for the header, with a deadline."""
        self._guards.expect(self)
        if not self._guards.settings.trusted_proxies.trusts(self.peer):
            self._refuse()

    def dataReceived(self, data: bytes) -> None:
        if self._behind is not None:
            self._behind.dataReceived(data)
        elif self._parser is not None:
            safely(self._guards.count_error, self.drop, self._read_header, self._parser, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Comes exactly once."""
        self._parser = None
        if self._behind is None:
            self._guards.forget(self)
        else:
            self._behind.connectionLost(reason)

    def request_overdue(self) -> None:
        """The header did not come in time."""
        self.drop()

    cut_short = request_overdue

    def drop(self) -> None:
        """End the connection without a word."""
        self._parser = None
        self._guards.settle(self)
        self.transport.abortConnection()

    def _refuse(self) -> None:
        self._guards.counters.unproxied += 1
        self.drop()

    def _read_header(self, parser: ProxyParser, data: bytes) -> None:
        header = parser.feed(data)
        if header is None:
            return
        if isinstance(header, NotProxied):
            self._refuse()
            return
        self._parser = None
        # What stands behind counts the connection anew, under its client.
        self._guards.forget(self)
        self._behind = self._build(address_of(header.source or "", self._addr))
        self._behind.makeConnection(self.transport)
        if parser.rest:
            self._behind.dataReceived(parser.rest)


class ProxiedFactory(ServerFactory):
    """Stands before a factory that is not the guards' own, such as TLS, whose innermost factory is `guards`."""

    noisy = False

    def __init__(self, guards: GuardFactory, behind: IProtocolFactory) -> None:
        self._guards = guards
        self._behind: Any = behind

    def startFactory(self) -> None:
        self._behind.doStart()

    def stopFactory(self) -> None:
        self._behind.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return Proxied(self._guards, self._behind.buildProtocol, addr)
