"""The 247 short cases of the Autobahn Testsuite, said again to relayd as server and as client: the same answers,
byte for byte.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from relayd.io import upstream_protocol
from tests.conformance import transcripts
from tests.conformance.peers import EchoGuardFactory, EchoOwner, EchoUpstreamFactory
from tests.conformance.suite import SHORT_CASES
from tests.conformance.transcripts import Transcript, with_masks, without_masks
from tests.support.portions import portions_of
from tests.support.wire import connect

KEY = b"\x37\xfa\x21\x3d"
REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: A message of 64 KiB byte by byte takes a second; the rest of the cases is short.
BYTE_BY_BYTE_UP_TO = 10_000
TRANSCRIPTS = [(role, each) for role in ("server", "client") for each in transcripts.load(role)]


def answered_by_server(transcript: Transcript, size: int) -> bytes:
    """What the guard and what stands behind it answer."""
    clock = Clock()
    guard = EchoGuardFactory(clock, clock.seconds).buildProtocol(None)
    transport = connect(guard)
    for portion in portions_of(REQUEST + with_masks(transcript.said, KEY), size):
        guard.dataReceived(portion)
    head, _, frames = bytes(transport.written).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    return frames


def answered_by_client(transcript: Transcript, size: int) -> bytes:
    """What the upstream's protocol answers, without its masks."""
    protocol = EchoUpstreamFactory(EchoOwner(echo=True), "ws://127.0.0.1:9/", Clock()).buildProtocol(None)
    transport = connect(protocol)
    request, _, rest = bytes(transport.written).partition(b"\r\n\r\n")
    assert rest == b""
    [key] = [line.split(b": ")[1] for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key:")]
    accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    for portion in portions_of(head + accept + b"\r\n\r\n" + with_masks(transcript.said, KEY), size):
        protocol.dataReceived(portion)
    return without_masks(bytes(transport.written)[len(request) + 4 :])


class TranscriptTests:
    """Every short case, in both roles."""

    def test_all_are_there(self) -> None:
        """247 cases each."""
        for role in ("server", "client"):
            cases = [each.case for of_role, each in TRANSCRIPTS if of_role == role]
            assert len(set(cases)) == len(cases) == SHORT_CASES

    @pytest.mark.parametrize(("role", "transcript"), TRANSCRIPTS, ids=lambda part: getattr(part, "case", part))
    def test_case(self, role: str, transcript: Transcript) -> None:
        """As recorded, in one piece and byte by byte."""
        answered = answered_by_server if role == "server" else answered_by_client
        assert answered(transcript, 1 << 30) == transcript.answered
        if len(transcript.said) < BYTE_BY_BYTE_UP_TO:
            assert answered(transcript, 1) == transcript.answered


class OwnerTests:
    """The suite's own end of an upstream connection."""

    def test_it_hears_all_that_a_service_hears(self) -> None:
        """Of one that misses a word nothing is seen in the short cases: their messages fill no send buffer."""
        said = set(re.findall(r"\b_?owner\.([a-z]\w*)", inspect.getsource(upstream_protocol)))
        assert {"message", "buffer_filled", "failed"} <= said
        assert said <= set(dir(EchoOwner))


class MaskTests:
    """Taking masks out and putting them in."""

    def test_frames(self) -> None:
        """The example of RFC 6455 5.7."""
        masked = bytes.fromhex("818537fa213d7f9f4d5158")
        assert without_masks(masked) == b"\x81\x85Hello"
        assert with_masks(b"\x81\x85Hello", KEY) == masked
        assert without_masks(b"\x81\x05Hello") == with_masks(b"\x81\x05Hello", KEY) == b"\x81\x05Hello"

    @given(st.binary(max_size=300))
    def test_putting_in_and_taking_out(self, stream: bytes) -> None:
        """Any bytes at all come back."""
        assert without_masks(with_masks(stream, KEY)) == stream
        assert len(without_masks(stream)) <= len(stream)
