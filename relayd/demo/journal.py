"""What the simulated exchange sent: one entry a frame, so that a test can compare what arrived with what left.

The journal is bounded twice. It keeps the newest `frames_max` entries; and of these the newest payloads that fit in
`payload_bytes_max` together, so that a difference can be looked at and not only counted. An entry whose payload was let
go keeps its length and hash. Both policies count what they let go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

#: About 40 minutes of six tickers and one book, at some 250 B an entry 5 MB (guess).
FRAMES_MAX: Final = 20_000
#: Two payloads of 3 MiB and the small ones around them (guess).
PAYLOAD_BYTES_MAX: Final = 8 * 1024 * 1024


@dataclass(slots=True)
class Entry:
    """One frame: when (monotonic seconds), to which connection, on which topic, and what."""

    number: int
    at_s: float
    connection: int
    topic: str
    is_text: bool
    length: int
    sha256: str
    payload: bytes | None
    """None once the journal has let it go."""


class Journal:
    """The newest frames that were sent.

    `frames`, `bytes` count all that was ever recorded; `dropped_frames` the entries and `dropped_payloads` the payloads
    that were let go for room.
    """

    def __init__(self, frames_max: int = FRAMES_MAX, payload_bytes_max: int = PAYLOAD_BYTES_MAX) -> None:
        self._frames_max = frames_max
        self._payload_bytes_max = payload_bytes_max
        self._entries: deque[Entry] = deque()
        self._with_payload: deque[Entry] = deque()
        self._payload_bytes = 0
        self.frames = 0
        self.bytes = 0
        self.dropped_frames = 0
        self.dropped_payloads = 0

    def __len__(self) -> int:
        return len(self._entries)

    def record(self, connection: int, topic: str, payload: bytes, is_text: bool, now: float) -> None:
        """Note one frame that goes out now."""
        self.frames += 1
        self.bytes += len(payload)
        digest = sha256(payload).hexdigest()
        entry = Entry(self.frames, now, connection, topic, is_text, len(payload), digest, payload)
        self._entries.append(entry)
        self._with_payload.append(entry)
        self._payload_bytes += len(payload)
        if len(self._entries) > self._frames_max:
            self.dropped_frames += 1
            oldest = self._entries.popleft()
            if oldest.payload is not None:
                self._let_go(self._with_payload.popleft())
        while self._payload_bytes > self._payload_bytes_max:
            self._let_go(self._with_payload.popleft())

    def entries(self, topic: str | None = None, connection: int | None = None, after: int = 0) -> Iterator[Entry]:
        """The entries still held whose number is above `after`, oldest first, of one topic or connection if given."""
        for entry in self._entries:
            if (
                entry.number > after
                and (topic is None or entry.topic == topic)
                and (connection is None or entry.connection == connection)
            ):
                yield entry

    def _let_go(self, entry: Entry) -> None:
        self._payload_bytes -= entry.length
        entry.payload = None
        self.dropped_payloads += 1
