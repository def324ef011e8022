"""Tests of relayd.core.http_body."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.http_body import (
    SIZE_LINE_MOST_BYTES,
    TRAILERS_MOST_BYTES,
    Body,
    BodyError,
    Chunked,
    Counted,
    UntilClose,
    body_of,
)


def read(body: Body, data: bytes, size: int = 0) -> bytes:
    """The content of these bytes, fed whole or in pieces."""
    size = size or len(data) or 1
    return b"".join(body.feed(data[start : start + size]) for start in range(0, len(data), size))


class ChoiceTests:
    """How the body comes is said in the head."""

    def test_which(self) -> None:
        """Chunks before a length, a length before the end of the connection."""
        assert isinstance(body_of({"transfer-encoding": " Chunked", "content-length": "5"}), Chunked)
        assert isinstance(body_of({"content-length": "5"}), Counted)
        assert isinstance(body_of({}), UntilClose)

    @pytest.mark.parametrize(
        ("fields", "why"),
        [
            ({"transfer-encoding": "gzip, chunked"}, "the transfer encoding 'gzip, chunked' is not understood"),
            ({"content-length": "-1"}, "the content length '-1' is no number"),
            ({"content-length": "1" * 16}, "the content length '1111111111111111' is no number"),
        ],
    )
    def test_neither(self, fields: dict[str, str], why: str) -> None:
        """What cannot be read is not guessed."""
        with pytest.raises(BodyError, match=why):
            body_of(fields)


class PlainTests:
    """Without chunks."""

    def test_until_the_end(self) -> None:
        """All of it, and never ended."""
        body = UntilClose()
        assert read(body, b"abc", 1) == b"abc"
        assert not body.ended

    @pytest.mark.parametrize("size", [1, 2, 9])
    def test_so_many_bytes(self, size: int) -> None:
        """What comes after them is not a part of it."""
        body = Counted(4)
        assert read(body, b"abcdef", size) == b"abcd"
        assert body.ended
        assert Counted(0).ended


class ChunkTests:
    """RFC 9112, 7.1."""

    @pytest.mark.parametrize("size", [0, 1, 2, 3, 7])
    def test_in_any_pieces(self, size: int) -> None:
        """Extensions and trailers are read and passed over."""
        body = Chunked()
        data = b"4\r\nWiki\r\nA;x=\"y\"\r\n0123456789\r\n00\r\nExpires: now\r\nX: y\r\n\r\nrest"
        assert read(body, data, size) == b"Wiki0123456789"
        assert body.ended

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (b"x\r\n", "the size of a chunk cannot be read"),
            (b"-1\r\n", "the size of a chunk cannot be read"),
            (b"\r\n", "the size of a chunk cannot be read"),
            (b"0x5\r\n", "the size of a chunk cannot be read"),
            (b"1 1\r\n", "the size of a chunk cannot be read"),
            (b"1" * 16 + b"\r\n", "the size of a chunk cannot be read"),
            (b"1;" + b"x" * SIZE_LINE_MOST_BYTES + b"\r\n", "the size of a chunk cannot be read"),
            (b"1" * (SIZE_LINE_MOST_BYTES + 1), "a line between chunks is too long"),
            (b"1\r\nab", "a chunk is longer than its size"),
            (b"1\r\nab\r\n", "a chunk is longer than its size"),
            (b"0\r\n" + b"x" * (TRAILERS_MOST_BYTES + 1), "a line between chunks is too long"),
            (b"0\r\n" + b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 300, "the trailers are too long"),
        ],
    )
    def test_broken(self, data: bytes, why: str) -> None:
        """It ends the response, and says why."""
        with pytest.raises(BodyError, match=why):
            Chunked().feed(data)

    @given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 20))
    def test_as_another_reads_it(self, chunks: list[bytes], size: int) -> None:
        """h11 finds the same content."""
        data = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        other = h11.Connection(h11.CLIENT)
        other.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
        other.send(h11.EndOfMessage())
        other.receive_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
        content = b""
        while not isinstance(event := other.next_event(), h11.EndOfMessage):
            content += bytes(event.data) if isinstance(event, h11.Data) else b""
        body = Chunked()
        assert read(body, data, size) == content == b"".join(chunks)
        assert body.ended
