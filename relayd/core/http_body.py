"""The body of an HTTP response that goes on and on: its bytes, without the frame they come in (RFC 9112, 6 and 7.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Protocol

SIZE_LINE_MOST_BYTES = 256
"""A chunk's size and its extensions, which nobody uses."""
TRAILERS_MOST_BYTES = 8 << 10
"""As much as the heads of browsers' requests."""

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")


class BodyError(ValueError):
    """The frame of the body is broken; the text says how."""


class Body(Protocol):
    """A body under way."""

    ended: bool
    """Nothing more belongs to it."""

    def feed(self, data: bytes) -> bytes:
        """What of these bytes is content. Raises BodyError."""


def body_of(fields: Mapping[str, str]) -> Body:
    """How the body behind this head comes; the names of the fields are in lower case. Raises BodyError."""
    coding = fields.get("transfer-encoding")
    if coding is not None:
        if coding.strip().lower() != "chunked":
            raise BodyError(f"the transfer encoding {coding[:40]!r} is not understood")
        return Chunked()
    length = fields.get("content-length")
    if length is None:
        return UntilClose()
    if not (length.isascii() and length.isdigit() and len(length) <= 15):
        raise BodyError(f"the content length {length[:40]!r} is no number")
    return Counted(int(length))


class UntilClose:
    """All that comes, until the connection ends."""

    def __init__(self) -> None:
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        """As it is."""
        return data


class Counted:
    """So many bytes."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.ended = not length

    def feed(self, data: bytes) -> bytes:
        """What still belongs to it."""
        content = data[: self._left]
        self._left -= len(content)
        self.ended = not self._left
        return content


class _Part(Enum):
    """Where in the chunks the next byte stands."""

    SIZE = 0
    CONTENT = 1
    CONTENT_END = 2
    TRAILERS = 3


class Chunked:
    """Chunks, each behind its size; one of size 0 and perhaps trailers end it."""

    def __init__(self) -> None:
        self.ended = False
        self._part = _Part.SIZE
        self._left = 0
        self._held = b""
        """A line that has not ended yet."""
        self._trailers_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """The content of the chunks, as far as it has come. Raises BodyError."""
        data, self._held = self._held + data, b""
        content: list[bytes] = []
        at = 0
        while at < len(data) and not self.ended:
            if self._part is _Part.CONTENT:
                piece = data[at : at + self._left]
                content.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._part = _Part.CONTENT_END
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                self._hold(data[at:])
                break
            self._line(data[at:end])
            at = end + 2
        return content[0] if len(content) == 1 else b"".join(content)

    def _hold(self, rest: bytes) -> None:
        most = SIZE_LINE_MOST_BYTES if self._part is _Part.SIZE else TRAILERS_MOST_BYTES
        if self._part is _Part.CONTENT_END and rest != b"\r":
            raise BodyError("a chunk is longer than its size")
        if len(rest) > most:
            raise BodyError("a line between chunks is too long")
        self._held = rest

    def _line(self, line: bytes) -> None:
        if self._part is _Part.CONTENT_END:
            if line:
                raise BodyError("a chunk is longer than its size")
            self._part = _Part.SIZE
        elif self._part is _Part.TRAILERS:
            self._trailers_bytes += len(line)
            if self._trailers_bytes > TRAILERS_MOST_BYTES:
                raise BodyError("the trailers are too long")
            self.ended = not line
        else:
            size = _SIZE.fullmatch(line) if len(line) <= SIZE_LINE_MOST_BYTES else None
            if size is None:
                raise BodyError("the size of a chunk cannot be read")
            self._left = int(size[1], 16)
            self._part = _Part.CONTENT if self._left else _Part.TRAILERS
