"""Every line from the publisher to every client, with `websockets`: python websockets_server.py PORT PUBLISH_PORT."""

import asyncio
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

CLIENTS: set[ServerConnection] = set()


async def client(connection: ServerConnection) -> None:
    """Stay until the client goes; what it says is of no interest."""
    CLIENTS.add(connection)
    try:
        await connection.wait_closed()
    finally:
        CLIENTS.discard(connection)


async def publisher(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """One message a line."""
    while line := await reader.readline():
        broadcast(CLIENTS, line[:-1].decode())


async def main(port: int, publish_port: int) -> None:
    """Serve until killed."""
    async with serve(client, "127.0.0.1", port, backlog=4096, compression=None, ping_interval=25, ping_timeout=20):
        await asyncio.start_server(publisher, "127.0.0.1", publish_port)
        await asyncio.Future()


uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
