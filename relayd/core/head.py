"""Reads the head of one HTTP/1.1 request, strictly, from bytes in any portions.

A parser that is stricter than whatever stands behind it cannot be played against it: what relayd accepts here has
one meaning for every HTTP implementation (RFC 9112 2-5). So no folding, no space before a colon, no bare CR or LF,
no byte outside printable ASCII, no target but a path, one Host. The verdict depends on the bytes alone and never on
how they were portioned; it falls at the first byte that decides, so that nothing is kept of a head that is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Final, NamedTuple

from relayd.core.auth.verdict import Identity
from relayd.core.refusal import (
    BAD_BYTE,
    BAD_FIELD,
    BAD_HOST,
    BAD_REQUEST_LINE,
    BAD_TARGET,
    BAD_VERSION,
    FOLDED_FIELD,
    HEAD_TOO_LARGE,
    NO_HOST,
    REPEATED_FIELD,
    TARGET_TOO_LONG,
    TOO_MANY_FIELDS,
    HttpRefusal,
)

# What may not stand in a head: anything but printable ASCII, tab and CR LF. A CR that ends the portion may yet be
# followed by its LF.
_BAD_BYTES: Final = re.compile(rb"[^\t\x20-\x7e\r\n]|\r(?!\n|\Z)|(?<!\r)\n")
_CRLF: Final = b"\r\n"
_HEAD_END: Final = _CRLF + _CRLF
_PRINTABLE: Final = bytes((0x09, *range(0x20, 0x7F)))
_TOKEN_CHARS: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_TOKEN: Final = re.compile(_TOKEN_CHARS + "+")
_REQUEST_LINE: Final = re.compile(rf"({_TOKEN_CHARS}+) ([^ \t]+) HTTP/([0-9])\.([0-9])")
# A path and a query as browsers write them: wider than RFC 3986 by the characters that the URL standard leaves
# alone (|, {, ^ ...), narrower by the second slash of //host, which some parsers take for an authority.
_TARGET: Final = re.compile(r"/(?!/)[^#\"<>\\]*")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[([0-9A-Fa-f:.]+)\])(?::([0-9]{1,5}))?")
_PORT_MAX: Final = 65_535
#: Bytes of a request line beside its target: the longest method in use (OPTIONS), two spaces and the version,
#: rounded up.
_LINE_OVERHEAD_BYTES: Final = 32

#: Headers whose second occurrence could be read in two ways. Lists (Connection, Upgrade, Sec-WebSocket-Protocol
#: ...) may be repeated.
SINGLE_FIELDS: Final = frozenset(
    {
        "authorization",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "idempotency-key",
        "last-event-id",
        "origin",
        "sec-websocket-key",
        "sec-websocket-version",
        "transfer-encoding",
    }
)


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """Bounds of one request head. `head_bytes` counts everything up to and with the blank line."""

    head_bytes: int = 8 * 1024  # limits.head; what nginx and Apache allow a line or a head by default
    fields: int = 64  # aiohttp and http.client stop at 100; a browser behind two proxies sends about 25
    target_bytes: int = 2 * 1024  # ?topics= of some 50 topics; more belongs in subscribe messages (guess)


class RequestHead(NamedTuple):
    """One request head that is beyond doubt. Field names are lower case; values carry no surrounding white space;
    all is printable ASCII.

    `client` is the address of who asked, after PROXY and trusted proxies, or empty where there is none (a unix
    socket). `peer` is whom the certificate of a TLS client names. The parser leaves both empty; the guard fills them
    in.
    """

    method: str
    target: str
    version: str  # "1.1" or "1.0"
    fields: tuple[tuple[str, str], ...]
    client: str = ""
    peer: Identity | None = None

    @property
    def path(self) -> str:
        """The target up to the question mark, as it was sent: nothing is decoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The target after the question mark, as it was sent, or the empty text."""
        return self.target.partition("?")[2]

    def get(self, name: str) -> str | None:
        """The value of a header that stands at most once, or of the first of several. `name` is lower case."""
        for field, value in self.fields:  # asked a dozen times for each connection: a generator costs twice as much
            if field == name:
                return value
        return None

    def items(self, name: str) -> list[str]:
        """The elements of a header that is a comma-separated list, over all its lines in order; empty elements are
        left out.
        """
        elements: list[str] = []
        for field, value in self.fields:
            if field == name:
                elements += [element for part in value.split(",") if (element := part.strip(" \t"))]
        return elements

    def has_token(self, name: str, token: str) -> bool:
        """Whether the list header `name` holds `token` (lower case), whatever its case there."""
        return token in [item.lower() for item in self.items(name)]


def is_token(text: str) -> bool:
    """Whether `text` is a token of RFC 9110 5.6.2, such as a method, a header name or a subprotocol."""
    return _TOKEN.fullmatch(text) is not None


class HeadParser:
    """Collects one head. Feed it until it answers; then `rest` holds the bytes that came after the blank line."""

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._line_at = 0  # where the line under way begins
        self._checked = 0  # bytes before this index are known to be allowed
        self._line_bytes_max = min(limits.head_bytes, limits.target_bytes + _LINE_OVERHEAD_BYTES)
        self._request_line: tuple[str, str, str] | None = None
        self._fields: list[tuple[str, str]] = []
        self._singles: set[str] = set()  # of SINGLE_FIELDS, those that were there

    @property
    def buffered_bytes(self) -> int:
        """How many bytes are held: never more than one portion beyond `head_bytes`, and none after a refusal."""
        return len(self._buffer)

    @property
    def rest(self) -> bytes:
        """The bytes after the head, once there is one."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> RequestHead | HttpRefusal | None:
        """Take the next portion. None means that the head is not complete yet; after any other answer the parser is
        spent.
        """
        is_first = not self._buffer
        self._buffer += data
        answer = self._take_whole() if is_first and self._is_sound() else self._advance()
        if isinstance(answer, HttpRefusal):
            self._buffer.clear()
        return answer

    def _is_sound(self) -> bool:
        """Whether a whole head is there, within its limits and of allowed bytes: then only its lines are left to judge.
        Nearly every client sends it so, and line by line it costs twice as much.
        """
        buffer = self._buffer
        end = buffer.find(_HEAD_END) + len(_HEAD_END)
        return (
            len(_HEAD_END) <= end <= self._limits.head_bytes
            and buffer.find(b"\n") < self._line_bytes_max
            # What is left without the printable is the ends of lines: a twentieth of what the search costs.
            and len(buffer[:end].translate(None, _PRINTABLE)) == len(_CRLF) * buffer.count(_CRLF, 0, end)
        )

    def _take_whole(self) -> RequestHead | HttpRefusal:
        """The head that stands in the buffer, when `_is_sound`."""
        end = self._buffer.index(_HEAD_END)
        for line in self._buffer[:end].decode("ascii").split("\r\n"):
            if (refusal := self._read_line(line)) is not None:
                return refusal
        del self._buffer[: end + len(_HEAD_END)]
        return self._finish()

    def _advance(self) -> RequestHead | HttpRefusal | None:
        buffer = self._buffer
        while True:
            newline_at = buffer.find(b"\n", self._checked)
            end = len(buffer) if newline_at < 0 else newline_at + 1
            if (refusal := self._check_bytes(end)) is not None:
                return refusal
            if newline_at < 0:
                return None
            line = buffer[self._line_at : newline_at - 1].decode("ascii")
            self._line_at = self._checked = end
            if not line and self._request_line is not None:
                del buffer[:end]
                return self._finish()
            if (refusal := self._read_line(line)) is not None:
                return refusal

    def _check_bytes(self, end: int) -> HttpRefusal | None:
        """Refuse whatever in the line under way is forbidden or beyond the limit, by what comes first."""
        in_request_line = self._request_line is None
        bytes_max = self._line_bytes_max if in_request_line else self._limits.head_bytes
        bad = _BAD_BYTES.search(self._buffer, self._checked, end)
        if bad is not None and bad.start() < bytes_max:
            return BAD_BYTE
        if end > bytes_max:
            return TARGET_TOO_LONG if in_request_line else HEAD_TOO_LARGE
        # A CR at the very end is judged with the byte after it.
        self._checked = end - 1 if self._buffer.endswith(b"\r", 0, end) else end
        return None

    def _read_line(self, line: str) -> HttpRefusal | None:
        if self._request_line is None:
            return self._read_request_line(line)
        if line[0] in " \t":
            return FOLDED_FIELD
        name, colon, value = line.partition(":")
        if not colon or not is_token(name):
            return BAD_FIELD
        if len(self._fields) == self._limits.fields:
            return TOO_MANY_FIELDS
        name = name.lower()
        if name in SINGLE_FIELDS:
            if name in self._singles:
                return REPEATED_FIELD
            self._singles.add(name)
        self._fields.append((name, value.strip(" \t")))
        return None

    def _read_request_line(self, line: str) -> HttpRefusal | None:
        match = _REQUEST_LINE.fullmatch(line)
        if match is None:
            return BAD_REQUEST_LINE
        method, target, major, minor = match.groups()
        if major != "1" or minor not in "01":
            return BAD_VERSION
        if len(target) > self._limits.target_bytes:
            return TARGET_TOO_LONG
        if _TARGET.fullmatch(target) is None:
            return BAD_TARGET
        self._request_line = method, target, f"{major}.{minor}"
        return None

    def _finish(self) -> RequestHead | HttpRefusal:
        assert self._request_line is not None
        head = RequestHead(*self._request_line, tuple(self._fields))
        host = head.get("host")
        if host is None:
            return NO_HOST
        return head if is_host(host) else BAD_HOST


def is_host(text: str) -> bool:
    """Whether `text` is what a Host header may hold here: a name, an IPv4 or a bracketed IPv6 address, with or
    without a port.
    """
    match = _HOST.fullmatch(text)
    if match is None:
        return False
    ipv6, port = match.groups()
    if ipv6 is not None:
        try:
            IPv6Address(ipv6)
        except AddressValueError:
            return False
    return port is None or int(port) <= _PORT_MAX
