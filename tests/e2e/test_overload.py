"""Too much of it: a relay that is out of memory by its own limit, and one that is out of descriptors."""

from __future__ import annotations

import http.client
import os
import re
import resource
import selectors
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_backpressure import Reader, resident_bytes
from tests.support.daemon import Daemon, Exchange, Start, metric, request
from tests.support.ports import free_port
from tests.support.waiting import eventually

CONFIG = """\
listeners: [{endpoint: "tcp:$PORT:interface=127.0.0.1"}]
upstreams: {firehose: {connect: {url: "$FIREHOSE"}}}
routes: [{topic: raw/all, upstream: firehose, deliver: {mode: queue, history: 100/5m/1MiB, slow_after: 60s}}]
limits: {handshakes: 5000/1s, ring_bytes: 1MiB, connections: $CONNECTIONS, memory: "$MEMORY"}
admin: {endpoint: "tcp:$ADMIN:interface=127.0.0.1"}
"""


def config(exchange: Exchange, admin: int, *, memory: str = "8GiB", connections: int = 2000) -> str:
    """A relay.yaml."""
    text = CONFIG.replace("$FIREHOSE", exchange.firehose).replace("$ADMIN", str(admin))
    return text.replace("$MEMORY", memory).replace("$CONNECTIONS", str(connections))


class Feed:
    """Publishes through the exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._control = http.client.HTTPConnection("127.0.0.1", exchange.where["control_port"], timeout=20)

    def publish(self, payload_bytes: int) -> None:
        """One message."""
        self._control.request("POST", "/raw?topic=firehose", b'"%s"' % (b"x" * payload_bytes))
        self._control.getresponse().read()


class Crowd:
    """Readers that read whenever the test looks."""

    def __init__(self, readers: list[Reader]) -> None:
        self.readers = readers
        self._watch = selectors.DefaultSelector()
        for reader in readers:
            self._watch.register(reader.socket, selectors.EVENT_READ, reader)

    def read(self, timeout_s: float = 0.0) -> None:
        """What is there."""
        for key, _ in self._watch.select(timeout_s):
            key.data.read()

    def wait_for(self, offset: int) -> None:
        """Until all have that publication."""
        until = time.monotonic() + 20
        while any(not reader.offsets or reader.offsets[-1] < offset for reader in self.readers):
            assert time.monotonic() < until, [reader.offsets[-1:] for reader in self.readers]
            self.read(0.1)


def upgrade(port: int) -> bytes:
    """The answer to a handshake, whatever it is; the connection is gone afterwards."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
        peer.sendall(
            f"GET /ws HTTP/1.1\r\nHost: x:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        return peer.recv(1000)


class MemoryTests:
    """`limits.memory`."""

    def test_all_stages(self, start: Start, exchange: Exchange):
        """Not ready, then nobody new, then those who do not read go with 1013; who reads misses nothing."""
        admin = free_port()
        probe = start(config(exchange, admin))
        base_bytes = eventually(lambda: metric(admin, "overload_memory_bytes"), "the account is made")
        assert probe.stop() == 0
        limit_bytes = int(base_bytes / 0.66)
        daemon = start(config(exchange, admin, memory=f"{limit_bytes}"))
        eventually(lambda: request(admin, "GET", "/ready")[0] == 200, "it is ready")
        crowd = Crowd([Reader(daemon.port) for _ in range(5)])
        # What each costs by the account: 40 KiB, and the rest of a message that no small receive buffer takes.
        needed = int(limit_bytes * 0.3) // (70 << 10)
        stuck = [Reader(daemon.port, receive_buffer_bytes=2048) for _ in range(needed)]
        feed = Feed(exchange)
        feed.publish(100)
        crowd.wait_for(1)
        published = 1
        until = time.monotonic() + 40
        while metric(admin, "overload_level") < 3:
            assert time.monotonic() < until, daemon.output[-2000:]
            if published < 30:  # everybody who does not read holds one message by then; the stages follow by time
                feed.publish(60_000)
                published += 1
            crowd.wait_for(published)
            time.sleep(0.05)
        status, answer = request(admin, "GET", "/ready")
        assert status == 503
        assert answer["reasons"][0].startswith("overload (evicting): memory ")
        refused = upgrade(daemon.port)
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: " in refused
        assert b"limits.memory" in refused
        counted = metric(admin, "overload_memory_bytes")
        assert resident_bytes(daemon.pid) < counted * 1.25
        eventually(lambda: metric(admin, "overload_evicted_total") > 10, "the slowest are sent away")
        eventually(lambda: metric(admin, "overload_level") < 3, "it eases", 30)
        feed.publish(100)
        crowd.wait_for(published + 1)
        for reader in crowd.readers:
            assert reader.offsets == list(range(1, published + 2))
            assert not reader.lost
        assert "reason=overloaded code=1013" in daemon.output
        assert len(re.findall(r" (?:warn|info) +overload +overload", daemon.output)) <= 8
        for reader in stuck + crowd.readers:
            reader.socket.close()

    def test_rings_are_cut_to_a_small_limit(self, start: Start, exchange: Exchange):
        """And that is said."""
        text = config(exchange, free_port(), memory="300MiB").replace("ring_bytes: 1MiB", "ring_bytes: 512MiB")
        daemon = start(text)
        daemon.says(r"limits.ring_bytes is 512 MiB, but relayd may use 300 MiB of memory: rings get \d+ MiB")


@pytest.fixture
def narrow(start: Start, exchange: Exchange) -> Iterator[tuple[Daemon, Crowd, int]]:
    """A relay with 30 readers and room for 10 descriptors more, because the limit was lowered under it."""
    admin = free_port()
    daemon = start(config(exchange, admin))
    crowd = Crowd([Reader(daemon.port) for _ in range(30)])
    Feed(exchange).publish(100)
    crowd.wait_for(1)
    used = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (used + 10, 20_000))
    yield daemon, crowd, admin
    for reader in crowd.readers:
        reader.socket.close()


def cpu_s(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_out_of_descriptors(narrow: tuple[Daemon, Crowd, int], exchange: Exchange):
    """Who is in stays and is served; the others cost next to nothing; it accepts again when there is room."""
    daemon, crowd, _ = narrow
    feed = Feed(exchange)
    excess = []
    for _ in range(300):
        peer = socket.create_connection(("127.0.0.1", daemon.port), timeout=5)
        peer.setblocking(False)
        excess.append(peer)
    feed.publish(100)
    crowd.wait_for(2)
    before, began = cpu_s(daemon.pid), time.monotonic()
    time.sleep(2.0)
    assert cpu_s(daemon.pid) - before <= 0.1 * (time.monotonic() - began)
    for peer in excess:
        peer.close()
    eventually(lambda: upgrade(daemon.port).startswith(b"HTTP/1.1 101 "), "it accepts again", 5)
    feed.publish(100)
    crowd.wait_for(3)
    for reader in crowd.readers:
        assert reader.offsets == [1, 2, 3]
    assert daemon.output.count("EMFILE") <= 12
    assert "Traceback" not in daemon.output
