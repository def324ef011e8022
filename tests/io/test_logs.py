"""What stands in the log, and what never does."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import LogBeginner, Logger, LogLevel, LogPublisher
from twisted.python import log as legacy_log
from twisted.python.failure import Failure

from relayd.io import logs


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Book:
    """A log and what was written into it."""

    def __init__(self, **options) -> None:
        self.clock = Clock()
        self.stream = io.StringIO()
        self.observer = logs.observer(self.stream, self.clock, **options)
        self.log = Logger("relayd.io.upstream", observer=self.observer)
        publisher = LogPublisher(self.observer)
        self.legacy = legacy_log.LogPublisher(observerPublisher=publisher, publishPublisher=publisher)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def records(self) -> list[dict]:
        return [json.loads(line) for line in self.lines]


def event(**fields):
    return {"log_time": 1763678463.1204, "log_level": LogLevel.info, "log_namespace": "relayd.io.upstream", **fields}


class TextTests:
    """Lines for people."""

    def test_whole_line(self):
        """Time in UTC to the millisecond, level, logger, message, and the fields that the message does not use."""
        book = Book()
        book.observer(event(log_format="{name} is live", name="coinbase", topics=6, after_s=0.4123456789))
        assert book.text == (
            "2025-11-20 22:41:03.120Z info  upstream    coinbase is live  topics=6 after_s=0.412346\n"
        )

    def test_message_alone(self):
        """No trailing blanks where there is no field."""
        book = Book()
        book.log.info("listening")
        assert book.text.endswith(" info  upstream    listening\n")

    def test_values_with_blanks_are_quoted(self):
        """So that the end of each value can be seen."""
        book = Book()
        book.log.info("closed", why="not read for 10 s", empty="", quote='a"b')
        assert book.text.endswith('closed  why="not read for 10 s" empty="" quote="a\\"b"\n')

    def test_traceback_is_indented(self):
        """A failure keeps its traceback, in lines that cannot be taken for events."""
        book = Book()
        try:
            raise ValueError("first\n2025-11-20 22:41:03.120Z info  forged")
        except ValueError:
            book.log.failure("could not read")
        first, *below = book.lines
        assert " crit  upstream    could not read" in first
        assert below
        assert all(line.startswith("    ") for line in below)
        assert any("ValueError: first" in line for line in below)

    def test_long_traceback_is_cut_in_the_middle(self):
        """A recursion does not write a thousand lines."""

        def deep(n: int) -> None:
            if n == 0:
                raise KeyError("bottom")
            deep(n - 1)

        book = Book()
        try:
            deep(200)
        except KeyError:
            book.log.failure("deep")
        assert len(book.lines) <= logs.TRACEBACK_LINES + 2
        assert "lines left out" in book.text
        assert "bottom" in book.lines[-1]


class JsonTests:
    """Lines for machines."""

    def test_whole_line(self):
        """Numbers, booleans and null stay what they are."""
        book = Book(format="json")
        book.observer(event(log_format="{name} is live", name="coinbase", topics=6, held=False, why=None))
        assert book.records == [
            {
                "time": "2025-11-20T22:41:03.120Z",
                "level": "info",
                "logger": "upstream",
                "message": "coinbase is live",
                "topics": 6,
                "held": False,
                "why": None,
            }
        ]

    def test_field_does_not_hide_a_key(self):
        """A field called `logger` stands beside the logger."""
        book = Book(format="json")
        book.log.info("paced", logger=3)
        assert book.records[0]["logger"] == "upstream"
        assert book.records[0]["logger_"] == 3

    def test_no_bare_infinity(self):
        """JSON has no NaN: such a float is written as text."""
        book = Book(format="json")
        book.log.info("odd", a=float("nan"), b=float("inf"))
        assert (book.records[0]["a"], book.records[0]["b"]) == ("nan", "inf")

    def test_traceback(self):
        """A failure is one line too."""
        book = Book(format="json")
        book.log.failure("could not read", failure=Failure(ValueError("no")))
        (record,) = book.records
        assert record["message"] == "could not read"
        assert any("ValueError: no" in line for line in record["traceback"])


class CleanTests:
    """Nothing a peer sends can forge a line, move a cursor or reveal a secret."""

    @pytest.mark.parametrize("format", ["text", "json"])
    @given(value=st.text() | st.binary(), name=st.sampled_from(["peer", "reason"]))
    def test_one_printable_line(self, format, value, name):
        """Whatever stands in a field, in the format or in a library's text."""
        for send in (
            lambda book: book.log.info("closed", **{name: value}),
            lambda book: book.log.info("closed {peer}", peer=value),
            lambda book: book.legacy.msg(value, isError=True),
        ):
            book = Book(format=format)
            send(book)
            assert book.text.endswith("\n")
            assert book.text[:-1].isprintable()

    def test_escape_sequences(self):
        """ESC, BEL, CR and the bidi override are written as escapes; letters of any script stay."""
        book = Book()
        book.log.info("closed {why}", why="\x1b[2J\a\r\u202eé中\x7f")
        assert book.lines[0].endswith("closed \\x1b[2J\\x07\\r\\u202eé中\\x7f")

    def test_bytes(self):
        """Bytes are read as UTF-8; what is not is written as an escape."""
        book = Book()
        book.log.info("closed", why=b"caf\xc3\xa9\xff")
        assert book.lines[0].endswith('why="café\\\\xff"')

    def test_lone_surrogate(self):
        """Text that no encoder takes is written all the same."""
        book = Book()
        book.log.info("closed", why="\ud800")
        assert book.text.encode("utf-8").endswith(b'why="\\\\ud800"\n')

    def test_long_value(self):
        """A megabyte in a field is cut, and the line says how long it was."""
        book = Book()
        book.log.info("closed", why="x" * 1_000_000)
        assert len(book.text) < logs.VALUE_CHARS + 200
        assert "(1000000 characters)" in book.text

    @pytest.mark.parametrize("format", ["text", "json"])
    def test_secrets(self, format):
        """A configured secret is masked in messages, fields and tracebacks; the longest first."""
        book = Book(format=format, secrets=["hunter22", "hunter22-long", "abc"])
        book.log.info("login {what}", what="token hunter22-long", header=b"Bearer hunter22")
        book.log.failure("failed", failure=Failure(RuntimeError("with hunter22")))
        assert "hunter22" not in book.text
        assert "-long" not in book.text
        assert book.text.count("***") >= 3

    def test_short_secrets_are_left(self):
        """Masking `abc` would mask half the log; a secret that short protects nothing."""
        book = Book(secrets=["abc", ""])
        book.log.info("abcdef")
        assert "abcdef" in book.text

    @pytest.mark.parametrize(
        ("given_text", "written"),
        [
            ("wss://feed.example/ws?key=12&sig=ab", "wss://feed.example/ws?***"),
            ("GET /ws?token=eyJ HTTP/1.1", "GET /ws?*** HTTP/1.1"),
            ("wss://user:pw@feed.example/", "wss://***@feed.example/"),
            ("/ws?topics=a&token=b'", "/ws?***'"),
            ("what now? a=b", "what now? a=b"),
            ("me@example.com", "me@example.com"),
        ],
    )
    def test_query_strings(self, given_text, written):
        """What follows the `?` of a URL, and who stands before its `@`, is never written."""
        assert logs.Redactor()(given_text) == written


class LegacyTests:
    """Lines of libraries that log through twisted.python.log."""

    def test_message(self):
        """The text, without the keys that every legacy event has; at debug, since it is chatter."""
        book = Book(level="debug")
        book.legacy.msg("Starting", "factory")
        assert book.text.endswith(" debug log_legacy  Starting factory\n")

    def test_chatter(self):
        """That a port of Twisted's opened or closed is said by relayd in its own words."""
        book = Book()
        book.legacy.msg("(TCP Port 8080 Closed)")
        book.log.info("Starting factory {factory!r}", factory="f")
        assert book.text == ""

    def test_out_of_descriptors(self):
        """One warning for each connection refused, instead of three lines of information; and not for all."""
        book = Book()
        for _ in range(1000):
            book.log.info("EMFILE encountered; releasing reserved file descriptor.")
            book.log.info("EMFILE recovery: Closed socket from {address}", address="a")
            book.log.info("Re-reserving EMFILE recovery file descriptor.")
        assert len(book.lines) == logs.BURST
        assert " warn " in book.lines[0]

    def test_failure(self):
        """The error in the line, the traceback below it."""
        book = Book()
        book.legacy.msg(failure=Failure(ValueError("no")), why="reading", isError=1)
        assert book.lines[0].endswith(" crit  log_legacy  reading")
        assert any("ValueError: no" in line for line in book.lines[1:])


class LevelTests:
    """`log: {level: ...}`."""

    def test_lower_levels_are_left_out(self):
        """At `warn` neither info nor debug is written."""
        book = Book(level="warn")
        book.log.debug("a")
        book.log.info("b")
        book.log.warn("c")
        book.log.error("d")
        assert [line.split()[2:5:2] for line in book.lines] == [["warn", "c"], ["error", "d"]]

    def test_unknown_level(self):
        """A wrong level is an error at once, not a silent log."""
        with pytest.raises(Exception, match="loud"):
            Book(level="loud")


class FloodgateTests:
    """A peer that misbehaves a thousand times a second does not fill the disk."""

    def test_burst_then_count(self):
        """The first ten are written; when the window has ended, the newest is, with the count."""
        book = Book()
        for n in range(1000):
            book.log.warn("refused", n=n)
        assert [line.split()[-1] for line in book.lines] == [f"n={n}" for n in range(logs.BURST)]
        book.clock.now += logs.WINDOW_S
        book.log.info("next")
        assert book.lines[logs.BURST].endswith("refused  n=999 suppressed=990")
        assert book.lines[-1].endswith("next")
        assert book.observer.counters.suppressed == 990

    def test_window_reopens(self):
        """After the window warnings are written again."""
        book = Book()
        for _ in range(11):
            book.log.warn("refused")
        book.clock.now += logs.WINDOW_S
        book.log.warn("refused")
        assert len(book.lines) == logs.BURST + 2

    def test_kinds_do_not_share(self):
        """Another warning is written though the first kind floods."""
        book = Book()
        for _ in range(50):
            book.log.warn("refused")
        book.log.warn("slow")
        assert book.lines[-1].endswith("slow")

    def test_upstreams_do_not_share(self):
        """One that cannot be reached does not hide what is said of another."""
        book = Book()
        for _ in range(50):
            book.log.warn("{upstream} cannot be reached", upstream="a")
        book.log.warn("{upstream} cannot be reached", upstream="b")
        assert book.lines[-1].endswith("b cannot be reached")

    def test_what_is_no_warning_has_more_room(self):
        """A churn of clients writes a hundred lines of each kind in ten seconds, and then what it held back."""
        book = Book()
        for n in range(1000):
            book.log.info("client opened", n=n)
            book.log.info("client closed", n=n)
        assert len(book.lines) == 2 * logs.INFO_BURST
        book.clock.now += logs.WINDOW_S
        book.log.info("next")
        held = 1000 - logs.INFO_BURST
        assert [line.partition("client ")[2] for line in book.lines[-3:-1]] == [
            f"opened  n=999 suppressed={held}", f"closed  n=999 suppressed={held}",
        ]  # fmt: skip
        assert book.observer.counters.suppressed == 2 * held

    def test_what_is_for_debugging_is_not_held_back(self):
        """Who asks for it gets all of it."""
        book = Book(level="debug")
        for _ in range(2 * logs.INFO_BURST):
            book.log.debug("frame")
        assert len(book.lines) == 2 * logs.INFO_BURST

    def test_failures_are_limited(self):
        """An exception at each message writes ten tracebacks, not a thousand."""
        book = Book()
        for _ in range(100):
            book.log.failure("broken", failure=Failure(ValueError("x")))
        assert sum("broken" in line for line in book.lines) == logs.BURST

    def test_kinds_are_bounded(self):
        """Made-up kinds beyond the bound share one window, so memory has an end."""
        book = Book()
        for n in range(logs.KINDS + 100):
            book.log.warn(f"made up {n}")
        assert len(book.lines) == logs.KINDS + logs.BURST
        book.observer.flush()
        assert book.lines[-1].endswith(f"suppressed={100 - logs.BURST}")

    def test_flush(self):
        """At the end what was held back is said."""
        book = Book()
        for _ in range(12):
            book.log.warn("refused")
        book.observer.flush()
        assert book.lines[-1].endswith("refused  suppressed=2")
        book.observer.flush()
        assert len(book.lines) == logs.BURST + 1


class BeginningTests:
    """As twistd attaches it."""

    def test_events_before_the_start_are_not_lost(self):
        """What was logged while the configuration was read is written when logging begins."""
        book = Book()
        publisher = LogPublisher()
        beginner = LogBeginner(publisher, io.StringIO(), type("Sys", (), {})(), __import__("warnings"))
        Logger("relayd.app", observer=publisher).info("early")
        beginner.beginLoggingTo([book.observer], redirectStandardIO=False)
        assert book.lines[0].endswith(" info  app         early")
