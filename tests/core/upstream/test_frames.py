"""Tests of relayd.core.upstream.frames."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.upstream.frames import BINARY, OTHER, TEXT, FrameCutter, Part
from tests.support.portions import cut

MOST_BYTES = 70_000


def frame(first: int, payload: bytes, *, mask: bool = False, form: int | None = None) -> bytes:
    """A frame, in the shortest form of its length or in the one asked for (bytes of the length behind the first)."""
    size = len(payload)
    form = (0 if size < 126 else 2 if size < 65536 else 8) if form is None else form
    length = bytes((size if form == 0 else 126 if form == 2 else 127,))
    length = bytes((length[0] | (0x80 if mask else 0),)) + (size.to_bytes(form, "big") if form else b"")
    return bytes((first,)) + length + (b"mask" if mask else b"") + payload


def fed(*portions: bytes, cutter: FrameCutter | None = None) -> list[Part]:
    """What a cutter makes of these portions."""
    cutter = cutter or FrameCutter(MOST_BYTES)
    return [part for portion in portions for part in cutter.feed(portion)]


PING = frame(0x89, b"hello")
CLOSE = frame(0x88, b"\x03\xe8")


class FrameCutterTests:
    """Which frames are plain, and that nothing else is touched."""

    @pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, MOST_BYTES])
    @pytest.mark.parametrize("first", [TEXT, BINARY])
    def test_plain(self, first: int, size: int) -> None:
        """One, two and none: each with its payload alone."""
        payload = b"x" * size
        assert fed(frame(first, payload)) == [(first, payload)]
        assert fed(frame(first, payload) * 2) == [(first, payload)] * 2
        assert fed(b"") == []

    def test_utf8(self) -> None:
        """Text that is none goes to the library, which knows how to refuse it; binary is not looked at."""
        assert fed(frame(TEXT, "é".encode())) == [(TEXT, "é".encode())]
        assert fed(frame(TEXT, b"\xff")) == [(OTHER, frame(TEXT, b"\xff"))]
        assert fed(frame(BINARY, b"\xff")) == [(BINARY, b"\xff")]

    @pytest.mark.parametrize(
        "odd",
        [
            PING,
            CLOSE,
            frame(TEXT, b"x", mask=True),
            frame(TEXT, b"x" * 200, mask=True),
            frame(TEXT, b"x", form=2),
            frame(TEXT, b"x" * 200, form=8),
            frame(TEXT | 0x40, b"packed"),
            frame(0x83, b"no such opcode"),
            frame(0x80, b"continues nothing"),
            frame(BINARY, b"x" * (MOST_BYTES + 1)),
        ],
    )
    def test_other(self, odd: bytes) -> None:
        """Whole and by itself; what follows is plain again."""
        assert fed(odd + frame(TEXT, b"x")) == [(OTHER, odd), (TEXT, b"x")]

    def test_fragments(self) -> None:
        """From the first to the last; a control frame between them does not end them, and no plain frame may come."""
        first, more, last = frame(0x01, b"a"), frame(0x00, b"b"), frame(0x80, b"c")
        stream = [first, PING, more, frame(TEXT, b"!"), last, frame(TEXT, b"x")]
        assert fed(first + PING + more + last + frame(TEXT, b"x"))[-1] == (TEXT, b"x")
        assert fed(b"".join(stream[:4])) == [(OTHER, one) for one in stream[:4]]

    def test_large_one_in_portions(self) -> None:
        """The library gets it as it comes, and can refuse a length before the bytes are there."""
        whole = frame(TEXT, b"x" * 300) + frame(TEXT, b"y")
        assert fed(whole[:10], whole[10:200], whole[200:]) == [
            (OTHER, whole[:10]),
            (OTHER, whole[10:200]),
            (OTHER, whole[200:304]),
            (TEXT, b"y"),
        ]

    @pytest.mark.parametrize("size", [126, 65536])
    def test_length_in_portions(self, size: int) -> None:
        """The head is kept until its length is whole."""
        whole = frame(TEXT, b"x" * size)
        for at in (2, 3):
            cutter = FrameCutter(MOST_BYTES)
            assert cutter.feed(whole[:at]) == [] and cutter.feed(whole[at:]) == [(TEXT, b"x" * size)]

    def test_head_in_portions(self) -> None:
        """A head that is not whole is kept: it cannot be told yet what it begins."""
        whole = frame(TEXT, b"x" * 66_000)
        assert fed(*(whole[at : at + 1] for at in range(9)), whole[9:]) == [(TEXT, b"x" * 66_000)]

    @given(
        frames=st.lists(
            st.one_of(
                st.tuples(st.sampled_from([TEXT, BINARY, 0x01, 0x00, 0x80, 0x89]), st.binary(max_size=200)),
                st.tuples(st.just(TEXT), st.text(max_size=200).map(str.encode)),
            ),
            max_size=8,
        ),
        cuts=st.lists(st.integers(min_value=0, max_value=1000), max_size=8),
    )
    def test_nothing_is_lost(self, frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
        """However it is cut: the parts, framed again, are the stream, and whole messages are told at their ends."""
        stream = b"".join(frame(first, payload) for first, payload in frames)
        parts = fed(*cut(stream, [*sorted(min(at, len(stream)) for at in cuts), len(stream)]))
        assert b"".join(part if kind == OTHER else frame(kind, part) for kind, part in parts) == stream
