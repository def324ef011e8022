"""What an upstream answers to the opening request, read before anything else sees it.

The WebSocket library takes a head of any length, keeps neither the body of a refusal nor `Retry-After`, and raises on
what is no text. So a head is collected here within bounds: the status that was hoped for (101, or 200 for an event
stream) is handed on as it came, all else becomes a Loss that tells it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from relayd.core.upstream.effects import Loss, LossKind, printable

HEAD_MOST_BYTES = 16 << 10
"""Twice what browsers' servers are allowed: content networks add long policies and cookies."""
BODY_MOST_BYTES = 200
"""Of the body of a refusal."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
_DATE = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class HandshakeReply:
    """Collects the answer. `feed` returns None while it is incomplete; what it returned otherwise is final."""

    def __init__(self, accepted: int = 101) -> None:
        """`accepted`: the status that opens the connection."""
        self.fields: Mapping[str, str] = {}
        """The fields of the head, once it is whole, by their names in lower case."""
        self._accepted = accepted
        self._data = b""
        self._head_end = -1
        self._status = 0
        self._phrase = ""

    @property
    def refused(self) -> bool:
        """Whether the head refuses, and only its body is still awaited."""
        return self._status not in (0, self._accepted)

    @property
    def rest(self) -> bytes:
        """What came behind the head."""
        return self._data[self._head_end :]

    def feed(self, data: bytes) -> bytes | Loss | None:
        """More bytes came. Bytes: the answer is the accepted one, and these are all of it with what follows it."""
        self._data += data
        if self._head_end < 0 and (loss := self._read_head()) is not None:
            return loss
        if self._head_end < 0:
            return None
        if not self.refused:
            return self._data
        return self.ended() if len(self._data) - self._head_end >= self._body_bytes() else None

    def ended(self) -> Loss:
        """Nothing more will come, or be waited for."""
        if not self.refused:
            return Loss(LossKind.HANDSHAKE, text="the connection ended in the handshake" + self._beginning())
        body = printable(self._body().decode("utf-8", "replace"), BODY_MOST_BYTES)
        phrase = printable(self._phrase)
        text = f"{phrase}: {body}" if phrase and body else phrase or body
        return Loss(LossKind.HTTP, status=self._status, text=text, retry_after_s=retry_after_s(self.fields))

    def _read_head(self) -> Loss | None:
        if not (b"HTTP/1.1 ".startswith(self._data[:9]) or b"HTTP/1.0 ".startswith(self._data[:9])):
            return _no_websocket("the answer is no HTTP/1.1" + self._beginning())
        end = self._data.find(b"\r\n\r\n", 0, HEAD_MOST_BYTES + 4)
        if end < 0:
            if len(self._data) > HEAD_MOST_BYTES:
                return _no_websocket(f"the head of the answer is longer than {HEAD_MOST_BYTES} bytes")
            return None
        first, *lines = self._data[:end].split(b"\r\n")
        status = _STATUS_LINE.fullmatch(first)
        fields = [_FIELD.fullmatch(line) for line in lines]
        if status is None or not all(fields):
            return _no_websocket("the head of the answer is malformed" + self._beginning())
        self._status = int(status[1])
        self._phrase = (status[2] or b"").decode("latin-1")
        self.fields = {field[1].decode("ascii").lower(): field[2].decode("latin-1") for field in fields if field}
        self._head_end = end + 4
        if self._status == 101 and not self._data[:end].isascii():
            return _no_websocket("the head of the answer holds bytes that are no ASCII")
        if self._status == 100:
            return _no_websocket("the answer is 100 Continue, to a request without a body")
        return None

    def _beginning(self) -> str:
        return f", it begins {printable(self._data[:40].decode('latin-1'), 40)!r}" if self._data else ""

    def _body_bytes(self) -> int:
        length = self.fields.get("content-length", "")
        return min(int(length), BODY_MOST_BYTES) if length.isascii() and length.isdigit() else BODY_MOST_BYTES

    def _body(self) -> bytes:
        body = self.rest
        if "chunked" in self.fields.get("transfer-encoding", "").lower():
            # The first chunk is enough for a log line.
            body = body.partition(b"\r\n")[2].partition(b"\r\n")[0]
        return body[:BODY_MOST_BYTES]


def retry_after_s(fields: Mapping[str, str]) -> float | None:
    """What `Retry-After` asks for, in seconds; None = nothing that can be read. The fields' names are in lower case."""
    text = fields.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return float(text[:9])
    # A date is counted from the upstream's own clock, so that ours need not be right.
    until, since = _date(text), _date(fields.get("date", ""))
    return max(0.0, (until - since).total_seconds()) if until is not None and since is not None else None


def date_s(fields: Mapping[str, str]) -> float | None:
    """What `Date` says, in seconds since 1970; None = nothing that can be read, or a copy of a cache. The names are in
    lower case."""
    date = _date(fields.get("date", "")) if "age" not in fields else None
    return None if date is None else date.timestamp()


def _no_websocket(text: str) -> Loss:
    return Loss(LossKind.HANDSHAKE, text=text)


def _date(text: str) -> datetime | None:
    """An HTTP date (RFC 9110, 5.6.7, the form that is to be sent), whatever the locale."""
    match = _DATE.fullmatch(text)
    if match is None or match[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(match[group]) for group in (1, 3, 4, 5, 6))
    try:
        return datetime(year, _MONTHS.index(match[2]) + 1, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
