"""What a dialect would send and how it reads sample messages, in words: `relayd check --replay`, without a network.

Secrets are shown by their placeholders, signatures and what a server would have told as `(name)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from relayd.core.event_stream import Event
from relayd.core.feed.conversation import Conversation, Wanted
from relayd.core.feed.decode import Message
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.errors import Refused, Unset
from relayd.core.feed.fields import Reading
from relayd.core.feed.login import LoginStep
from relayd.core.feed.outcome import (
    Ack,
    Beat,
    Control,
    Data,
    Fail,
    Frame,
    Held,
    Login,
    Outcome,
    Parts,
    Sending,
    Unknown,
    Unrouted,
)
from relayd.core.feed.path import MISSING
from relayd.core.feed.resume import Resume
from relayd.core.feed.sign import Sets, Signature
from relayd.core.feed.template import Text, render_frame
from relayd.core.feed.usage import saved_names
from relayd.core.feed.voice import Voice
from relayd.core.upstream.effects import DialImpossible

# Enough to recognise a message by, short enough for a line of a terminal (guess).
MAX_SHOWN_CHARS = 160

UNMATCHED = ("unknown", "unrouted")
"""What a person looks for first, in this order."""


@dataclass(frozen=True, slots=True)
class Line:
    """How one sample is read."""

    number: int
    """Of the line, or of the event where they are events; from 1."""
    kind: str
    """`data ack fail held beat control login unrouted unknown`."""
    what: str
    """Topics, numbers, reasons."""
    sample: str
    """The beginning of the line."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a dialect does with some topics and some sample messages."""

    opens: str
    """The URL, or why there is none."""
    login: tuple[str, ...]
    sends: tuple[str, ...]
    refused: tuple[str, ...]
    """Topics that cannot be asked for, each with its reason."""
    lines: tuple[Line, ...]
    """Unknown first, then unrouted, then the rest in order."""


Sample = str | bytes | Event
"""A text frame, a binary frame, or a server-sent event."""


def explain(dialect: Dialect, topics: Sequence[Wanted[str]], samples: Iterable[Sample] = ()) -> Explanation:
    """Speaks the dialect for these topics and reads the samples, one message each."""
    shown = _shown(dialect)
    conversation = Conversation[str](
        replace(shown, login=()),
        wall=lambda: 0.0,
        uuid=lambda: "(uuid)",
        secrets={name: f"${{{name}}}" for name in dialect.secrets},
        saved={name: f"({name})" for name in saved_names(dialect)},
    )
    sends = [*conversation.open(), *conversation.want(topics)]
    refused = [f"{', '.join(fail.topics)}: {fail.text}" for fail in conversation.take_refused()]
    try:
        opens = _readable(conversation.dial_request().url, dialect)
    except DialImpossible as error:
        opens = str(error)
    lines = [_line(number, sample, conversation, dialect) for number, sample in enumerate(samples, 1) if sample]
    lines.sort(key=lambda line: UNMATCHED.index(line.kind) if line.kind in UNMATCHED else len(UNMATCHED))
    return Explanation(opens, tuple(_login(shown)), tuple(map(_sending, sends)), tuple(refused), tuple(lines))


def _shown(dialect: Dialect) -> Dialect:
    """The dialect with its signatures taken for what they are: nobody can make them without the keys."""
    return replace(
        dialect,
        login=tuple(replace(step, sets=_unsigned(step.sets)) for step in dialect.login),
        subscribe=tuple(replace(variant, sets=_unsigned(variant.sets)) for variant in dialect.subscribe),
        unsubscribe=tuple(replace(variant, sets=_unsigned(variant.sets)) for variant in dialect.unsubscribe),
    )


def _unsigned(sets: Sets) -> Sets:
    return Sets(
        tuple((name, Text((f"({name})",)) if isinstance(entry, Signature) else entry) for name, entry in sets.entries)
    )


def _login(dialect: Dialect) -> Iterable[str]:
    secrets = {name: f"${{{name}}}" for name in dialect.secrets}
    saved: Mapping[str, object] = {name: f"({name})" for name in saved_names(dialect)}
    voice = Voice(wall=lambda: 0.0, uuid=lambda: "(uuid)", secrets=secrets, saved=saved, resume=Resume())
    for step in dialect.login:
        if step.sends:
            yield _step(step, voice)


def _step(step: LoginStep, voice: Voice) -> str:
    try:
        return render_frame(step.send, step.sets.extend(voice.values(step.names))).decode()
    except (Refused, Unset) as error:
        return f"cannot be sent: {error}"


def _sending(sending: Sending) -> str:
    if isinstance(sending, Frame):
        return sending.payload.decode()
    headers = "".join(f" [{name}: {value}]" for name, value in sending.headers)
    return f"{sending.method} {sending.url}{headers} {sending.body.decode()}".rstrip()


def _readable(url: str, dialect: Dialect) -> str:
    for name in (*dialect.secrets, *saved_names(dialect)):
        for shown in (f"${{{name}}}", f"({name})"):
            url = url.replace(quote(shown, safe=""), shown)
    return url


def _line(number: int, sample: Sample, conversation: Conversation[str], dialect: Dialect) -> Line:
    is_text, sse = not isinstance(sample, bytes), None
    if isinstance(sample, Event):
        payload, sse = sample.data, sample.sse
    else:
        payload = sample.encode("utf-8", "replace") if isinstance(sample, str) else sample
    outcome = conversation.message(payload, is_text, sse)
    heard = dialect.decode.messages(payload, is_text, MISSING if sse is None else sse)
    messages = [heard] if isinstance(heard, Message) else heard
    kind, what = _words(outcome, messages, dialect)
    if _is_nobodys(outcome) and (step := _answered_step(messages, dialect)) is not None:
        kind, what = "login", f"step {step}"
    text = payload.decode("utf-8", "replace")
    return Line(number, kind, what, text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}…")


def _is_nobodys(outcome: Outcome[str]) -> bool:
    """Whether a message says nothing of a topic: it may be the answer to a login step, also where a rule that is meant
    for other answers fits it (there is no login in a conversation that is explained)."""
    match outcome:
        case Unknown() | Unrouted() | Beat():
            return True
        case Ack():
            return not (outcome.topics or outcome.failed or outcome.released)
        case Fail():
            return not outcome.topics
    return isinstance(outcome, Parts) and all(map(_is_nobodys, outcome.parts))


def _answered_step(messages: Sequence[Message], dialect: Dialect) -> int | None:
    """The login step (from 1) that a message answers; None = none."""
    for message in messages:
        for number, step in enumerate(dialect.login, 1):
            if any(match is not None and match.holds(message.scope) for match in (step.expect, step.fail)):
                return number
    return None


def _words(outcome: Outcome[str], messages: Sequence[Message], dialect: Dialect) -> tuple[str, str]:
    sends = "".join(f"; answered by {_sending(sending)}" for sending in outcome.sends)
    match outcome:
        case Data():
            return "data", _data(outcome)
        case Ack():
            failed = f"; left out: {_names(outcome.failed)}" if outcome.failed else ""
            released = "".join(f"; held until now: {_data(data)}" for data in outcome.released)
            return "ack", _names(outcome.topics) + failed + released + sends
        case Fail():
            return "fail", f"{_names(outcome.topics)}: {outcome.text}{sends}"
        case Held():
            return "held", "until the id it came under is told"
        case Beat():
            return "beat", sends.removeprefix("; ")
        case Control():
            return "control", outcome.do + (f" {_names(outcome.topics)}" if outcome.topics else "") + sends
        case Unrouted():
            return "unrouted", f"none of these topics: {_read(messages[0], dialect)}"
        case Unknown() | Login():
            # There is no login in a conversation that is explained.
            return "unknown", "nothing in the dialect knows it"
    words = [_words(part, [message], dialect) for part, message in zip(outcome.parts, messages, strict=True)]
    kinds = [kind for kind, _ in words]
    kind = next((one for one in UNMATCHED if one in kinds), kinds[0] if kinds else "unknown")
    return kind, "; ".join(f"{one}: {what}" if what else one for one, what in words)


def _read(message: Message, dialect: Dialect) -> str:
    """What a message that is of no topic says of itself: its id, the fields that were found in it, or nothing."""
    reading = dialect.fields.read(message.scope) or Reading(())
    bound = [] if reading.bound is None else [f"id {reading.bound}"]
    tables = [", ".join(f"{name}={text}" for name, text in table.items()) for table in reading.tables]
    return "; ".join(filter(None, [*bound, *tables])) or "it has no fields"


def _names(topics: Sequence[str]) -> str:
    return ", ".join(topics) if topics else "no topic"


def _data(data: Data[str]) -> str:
    number = "" if data.seq is None else f", number {data.seq}"
    return f"{_names(data.topics)}{', snapshot' if data.snapshot else ''}{number}{', after a gap' if data.gap else ''}"
