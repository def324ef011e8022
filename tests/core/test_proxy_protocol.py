"""PROXY headers, versions 1 and 2, in any portions."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.proxy_protocol import V2_BODY_BYTES_MAX, NotProxied, ProxiedFrom, ProxyParser
from tests.support.portions import portions_of

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(body: bytes, *, command: int = 0x21, family: int = 0x11) -> bytes:
    """A binary header."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def parse(data: bytes, size: int) -> tuple[ProxiedFrom | NotProxied | None, bytes]:
    """The first answer to these bytes in portions, and all that is left."""
    parser = ProxyParser()
    portions = portions_of(data, size)
    for number, portion in enumerate(portions):
        answer = parser.feed(portion)
        if answer is not None:
            return answer, parser.rest + b"".join(portions[number + 1 :])
    return None, b""


TCP4 = socket.inet_aton("198.51.100.1") + socket.inet_aton("10.0.0.1") + struct.pack("!HH", 55555, 443)
TCP6 = socket.inet_pton(socket.AF_INET6, "2001:db8::1") + bytes(16) + struct.pack("!HH", 55555, 443)
GOOD = [
    (b"PROXY TCP4 198.51.100.1 10.0.0.1 55555 443\r\n", "198.51.100.1"),
    (b"PROXY TCP6 2001:db8::1 ::1 55555 443\r\n", "2001:db8::1"),
    (b"PROXY TCP6 2001:DB8:0::1 ::1 0 65535\r\n", "2001:db8::1"),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None),
    (v2(TCP4), "198.51.100.1"),
    (v2(TCP6, family=0x21), "2001:db8::1"),
    (v2(TCP4 + b"\x04\x00\x03abc"), "198.51.100.1"),  # a TLV
    (v2(b"", command=0x20, family=0x00), None),  # LOCAL: the proxy looks whether we live
    (v2(TCP4, command=0x20), None),
    (v2(bytes(216), family=0x31), None),  # a unix socket
    (v2(TCP4, family=0x12), None),  # UDP
    (v2(b"", family=0x00), None),
    (v2(TCP4 + bytes(V2_BODY_BYTES_MAX - len(TCP4))), "198.51.100.1"),
]
BAD = [
    (b"GET / HTTP/1.1\r\n", "does not begin with"),
    (b"\x16\x03\x01", "does not begin with"),
    (b"PROXX", "does not begin with"),
    (b"proxy tcp4", "does not begin with"),
    (b"\r\n\r\n\x00\r\nQUIT\r", "does not begin with"),
    (b"PROXY TCP4 198.51.100.1 10.0.0.1 55555 443\n", "malformed"),
    (b"PROXY TCP4 198.51.100.1 10.0.0.1 55555\r\n", "malformed"),
    (b"PROXY TCP4  198.51.100.1 10.0.0.1 55555 443\r\n", "malformed"),
    (b"PROXY TCP4 198.51.100.1 10.0.0.1 055 443\r\n", "malformed"),
    (b"PROXY TCP4 198.51.100.1 10.0.0.1 -1 443\r\n", "malformed"),
    (b"PROXY UDP4 198.51.100.1 10.0.0.1 1 443\r\n", "malformed"),
    (b"PROXY UNKNOWN\x00\r\n", "malformed"),
    (b"PROXY TCP4 198.51.100.999 10.0.0.1 1 443\r\n", "none of its family"),
    (b"PROXY TCP4 2001:db8::1 10.0.0.1 1 443\r\n", "none of its family"),
    (b"PROXY TCP6 2001:db8::1 10.0.0.1 1 443\r\n", "none of its family"),
    (b"PROXY TCP4 198.51.100.1 10.0.0.1 65536 443\r\n", "above 65535"),
    (b"PROXY UNKNOWN " + b"a" * 200, "longer than 107"),
    (v2(TCP4, command=0x11), "unknown version"),
    (v2(TCP4, command=0x22), "unknown version"),
    (v2(TCP4[:-1]), "too short"),
    (v2(TCP4, family=0x21), "too short"),
    (v2(bytes(V2_BODY_BYTES_MAX + 1)), "longer than 2 KiB"),
]


class ProxyParserTests:
    """One header."""

    @pytest.mark.parametrize("size", [1, 7, 4096])
    @pytest.mark.parametrize(("header", "source"), GOOD)
    def test_reads(self, header: bytes, source: str | None, size: int) -> None:
        """The source address, and the bytes after the header untouched."""
        assert parse(header + b"GET / HTTP/1.1\r\n", size) == (ProxiedFrom(source), b"GET / HTTP/1.1\r\n")

    @pytest.mark.parametrize("size", [1, 7, 4096])
    @pytest.mark.parametrize(("header", "why"), BAD)
    def test_refuses(self, header: bytes, why: str, size: int) -> None:
        """With a reason for the log."""
        answer, _ = parse(header, size)
        assert isinstance(answer, NotProxied)
        assert why in answer.why

    @pytest.mark.parametrize("header", [header for header, _ in GOOD])
    def test_waits_for_the_last_byte(self, header: bytes) -> None:
        """No answer before the header is whole."""
        assert parse(header[:-1], 4096) == (None, b"")

    @given(st.sampled_from([header for header, _ in GOOD + BAD]), st.data())
    def test_portions_never_change_the_answer(self, header: bytes, data: st.DataObject) -> None:
        """Mutated headers, whole and byte by byte."""
        mutated = bytearray(header)
        for _ in range(data.draw(st.integers(0, 3))):
            mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
        whole, one_by_one = parse(bytes(mutated), 1 << 20), parse(bytes(mutated), 1)
        assert type(whole[0]) is type(one_by_one[0])
        if not isinstance(whole[0], NotProxied):
            assert whole == one_by_one
