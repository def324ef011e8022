"""Reads a topic with Autobahn on asyncio: python with_autobahn.py URL COUNT"""

import asyncio
import sys
from urllib.parse import urlsplit

from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol
from tally import Tally, ready

tally = Tally(int(sys.argv[2]))


class Reader(WebSocketClientProtocol):
    """Counts what arrives."""

    def onOpen(self) -> None:
        """The handshake is done."""
        ready()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """A message is there."""
        if tally.add(payload, not isBinary):
            self.sendClose(1000)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection is gone."""
        gone.set_result(reason)


async def main() -> None:
    """Connects and reads to the end."""
    global gone
    gone = asyncio.get_running_loop().create_future()
    factory = WebSocketClientFactory(sys.argv[1])
    factory.protocol = Reader
    url = urlsplit(sys.argv[1])
    await asyncio.get_running_loop().create_connection(factory, url.hostname, url.port)
    await gone


asyncio.run(main())
tally.report()
