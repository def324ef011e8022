"""Every line from the publisher to every client, with plain Autobahn: python autobahn_server.py PORT PUBLISH_PORT."""

import sys

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet import reactor
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver

CLIENTS: set["Client"] = set()


class Client(WebSocketServerProtocol):
    """A browser."""

    def onOpen(self) -> None:
        """Join."""
        CLIENTS.add(self)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Leave."""
        CLIENTS.discard(self)


class Publisher(LineOnlyReceiver):
    """One message a line."""

    delimiter = b"\n"

    def lineReceived(self, line: bytes) -> None:
        """To everybody."""
        message = browsers.prepareMessage(line)
        for client in CLIENTS:
            client.sendPreparedMessage(message)


browsers = WebSocketServerFactory()
browsers.protocol = Client
browsers.setProtocolOptions(tcpNoDelay=True, autoPingInterval=25, autoPingTimeout=20)
reactor.listenTCP(int(sys.argv[1]), browsers, backlog=4096, interface="127.0.0.1")
reactor.listenTCP(int(sys.argv[2]), Factory.forProtocol(Publisher), interface="127.0.0.1")
reactor.run()
