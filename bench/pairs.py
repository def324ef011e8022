"""What one exclusive pair costs relayd in memory: idle, while its browser does not read, while its upstream does not.

    python -m bench.pairs [PAIRS]

relayd is a process of its own; both ends of every pair are here. Memory is the process's own (Pss of
/proc/PID/smaps_rollup), without what the kernel holds for its sockets. Linux only.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

PAIRS = 500
MESSAGE_BYTES = 16 << 10
FLOOD_MESSAGES = 60  # 1 MB: more than relayd and both kernels hold, with buffers as small as these
NARROW_BYTES = 4096
SETTLE_S = 3.0
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONFIG = """
listeners: [{endpoint: "tcp:PORT:interface=127.0.0.1"}]
upstreams: {echo: {connect: {url: "ws://127.0.0.1:UPSTREAM/"}}}
routes: [{topic: echo, upstream: echo, exclusive: true, access: {publish: public}}]
limits: {exclusive: MOST, handshakes: 100000/1s, ramp: 0s}
"""


class Upstream:
    """Takes whoever comes, and reads nothing unless it is told to."""

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"(?i)sec-websocket-key: (\S+)", head)
        assert found is not None
        accept = base64.b64encode(hashlib.sha1(found[1] + GUID).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept
        )
        writer.transport.pause_reading()
        self.writers.append(writer)


def memory_bytes(pid: int) -> int:
    """What a process has of its own."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) << 10


def narrow_socket() -> socket.socket:
    """One whose kernel takes next to nothing."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW_BYTES)
    return made


def frame(payload: bytes, *, masked: bool) -> bytes:
    """One binary frame; the mask is zero."""
    return struct.pack(">BBH", 0x82, 126 | (0x80 if masked else 0), len(payload)) + b"\0\0\0\0" * masked + payload


async def cross(port: int) -> asyncio.StreamWriter:
    """A browser on a bridge, that reads nothing after the answer."""
    plain = narrow_socket()
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=plain)
    key = base64.b64encode(os.urandom(16))
    writer.write(
        b"GET /raw/echo HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n" % key
    )
    answer = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in answer, answer
    writer.transport.pause_reading()
    return writer


async def say(writers: list[asyncio.StreamWriter], data: bytes) -> None:
    """As much of it as is taken."""
    for writer in writers:
        writer.write(data)
    await asyncio.sleep(SETTLE_S)


async def run(pairs: int, folder: Path) -> None:
    """All stages, one after the other."""
    upstream = Upstream()
    listening = narrow_socket()
    listening.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(upstream.meet, sock=listening, backlog=1000)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = CONFIG.replace("PORT", str(port), 1).replace("UPSTREAM", str(listening.getsockname()[1]))
    (folder / "relay.yaml").write_text(text.replace("MOST", str(2 * pairs)))
    twistd = Path(sys.executable).parent / "twistd"
    with (folder / "log").open("w") as log:
        relayd = subprocess.Popen(
            [twistd, "-n", "--pidfile=", "relayd", "-c", folder / "relay.yaml"], stdout=log, stderr=log
        )
    try:
        await listens(port)
        warm = await cross(port)
        await asyncio.sleep(SETTLE_S)
        base = memory_bytes(relayd.pid)
        print(f"{'relayd with one pair':44} {base / (1 << 20):8.1f} MiB")
        browsers = [await cross(port) for _ in range(pairs)]
        while len(upstream.writers) <= pairs:
            await asyncio.sleep(0.1)

        def tell(stage: str) -> None:
            print(f"{stage:44} {(memory_bytes(relayd.pid) - base) / pairs / 1024:8.1f} KiB a pair")

        await asyncio.sleep(SETTLE_S)
        tell("idle")
        down = frame(bytes(MESSAGE_BYTES), masked=False) * FLOOD_MESSAGES
        await say(upstream.writers[1:], down)
        tell("browsers do not read, upstreams flood")
        up = frame(bytes(MESSAGE_BYTES), masked=True) * FLOOD_MESSAGES
        await say(browsers, up)
        tell("and upstreams do not read, browsers flood")
        for writer in [*browsers, warm]:
            writer.transport.abort()
    finally:
        relayd.send_signal(signal.SIGKILL)
        relayd.wait()
        server.close()


async def listens(port: int) -> None:
    """Wait until it does."""
    for _ in range(400):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise AssertionError("relayd does not listen")


def main() -> None:
    """From the command line."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    with tempfile.TemporaryDirectory(prefix="relayd-pairs-") as folder:
        asyncio.run(run(pairs, Path(folder)))


if __name__ == "__main__":
    main()
