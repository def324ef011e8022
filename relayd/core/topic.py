"""Topics, the templates that make them, and the patterns that match them.

A topic is a `/`-separated path such as `market/ticker/BTC-USD`. It is the same string in JSON, in a URL path and in a
query: whatever a feed calls its things, a segment holds only `A-Z a-z 0-9 . _ : @ -` and the escape `~XX` (upper-case
hex of one UTF-8 byte), so nothing is ever encoded twice. Kraken's `BTC/USD` is the segment `BTC~2FUSD`.

A template (`market/ticker/$symbol`) belongs to a route; each `$field` is one whole segment.
A pattern (`market/*/BTC-USD`, `market/**`) belongs to a browser; `*` is one segment, a trailing `**` the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

# A topic is sent with every publication and may stand in a URL: most servers allow 200 to 255 bytes,
# escaped non-ASCII names need three times their length, so the bound here is the 512 that a URL path carries with ease.
MAX_TOPIC_BYTES = 512
# Deep enough for any naming scheme met in 45 feeds (the deepest has 5); bounds the work of a pattern match.
MAX_SEGMENTS = 16

_SAFE_TEXT = re.compile(r"[A-Za-z0-9._:@-]+")
_SEGMENT = re.compile(r"(?:[A-Za-z0-9._:@-]|~[0-9A-F]{2})+")
_UNSAFE_BYTE = re.compile(rb"[^A-Za-z0-9._:@-]")
_ESCAPED_BYTE = re.compile(rb"~([0-9A-F]{2})")
_FIELD = re.compile(r"\$([a-z_][a-z0-9_]*)")


class TopicError(ValueError):
    """A topic, a template or a pattern against the grammar; the text says what is wrong and what to write instead."""


def escape(value: str) -> str:
    """One field value as one topic segment.

    Raises TopicError for the empty value: a segment is never empty.
    """
    if not value:
        raise TopicError("an empty value cannot be a topic segment")
    if _SAFE_TEXT.fullmatch(value) and value.strip("."):
        return value
    # `.` and `..` would be resolved away by URL libraries, so a value of only dots is escaped wholly.
    raw = value.encode("utf-8", "surrogatepass")
    if not value.strip("."):
        return "".join(f"~{byte:02X}" for byte in raw)
    return _UNSAFE_BYTE.sub(lambda hit: b"~%02X" % hit.group()[0], raw).decode("ascii")


def unescape(segment: str) -> str:
    """The field value that a segment stands for; the inverse of `escape`.

    Raises TopicError when the segment is not the escape of any value (bad grammar, bytes that are not UTF-8, or a
    spelling that `escape` would not have chosen: one value has exactly one topic).
    """
    if _SAFE_TEXT.fullmatch(segment) and segment.strip("."):
        return segment  # nearly all are, and this is done for everything that is asked for
    if not _SEGMENT.fullmatch(segment):
        raise TopicError("a topic segment holds A-Z a-z 0-9 . _ : @ - and ~XX (upper-case hex of a UTF-8 byte)")
    if "~" not in segment:
        value = segment
    else:
        raw = _ESCAPED_BYTE.sub(lambda hit: bytes.fromhex(hit.group(1).decode("ascii")), segment.encode("ascii"))
        try:
            value = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise TopicError("the ~XX bytes of a topic segment are not UTF-8") from None
    if escape(value) != segment:
        raise TopicError(f"write this segment as {escape(value)}")
    return value


def check_topic(name: str) -> tuple[str, ...]:
    """The segments of a well-formed topic.

    Raises TopicError for an empty or too long topic, too many segments, or a segment outside the grammar.
    """
    segments = _split(name)
    for segment in segments:
        unescape(segment)
    return segments


def _split(name: str) -> tuple[str, ...]:
    if not name:
        raise TopicError("a topic is not empty")
    if len(name) > MAX_TOPIC_BYTES:
        raise TopicError(f"a topic has at most {MAX_TOPIC_BYTES} characters")
    segments = tuple(name.split("/"))
    if len(segments) > MAX_SEGMENTS:
        raise TopicError(f"a topic has at most {MAX_SEGMENTS} segments")
    if "" in segments:
        raise TopicError("a topic has no empty segment: no slash at either end, no two in a row")
    return segments


@dataclass(frozen=True, slots=True)
class TopicTemplate:
    """A route's `topic:`: literal segments and `$field` segments."""

    text: str
    """As written in the file."""
    segments: tuple[str, ...]
    """Literals as they stand; a field as `$name`."""
    fields: tuple[str, ...]
    """The field names in order of appearance."""

    @classmethod
    def parse(cls, text: str) -> TopicTemplate:
        """Raises TopicError when a segment is neither a literal nor one whole `$field`, or a field stands twice."""
        segments = _split(text)
        fields: list[str] = []
        for segment in segments:
            hit = _FIELD.fullmatch(segment)
            if hit is None:
                if "$" in segment:
                    raise TopicError(f"{segment!r}: a $field is one whole segment, lower-case letters, digits and _")
                unescape(segment)
            elif hit.group(1) in fields:
                raise TopicError(f"${hit.group(1)} stands twice")
            else:
                fields.append(hit.group(1))
        return cls(text, segments, tuple(fields))

    def match(self, topic: str) -> dict[str, str] | None:
        """The field values with which this template renders `topic`, or None when it does not."""
        parts = topic.split("/")
        if len(parts) != len(self.segments):
            return None
        values: dict[str, str] = {}
        for want, got in zip(self.segments, parts, strict=True):
            if want[0] != "$":
                if want != got:
                    return None
                continue
            try:
                values[want[1:]] = unescape(got)
            except TopicError:
                return None
        return values

    def meant_by(self, pattern: TopicPattern) -> dict[str, str] | None:
        """The values that fields must have for the pattern to mean a topic of this template; None: it means none."""
        more = len(self.segments) - len(pattern.head)
        if more < 1 if pattern.open_ended else more != 0:
            return None
        values: dict[str, str] = {}
        for want, mine in zip(pattern.head, self.segments, strict=False):
            if want == "*":
                continue
            if mine[0] == "$":
                values[mine[1:]] = unescape(want)
            elif want != mine:
                return None
        return values

    def render(self, fields: Mapping[str, str]) -> str:
        """The topic of these fields. Raises KeyError for a missing field, TopicError for an empty or too long one."""
        name = "/".join(escape(fields[part[1:]]) if part[0] == "$" else part for part in self.segments)
        if len(name) > MAX_TOPIC_BYTES:
            raise TopicError(f"a topic has at most {MAX_TOPIC_BYTES} characters")
        return name


@dataclass(frozen=True, slots=True)
class TopicPattern:
    """What a browser may write in place of a topic to meet many."""

    text: str
    head: tuple[str, ...]
    """The segments before a trailing `**`; `*` stands for any one segment."""
    open_ended: bool
    """True when the pattern ends in `**`: at least one more segment follows."""

    @classmethod
    def parse(cls, text: str) -> TopicPattern:
        """Raises TopicError for a wildcard that is not a whole segment, or `**` anywhere but last."""
        segments = _split(text)
        open_ended = segments[-1] == "**"
        head = segments[:-1] if open_ended else segments
        for segment in head:
            if segment == "**":
                raise TopicError("** stands only at the end of a pattern")
            if segment != "*":
                if "*" in segment:
                    raise TopicError(f"{segment!r}: a * is one whole segment")
                unescape(segment)
        return cls(text, head, open_ended)

    def matches(self, topic: str) -> bool:
        """Whether the (well-formed) topic is meant."""
        parts = topic.split("/")
        more = len(parts) - len(self.head)
        if more < 1 if self.open_ended else more != 0:
            return False
        return all(want in ("*", got) for want, got in zip(self.head, parts, strict=False))


def is_pattern(text: str) -> bool:
    """Whether a browser's text means many topics. `*` is no character of a topic, so there is no doubt."""
    return "*" in text
