"""What comes from a WebSocket upstream, cut at the ends of its frames (RFC 6455 5.2).

Nearly every message of a feed is one plain frame: whole, not masked, no extension, valid UTF-8 where it is text. Such a
message is read here, in one step. All else (control frames, fragments, what is too long or against the rules, what ends
in the middle) is left to the WebSocket library, frame by frame, as the bytes it was: it stays the judge of them.
"""

from __future__ import annotations

from typing import Final

from relayd.core.utf8 import is_utf8

TEXT: Final = 0x81
BINARY: Final = 0x82
"""The first byte of a plain frame, by what it holds."""
OTHER: Final = 0
"""Bytes for the library."""

_PLAIN: Final = (TEXT, BINARY)
_FIN, _OPCODE, _FIRST_CONTROL = 0x80, 0x0F, 0x8
_MASKED, _LENGTH_16, _LENGTH_64 = 0x80, 126, 127
_MASK_BYTES: Final = 4

Part = tuple[int, bytes]
"""TEXT or BINARY with the payload of a whole message, or OTHER with bytes as they came."""


class FrameCutter:
    """The frames of one connection, from the first byte after the handshake on."""

    __slots__ = ("_due", "_fragments", "_head", "_most_bytes")

    def __init__(self, most_bytes: int) -> None:
        """`most_bytes`: the largest message that is read here."""
        self._most_bytes = most_bytes
        self._head = b""
        """The part of a frame's head that came at the end of the last portion."""
        self._due = 0
        """Bytes still to come of the frame that the library has begun to read."""
        self._fragments = False
        """A fragmented message is under way: a plain frame inside it is for the library to refuse."""

    def feed(self, data: bytes) -> list[Part]:
        """What came next, in order. Together the parts are all that was fed, but for a frame's head that is not
        whole."""
        if self._head:
            data, self._head = self._head + data, b""
        size = len(data)
        at = 0
        parts: list[Part] = []
        if self._due and size:
            at = min(self._due, size)
            self._due -= at
            parts.append((OTHER, data[:at]))
        while at < size:
            if size < at + 2:
                break
            first, length = data[at], data[at + 1]
            start = at + 2
            is_plain = first in _PLAIN and not self._fragments
            if length == _LENGTH_16:  # by far the most: to read it as below costs a cold message 10 us more (measured)
                start = at + 4
                if size < start:
                    break
                length = data[at + 2] << 8 | data[at + 3]
                is_plain = is_plain and length >= _LENGTH_16  # the shortest form is the one that is allowed
            elif length > _LENGTH_16:
                is_masked, length = length >= _MASKED, length & ~_MASKED
                is_plain = is_plain and not is_masked
                if length >= _LENGTH_16:
                    start = at + 4 if length == _LENGTH_16 else at + 10
                    if size < start:
                        break
                    length = int.from_bytes(data[at + 2 : start], "big")
                    is_plain = is_plain and length >= 1 << 16
                start += _MASK_BYTES if is_masked else 0
            if not is_plain and first & _OPCODE < _FIRST_CONTROL:
                self._fragments = first < _FIN
            end = start + length
            if end > size:
                self._due = end - size
                parts.append((OTHER, data[at:]))
                return parts
            payload = data[start:end]
            if is_plain and length <= self._most_bytes and (first == BINARY or payload.isascii() or is_utf8(payload)):
                parts.append((first, payload))
            else:
                parts.append((OTHER, data[at:end]))
            at = end
        if at < size:
            self._head = data[at:]
        return parts
