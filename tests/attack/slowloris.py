"""Thousands of handshakes that are begun and not ended, beside honest ones."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.attack.attacks import handshake

HALF: Final = b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nX-"
#: From one address 64 may be pending: 10,000 come from 200 addresses.
PER_SOURCE: Final = 50
WAIT_S: Final = 20.0
#: So many are opened a second: faster than relayd accepts them they would stand in the kernel's queue, where they cost
#: relayd nothing, and their life would begin before it knows of them.
OPENED_PER_S: Final = 4_000


@dataclass(frozen=True, slots=True)
class Loris:
    """What came of it: how long opening all took, how long half connections lived, how long honest handshakes took
    (seconds), what one cost.
    """

    halves: int
    opening_s: float
    lived_s: list[float]
    honest_s: list[float]
    honest_refused: int
    bytes_per_half: float


def besiege(port: int, halves: int, honest: int, memory_bytes: Callable[[], int]) -> Loris:
    """Open `halves` half handshakes, then `honest` whole ones one after another, then wait until the halves are
    gone.
    """
    before_bytes = memory_bytes()
    opened: dict[socket.socket, float] = {}
    lived: list[float] = []
    friends: list[socket.socket] = []
    refused = 0
    took: list[float] = []
    with selectors.EpollSelector() as selector, contextlib.ExitStack() as stack:

        def look(timeout_s: float) -> None:
            for key, _ in selector.select(timeout_s):
                half = key.fileobj
                assert isinstance(half, socket.socket)
                with contextlib.suppress(OSError):
                    if half.recv(1 << 12):
                        continue  # 408: its end follows
                lived.append(time.monotonic() - opened.pop(half))
                selector.unregister(half)
                half.close()

        began = time.monotonic()
        for number in range(halves):
            while number > (time.monotonic() - began) * OPENED_PER_S:
                look(0.001)
            half = socket.socket()
            half.bind((f"127.0.{1 + number // PER_SOURCE // 200}.{1 + number // PER_SOURCE % 200}", 0))
            half.connect(("127.0.0.1", port))
            half.setblocking(False)
            half.send(HALF)
            opened[half] = time.monotonic()
            selector.register(half, selectors.EVENT_READ)
        opening_s = time.monotonic() - began
        cost_bytes = (memory_bytes() - before_bytes) / max(1, len(opened))
        for number in range(honest):
            started = time.monotonic()
            try:
                friend = handshake(port, f"127.0.9.{1 + number % 100}")
            except OSError:
                refused += 1
                continue
            took.append(time.monotonic() - started)
            friends.append(stack.enter_context(friend))
            look(0)
        deadline = time.monotonic() + WAIT_S
        while opened and time.monotonic() < deadline:
            look(0.1)
        lived += [float("inf")] * len(opened)
        for half in opened:
            half.close()
    return Loris(halves, opening_s, lived, took, refused, cost_bytes)
