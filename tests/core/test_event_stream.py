"""Tests of relayd.core.event_stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.event_stream import ID_MOST_BYTES, Event, EventStream, TooLong


def events(data: bytes, cuts: list[int] | None = None) -> list[Event]:
    """What a stream holds, fed in pieces that end at `cuts`."""
    stream, found, start = EventStream(1000), [], 0
    for end in [*sorted(cut for cut in cuts or [] if cut < len(data)), len(data)]:
        found += stream.feed(data[start:end])
        start = end
    return found


def data(text: str) -> list[bytes]:
    """The data of the events in a text."""
    return [event.data for event in events(text.encode())]


class StandardTests:
    """The examples and rules of WHATWG HTML, 9.2."""

    def test_three_events(self) -> None:
        """A comment, an event with an id, one that resets the id, one whose data has a space in front."""
        text = ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n"
        assert events(text.encode()) == [Event(b"first event", "message", "1"), Event(b"second event", "message", "")]
        assert data(text + "\n")[2:] == [b" third event"]

    def test_lines_are_joined(self) -> None:
        """`data` without a colon is an empty line."""
        assert data("data: YHOO\ndata: +2\ndata: 10\n\n") == [b"YHOO\n+2\n10"]
        assert data("data\n\ndata\ndata\n\ndata:") == [b"", b"\n"]

    def test_one_space_alone_is_cut(self) -> None:
        """And it need not be there."""
        assert data("data:test\n\ndata: test\n\n") == [b"test", b"test"]

    def test_names(self) -> None:
        """Each counts for one event, also where it has no data and none comes of it."""
        text = b"event: add\ndata: 1\n\ndata: 2\n\nevent: gone\n\ndata: 3\n\n"
        assert [event.name for event in events(text)] == ["add", "message", "message"]

    def test_an_id_stays(self) -> None:
        """Until the next, also the id of an event without data."""
        text = b"id: 1\ndata: a\n\ndata: b\n\nid: 2\n\ndata: c\n\n"
        assert [event.last_id for event in events(text)] == ["1", "1", "2"]

    def test_as_a_dialect_sees_it(self) -> None:
        """Under `sse.`: the name always, the id where there is one."""
        [first, second] = events(b"data: 1\n\nevent: add\nid: 7\ndata: 2\n\n")
        assert (first.sse, second.sse) == ({"event": "message"}, {"event": "add", "id": "7"})

    @pytest.mark.parametrize("bad", [b"a\0b", b"a\x1bb", b"\x7f"])
    def test_an_id_that_cannot_go_back(self, bad: bytes) -> None:
        """It is as if it were not there."""
        assert [event.last_id for event in events(b"id: 1\nid: " + bad + b"\ndata: a\n\n")] == ["1"]

    def test_ends_of_lines(self) -> None:
        """LF, CR, CRLF, mixed; LF CR is two ends."""
        assert data("data: a\r\n\r\ndata: b\r\rdata: c\n\ndata: d\n\r") == [b"a", b"b", b"c", b"d"]
        assert data("data: a\x0bb\u2028c\x85d\n\n") == ["a\x0bb\u2028c\x85d".encode()]

    def test_byte_order_mark(self) -> None:
        """The first is skipped, a second is a part of the name."""
        assert events(b"\xef\xbb\xbfdata: a\n\n", [1, 2])[0].data == b"a"
        assert events(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n") == []
        assert events(b"data: a\n\n\xef\xbb\xbfdata: b\n\n") == [Event(b"a", "message", "")]
        assert EventStream(9).feed(b"") == []

    def test_unknown_fields(self) -> None:
        """They are passed over; names are compared exactly."""
        assert data("Data: a\ndata : b\nfoo: c\n\n") == []

    @pytest.mark.parametrize(
        ("text", "retry_s"), [("1500", 1.5), ("0", 0), ("", None), ("1.5", None), ("-1", None), ("9" * 30, 999999.999)]
    )
    def test_retry(self, text: str, retry_s: float | None) -> None:
        """Milliseconds, digits alone."""
        stream = EventStream(1000)
        assert stream.feed(f"retry: {text}\n".encode()) == []
        assert stream.retry_s == retry_s

    def test_not_utf8(self) -> None:
        """U+FFFD in its place, as browsers do; everything else as it came."""
        text = b"data: \xff\xc3\xa9\nid: \xff\nevent: \xff\n\n"
        assert events(text) == [Event("\ufffdé".encode(), "\ufffd", "\ufffd")]


class BoundTests:
    """What is too long ends the stream."""

    def test_a_line(self) -> None:
        """Also one that never ends."""
        stream = EventStream(10)
        assert stream.feed(b"data: abcd") == []
        with pytest.raises(TooLong, match="a line is longer than 10 bytes"):
            stream.feed(b"e")

    def test_an_event(self) -> None:
        """Of many lines, empty ones too."""
        assert [event.data for event in EventStream(3).feed(b"data\n" * 4 + b"\n")] == [b"\n\n\n"]
        with pytest.raises(TooLong, match="an event is longer than 3 bytes"):
            EventStream(3).feed(b"data\n" * 5)

    def test_an_id(self) -> None:
        """It would have to go back in a header."""
        stream = EventStream(1 << 20)
        stream.feed(b"id:" + b"a" * ID_MOST_BYTES + b"\n")
        with pytest.raises(TooLong, match="an id is longer than 4096 bytes"):
            stream.feed(b"id:" + b"a" * (ID_MOST_BYTES + 1) + b"\n")


LINES = st.sampled_from(
    ["data", "data: x", "data:é", ": beat", "id: 7", "id", "event: e", "retry: 5", "", "", "what: y", "\ufeffdata: z"]
)
ENDS = st.sampled_from(["\n", "\r", "\r\n"])


@given(st.lists(st.tuples(LINES, ENDS), max_size=12), st.lists(st.integers(0, 120), max_size=8))
def test_cuts_change_nothing(lines: list[tuple[str, str]], cuts: list[int]) -> None:
    """However the network cuts a stream, its events are those of the whole."""
    whole = "".join(line + end for line, end in lines).encode()
    assert events(whole, cuts) == events(whole)
