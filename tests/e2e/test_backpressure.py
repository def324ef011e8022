"""Clients that never read, beside clients that do: the first cost next to nothing and go, the others notice nothing."""

from __future__ import annotations

import base64
import http.client
import json
import os
import selectors
import socket
import time
from pathlib import Path

import pytest

from relayd.core.publication import RETAINED_OVERHEAD_BYTES
from tests.support.daemon import Daemon, Exchange, Start
from tests.support.hub_rig import frames

READERS = 60
NEVER_READERS = 40
SLOW_AFTER_S = 2.0
# For what takes a second or two, where the machine has nothing else to do.
PATIENCE_S = 60.0
PAYLOAD_BYTES = 4_000
# 12 MB in all: three times what Linux would park for a client that never reads, if it were let.
MESSAGES = 3_000
# Of process memory, for all of them together: the rest of one flush (64 KiB) and positions for each, and the
# allocator's slack. 256 KiB a client is the promise with the kernel's part.
MAX_GROWTH_BYTES = NEVER_READERS * 128 * 1024 + 8 * 1024 * 1024

CONFIG = f"""\
listeners:
  - endpoint: tcp:$PORT:interface=127.0.0.1
upstreams:
  firehose:
    connect: {{url: "$FIREHOSE"}}
routes:
  - topic: raw/all
    upstream: firehose
    deliver: {{mode: queue, history: 4000/5m/32MiB, slow_after: {SLOW_AFTER_S:g}s}}
limits: {{handshakes: 5000/1s}}
"""


class Reader:
    """A WebSocket client on a plain socket, so that the test decides when it reads."""

    def __init__(self, port: int, *, receive_buffer_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.connect(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /ws?topics=raw/all HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.offsets: list[int] = []
        self.lost = 0
        self._data = bytearray()
        while b"\r\n\r\n" not in self._data:
            self._data += self.socket.recv(1)
        assert self._data.startswith(b"HTTP/1.1 101"), self._data
        self._data.clear()

    def read(self) -> None:
        """Take what is there."""
        self._data += self.socket.recv(1 << 18)
        for opcode, payload in frames(self._data):
            if opcode == 1:
                self._take(json.loads(payload))

    def _take(self, message: dict[str, object]) -> None:
        if "offset" in message:
            assert isinstance(message["offset"], int)
            self.offsets.append(message["offset"])
        self.lost += message.get("op") == "lost"


def resident_bytes(pid: int) -> int:
    """The memory of a process that is in RAM."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_clients(port: int) -> int:
    """WebSockets that the kernel holds open on relayd's side (state 01)."""
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(1 for row in rows if row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "01")


@pytest.fixture
def daemon(start: Start, exchange: Exchange) -> Daemon:
    """relayd before the exchange's firehose."""
    return start(CONFIG.replace("$FIREHOSE", exchange.firehose))


@pytest.mark.timeout(240)
def test_never_readers_hurt_nobody(daemon: Daemon, exchange: Exchange) -> None:
    """The readers get everything in order; those who never read are closed in time, and were cheap."""
    readers = [Reader(daemon.port) for _ in range(READERS)]
    stuck = [Reader(daemon.port, receive_buffer_bytes=2048) for _ in range(NEVER_READERS)]
    watch = selectors.DefaultSelector()
    for reader in readers:
        watch.register(reader.socket, selectors.EVENT_READ, reader)
    control = http.client.HTTPConnection("127.0.0.1", exchange.where["control_port"], timeout=20)
    before = resident_bytes(daemon.pid)
    for number in range(MESSAGES):
        control.request("POST", "/raw?topic=firehose", b'"%d%s"' % (number, b"x" * PAYLOAD_BYTES))
        control.getresponse().read()
        for key, _ in watch.select(0):
            key.data.read()
    until = time.monotonic() + PATIENCE_S
    while any(len(reader.offsets) < MESSAGES for reader in readers) and time.monotonic() < until:
        for key, _ in watch.select(0.1):
            key.data.read()
    grown = resident_bytes(daemon.pid) - before
    # Payloads and their frames, which the newest keep.
    ring_bytes = MESSAGES * (PAYLOAD_BYTES + RETAINED_OVERHEAD_BYTES) * 2
    for reader in readers:
        assert reader.offsets == list(range(1, MESSAGES + 1))
        assert not reader.lost
    assert grown - ring_bytes < MAX_GROWTH_BYTES, f"{grown} bytes"

    # The kernel's end of one comes before the line that tells of it.
    until = time.monotonic() + PATIENCE_S
    while daemon.output.count("reason=slow code=4008") < NEVER_READERS:
        assert time.monotonic() < until, "they are still there"
        for key, _ in watch.select(0.1):
            key.data.read()
    assert daemon.output.count("reason=slow code=4008") == NEVER_READERS
    assert open_clients(daemon.port) == READERS
    for reader in readers + stuck:
        reader.socket.close()
