"""What an attacker does after a good handshake, or in place of one, and how it is carried out: plain sockets, as fast
as the server takes it.
"""

from __future__ import annotations

import base64
import json
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

from tests.support.portions import portions_of

TEXT, BINARY, CONTINUATION, PING, PONG = 1, 2, 0, 9, 10
#: An attack that is not ended by then has succeeded.
GIVE_UP_S: Final = 15.0
BLOCK_BYTES: Final = 1 << 16
#: All topics that one client may hold by default, and the one of them that everybody reads.
TOPIC: Final = "bench/t0000000"
ALL_TOPICS: Final = [TOPIC, *(f"bench/{number}" for number in range(127))]


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, rsv: int = 0) -> bytes:
    """One frame of a client, masked with zeros."""
    size, mask = len(payload), 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | rsv | opcode])
    if size < 126:
        head += bytes([mask | size])
    elif size < 1 << 16:
        head += bytes([mask | 126]) + struct.pack("!H", size)
    else:
        head += bytes([mask | 127]) + struct.pack("!Q", size)
    return head + (bytes(4) if masked else b"") + payload


def again(block: bytes) -> Iterator[bytes]:
    """The same for ever, in writes of 64 KiB."""
    whole = block * max(1, BLOCK_BYTES // len(block))
    while True:
        yield whole


def byte_by_byte(block: bytes) -> Iterator[bytes]:
    """The same for ever, each byte in a segment of its own."""
    while True:
        yield from portions_of(block, 1)


def dripping(block: bytes, every_s: float) -> Iterator[bytes]:
    """A byte now and then; ends nothing."""
    for byte in portions_of(block, 1):
        yield byte
        time.sleep(every_s)


def slowly(block: bytes, every_s: float) -> Iterator[bytes]:
    """The same for ever, so seldom that no bound is met."""
    while True:
        yield block
        time.sleep(every_s)


def churning() -> Iterator[bytes]:
    """Subscribe and unsubscribe, each a request of its own."""
    for number in count():
        topics = b'"topics":["%b"]}' % TOPIC.encode()
        yield frame(TEXT, b'{"op":"subscribe","id":%d,' % number + topics) + frame(
            TEXT, b'{"op":"unsubscribe",' + topics
        )


def command(op: str, topics: list[str]) -> bytes:
    """A request as a client writes it."""
    return frame(TEXT, json.dumps({"op": op, "topics": topics}, separators=(",", ":")).encode())


#: All patterns that it may hold. They mean nothing, which is only known when they were tried against every topic.
ALL_PATTERNS: Final = [f"*/{number}/**" for number in range(16)]
#: As many names as go into a message of 64 KiB.
NAMES: Final = [f"{number:x}" for number in range(8_000)]


def request(method: str, target: str, body: bytes = b"") -> Iterator[bytes]:
    """One HTTP request; a body is JSON."""
    length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    yield f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{length}\r\n".encode() + body


@dataclass(frozen=True, slots=True)
class Attack:
    """A name, what is sent, the close codes that are right, and by when (seconds from the first byte).

    With `opens` after a handshake; without, it is an HTTP request, the codes are statuses, and who has read one leaves.
    """

    name: str
    sends: Callable[[], Iterator[bytes]]
    codes: tuple[int, ...]
    within_s: float = 1.0
    opens: bool = True


#: Floods first, then single frames that must not be waited out, then HTTP.
ATTACKS: Final = (
    Attack("tiny frames", lambda: again(frame(TEXT)), (1008, 4501)),
    Attack("pings", lambda: again(frame(PING, b"p" * 125)), (1008,)),
    Attack("pongs", lambda: again(frame(PONG)), (1008,)),
    Attack("empty fragments", lambda: iter([frame(TEXT, fin=False), *[frame(CONTINUATION, fin=False)] * 9999]),
    (1009,)),
    Attack("tiny fragments", lambda: iter([frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"a",
    fin=False) * 9999]), (1009,)),
    Attack("fragments among pings", lambda: again(frame(TEXT, b"a", fin=False) + frame(PING)), (1008, 1009, 1002)),
    Attack("one-byte segments", lambda: byte_by_byte(frame(TEXT, b"{}")), (1008, 4501)),
    Attack("subscribe churn", churning, (1008,)),
    Attack("churn of all topics", lambda: again(command("subscribe", ALL_TOPICS) + command("unsubscribe", ALL_TOPICS)),
    (1008,)),
    Attack("patterns", lambda: again(command("subscribe", ALL_PATTERNS)), (1008,)),
    Attack("patterns that mean everything", lambda: again(command("subscribe", ["**"])), (1008,)),
    Attack("8,000 names to read", lambda: again(command("subscribe", NAMES)), (1008,)),
    Attack("8,000 names to leave", lambda: again(command("unsubscribe", NAMES)), (1008,)),
    Attack("garbage requests", lambda: again(frame(TEXT, b"x" * 1000)), (1008, 4501)),
    Attack("bytes", lambda: again(frame(TEXT, b" " * 60_000)), (1008, 4501)),
    Attack("a message of 10 MiB", lambda: iter([frame(TEXT, b" " * (10 << 20))]), (1009,)),
    Attack("a declared length of 4 EiB", lambda: iter([b"\x81\xff" + struct.pack("!Q", 1 << 62) + bytes(4)]), (1009,)),
    Attack("a declared length of 2**63", lambda: iter([b"\x81\xff" + struct.pack("!Q", 1 << 63) + bytes(4)]), (1002,)),
    Attack("no mask", lambda: iter([frame(TEXT, b"{}", masked=False)]), (1002,)),
    Attack("compressed without agreement", lambda: iter([frame(TEXT, b"{}", rsv=0x40)]), (1002,)),
    Attack("an opcode of no meaning", lambda: iter([frame(3)]), (1002,)),
    Attack("a ping of 126 bytes", lambda: iter([frame(PING, b"p" * 126)]), (1002,)),
    Attack("a continuation of nothing", lambda: iter([frame(CONTINUATION, b"a")]), (1002,)),
    Attack("bad UTF-8", lambda: iter([frame(TEXT, b"\xed\xa0\x80")]), (1007,)),
    Attack("binary", lambda: iter([frame(BINARY, b"a")]), (1003,)),
    Attack("garbage", lambda: iter([b"\xff" * 1000]), (1002,)),
    Attack("GET of the newest", lambda: request("GET", f"/topics/{TOPIC}"), (200,), opens=False),
    Attack("GET of all topics", lambda: request("GET", "/topics"), (200,), opens=False),
    Attack("POST where none may", lambda: request("POST", f"/topics/{TOPIC}", b" " * 60_000 + b"1"), (403,),
    opens=False),
    Attack("polls", lambda: request("GET", f"/poll?topics={TOPIC}&wait=0s"), (200,), opens=False),
    Attack("a poll of 8,000 names", lambda: request("POST", "/poll", json.dumps({"topics": NAMES}).encode()), (400,),
    opens=False),
    Attack("event streams", lambda: request("GET", f"/sse?topics={TOPIC}"), (200,), opens=False),
    Attack("a message that does not end", lambda: dripping(frame(TEXT, b" " * 60_000), 0.05), (1008,), 11.0),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: the close code (None: none came), when it came, when the connection was gone (None: it was not)."""

    code: int | None
    closed_s: float | None
    gone_s: float | None


def dial(port: int, source: str = "127.0.0.1") -> socket.socket:
    """A connection. Raises OSError where there is none to be had."""
    peer = socket.create_connection(("127.0.0.1", port), timeout=5.0, source_address=(source, 0))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return peer


def handshake(port: int, source: str = "127.0.0.1") -> socket.socket:
    """A connection whose handshake is done. Raises OSError where there is none to be had."""
    peer = dial(port, source)
    key = base64.b64encode(os.urandom(16)).decode()
    peer.sendall(
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        data = peer.recv(1)
        if not data:
            raise ConnectionError(f"no handshake: {head[:80]!r}")
        head += data
    if not head.startswith(b"HTTP/1.1 101 "):
        raise ConnectionError(f"no handshake: {head[:80]!r}")
    return peer


class _StatusReader:
    """Looks for the status of an HTTP response."""

    def __init__(self) -> None:
        self._head = b""
        self.code: int | None = None

    def feed(self, data: bytes) -> None:
        if self.code is None:
            self._head += data
            if len(self._head) >= len(b"HTTP/1.1 200"):
                self.code = int(self._head.split(b" ", 2)[1][:3])


class _CloseReader:
    """Looks for the close frame in what a server sends."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.code: int | None = None

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while self.code is None and len(self._buffer) >= 2:
            size = self._buffer[1] & 0x7F
            start = 2 + {126: 2, 127: 8}.get(size, 0)
            if len(self._buffer) < start:
                return
            if start > 2:
                size = int.from_bytes(self._buffer[2:start])
            if len(self._buffer) < start + size:
                return
            if self._buffer[0] == 0x88:
                self.code = int.from_bytes(self._buffer[start : start + 2])
            del self._buffer[: start + size]


def carry_out(attack: Attack, port: int, until: Callable[[], bool] = lambda: False, *, leaves: bool = False) -> Outcome:
    """One connection that does this until it is gone, or nobody wants it any more. Who `leaves` does so when it has
    read that it is closed, and does not wait for the end.
    """
    with (handshake if attack.opens else dial)(port) as peer, selectors.DefaultSelector() as selector:
        peer.setblocking(False)
        both = selectors.EVENT_READ | selectors.EVENT_WRITE
        selector.register(peer, both)
        reader = _CloseReader() if attack.opens else _StatusReader()
        sends, pending = attack.sends(), b""
        exhausted = False
        started = time.monotonic()
        closed_s: float | None = None
        while (elapsed_s := time.monotonic() - started) < GIVE_UP_S and not until():
            for _, events in selector.select(0.1):
                try:
                    if events & selectors.EVENT_READ:
                        data = peer.recv(1 << 16)
                        if not data:
                            return Outcome(reader.code, closed_s, elapsed_s)
                        reader.feed(data)
                        if reader.code is not None and closed_s is None:
                            closed_s = time.monotonic() - started
                            if leaves or not attack.opens:
                                return Outcome(reader.code, closed_s, closed_s)
                    if events & selectors.EVENT_WRITE:
                        pending = pending or next(sends, b"")
                        exhausted = not pending
                        pending = pending[peer.send(pending) :] if pending else b""
                except BlockingIOError:
                    continue
                except OSError:
                    return Outcome(reader.code, closed_s, time.monotonic() - started)
            if exhausted:
                selector.modify(peer, selectors.EVENT_READ)
        return Outcome(reader.code, closed_s, None)


class Siege:
    """An attacker that comes back as soon as it is thrown out, in a thread of its own, until the block ends. It has
    what the load generator leaves of the core that they share, and never keeps it waiting: what is measured is relayd.
    """

    def __init__(self, attack: Attack, port: int) -> None:
        self._attack = attack
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.rounds = 0

    def __enter__(self) -> Siege:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(GIVE_UP_S)

    def _run(self) -> None:
        os.sched_setscheduler(threading.get_native_id(), os.SCHED_IDLE, os.sched_param(0))
        while not self._over.is_set():
            try:
                carry_out(self._attack, self._port, self._over.is_set, leaves=True)
                self.rounds += 1
            except OSError:
                time.sleep(0.01)
