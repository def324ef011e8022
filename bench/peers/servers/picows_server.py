"""Every line from the publisher to every client, with picows: python picows_server.py PORT PUBLISH_PORT."""

import asyncio
import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

CLIENTS: set[WSTransport] = set()


class Client(WSListener):
    """A browser: it is sent to, and its pings are answered by the library."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Join."""
        CLIENTS.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Leave."""
        CLIENTS.discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Only a close matters."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()


async def publisher(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """One message a line, sent from one buffer: picows writes the frame header in front of it, without a copy."""
    text = WSMsgType.TEXT
    while line := await reader.readline():
        buffer = bytearray(14) + line[:-1]
        for transport in CLIENTS:
            transport.send_reuse_external_bytearray(text, buffer, 14)


async def main(port: int, publish_port: int) -> None:
    """Serve until killed."""
    server = await ws_create_server(lambda _request: Client(), "127.0.0.1", port, backlog=4096)
    await asyncio.start_server(publisher, "127.0.0.1", publish_port)
    await server.serve_forever()


uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
