"""Counts what one client sends, from the headers of its frames alone, before anything expensive is done with them
(RFC 6455 5.2).

Tiny frames cost a hundred times what they weigh, a declared length costs memory before its bytes arrive, and
fragments cost an object each however small they are; all three are seen in the 2 to 14 bytes of a frame header. The
meter reads no payload, keeps no payload and judges no grammar: frames that are wrong in themselves are left to the
WebSocket library behind it, which answers 1002.

Rates are counted in windows of one second that begin with the first bytes after the window before: cheap, and never
more than twice the rate in any second.

Where what a client says goes on to somebody who reads at a pace of its own, too much is no offence: a meter that
`is_paced` asks for a rest in which the client is not read, as long as what it said is over its rate. Floods of control
frames and everything that is too large are breaches there as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

from relayd.core.closecode import CLOSE_POLICY, CLOSE_TOO_BIG, CloseCode

_WINDOW_S: Final = 1.0
_FIN, _LENGTH, _MASKED = 0x80, 0x7F, 0x80
_CONTINUATION, _FIRST_CONTROL, _PING, _PONG = 0x0, 0x8, 0x9, 0xA
_LENGTH_16, _LENGTH_64 = 126, 127
_HEADER_BYTES_MAX: Final = 14


#: The limits that can be broken, as metrics and log name them.
BREACHES: Final = (
    "message_bytes",
    "fragments",
    "open_message_s",
    "frames_per_s",
    "pings_per_s",
    "pongs_per_s",
    "bytes_per_s",
)


@dataclass(frozen=True, slots=True)
class MeterLimits:
    """What one client may send. The rates are ten times and more what a browser that only subscribes ever needs."""

    message_bytes: int = 64 * 1024  # limits.message
    fragments: int = 64  # of one message: an object each in the parser behind, also when empty (CVE-2026-48779 in ws)
    open_message_s: float = 10.0  # from the first byte of a message to its last
    frames_per_s: int = 200  # the parser behind takes 200,000/s with nothing else to do: 1,000 such clients a core
    pings_per_s: int = 5  # browsers send none; tools about one
    pongs_per_s: int = 5  # relayd asks every 25 s
    bytes_per_s: int = 256 * 1024  # 2 Mbit/s upward is no subscriber
    is_paced: bool = False  # too many bytes or frames a second are no breach: reading rests (`FrameMeter.rest_s`)

    @classmethod
    def beside(cls, message_bytes: int, publications_per_s: float | None) -> MeterLimits:
        """Those that contradict nothing which the file allows: the longest message four times a second, and
        publications at their own rate beside 200 other frames. Where something may be published who is too fast is
        read later; None: nothing may.
        """
        usual = cls()
        return cls(
            message_bytes=message_bytes,
            bytes_per_s=max(usual.bytes_per_s, 4 * message_bytes),
            frames_per_s=usual.frames_per_s + ceil(publications_per_s or 0),
            is_paced=publications_per_s is not None,
        )


@dataclass(frozen=True, slots=True)
class Breach:
    """The client went over a limit. `at` is the index in the portion just fed where the frame begins that did: what
    stands before it is still good. `label` names the limit in metrics and log.
    """

    close: CloseCode
    label: str
    at: int


class FrameMeter:
    """The meter of one connection. Feed it every portion before the portion is handed on."""

    __slots__ = (
        "_bytes",
        "_fragments",
        "_frames",
        "_header",
        "_in_message",
        "_last_frame",
        "_left",
        "_limits",
        "_lost_count",
        "_message_bytes",
        "_paid_at",
        "_pings",
        "_pongs",
        "_unread_s",
        "_window_at",
        "open_since",
        "reads_in_message",
        "rest_s",
    )

    def __init__(self, limits: MeterLimits) -> None:
        self._limits = limits
        self._window_at = float("-inf")
        self._bytes = self._frames = self._pings = self._pongs = 0
        self._unread_s = 0.0  # at the beginning of the window
        self._paid_at = float("-inf")  # when all it said so far is within its rates, where it is paced
        self._header = b""  # the part of a frame header that came at the end of the last portion
        self._left = 0  # payload bytes of the frame under way that are still to come
        self._last_frame = False  # the frame under way is the last of its message
        self._in_message = False  # between the first header of a message and its last byte
        self._fragments = self._message_bytes = 0
        self._lost_count = False  # a header was not WebSocket: frames can no longer be told apart
        #: When the first bytes of the message or frame under way came (monotonic seconds, less those in which the
        #: client was not read until then), None between messages.
        self.open_since: float | None = None
        #: For how long the client is not to be read after the portion just fed, where it is paced.
        self.rest_s = 0.0
        #: How many portions of it there have been.
        self.reads_in_message = 0

    @property
    def is_between_messages(self) -> bool:
        """Whether all that came is whole, and the next byte begins a frame."""
        return self.open_since is None and not self._lost_count

    @property
    def is_inside_frame(self) -> bool:
        """Whether the last portion ended in the middle of a frame."""
        return self._left > 0 or self._header != b""

    def feed(self, data: bytes, now: float, unread_s: float = 0.0) -> Breach | None:
        """Count one portion. After a breach the connection is to be closed and the meter is spent.

        `unread_s`: for how long in all the client was not read until now. What it said meanwhile comes at once, so its
        pings and pongs of that time are allowed, and a message is not under way while nobody reads it.
        """
        limits = self._limits
        if now - self._window_at >= _WINDOW_S:
            self._window_at = now
            self._bytes = self._frames = 0
            unread, self._unread_s = unread_s - self._unread_s, unread_s
            self._pings = -int(unread * limits.pings_per_s)
            self._pongs = -int(unread * limits.pongs_per_s)
        self._bytes += len(data)
        if self._bytes > limits.bytes_per_s and not limits.is_paced:
            return Breach(CLOSE_POLICY, "bytes_per_s", 0)
        if self._lost_count:
            return None
        frames = self._frames
        breach = self._read_frames(data)
        if limits.is_paced:
            self._pace(len(data), self._frames - frames, now)
        if not (self._in_message or self._left or self._header):
            self._close_message()
        else:
            self.reads_in_message += 1
            if self.open_since is None:
                self.open_since = now - unread_s
        return breach

    def overdue(self, now: float, unread_s: float = 0.0) -> bool:
        """Whether a message has been under way for longer than `open_message_s`; `unread_s` as in `feed`."""
        return self.open_since is not None and now - unread_s - self.open_since > self._limits.open_message_s

    def _pace(self, size_bytes: int, frames: int, now: float) -> None:
        """A second's worth may come at once. What is over is waited for until half a second's worth is left, so that
        there are at most two rests in a second, however small the reads are.
        """
        worth_s = max(size_bytes / self._limits.bytes_per_s, frames / self._limits.frames_per_s)
        self._paid_at = max(self._paid_at, now) + worth_s
        owed_s = self._paid_at - now
        self.rest_s = owed_s - _WINDOW_S / 2 if owed_s > _WINDOW_S else 0.0

    def _read_frames(self, data: bytes) -> Breach | None:
        at, end = 0, len(data)
        while at < end:
            if self._left:
                taken = min(self._left, end - at)
                self._left -= taken
                at += taken
                if not self._left:
                    self._end_frame()
                continue
            seen = len(self._header)
            header = self._header + data[at : at + _HEADER_BYTES_MAX - seen]
            size = _header_size(header)
            if size > len(header):
                self._header = header
                return None
            self._header = b""
            label_and_close = self._begin_frame(header)
            if label_and_close is not None:
                return Breach(*label_and_close, at)
            if self._lost_count:
                return None
            at += size - seen
            if not self._left:
                self._end_frame()
        return None

    def _begin_frame(self, header: bytes) -> tuple[CloseCode, str] | None:
        limits, opcode, length = self._limits, header[0] & 0x0F, header[1] & _LENGTH
        if length == _LENGTH_16:
            length = header[2] << 8 | header[3]
            self._lost_count = length < _LENGTH_16
        elif length == _LENGTH_64:
            length = int.from_bytes(header[2:10])
            self._lost_count = length >> 63 != 0 or length < 1 << 16
        if self._lost_count:
            return None
        self._left = length
        self._frames += 1
        if self._frames > limits.frames_per_s and not limits.is_paced:
            return CLOSE_POLICY, "frames_per_s"
        if opcode >= _FIRST_CONTROL:
            self._pings += opcode == _PING
            self._pongs += opcode == _PONG
            if self._pings > limits.pings_per_s:
                return CLOSE_POLICY, "pings_per_s"
            if self._pongs > limits.pongs_per_s:
                return CLOSE_POLICY, "pongs_per_s"
            self._last_frame = False
            return None
        if opcode != _CONTINUATION:
            self._fragments = self._message_bytes = 0
        self._fragments += 1
        self._message_bytes += length
        self._in_message = True
        self._last_frame = header[0] & _FIN != 0
        if self._message_bytes > limits.message_bytes:
            return CLOSE_TOO_BIG, "message_bytes"
        if self._fragments > limits.fragments:
            return CLOSE_TOO_BIG, "fragments"
        return None

    def _end_frame(self) -> None:
        if self._last_frame:
            self._in_message = self._last_frame = False
            self._close_message()

    def _close_message(self) -> None:
        self.open_since = None
        self.reads_in_message = 0


def _header_size(header: bytes) -> int:
    """How many bytes the header has that begins so; with only its first byte known, at least two."""
    if len(header) < 2:
        return 2
    length = header[1] & _LENGTH
    size = 2 if length < _LENGTH_16 else 4 if length == _LENGTH_16 else 10
    return size + 4 if header[1] & _MASKED else size
