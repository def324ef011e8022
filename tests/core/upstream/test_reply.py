"""Tests of relayd.core.upstream.reply."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.upstream.effects import Loss, LossKind
from relayd.core.upstream.reply import HEAD_MOST_BYTES, HandshakeReply, date_s

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def answer(data: bytes, size: int = 0) -> bytes | Loss | None:
    """What comes of this, fed whole or in pieces, then ended."""
    reply = HandshakeReply()
    for start in range(0, len(data), size or len(data)):
        result = reply.feed(data[start : start + (size or len(data))])
        if result is not None:
            return result
    return reply.ended()


def refusal(head: str, body: str = "") -> Loss:
    """The loss that this answer becomes."""
    loss = answer(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body.encode())
    assert isinstance(loss, Loss)
    return loss


class AcceptedTests:
    """101 goes on as it came."""

    def test_whole(self) -> None:
        """With the first frames in the same segment."""
        assert HandshakeReply().feed(SWITCHING + b"\x81\x01a") == SWITCHING + b"\x81\x01a"

    def test_another_status(self) -> None:
        """An event stream opens with 200; what follows the head is its beginning."""
        reply = HandshakeReply(200)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        assert reply.feed(head + b"data") == head + b"data"
        assert (reply.fields, reply.rest) == ({"content-type": "text/event-stream"}, b"data")
        assert HandshakeReply(200).feed(SWITCHING + b"x" * 200) == Loss(
            LossKind.HTTP, status=101, text="Switching Protocols: " + "x" * 200
        )

    @pytest.mark.parametrize("size", [1, 7])
    def test_in_pieces(self, size: int) -> None:
        """Cut anywhere."""
        assert answer(SWITCHING, size) == SWITCHING


class RefusedTests:
    """Everything that HTTP may say instead."""

    def test_body_and_retry_after(self) -> None:
        """Both are told."""
        loss = refusal("HTTP/1.1 429 Too Many Requests\nContent-Length: 9\nRetry-After: 17", "slow down")
        assert loss == Loss(LossKind.HTTP, status=429, text="Too Many Requests: slow down", retry_after_s=17.0)

    def test_a_body_byte_by_byte(self) -> None:
        """It is waited for up to its length."""
        data = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nbad"
        assert answer(data, 1) == Loss(LossKind.HTTP, status=401, text="Unauthorized: bad")
        reply = HandshakeReply()
        assert reply.feed(data[:-1]) is None
        assert reply.refused

    def test_a_long_body(self) -> None:
        """Its first 200 bytes, on one line."""
        loss = refusal("HTTP/1.1 503 Service Unavailable", "<html>\r\n\x1b[2J" + "x" * 5000)
        assert loss.text == "Service Unavailable: <html>   [2J" + "x" * 188

    def test_a_chunked_body(self) -> None:
        """The first chunk without its length."""
        loss = refusal("HTTP/1.1 503 \nTransfer-Encoding: chunked", "4\r\nbusy\r\n0\r\n\r\n")
        assert loss.text == "busy"

    def test_no_body(self) -> None:
        """The phrase alone, or nothing at all."""
        assert refusal("HTTP/1.0 302 Found\nLocation: https://elsewhere.example/?token=s3cret").text == "Found"
        assert refusal("HTTP/1.1 404").text == ""

    @pytest.mark.parametrize(
        ("fields", "seconds"),
        [
            ("Retry-After: Sun, 06 Nov 1994 08:50:37 GMT\nDate: Sun, 06 Nov 1994 08:49:37 GMT", 60.0),
            ("Retry-After: Sun, 06 Nov 1994 08:49:00 GMT\nDate: Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
            ("Retry-After: Sun, 06 Nov 1994 08:50:37 GMT", None),
            ("Retry-After: Sun, 66 Nov 1994 08:50:37 GMT\nDate: Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Retry-After: Sun, 06 Nix 1994 08:50:37 GMT\nDate: Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Retry-After: soon\nDate: Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Retry-After: \u0663", None),
            ("Retry-After: 99999999999999999999", 999999999.0),
            ("X: y", None),
        ],
    )
    def test_retry_after(self, fields: str, seconds: float | None) -> None:
        """Seconds, or a date by the upstream's own clock; what cannot be read is not obeyed."""
        assert refusal(f"HTTP/1.1 503 Busy\n{fields}").retry_after_s == seconds


class GarbageTests:
    """What is no answer at all."""

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (b"SSH-2.0-OpenSSH_9.2\r\n", "the answer is no HTTP/1.1, it begins 'SSH-2.0-OpenSSH_9.2'"),
            (b"\x15\x03\x01\x00\x02", "the answer is no HTTP/1.1, it begins ''"),
            (b"HTTP/2 200 OK\r\n\r\n", "the answer is no HTTP/1.1, it begins 'HTTP/2 200 OK'"),
            (b"HTTP/1.1 99 Low\r\n\r\n", "the head of the answer is malformed, it begins 'HTTP/1.1 99 Low'"),
            (b"HTTP/1.1 101 A\r\nx\r\n\r\n", "the head of the answer is malformed, it begins 'HTTP/1.1 101 A  x'"),
            (b"HTTP/1.1 101 \xff\r\n\r\n", "the head of the answer holds bytes that are no ASCII"),
            (b"HTTP/1.1 100 Continue\r\n\r\n", "the answer is 100 Continue, to a request without a body"),
            (b"HTTP/1.1 101 A\r\n" + b"X: y\r\n" * 3000, "the head of the answer is longer than 16384 bytes"),
            (b"HTTP/1.1 101 A\r\n", "the connection ended in the handshake, it begins 'HTTP/1.1 101 A'"),
            (b"HTT", "the connection ended in the handshake, it begins 'HTT'"),
        ],
    )
    def test_each_says_what_it_is(self, data: bytes, text: str) -> None:
        """And shows how it begins."""
        assert answer(data) == Loss(LossKind.HANDSHAKE, text=text)

    def test_nothing(self) -> None:
        """A connection that just ends."""
        assert HandshakeReply().ended() == Loss(LossKind.HANDSHAKE, text="the connection ended in the handshake")

    @given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b"HTTP/1.1 ", b"101", b"\r\n\r\n", b"A: b"]))))
    def test_any_bytes(self, pieces: list[bytes]) -> None:
        """Never an exception, never more memory than the bound and one read."""
        reply = HandshakeReply()
        for piece in pieces:
            result = reply.feed(piece)
            if result is not None:
                break
            assert len(b"".join(pieces)) <= HEAD_MOST_BYTES or reply.refused
        assert isinstance(reply.ended(), Loss)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"date": "Sun, 06 Nov 1994 08:49:37 GMT"}, 784111777.0),
        ({"date": "Sun, 06 Nov 1994 08:49:37 GMT", "age": "0"}, None),
        ({"date": "soon"}, None),
        ({}, None),
    ],
)
def test_date(fields: dict[str, str], seconds: float | None) -> None:
    """When the upstream answered, unless somebody between us kept the answer."""
    assert date_s(fields) == seconds
