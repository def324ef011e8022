"""Published faults of other relays in what they keep for whom, and in what one client costs others: one test each."""

# A vector is a line.
# ruff: noqa: E501

from __future__ import annotations

import ast
import importlib.metadata
import json
import subprocess
import sys
from base64 import b64encode
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock

from relayd.core.closecode import CLOSE_SLOW
from relayd.core.upstream.effects import DialRequest, LossKind
from relayd.io.upstream_plan import plan
from relayd.io.upstream_protocol import UpstreamFactory
from tests.conformance.peers import EchoOwner
from tests.security.test_guard_advisories import Relay, close_of, frame
from tests.support.hub_rig import Client, Rig, delivery, route, say
from tests.support.wire import Transport, connect

ROOT = Path(__file__).resolve().parent.parent.parent
KIB = 1 << 10


def never_reads(rig: Rig, name: str) -> tuple[Any, Any]:
    """A client that subscribes, and whose socket takes nothing from then on."""
    session, sink = rig.open()
    say(session, op="subscribe", topics=[name])
    rig.clock.advance(0.1)
    sink.room = 0
    return session, sink


class NeverReaderTests:
    """Who does not read."""

    def test_crossbar_874_a_subscriber_that_does_not_read(self) -> None:
        """It keeps one flush at most, whatever is published, and is sent away (also crossbar 583, Autobahn 1574)."""
        rig = Rig(route("t/$n"))
        _, sink = never_reads(rig, "t/a")
        for _ in range(1000):
            rig.publish("t/a", b'"' + b"x" * KIB + b'"')
            rig.clock.advance(0.02)
            rig.hub.tick(rig.clock.now)
        assert sink.most_buffered <= 64 * KIB
        assert sink.closed is CLOSE_SLOW

    def test_transit_relay_25_a_paused_receiver(self) -> None:
        """Gigabytes for somebody who has paused: what waits is the ring, which is bounded and everybody's."""
        rig = Rig(route("t/$n", delivery(history_bytes=64 * KIB, history_count=1_000_000, slow_after_s=1e9)))
        _, sink = never_reads(rig, "t/a")
        for _ in range(1000):
            rig.publish("t/a", b'"' + b"x" * 10 * KIB + b'"')
            rig.clock.advance(0.01)
        assert rig.hub.ring_bytes <= 80 * KIB
        assert sink.most_buffered <= 64 * KIB and sink.closed is None

    def test_nchan_181_memory_for_each_message_and_connection(self) -> None:
        """A publication is kept once, however many wait for it (also nchan 529)."""
        rig = Rig(route("t/$n", delivery(slow_after_s=1e9)))
        sinks = [never_reads(rig, "t/a")[1] for _ in range(200)]
        for _ in range(50):
            rig.publish("t/a", b'"' + b"x" * KIB + b'"')
        rig.clock.advance(0.1)
        assert rig.hub.ring_bytes < 50 * 2 * KIB
        kept = {id(sink.buffer): len(sink.buffer) for sink in sinks}
        assert max(kept.values()) <= 64 * KIB

    def test_nchan_488_a_subscriber_that_stays_behind(self) -> None:
        """Whoever is gone is nowhere any more, and the next delivery reaches the others (also nchan 471, 640)."""
        rig = Rig(route("t/$n"))
        gone, _ = never_reads(rig, "t/a")
        session, sink = rig.open()
        client = Client(sink)
        say(session, op="subscribe", topics=["t/a"])
        rig.publish("t/a")
        gone.lost()
        rig.publish("t/a")
        rig.clock.advance(0.1)
        client.read()
        assert client.data["t/a"] == [1, 2]
        session.lost()
        rig.clock.advance(60)
        assert not rig.hub.readers.count_lagging() and rig.demand.wanted_topics == []

    def test_nats_5394_one_slow_consumer_degrades_all(self) -> None:
        """The others get each publication in the flush in which it came, with a hundred that do not read beside them
        (also NATS 1597, and the stall of a fast producer, 5156: nothing here waits for a reader).
        """
        rig = Rig(route("t/$n", delivery(slow_after_s=1e9)))
        session, sink = rig.open()
        client = Client(sink)
        say(session, op="subscribe", topics=["t/a"])
        for _ in range(100):
            never_reads(rig, "t/a")
        for number in range(1, 200):
            rig.publish("t/a")
            rig.clock.advance(0.05)
            client.read()
            assert client.data["t/a"][-1] == number

    def test_faye_363_messages_that_are_gone_in_silence(self) -> None:
        """What the ring has let go is told, with its number (also Redis, which cuts its slow subscribers off)."""
        rig = Rig(route("t/$n", delivery(history_count=10)))
        session, sink = never_reads(rig, "t/a")
        client = Client(sink)
        for _ in range(100):
            rig.publish("t/a")
            rig.clock.advance(0.1)
        for _ in range(5):
            sink.read(1 << 30)
            client.read()
            rig.clock.advance(0.1)
        assert len(client.data["t/a"]) + client.lost.get("t/a", 0) == 100
        assert client.lost["t/a"] > 0 and session.subscriber is not None


class CraftedTests:
    """What kills a process elsewhere."""

    @pytest.mark.parametrize(
        "text",
        [
            b"", b"null", b"[]", b"{}", b'{"op":null}', b'{"op":[]}', b'{"op":{"a":1}}', b'{"op":"subscribe"}', b'{"op":"subscribe","topics":{}}',
            b'{"op":"subscribe","topics":[null]}', b'{"op":"subscribe","topics":[{"a":1}]}', b'{"op":"subscribe","topics":["t/a"],"since":[]}',
            b'{"op":"subscribe","topics":["t/a"],"since":{"t/a":{"x":1}}}', b'{"op":"subscribe","topics":["t/a"],"max_hz":"NaN"}', b'{"op":"subscribe","topics":["t/a"],"max_hz":1e999}',
            b'{"op":"subscribe","id":1e400,"topics":["t/a"]}', b'{"op":"auth","token":5}', b'{"op":"__proto__"}', b'{"op":"constructor","id":{}}', b"[" * 10_000, b'{"a":' * 10_000,
            b'{"op":"subscribe","topics":["\\ud800"]}', b'{"op":"x","op":"y"}', b"1" * 5000, b"\xff\xfe", b'{"op":"subscribe","topics":["t/a"]}\x00', b'{"op":"unsubscribe","topics":["' + b"x" * 60_000 + b'"]}',
        ],
    )  # fmt: skip
    def test_socket_io_parser_cve_2023_32695_a_crafted_packet(self, text: bytes) -> None:
        """Told as an error, at most; the connection and all others go on (also CVE-2020-36049)."""
        rig = Rig(route("t/$n"))
        session, sink = rig.open()
        other, beside = rig.open()
        client = Client(beside)
        say(other, op="subscribe", topics=["t/a"])
        session.text(text)
        rig.publish("t/a")
        rig.clock.advance(0.1)
        client.read()
        assert client.data["t/a"] == [1]
        assert len(sink.taken) + len(sink.buffer) <= len(text) + 4 * KIB

    def test_bandit_ghsa_pf94_continuations_without_an_end(self) -> None:
        """The limit holds for the message, not for each of its frames."""
        relay = Relay(b"\r\n")
        pieces = frame(2, b"x" * 8000, fin=False) + frame(0, b"x" * 8000, fin=False) * 20
        assert close_of(relay.send(pieces)) == (1009, "too-big")

    def test_undici_cve_2026_9675_continuations_from_a_server(self) -> None:
        """And for what an upstream sends, before it is kept (also CVE-2026-1528: lengths of 64 bits)."""
        for pieces in (
            b"\x02\x7e\x20\x00" + bytes(0x2000) + (b"\x00\x7e\x20\x00" + bytes(0x2000)) * 20,
            b"\x82\x7f" + (1 << 62).to_bytes(8, "big") + b"x",
            b"\x82\x7f" + (1 << 63).to_bytes(8, "big") + b"x",
        ):
            assert _upstream_says(pieces) in ([LossKind.PROTOCOL], [LossKind.CLOSED])

    def test_ws_cve_2026_45736_memory_that_was_never_written(self) -> None:
        """A pong and a close hold what they should, byte for byte."""
        relay = Relay(b"\r\n")
        payload = bytes(range(125))
        assert relay.send(frame(9, payload)) == bytes([0x8A, 125]) + payload
        assert relay.send(frame(8, b"\x03\xe8")).endswith(b"\x88\x02\x03\xe8")

    def test_twisted_cve_2026_42304_names_that_unpack_without_end(self) -> None:
        """relayd asks the system's resolver: no line of it brings in the parser of twisted.names."""
        for path in (ROOT / "relayd").rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not any(name.startswith("twisted.names") for name in names), path
        assert tuple(map(int, importlib.metadata.version("twisted").split(".")[:2])) >= (26, 4)


def _upstream_says(pieces: bytes) -> list[LossKind]:
    """How an upstream connection ends that sends this."""
    losses: list[Any] = []

    class Owner(EchoOwner):
        def lost(self, protocol: Any, loss: Any) -> None:
            losses.append(loss)

    dial = plan(DialRequest("ws://127.0.0.1:9/"), None, "relayd")
    factory = UpstreamFactory(Owner(echo=False), dial, Clock(), 64 * KIB)
    protocol = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 9))
    transport: Transport = connect(protocol)
    accept = _accept(bytes(transport.written))
    protocol.dataReceived(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept + b"\r\n\r\n" + pieces
    )  # fmt: skip
    return [loss.kind for loss in losses]


def _accept(request: bytes) -> bytes:
    key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
    return b64encode(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


class DescriptorTests:
    """No descriptor is left."""

    def test_bun_32705_accept_without_descriptors(self) -> None:
        """The process rests, keeps whom it has, and takes in again once there is room (also libuv 690)."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.security.out_of_descriptors"],
            cwd=ROOT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        seen = json.loads(done.stdout)
        assert seen["kept"] and seen["again"], seen
        assert seen["cpu_s"] < 0.5 * seen["waited_s"], seen
