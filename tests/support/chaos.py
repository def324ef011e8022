"""A TCP proxy that misbehaves as networks do: delays, slices, stalls, throttles, cuts, resets, refuses.

The words are those of Toxiproxy. It runs in a thread of its own, so that synchronous and asynchronous tests may use it:

    with Chaos(daemon.port) as chaos:
        chaos.toxic(down=Toxic(latency_s=0.05, jitter_s=0.02, slice_bytes=7))
        chaos.cut()                # every open connection ends, new ones are taken
        chaos.reset()              # the same by RST
        with chaos.down(): ...     # nobody listens: connection refused
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

CHUNK_BYTES = 65_536
# Chunks on their way through a delay, per direction; beyond, the proxy stops reading.
CHUNKS_MAX = 256
RST = struct.pack("ii", 1, 0)  # SO_LINGER of no time: close() resets


@dataclass(frozen=True, slots=True)
class Toxic:
    """What is done to the bytes of one direction.

    Args:
        latency_s: each chunk arrives so much later.
        jitter_s: plus up to so much, at random; order is kept.
        slice_bytes: chunks are cut into pieces of this size, each sent by itself; 0 for not at all.
        rate_bytes_s: at most so many bytes a second; 0 for no limit.
        limit_bytes: the connection is cut after so many bytes, also within a frame; 0 for no limit.
        stall: nothing passes until this is taken back.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    slice_bytes: int = 0
    rate_bytes_s: int = 0
    limit_bytes: int = 0
    stall: bool = False


class Chaos:
    """A proxy to a port of 127.0.0.1.

    Args:
        target: where it leads.
        seed: of its jitter.
    """

    def __init__(self, target: int, seed: int = 1) -> None:
        self.target = target
        self.port = 0
        self.accepted = 0
        self._dice = random.Random(seed)
        self._toxics = (Toxic(), Toxic())
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._changed = asyncio.Event()
        self._call(self._listen)

    # -- what a test does ---------------------------------------------------------------------------------------------

    def toxic(self, down: Toxic | None = None, up: Toxic | None = None) -> None:
        """From now on, for open connections too. `down` is towards the client; None is a clean wire."""
        self._call(self._poison, down or Toxic(), up or Toxic())

    def cut(self) -> int:
        """Ends all connections. How many there were."""
        return self._call(self._end, False)

    def reset(self) -> int:
        """Resets all connections. How many there were."""
        return self._call(self._end, True)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Meanwhile nobody listens here, and nothing is open."""
        self._call(self._unlisten)
        self._call(self._end, True)
        try:
            yield
        finally:
            self._call(self._listen)

    @property
    def open(self) -> int:
        """Connections now."""
        return len(self._writers) // 2

    def close(self) -> None:
        """Ends everything. Idempotent."""
        if self._loop.is_closed():
            return
        self._call(self._unlisten)
        self._call(self._end, True)
        self._call(self._finish)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _call(self, do: Callable[..., Awaitable[T]], *args: Any) -> T:
        async def run() -> T:
            return await do(*args)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=CHUNK_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _unlisten(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _poison(self, down: Toxic, up: Toxic) -> None:
        self._toxics = (down, up)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _end(self, reset: bool) -> int:
        writers, self._writers = self._writers, []
        for writer in writers:
            end(writer, reset)
        return len(writers) // 2

    async def _finish(self) -> None:
        me = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not me]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            answers, far = await asyncio.open_connection("127.0.0.1", self.target, limit=CHUNK_BYTES)
        except OSError:
            end(near, True)
            return
        self._writers += [near, far]
        ways = [self._carry(answers, near, 0), self._carry(reader, far, 1)]
        try:
            # The first end of either side ends both, as with most proxies.
            _, others = await asyncio.wait(
                [self._loop.create_task(way) for way in ways], return_when=asyncio.FIRST_COMPLETED
            )
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        finally:
            for writer in (near, far):
                if writer in self._writers:
                    self._writers.remove(writer)
                    end(writer, False)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: int) -> None:
        """One direction: what is read waits in order for its time, then is written in pieces."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_MAX)
        reading = self._loop.create_task(self._read(source, waiting, way))
        passed = 0
        try:
            with suppress(OSError):
                while True:
                    due, data = await waiting.get()
                    if not data:
                        return
                    await asyncio.sleep(max(0.0, due - self._loop.time()))
                    while self._toxics[way].stall:
                        await self._changed.wait()
                    toxic = self._toxics[way]
                    if toxic.limit_bytes and passed + len(data) >= toxic.limit_bytes:
                        sink.write(data[: max(0, toxic.limit_bytes - passed)])
                        await sink.drain()
                        return
                    passed += len(data)
                    await self._write(sink, data, toxic)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, source: asyncio.StreamReader, waiting: asyncio.Queue[tuple[float, bytes]], way: int) -> None:
        due = 0.0
        data = b"?"
        while data:
            try:
                data = await source.read(CHUNK_BYTES)
            except OSError:
                data = b""
            toxic = self._toxics[way]
            due = max(due, self._loop.time() + toxic.latency_s + toxic.jitter_s * self._dice.random())
            await waiting.put((due, data))

    async def _write(self, sink: asyncio.StreamWriter, data: bytes, toxic: Toxic) -> None:
        size = toxic.slice_bytes or len(data)
        if toxic.rate_bytes_s:
            size = min(size, max(1, toxic.rate_bytes_s // 50))
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            sink.write(piece)
            await sink.drain()
            if toxic.rate_bytes_s:
                await asyncio.sleep(len(piece) / toxic.rate_bytes_s)
            elif toxic.slice_bytes:
                await asyncio.sleep(0)  # else they leave as one again


def end(writer: asyncio.StreamWriter, reset: bool) -> None:
    """Closes, or resets: what is still to be written is thrown away then, here and at the peer."""
    if reset:
        sock = writer.get_extra_info("socket")
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        writer.transport.abort()
    else:
        writer.close()
