"""Server-sent events as an upstream sends them: from bytes to events (WHATWG HTML, 9.2.6).

Fed in any portions. Lines end with LF, CR or CRLF, also where the network cuts between the two; one byte order mark at
the beginning is skipped. What no empty line has ended is no event.
"""

from __future__ import annotations

from dataclasses import dataclass

ID_MOST_BYTES = 4096
"""An id goes back in a header, and servers take 8 KiB for all of them; Wikimedia's, the longest known, are some 500."""
UNNAMED = "message"
"""The name of an event that brings none."""

_BOM = b"\xef\xbb\xbf"
_RETRY_DIGITS = 9  # 11 days in milliseconds; what is longer is cut, and bounded by whoever waits
_CONTROLS = bytes(range(32)) + b"\x7f"


class TooLong(ValueError):
    """A line, an event or an id is longer than it may be; the text says which."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event."""

    data: bytes
    """UTF-8; its lines are joined by LF."""
    name: str
    """What `event:` said, else `message`."""
    last_id: str
    """The last id that the stream has told, with this event or before; empty = none so far."""

    @property
    def sse(self) -> dict[str, object]:
        """What stands at `sse.` in a dialect's paths: `event`, and `id` if there is one."""
        return {"event": self.name, "id": self.last_id} if self.last_id else {"event": self.name}


class EventStream:
    """The state of one response."""

    __slots__ = (
        "_after_cr", "_data", "_data_bytes", "_line", "_line_bytes", "_most_bytes", "_name", "_start",
        "last_id", "retry_s",
    )  # fmt: skip

    def __init__(self, most_bytes: int) -> None:
        """`most_bytes`: the longest event."""
        self.last_id = ""
        self.retry_s: float | None = None
        """How long the upstream wants us to wait before we come back, in seconds."""
        self._most_bytes = most_bytes
        self._start: bytes | None = b""
        """What came so far of a stream that may begin with a byte order mark."""
        self._after_cr = False
        self._line: list[bytes] = []
        self._line_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._name = b""

    def feed(self, data: bytes) -> list[Event]:
        """More bytes came. Returns the events that they end. Raises TooLong."""
        if self._start is not None:
            data = self._start + data
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._start = data
                return []
            self._start = None
            data = data.removeprefix(_BOM)
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        events: list[Event] = []
        if b"\n" not in data and b"\r" not in data:
            self._hold(data)
            return events
        # Of bytes, splitlines knows these three ends alone.
        lines = (b"".join(self._line) + data).splitlines(keepends=True)
        self._line, self._line_bytes = [], 0
        self._after_cr = data.endswith(b"\r")
        if not data.endswith((b"\n", b"\r")):
            self._hold(lines.pop())
        for line in lines:
            event = self._read(line.rstrip(b"\r\n"))
            if event is not None:
                events.append(event)
        return events

    def _hold(self, part: bytes) -> None:
        self._line.append(part)
        self._line_bytes += len(part)
        if self._line_bytes > self._most_bytes:
            raise TooLong(f"a line is longer than {self._most_bytes} bytes")

    def _read(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._data_bytes += len(value) + 1
            if self._data_bytes > self._most_bytes + 1:
                raise TooLong(f"an event is longer than {self._most_bytes} bytes")
        elif name == b"event":
            self._name = value
        elif name == b"id":
            self._read_id(value)
        elif name == b"retry" and value.isdigit():
            self.retry_s = int(value[:_RETRY_DIGITS]) / 1000
        # A comment (no name), or a field that nobody knows: both are no more than signs of life.
        return None

    def _read_id(self, value: bytes) -> None:
        if len(value) > ID_MOST_BYTES:
            raise TooLong(f"an id is longer than {ID_MOST_BYTES} bytes")
        # The standard leaves out ids with NUL; no other control character could go back in a header either.
        if value.translate(None, _CONTROLS) == value:
            self.last_id = _text(value)

    def _dispatch(self) -> Event | None:
        lines, self._data, self._data_bytes = self._data, [], 0
        name, self._name = self._name, b""
        if not lines:
            return None
        data = lines[0] if len(lines) == 1 else b"\n".join(lines)
        if not data.isascii():
            # As the standard says; what is UTF-8 comes out as the bytes that went in.
            data = _text(data).encode()
        return Event(data, _text(name) or UNNAMED, self.last_id)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
