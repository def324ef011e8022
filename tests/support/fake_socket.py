"""A kernel in the hand: sockets with as much room as the test gives, and a reactor that turns when it is told to."""

from __future__ import annotations

from errno import ECONNRESET
from typing import Any

from twisted.internet.task import Clock
from twisted.python.failure import Failure


class FakeSocket:
    """The server's end of a connection. The kernel takes `room` bytes; what it took stands in `taken`."""

    def __init__(self, room: int = 1 << 40) -> None:
        self.room = room
        self.taken = bytearray()
        self.incoming = bytearray()
        self.broken = False
        self.closed = False
        self.shut = False
        self.options: dict[tuple[int, int], Any] = {}
        self.sends = 0

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def fileno(self) -> int:
        return 1_000_000

    def send(self, data: bytes) -> int:
        self.sends += 1
        if self.broken or self.closed:
            raise ConnectionResetError(ECONNRESET, "reset")
        count = min(len(data), self.room)
        if data and not count:
            raise BlockingIOError(11, "full")
        self.taken += data[:count]
        self.room -= count
        return count

    def recv(self, size: int) -> bytes:
        if self.broken:
            raise ConnectionResetError(ECONNRESET, "reset")
        if not self.incoming:
            raise BlockingIOError(11, "empty")
        data = bytes(self.incoming[:size])
        del self.incoming[:size]
        return data

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        self.options[level, option] = value

    def shutdown(self, how: int) -> None:
        self.shut = True

    def close(self) -> None:
        self.closed = True


class FakeReactor(Clock):
    """Readers and writers, served by `turn`; time moves by `advance`."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)

    def addWriter(self, writer: Any) -> None:
        self.writers.add(writer)

    def removeWriter(self, writer: Any) -> None:
        self.writers.discard(writer)

    def turn(self) -> None:
        """One turn: who can write writes, who has something to read reads, calls that are due run."""
        for writer in list(self.writers):
            socket = writer.socket
            if writer in self.writers and (socket.room or socket.broken):
                self._do(writer, writer.doWrite)
        for reader in list(self.readers):
            if reader in self.readers and (reader.socket.incoming or reader.socket.broken):
                self._do(reader, reader.doRead)
        self.advance(0)

    @staticmethod
    def _do(selectable: Any, call: Any) -> None:
        why = call()
        if why is not None:
            selectable.connectionLost(Failure(why))
