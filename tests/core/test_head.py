"""The strict parser of request heads. The long table of handshakes is in tests/handshake/."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.head import HeadLimits, HeadParser, RequestHead, is_host, is_token
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
from tests.support.portions import portions_of

GOOD = (
    b"GET /ws?topics=a,b HTTP/1.1\r\nHost: example.com:8080\r\nUpgrade:  websocket \r\n"
    b"Connection: keep-alive, Upgrade\r\nX-Empty:\r\n\r\n"
)
Answer = tuple[RequestHead | HttpRefusal | None, bytes]


def parse(*portions: bytes, limits: HeadLimits | None = None) -> Answer:
    """The first answer to these portions, and what is left over then (with the portions that were not needed)."""
    parser = HeadParser(limits or HeadLimits())
    for number, portion in enumerate(portions):
        answer = parser.feed(portion)
        if answer is not None:
            return answer, parser.rest + b"".join(portions[number + 1 :])
    return None, b""


def request(*lines: bytes, first: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    """A head of these lines."""
    return b"\r\n".join([first, host, *lines, b"", b""])


class HeadParserTests:
    """One head, from bytes in any portions."""

    def test_reads_a_head(self) -> None:
        """Method, target, version, lower-case names, values without surrounding space, and the bytes after it."""
        head, rest = parse(GOOD + b"\x81\x85frame")
        assert head == RequestHead(
            "GET",
            "/ws?topics=a,b",
            "1.1",
            (
                ("host", "example.com:8080"),
                ("upgrade", "websocket"),
                ("connection", "keep-alive, Upgrade"),
                ("x-empty", ""),
            ),
        )
        assert rest == b"\x81\x85frame"

    def test_reads_it_byte_by_byte(self) -> None:
        """The same head; nothing is left over."""
        head, rest = parse(*portions_of(GOOD, 1))
        assert (head, rest) == parse(GOOD)
        assert rest == b""

    def test_holds_nothing_before_and_after(self) -> None:
        """What is buffered is what came, and nothing once refused."""
        parser = HeadParser(HeadLimits())
        assert parser.feed(b"GET / HTTP/1.1\r\nHo") is None
        assert parser.buffered_bytes == 18
        assert parser.feed(b"st : a\r\n") is BAD_FIELD
        assert parser.buffered_bytes == 0

    @pytest.mark.parametrize(
        ("bad", "refusal"),
        [
            (b"GET /\x00 HTTP/1.1\r\n", BAD_BYTE),
            (b"GET / HTTP/1.1\n", BAD_BYTE),
            (b"GET / HTTP/1.1\r\r\n", BAD_BYTE),
            (b"\n", BAD_BYTE),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03", BAD_BYTE),
            (request(b"A: \x7f"), BAD_BYTE),
            (request(b"A: \x80"), BAD_BYTE),
            (request(b"A: b\rc"), BAD_BYTE),
            (b"\r\nGET / HTTP/1.1\r\n", BAD_REQUEST_LINE),
            (b"GET  / HTTP/1.1\r\n", BAD_REQUEST_LINE),
            (b"GET /\r\n", BAD_REQUEST_LINE),
            (b"GET / http/1.1\r\n", BAD_REQUEST_LINE),
            (b"GET / HTTP/1.1 \r\n", BAD_REQUEST_LINE),
            (b"G(T / HTTP/1.1\r\n", BAD_REQUEST_LINE),
            (b"GET / HTTP/1.2\r\n", BAD_VERSION),
            (b"PRI * HTTP/2.0\r\n", BAD_VERSION),
            (b"GET * HTTP/1.1\r\n", BAD_TARGET),
            (b"GET http://a/ HTTP/1.1\r\n", BAD_TARGET),
            (b"GET //a/ HTTP/1.1\r\n", BAD_TARGET),
            (b"GET /#a HTTP/1.1\r\n", BAD_TARGET),
            (request(b" folded"), FOLDED_FIELD),
            (request(b"\tfolded"), FOLDED_FIELD),
            (request(b"no colon"), BAD_FIELD),
            (request(b": no name"), BAD_FIELD),
            (request(b"A : b"), BAD_FIELD),
            (request(b"host: b"), REPEATED_FIELD),
            (request(host=b"A: b"), NO_HOST),
            (request(host=b"Host:"), BAD_HOST),
        ],
    )
    def test_refuses_what_is_not_a_head(self, bad: bytes, refusal: HttpRefusal) -> None:
        """At once, and by the same reason byte by byte."""
        assert parse(bad) == (refusal, b"")
        assert parse(*portions_of(bad, 1))[0] is refusal

    def test_lists_may_be_repeated(self) -> None:
        """Connection may stand twice; it is one list."""
        head, _ = parse(request(b"Connection: keep-alive", b"Connection: Upgrade"))
        assert isinstance(head, RequestHead)
        assert head.items("connection") == ["keep-alive", "Upgrade"]

    def test_bounds_the_head_at_the_byte(self) -> None:
        """A head of exactly 8 KiB is read; one byte more is refused when it comes, not at the end of the line."""
        padding = 8 * 1024 - len(request(b"A: "))
        assert isinstance(parse(request(b"A: " + b"x" * padding))[0], RequestHead)
        too_large = request(b"A: " + b"x" * (padding + 1))
        assert parse(too_large)[0] is HEAD_TOO_LARGE
        parser = HeadParser(HeadLimits())
        endless = b"GET / HTTP/1.1\r\nA: " + b"x" * 9000
        answers = [parser.feed(portion) for portion in portions_of(endless[: 8 * 1024 + 1], 1)]
        assert answers[:-1] == [None] * 8192
        assert answers[-1] is HEAD_TOO_LARGE

    def test_bounds_the_number_of_headers(self) -> None:
        """64 header lines with Host, and not one more."""
        lines = [b"A%d: b" % number for number in range(64)]
        assert isinstance(parse(request(*lines[:63]))[0], RequestHead)
        assert parse(request(*lines))[0] is TOO_MANY_FIELDS

    def test_bounds_the_target(self) -> None:
        """2 KiB, however the rest of the line; without an end to the line a little more."""
        assert isinstance(parse(request(first=b"GET /" + b"a" * 2047 + b" HTTP/1.1"))[0], RequestHead)
        assert parse(request(first=b"GET /" + b"a" * 2048 + b" HTTP/1.1"))[0] is TARGET_TOO_LONG
        assert parse(b"GET /" + b"a" * 2100)[0] is TARGET_TOO_LONG
        assert parse(b"GET /" + b"a" * 2070)[0] is None

    def test_a_bad_byte_after_the_limit_does_not_count(self) -> None:
        """What comes first decides."""
        assert parse(b"GET /" + b"a" * 3000 + b"\x00")[0] is TARGET_TOO_LONG
        assert parse(b"GET /\x00" + b"a" * 3000)[0] is BAD_BYTE

    @given(st.data())
    def test_portions_never_change_the_answer(self, data: st.DataObject) -> None:
        """Mutated heads in one piece, byte by byte and cut at random: one answer, one rest."""
        whole = bytearray(data.draw(st.sampled_from([GOOD, request(b"A: b") + b"rest", request(b"B: " + b"x" * 90)])))
        for _ in range(data.draw(st.integers(0, 3))):
            at = data.draw(st.integers(0, len(whole) - 1))
            whole[at : at + data.draw(st.integers(0, 2))] = data.draw(
                st.one_of(
                    st.sampled_from([b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"\x00", b"xx" * 60]),
                    st.binary(max_size=3),
                )
            )
        limits = HeadLimits(head_bytes=200, fields=4, target_bytes=64)
        expected = parse(bytes(whole), limits=limits)
        if isinstance(expected[0], HttpRefusal):
            assert parse(*portions_of(bytes(whole), 1), limits=limits)[0] is expected[0]
        else:
            assert parse(*portions_of(bytes(whole), 1), limits=limits) == expected
        cuts = sorted(data.draw(st.sets(st.integers(1, len(whole)), max_size=4)))
        pieces = [bytes(whole[start:end]) for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        assert parse(*pieces, limits=limits)[0] == expected[0]


class RequestHeadTests:
    """Reading a head."""

    HEAD = RequestHead("GET", "/a/b?c=d?e", "1.1", (("x", "1, 2,, \t3"), ("y", "z"), ("x", "WebSocket")))

    def test_path_and_query(self) -> None:
        """Cut at the first question mark, nothing decoded."""
        assert (self.HEAD.path, self.HEAD.query) == ("/a/b", "c=d?e")
        assert RequestHead("GET", "/%77s", "1.1", ()).path == "/%77s"
        assert RequestHead("GET", "/", "1.1", ()).query == ""

    def test_get(self) -> None:
        """The first value, or None."""
        assert (self.HEAD.get("x"), self.HEAD.get("y"), self.HEAD.get("w")) == ("1, 2,, \t3", "z", None)

    def test_items(self) -> None:
        """All elements of all lines, empty ones left out."""
        assert self.HEAD.items("x") == ["1", "2", "3", "WebSocket"]
        assert self.HEAD.items("w") == []

    def test_has_token(self) -> None:
        """Whatever the case, and only whole elements."""
        assert self.HEAD.has_token("x", "websocket")
        assert not self.HEAD.has_token("x", "web")


class GrammarTests:
    """Tokens and hosts."""

    def test_token(self) -> None:
        """RFC 9110 5.6.2."""
        assert is_token("relayd.v1")
        assert not any(map(is_token, ["", "a b", "a,b", "a\n", "ä", 'a"']))

    @pytest.mark.parametrize("good", ["a", "A.b-c_d.example", "1.2.3.4:80", "[::1]", "[2001:DB8::1]:65535", "a:0"])
    def test_host(self, good: str) -> None:
        """Names, addresses, ports."""
        assert is_host(good)

    @pytest.mark.parametrize(
        "bad",
        [
            "",
            "a b",
            "a:",
            "a:b",
            "a:65536",
            "a:123456",
            "[::1",
            "::1",
            "[::g]",
            "[1:2]",
            "a@b",
            "a/b",
            "a,b",
            "ä",
            "a\n",
        ],
    )
    def test_no_host(self, bad: str) -> None:
        """Everything else."""
        assert not is_host(bad)
