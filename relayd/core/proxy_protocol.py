"""The PROXY protocol, versions 1 and 2: who the client of a TCP load balancer is (haproxy.org, proxy-protocol.txt,
2020).

A line of text or a binary block before the first byte of the connection. With `proxy_protocol: true` it is
required: whether it is there must not be guessed from what a client sends. Fed in any portions, one byte included.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

_V1_START: Final = b"PROXY "
_V1_BYTES_MAX: Final = 107  # section 2.1: the longest line, with CR LF
_V1_LINE: Final = re.compile(
    rb"PROXY (?:(UNKNOWN)(?: [\x20-\x7e]*)?|"
    rb"(TCP[46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4}))\r\n"
)
_PORT_MAX: Final = 65_535

_V2_START: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED_BYTES: Final = 16
#: Addresses take at most 216 bytes; the rest are TLVs, of which AWS and Azure send some dozens of bytes and a
#: client certificate's name a few hundred. The field could say 65,535 (guess).
V2_BODY_BYTES_MAX: Final = 2_048
_V2_LOCAL, _V2_PROXY = 0x20, 0x21
_V2_TCP4, _V2_TCP6 = 0x11, 0x21
_V2_TCP4_BODY: Final = struct.Struct("!4s4sHH")
_V2_TCP6_BODY: Final = struct.Struct("!16s16sHH")


@dataclass(frozen=True, slots=True)
class ProxiedFrom:
    """A complete PROXY header. `source` is the client's address, or None where the proxy speaks for itself (a
    health check) or the client has none that relayd can use (UNKNOWN, a unix socket); then the connection's own
    peer counts.
    """

    source: str | None


@dataclass(frozen=True, slots=True)
class NotProxied:
    """What came is no PROXY header; `why` is fixed text for the log."""

    why: str


class ProxyParser:
    """Reads one PROXY header. Feed it until it answers; then `rest` holds the bytes after the header."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def rest(self) -> bytes:
        """The bytes after the header, once there is one."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> ProxiedFrom | NotProxied | None:
        """Take the next portion. None means that the header is not complete yet; after any other answer the parser
        is spent.
        """
        buffer = self._buffer
        buffer += data
        if _agree(buffer, _V2_START):
            return self._read_v2()
        if _agree(buffer, _V1_START):
            return self._read_v1()
        return NotProxied("the connection does not begin with a PROXY header")

    def _read_v1(self) -> ProxiedFrom | NotProxied | None:
        newline_at = self._buffer.find(b"\n", 0, _V1_BYTES_MAX)
        if newline_at < 0:
            return None if len(self._buffer) < _V1_BYTES_MAX else NotProxied("the PROXY line is longer than 107 bytes")
        match = _V1_LINE.fullmatch(self._buffer, 0, newline_at + 1)
        if match is None:
            return NotProxied("the PROXY line is malformed")
        unknown, family, source, destination, *ports = match.groups()
        del self._buffer[: newline_at + 1]
        if unknown is not None:
            return ProxiedFrom(None)
        parse = IPv4Address if family == b"TCP4" else IPv6Address
        try:
            client = parse(source.decode("ascii"))
            parse(destination.decode("ascii"))
        except ValueError:
            return NotProxied("the PROXY line holds an address that is none of its family")
        if any(int(port) > _PORT_MAX for port in ports):
            return NotProxied("the PROXY line holds a port above 65535")
        return ProxiedFrom(str(client))

    def _read_v2(self) -> ProxiedFrom | NotProxied | None:
        if len(self._buffer) < _V2_FIXED_BYTES:
            return None
        command, family = self._buffer[12], self._buffer[13]
        body_bytes = int.from_bytes(self._buffer[14:16])
        if command not in (_V2_LOCAL, _V2_PROXY):
            return NotProxied("the PROXY header has an unknown version or command")
        if body_bytes > V2_BODY_BYTES_MAX:
            return NotProxied("the PROXY header is longer than 2 KiB")
        end = _V2_FIXED_BYTES + body_bytes
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_V2_FIXED_BYTES:end])
        del self._buffer[:end]
        if command == _V2_LOCAL or family not in (_V2_TCP4, _V2_TCP6):
            return ProxiedFrom(None)
        layout = _V2_TCP4_BODY if family == _V2_TCP4 else _V2_TCP6_BODY
        if body_bytes < layout.size:
            return NotProxied("the PROXY header is too short for its addresses")
        source = layout.unpack_from(body)[0]
        return ProxiedFrom(str(IPv4Address(source) if family == _V2_TCP4 else IPv6Address(source)))


def _agree(buffer: bytearray, start: bytes) -> bool:
    """Whether the buffer is `start`, begins with it, or may yet."""
    return buffer[: len(start)] == start[: len(buffer)]
