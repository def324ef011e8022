"""What relayd writes to its log: one line an event, for people or for machines.

An event is `log.info("client closed", reason="slow", sent=1204)`: a literal that names what happened, and fields that
say the rest. A literal may use its fields (`"dialling {url}"`); fields it does not use follow as `name=value`.

    2026-11-20 22:41:03.120Z info  upstream    coinbase is live  topics=6 after_s=0.41
    {"time":"2026-11-20T22:41:03.120Z","level":"info","logger":"upstream","message":"coinbase is live","topics":6,...}

Whatever the event holds, a line is one line of printable characters, of bounded length, without secrets and query
strings. The format must be a literal: twisted.logger calls what stands in its braces, so what a peer sent is a field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite
from typing import Any, Literal, NamedTuple

from twisted.logger import FileLogObserver, ILogObserver, LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

Format = Literal["text", "json"]

VALUE_CHARS = 2000  # guess: holds a long topic, a path or an error text; a flood of long values must not fill a disk
TRACEBACK_LINES = 60  # guess: deeper than any stack of ours; what repeats below a recursion says nothing new
BURST = 10  # equal warnings in a window that are written one by one; guess: enough to see that it is not a single one
WINDOW_S = 10.0  # so one kind of warning writes at most 11 lines in 10 s, however many peers misbehave
#: The same of what is no warning, such as that a client came and went. A line has 150 bytes: at 10 a second a kind has
#: 130 MB a day, where a churn at limits.handshakes, 500 a second, would write 13 GB.
INFO_BURST = 100
KINDS = 500  # formats are literals of the source (about 100); what a library makes up beyond that shares one window
SECRET_CHARS = 4  # shorter values would mask half of every line, and protect nothing

_LEVELS = {LogLevel.debug: 0, LogLevel.info: 1, LogLevel.warn: 2, LogLevel.error: 3, LogLevel.critical: 4}
_NAMES = {LogLevel.critical: "crit"}
_QUERY = re.compile(r"(?<=[\w/\])])\?[^\s\"'<>]*=[^\s\"'<>]*")  # what follows a path and holds a `=`
_USERINFO = re.compile(r"(?<=://)[^\s/@\"']+@")
_BARE = re.compile(r"[^\s\"'=\\]+")
_FIELD_OF_FORMAT = re.compile(r"\{(\w+)")
# What a legacy event (twisted.python.log) carries besides its text.
_LEGACY = frozenset({"message", "time", "system", "isError", "format", "failure", "why", "logLevel", "eventType"})


class Redactor:
    """Masks configured secrets, query strings and the user part of URLs.

    Args:
        secrets: the values themselves, as they were read from the environment or from files.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        usable = sorted({secret for secret in secrets if len(secret) >= SECRET_CHARS}, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, usable))) if usable else None

    def __call__(self, text: str) -> str:
        if self._secrets is not None:
            text = self._secrets.sub("***", text)
        if "?" in text:
            text = _QUERY.sub("?***", text)
        if "@" in text:
            text = _USERINFO.sub("***@", text)
        return text


def printable(text: str) -> str:
    """The text with everything that is not printable (control, bidi override, line separator) written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def clipped(text: str) -> str:
    """The text, cut at VALUE_CHARS and saying so."""
    return text if len(text) <= VALUE_CHARS else f"{text[:VALUE_CHARS]}… ({len(text)} characters)"


class Line(NamedTuple):
    """What a log event says, clean: printable, redacted, of bounded length. `time_us`: microseconds since 1970."""

    time_us: int
    level: str
    logger: str
    message: str
    fields: Mapping[str, object]
    traceback: tuple[str, ...]

    @classmethod
    def of(cls, event: LogEvent, redact: Redactor) -> Line:
        """Reads an event of twisted.logger, or one of twisted.python.log that was translated into it."""

        def clean(value: object) -> object:
            if type(value) is str:  # nearly all that a browser's coming and going says: a line each (bench: accept)
                value = redact(value)
                return value if len(value) <= VALUE_CHARS and value.isprintable() else printable(clipped(value))
            if value is None or isinstance(value, bool | int):
                return value
            if isinstance(value, float) and isfinite(value):
                return round(value, 6)
            if isinstance(value, bytes | bytearray):
                value = bytes(value).decode("utf-8", "backslashreplace")
            return printable(clipped(redact(str(value))))

        level = _level_of(event)
        failure = event.get("log_failure") or event.get("failure")
        return cls(
            time_us=round(event.get("log_time", 0.0) * 1e6),
            level=_NAMES.get(level, level.name),
            logger=short(str(event.get("log_namespace", "-"))),
            message=str(clean(_message(event))),
            fields={name: clean(value) for name, value in _fields(event)},
            traceback=() if failure is None else tuple(str(clean(line)) for line in _traceback(failure)),
        )

    def as_text(self) -> str:
        """For people: aligned, fields behind the message, a traceback indented below it."""
        stamp = _stamp(self.time_us, " ")
        fields = "".join(f" {name}={_quoted(value)}" for name, value in self.fields.items())
        below = "".join(f"\n    {line}" for line in self.traceback)
        return f"{stamp} {self.level:<5} {self.logger:<11} {self.message}{' ' if fields else ''}{fields}{below}\n"

    def as_json(self) -> str:
        """For machines: one object a line, pure ASCII."""
        record: dict[str, object] = {
            "time": _stamp(self.time_us, "T"),
            "level": self.level,
            "logger": self.logger,
            "message": self.message,
        }
        for name, value in self.fields.items():
            record[f"{name}_" if name in record else name] = value
        if self.traceback:
            record["traceback"] = list(self.traceback)
        return json.dumps(record, separators=(",", ":")) + "\n"


def _stamp(time_us: int, separator: str) -> str:
    """UTC with milliseconds, cut off: `2026-11-20 22:41:03.120Z`."""
    second, us = divmod(time_us, 1_000_000)
    return f"{_second(second, separator)}.{us // 1000:03}Z"


@lru_cache(maxsize=1)  # of a thousand lines in a second one is written out
def _second(second: int, separator: str) -> str:
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat(separator)


@lru_cache(maxsize=KINDS)
def short(namespace: str) -> str:
    """`relayd.io.upstream` is `upstream`, `twisted.internet.tcp.Port` is `twisted`."""
    parts = namespace.split(".")
    return printable(clipped(parts[-1] if parts[0] == "relayd" else parts[0])) or "-"


def _level_of(event: LogEvent) -> Any:
    """The level that an event is written at."""
    level = event.get("log_level", LogLevel.info)
    if level is not LogLevel.info:
        return level
    format = str(event.get("log_format"))
    if _is_legacy(event) or format.startswith(_CHATTER):
        return LogLevel.debug
    return LogLevel.warn if format.startswith(_TROUBLE) else level


#: What Twisted says of itself and relayd says better, such as that a port is open.
_CHATTER = ("Starting factory ", "Stopping factory ", "EMFILE recovery: ", "Re-reserving EMFILE ")
#: What it says too softly: out of descriptors, a connection was refused; a line for each, at info, is no help.
_TROUBLE = ("EMFILE encountered",)


def _is_legacy(event: LogEvent) -> bool:
    return event.get("log_namespace") == "log_legacy"


def _message(event: LogEvent) -> str:
    if _is_legacy(event) and "failure" in event:  # its text would be the traceback
        return str(event.get("why") or event["failure"].getErrorMessage())
    format = event.get("log_format")
    # What formatEvent would make of it, with an object for each line.
    return format if type(format) is str and "{" not in format and "}" not in format else formatEvent(event)


@lru_cache(maxsize=KINDS)
def _fields_of(format: str) -> frozenset[str]:
    """The fields that a format uses."""
    return frozenset(_FIELD_OF_FORMAT.findall(format))


def _fields(event: LogEvent) -> Iterator[tuple[str, object]]:
    told = _fields_of(str(event.get("log_format") or ""))
    legacy = _LEGACY if _is_legacy(event) else frozenset()
    for name, value in event.items():
        if not (name.startswith("log_") or name in told or name in legacy):
            yield name if name.isprintable() else printable(name), value


def _traceback(failure: Failure) -> list[str]:
    lines = str(failure.getTraceback()).splitlines()
    if len(lines) <= TRACEBACK_LINES:
        return lines
    half = TRACEBACK_LINES // 2
    return [*lines[:half], f"... {len(lines) - 2 * half} lines left out", *lines[-half:]]


def _quoted(value: object) -> str:
    text = str(value)
    if type(value) is int:
        return text
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


@dataclass(slots=True)
class LogCounters:
    """What is counted, described as in core/counters.py."""

    suppressed: int = field(
        default=0,
        metadata={"kind": "counter", "meaning": "lines of the log held back because there were too many alike"},
    )


@dataclass(slots=True)
class _Window:
    ends_s: float
    written: int = 0
    held_back: int = 0
    newest: LogEvent | None = None


@implementer(ILogObserver)
class Floodgate:
    """Passes events on, but of equal ones (one format, one upstream) at most BURST in WINDOW_S, or INFO_BURST of those
    that are no warnings; what is for debugging is never held back.

    The others are counted; when their window has ended, the newest of them is passed on with the count as `suppressed`.

    Args:
        observer: what gets the events.
        monotonic: seconds of a clock that nobody sets.
        counters: where those that were held back are counted.
    """

    def __init__(
        self, observer: Callable[[LogEvent], None], monotonic: Callable[[], float], counters: LogCounters
    ) -> None:
        self._observer = observer
        self._monotonic = monotonic
        self._windows: dict[tuple[str, str, str], _Window] = {}
        self.counters = counters

    def __call__(self, event: LogEvent) -> None:
        now = self._monotonic()
        self._close_windows(now)
        level = _LEVELS.get(_level_of(event), 0)
        if level < _LEVELS[LogLevel.info]:
            self._observer(event)
            return
        kind = (str(event.get("log_namespace")), str(event.get("log_format")), str(event.get("upstream", "")))
        if kind not in self._windows and len(self._windows) >= KINDS:
            kind = ("", "", "")
        window = self._windows.setdefault(kind, _Window(now + WINDOW_S))
        if window.written < (BURST if level >= _LEVELS[LogLevel.warn] else INFO_BURST):
            window.written += 1
            self._observer(event)
        else:
            window.held_back += 1
            window.newest = event
            self.counters.suppressed += 1

    def flush(self) -> None:
        """Says what is still held back: the log ends here."""
        self._close_windows(float("inf"))

    def _close_windows(self, now: float) -> None:
        # Windows stand in the order they were opened, so the first that is still open ends the search.
        while self._windows:
            kind, window = next(iter(self._windows.items()))
            if window.ends_s > now:
                return
            del self._windows[kind]
            if window.newest is not None:
                self._observer({**window.newest, "suppressed": window.held_back})


def observer(
    stream: Any,
    monotonic: Callable[[], float],
    *,
    format: Format = "text",
    level: str = "info",
    secrets: Iterable[str] = (),
    counters: LogCounters | None = None,
) -> Floodgate:
    """The observer that relayd logs through.

    Args:
        stream: a text stream, or what else has `write(str)` and `flush()`.
        monotonic: the clock of the rate limit, in seconds.
        format: `text` for people, `json` for machines.
        level: the lowest level written: debug, info, warn, error or critical.
        secrets: values that must never be written.
        counters: where lines that were held back are counted.
    """
    redact = Redactor(secrets)
    lowest = _LEVELS[LogLevel.levelWithName(level)]
    render = Line.as_json if format == "json" else Line.as_text

    def line_of(event: LogEvent) -> str | None:
        level = _level_of(event)
        if _LEVELS.get(level, 1) < lowest:
            return None
        return render(Line.of(event, redact))

    return Floodgate(FileLogObserver(stream, line_of), monotonic, counters or LogCounters())
