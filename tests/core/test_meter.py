"""What the meter counts, and that portions do not change it."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.closecode import CLOSE_POLICY, CLOSE_TOO_BIG, CloseCode
from relayd.core.meter import BREACHES, Breach, FrameMeter, MeterLimits
from tests.support.portions import cut, portions_of

CONTINUATION, TEXT, CLOSE, PING, PONG = 0x0, 0x1, 0x8, 0x9, 0xA
LIMITS = MeterLimits(
    message_bytes=1000, fragments=4, open_message_s=10.0, frames_per_s=8, pings_per_s=2, pongs_per_s=3, bytes_per_s=4000
)


def frame(payload: bytes = b"", opcode: int = TEXT, *, fin: bool = True, masked: bool = True) -> bytes:
    """One frame as a client sends it, with a mask of zeros."""
    size, mask = len(payload), 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        head += bytes([mask | size])
    elif size < 1 << 16:
        head += bytes([mask | 126]) + struct.pack("!H", size)
    else:
        head += bytes([mask | 127]) + struct.pack("!Q", size)
    return head + (bytes(4) if masked else b"") + payload


def feed(meter: FrameMeter, data: bytes, size: int, now: float = 0.0) -> Breach | None:
    """The first breach, its `at` counted from the start of `data`."""
    at = 0
    for portion in portions_of(data, size):
        breach = meter.feed(portion, now)
        if breach is not None:
            return Breach(breach.close, breach.label, at + breach.at)
        at += len(portion)
    return None


class FrameMeterTests:
    """Each limit, fed whole and byte by byte."""

    @pytest.mark.parametrize("size", [1, 3, 1 << 20])
    @pytest.mark.parametrize(
        ("good", "last", "close", "label"),
        [
            (frame() * 8, frame(), CLOSE_POLICY, "frames_per_s"),
            (frame(b"", CLOSE) * 8, frame(), CLOSE_POLICY, "frames_per_s"),
            (frame(b"p", PING) * 2, frame(b"p", PING), CLOSE_POLICY, "pings_per_s"),
            (frame(b"p", PONG) * 3, frame(b"p", PONG), CLOSE_POLICY, "pongs_per_s"),
            (frame(bytes(1000)), frame(bytes(1001)), CLOSE_TOO_BIG, "message_bytes"),
            (
                frame(bytes(200)),
                bytes([0x81, 0xFF]) + struct.pack("!Q", 1 << 62) + bytes(4),
                CLOSE_TOO_BIG,
                "message_bytes",
            ),
            (frame(bytes(900), fin=False), frame(bytes(101), CONTINUATION), CLOSE_TOO_BIG, "message_bytes"),
            (
                frame(b"", fin=False) + frame(b"", CONTINUATION, fin=False) * 3,
                frame(b"", CONTINUATION, fin=False),
                CLOSE_TOO_BIG,
                "fragments",
            ),
            (frame(b"a", masked=False) * 8, frame(), CLOSE_POLICY, "frames_per_s"),
        ],
    )
    def test_limit(self, good: bytes, last: bytes, close: CloseCode, label: str, size: int) -> None:
        """What stands before is still good; the frame that goes over is named by where it begins."""
        assert feed(FrameMeter(LIMITS), good, size) is None
        breach = feed(FrameMeter(LIMITS), good + last, size)
        assert breach is not None
        assert (breach.close, breach.label) == (close, label)
        if size > 14:
            assert breach.at == len(good)
        else:  # found with the last byte of the header, in the portion that brought it
            assert len(good) <= breach.at < len(good) + 14
        assert label in BREACHES

    def test_a_big_message_is_refused_by_its_header(self) -> None:
        """Two bytes of header and two of length are enough; none of its payload is waited for."""
        breach = FrameMeter(LIMITS).feed(bytes([0x81, 0xFE]) + struct.pack("!H", 2000) + bytes(4), 0.0)
        assert breach == Breach(CLOSE_TOO_BIG, "message_bytes", 0)

    def test_bytes(self) -> None:
        """Counted before anything is read, in each second anew."""
        meter = FrameMeter(LIMITS)
        payload = frame(bytes(990))
        assert feed(meter, payload * 3, 1 << 20, 0.0) is None
        assert meter.feed(payload * 2, 0.999) == Breach(CLOSE_POLICY, "bytes_per_s", 0)
        meter = FrameMeter(LIMITS)
        assert feed(meter, payload * 3, 1 << 20, 0.0) is None
        assert feed(meter, payload * 3, 1 << 20, 1.0) is None

    def test_rates_are_of_a_second(self) -> None:
        """Eight frames now and eight a second later are within eight a second."""
        meter = FrameMeter(LIMITS)
        for second in range(5):
            assert feed(meter, frame() * 8, 1 << 20, float(second)) is None

    def test_fragments_and_bytes_are_of_a_message(self) -> None:
        """The next message starts from nothing; control frames between fragments are no fragments."""
        message = frame(bytes(900), fin=False) + frame(b"", PING) + frame(bytes(100), CONTINUATION)
        meter = FrameMeter(LIMITS)
        for second in range(5):
            assert feed(meter, message, 7, float(second)) is None

    @pytest.mark.parametrize(
        "header",
        [
            bytes([0x81, 0xFE, 0, 125]),  # 125 in two bytes
            bytes([0x81, 0xFF]) + struct.pack("!Q", 65535),  # 65535 in eight
            bytes([0x81, 0xFF]) + struct.pack("!Q", 1 << 63),
        ],
    )
    @pytest.mark.parametrize("size", [1, 1 << 20])
    def test_what_is_no_frame_is_left_to_the_library(self, header: bytes, size: int) -> None:
        """It closes with 1002; from there on only bytes are counted."""
        meter = FrameMeter(LIMITS)
        assert feed(meter, header + bytes(4) + frame() * 20, size) is None
        assert meter.open_since is None
        breach = feed(meter, bytes(4000), 1 << 20)
        assert breach is not None
        assert breach.label == "bytes_per_s"


class OpenMessageTests:
    """How long a message has been under way."""

    def test_a_message_in_parts(self) -> None:
        """From the first byte of its first frame to the last of its last."""
        meter = FrameMeter(LIMITS)
        meter.feed(frame(b"a", fin=False), 5.0)
        assert meter.open_since == 5.0
        meter.feed(frame(b"ping", PING), 7.0)
        meter.feed(frame(b"b", CONTINUATION, fin=False), 8.0)
        assert not meter.overdue(15.0)
        assert meter.overdue(15.1)
        meter.feed(frame(b"c", CONTINUATION), 15.2)
        assert meter.open_since is None
        assert not meter.overdue(99.0)

    @pytest.mark.parametrize("size", [1, 5, 7])
    def test_half_a_frame(self, size: int) -> None:
        """A header or a payload that does not end is as open as a message in parts; so is a ping."""
        for opcode in (TEXT, PING):
            meter = FrameMeter(LIMITS)
            meter.feed(frame(b"hello", opcode)[:size], 1.0)
            assert meter.open_since == 1.0
            meter.feed(frame(b"hello", opcode)[size:], 2.0)
            assert meter.open_since is None

    def test_the_next_message_is_another(self) -> None:
        """A portion that ends one and begins the next starts the time anew."""
        meter = FrameMeter(LIMITS)
        meter.feed(frame(b"hello")[:6], 1.0)
        meter.feed(frame(b"hello")[6:] + frame(b"world")[:6], 9.0)
        assert meter.open_since == 9.0


class PacedTests:
    """Where what is said goes on to somebody who reads it at a pace of its own."""

    PACED = replace(LIMITS, is_paced=True)

    def test_a_second_at_once(self) -> None:
        """Is not over the rate, and the time in which nothing is said pays for it."""
        meter = FrameMeter(self.PACED)
        for now in (0.0, 1.0, 60.0):
            assert meter.feed(frame() * 8, now) is None
            assert meter.rest_s == 0.0

    @pytest.mark.parametrize(
        ("data", "rest_s"),
        [
            (frame() * 80, 9.5),  # ten seconds' worth of frames in one read
            (frame(bytes(992)) * 8, 1.5),  # two seconds' worth of bytes, one of frames
            (frame(b"", fin=False) + frame(b"", CONTINUATION, fin=False) * 2 + frame(b"", CONTINUATION), 0.0),
            ((frame(b"", fin=False) + frame(b"", CONTINUATION)) * 8, 1.5),  # fragments are frames
        ],
    )
    def test_rest(self, data: bytes, rest_s: float) -> None:
        """In proportion to what came, down to half a second's worth."""
        meter = FrameMeter(self.PACED)
        assert meter.feed(data, 5.0) is None
        assert meter.rest_s == rest_s

    def test_more_while_it_rests(self) -> None:
        """What was on its way makes the rest longer; one that was long enough ends it."""
        meter = FrameMeter(self.PACED)
        meter.feed(frame() * 80, 0.0)
        meter.feed(frame() * 8, 1.0)
        assert meter.rest_s == 9.5
        meter.feed(frame(), 11.0)
        assert meter.rest_s == 0.0

    @given(st.lists(st.integers(1, 100), min_size=20, max_size=60), st.sampled_from([0.0, 0.1, 0.25]))
    def test_the_rate(self, reads: list[int], late_s: float) -> None:
        """Who always has more to say is heard at the rate, with a second's worth and one read at the beginning; there
        are never more than two rests a second.
        """
        meter, now, said = FrameMeter(self.PACED), 0.0, 0
        for frames in reads:
            assert meter.feed(frame() * frames, now) is None
            said += frames
            assert said <= 8 * (now + 1) + frames + 1e-6
            if meter.rest_s:
                assert meter.rest_s >= 0.5
                now += meter.rest_s + late_s
                assert said >= 8 * now - 1e-6

    @pytest.mark.parametrize(
        ("data", "label"),
        [
            (frame(b"p", PING) * 3, "pings_per_s"),
            (frame(b"p", PONG) * 4, "pongs_per_s"),
            (frame(bytes(1001)), "message_bytes"),
            (frame(b"", fin=False) + frame(b"", CONTINUATION, fin=False) * 4, "fragments"),
        ],
    )
    @pytest.mark.parametrize("size", [1, 1 << 20])
    def test_what_breaks_all_the_same(self, data: bytes, label: str, size: int) -> None:
        """Nobody needs that to say something."""
        breach = feed(FrameMeter(self.PACED), data, size)
        assert breach is not None and breach.label == label

    def test_no_frames(self) -> None:
        """Are left to the library here as well, and nothing is counted after them."""
        meter = FrameMeter(self.PACED)
        assert meter.feed(bytes([0x81, 0xFE, 0, 125]) + bytes(40_000), 0.0) is None
        assert meter.feed(bytes(40_000), 0.1) is None
        assert meter.open_since is None

    def test_not_paced(self) -> None:
        """Nothing rests where a rate is a limit."""
        meter = FrameMeter(LIMITS)
        assert meter.feed(frame() * 9, 0.0) is not None
        assert meter.rest_s == 0.0


class UnreadTests:
    """Time in which nobody read what the client said."""

    def test_a_message_under_way(self) -> None:
        """Is as old as it was before, whether the hold came after its beginning or before it."""
        meter = FrameMeter(LIMITS)
        meter.feed(frame(b"a", fin=False), 5.0)
        assert not meter.overdue(105.0, 90.0)
        assert meter.overdue(105.1, 90.0)
        meter = FrameMeter(LIMITS)
        meter.feed(frame(b"a", fin=False), 20.0, 15.0)
        assert not meter.overdue(30.0, 15.0)
        assert meter.overdue(30.1, 15.0)
        assert not meter.overdue(130.0, 115.0)

    @pytest.mark.parametrize(("opcode", "most"), [(PING, 2 * 59 + 2), (PONG, 3 * 59 + 3)])
    def test_control_frames(self, opcode: int, most: int) -> None:
        """Those of that time come at once; after them the rate is what it was."""
        limits = replace(LIMITS, frames_per_s=1000)
        for over in (0, 1):
            meter = FrameMeter(limits)
            assert meter.feed(frame(b"", opcode), 0.0) is None
            assert (meter.feed(frame(b"", opcode) * (most + over), 60.0, 59.0) is None) is (over == 0)
        meter = FrameMeter(limits)
        assert meter.feed(frame(b"", opcode), 60.0, 59.0) is None
        assert meter.feed(frame(b"", opcode) * 4, 61.0, 59.0) is not None


class ReadsTests:
    """In how many portions a message comes."""

    def test_counts_portions_of_the_message_under_way(self) -> None:
        """From one with its first portion; none between messages."""
        meter = FrameMeter(LIMITS)
        stream = frame(b"a", fin=False) + frame(b"b", CONTINUATION)
        seen = []
        for portion in portions_of(stream, 1):
            meter.feed(portion, 1.0)
            seen.append((meter.reads_in_message, meter.is_inside_frame))
            assert meter.is_between_messages == (meter.reads_in_message == 0)
        assert seen == [*[(n, True) for n in range(1, 7)], (7, False), *[(n, True) for n in range(8, 14)], (0, False)]

    def test_between_messages(self) -> None:
        """Not inside a frame, be it a control frame, nor where frames can no longer be told apart."""
        meter = FrameMeter(LIMITS)
        assert meter.is_between_messages
        meter.feed(frame(b"hello", PING)[:-1], 1.0)
        assert not meter.is_between_messages
        meter.feed(frame(b"hello", PING)[-1:], 1.0)
        assert meter.is_between_messages
        meter.feed(b"\x81\xfe\x00\x01", 1.0)  # a length of 1 in the form for lengths above 125
        assert not meter.is_between_messages

    def test_the_next_message_counts_anew(self) -> None:
        """Also when it begins in the portion that ends the last."""
        meter = FrameMeter(LIMITS)
        meter.feed(frame(b"hello")[:6], 1.0)
        meter.feed(frame(b"hello")[6:] + frame(b"world")[:9], 1.0)
        assert (meter.reads_in_message, meter.is_inside_frame) == (1, True)


class PortionTests:
    """Any stream, cut anywhere."""

    @given(st.data())
    def test_cuts_do_not_change_the_verdict(self, data: st.DataObject) -> None:
        """Streams of frames with some bytes changed: the same limit is broken, or none, however they are cut."""
        frames = st.builds(
            frame,
            st.one_of(st.binary(max_size=8), st.sampled_from([bytes(300), bytes(126), bytes(70_000)])),
            st.sampled_from([CONTINUATION, TEXT, 2, 3, CLOSE, PING, PONG, 15]),
            fin=st.booleans(),
            masked=st.booleans(),
        )
        stream = bytearray(b"".join(data.draw(st.lists(frames, max_size=12)))[:5000])
        for at in data.draw(st.lists(st.integers(0, max(0, len(stream) - 1)), max_size=2)) if stream else ():
            stream[at] = data.draw(st.integers(0, 255))
        limits = MeterLimits(1000, 4, 10.0, 8, 2, 3, 100_000)
        whole = FrameMeter(limits)
        expected = whole.feed(bytes(stream), 0.0)
        cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=6)))
        for portions in ([*cut(bytes(stream), cuts)], portions_of(bytes(stream), 1)):
            meter = FrameMeter(limits)
            breaches = [breach for portion in portions if (breach := meter.feed(portion, 0.0)) is not None]
            if expected is None:
                assert breaches == []
                assert meter.open_since == whole.open_since
            else:
                assert (breaches[0].close, breaches[0].label) == (expected.close, expected.label)


class BesideTests:
    """Limits that contradict nothing that the file allows."""

    def test_nothing_is_published(self) -> None:
        """The usual ones; too much is a breach."""
        assert MeterLimits.beside(64 << 10, None) == MeterLimits()

    def test_published(self) -> None:
        """At its own rate beside everything else, and who is faster waits."""
        limits = MeterLimits.beside(64 << 10, 1000 / 60)
        assert (limits.frames_per_s, limits.bytes_per_s, limits.is_paced) == (217, 256 << 10, True)

    def test_long_messages(self) -> None:
        """The longest message is never more than a second's worth of bytes."""
        limits = MeterLimits.beside(1 << 20, None)
        assert (limits.message_bytes, limits.bytes_per_s, limits.is_paced) == (1 << 20, 4 << 20, False)
