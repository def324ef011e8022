"""What is done with a message once it is recognised: one function for each target, put together when it is learnt.

A feed says the same few things millions of times. So what must be read, cut out and counted is asked once, and what
remains for each message stands in one function without a call that could be spared. Every function reads all that it
needs before it counts anything: what it gives up (None, or an error of decoding) is as if it had not come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from msgspec import UNSET

from relayd.core.feed.decode import JSON
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.extract import Extractor
from relayd.core.feed.extract_tree import Get
from relayd.core.feed.head import LARGE_BYTES
from relayd.core.feed.hearing import Hearing
from relayd.core.feed.outcome import Beat, Data, Number, Outcome, Unrouted
from relayd.core.feed.resume import Resume
from relayd.core.feed.routing import Target
from relayd.core.feed.sequence import end_of

T = TypeVar("T")

Sse: TypeAlias = Mapping[str, object]
Take: TypeAlias = Callable[[bytes, bool, Any, Any, Sse | None], Outcome[T] | None]
"""Its bytes, whether they are text, the message as the extractor decoded it, its payload (None = not decoded yet), and
what surrounds a server-sent event. Returns what it is; None = it goes the general way."""
Count: TypeAlias = Callable[[bytes, Any, Any, Sse | None], tuple[int | None, bool]]
"""Counts a message, from the same. Returns its number in the connection, and whether it was delivered before."""


class NotKnown(ValueError):
    """This message goes the general way."""


@dataclass(frozen=True, slots=True)
class Plan(Generic[T]):
    """What to do with the messages of one key."""

    take: Take[T]
    prepare: Callable[[Any, Any], Any]
    """For a message among others of its frame, of which none may be counted before all are known to be taken: decodes
    what `take` would. Takes the message and its payload (None = not decoded), returns the latter. Raises NotKnown."""
    is_whole: bool = False
    """Of the message nothing is read: its bytes are published as they are."""
    is_data: bool = True
    """False: nobody wants it."""


class Planner(Generic[T]):
    """Makes the plans of one connection."""

    def __init__(self, dialect: Dialect, extractor: Extractor, hearing: Hearing[T], resume: Resume) -> None:
        self._extractor = extractor
        self._hearing = hearing
        self._resume = resume
        counter = hearing.counter
        self._counted = None if counter is None else extractor.sequences[dialect.sequences.index(counter.sequence)]
        readers = [one for one in (self._counted, extractor.cursor, extractor.dedupe) if one is not None]
        self._counts_inside = any(one.in_payload for one in readers)
        self._count = self._counting() if readers or extractor.cursor_outside is not None else None
        is_alone = len(readers) == 1 and not self._counts_inside and extractor.cursor_outside is None
        self._counted_alone = self._counted.read if self._counted is not None and is_alone else None
        """The connection's number, where it stands in the message and nothing else is to be compared."""

    @property
    def counts(self) -> bool:
        """Whether every message is counted, or compared with what came before."""
        return self._count is not None

    def data(self, target: Target[T], codec: str) -> Plan[T]:
        """For data of a target."""
        cut = self._extractor.payload
        inside = target.counts_inside or self._counts_inside
        decode = self._extractor.inner[codec] if inside else None
        is_plain = not target.counts and (self._count is None or self._counted_alone is not None)
        take = self._plain(target, codec) if is_plain else self._numbered(target, decode, codec)
        is_wanted = self._hearing.is_wanted

        def prepare(message: Any, inner: Any) -> Any:
            part = None if cut is None else there(cut(message))
            if not is_wanted(target):
                raise NotKnown
            return decode(part) if decode is not None and inner is None else inner

        return Plan(take, prepare, is_whole=is_plain and cut is None and self._count is None)

    def unwanted(self, guards: tuple[Get, ...], codec: str) -> Plan[T]:
        """For what nobody wants. `guards`: values of the message without which no rule can match it either."""
        cut, count = self._extractor.payload, self._count
        decode = self._extractor.inner[codec] if self._counts_inside else None

        def prepare(message: Any, inner: Any) -> Any:
            for guard in guards:
                if guard(message) is not UNSET:
                    raise NotKnown
            if decode is None or inner is not None or cut is None:
                return inner
            return decode(there(cut(message)))

        def take(payload: bytes, is_text: bool, message: Any, inner: Any, sse: Sse | None) -> Outcome[T]:
            inner = prepare(message, inner)
            if count is not None:
                number, is_known = count(payload, message, inner, sse)
                if is_known:
                    return Beat(number)
            return Unrouted()

        return Plan(take, prepare, is_data=False)

    def _plain(self, target: Target[T], codec: str) -> Take[T]:
        """Nothing is counted, or by the connection alone."""
        cut, hearing, resolver = self._extractor.payload, self._hearing, self._hearing.resolver
        read, counter = self._counted_alone, self._hearing.counter
        of_json = codec == JSON

        def take(payload: bytes, is_text: bool, message: Any, inner: Any, sse: Sse | None) -> Data[T] | None:
            topics = target.topics
            if resolver is not None and target.era != resolver.era:
                topics = hearing.resolve(target)
            if not topics:
                return None
            if cut is not None:
                part = cut(message)
                if part is UNSET:
                    return None
                payload = bytes(part)
            if read is None or counter is None:
                data = Data(topics, payload, is_text, of_json and message is not None)
                if hearing.gapped:
                    hearing.tell_losses(data)
                return data
            number = read(message, inner)
            if number is not None:
                if number == counter.due:  # nearly always
                    counter.due = number + counter.stride
                else:
                    counter.count(number)
                    number = end_of(number)
            data = Data(topics, payload, is_text, of_json, False, False, number)
            if counter.gap or hearing.gapped:
                hearing.tell_losses(data)
            return data

        return take

    def _numbered(self, target: Target[T], decode: Get | None, codec: str) -> Take[T]:
        """The topic has a sequence or snapshots, or the connection is counted. `decode`: of the payload, if needed."""
        cut, count, hearing, resolver = self._extractor.payload, self._count, self._hearing, self._hearing.resolver
        counter = hearing.counter
        read = None if target.number is None else target.number.read
        head = None if self._counts_inside else target.head
        flags, own = tuple(flag.read for flag in target.flags), target.counter
        of_json = codec == JSON
        repair = "" if target.sequence is None else target.sequence.repair

        def take(payload: bytes, is_text: bool, message: Any, inner: Any, sse: Sse | None) -> Data[T] | Beat | None:
            topics = target.topics
            if resolver is not None and target.era != resolver.era:
                topics = hearing.resolve(target)
            if not topics:
                return None
            body = payload
            if cut is not None:
                part = cut(message)
                if part is UNSET:
                    return None
                body = bytes(part)
            number: Number | None = None
            if head is not None and inner is None and len(body) >= LARGE_BYTES:
                number = head(body)
            if number is None:
                if decode is not None and inner is None:
                    inner = decode(body)
                if read is not None:
                    number = read(message, inner)
            snapshot = False
            if flags:
                snapshot = any([flag(message, inner) for flag in flags])
            of_connection = None
            if count is not None:
                of_connection, is_known = count(payload, message, inner, sse)
                if is_known:
                    return Beat(of_connection)
            is_json = of_json and message is not None
            data = Data(topics, body, is_text, is_json, snapshot, False, of_connection if number is None else number)
            if own is not None:
                start, end = number if isinstance(number, tuple) else (number, number)
                if start == own.due and end is not None:  # nearly always
                    own.due = end + own.stride
                else:
                    gap, missed = target.count(number, snapshot)
                    if gap:
                        data.gap, data.missed, data.repair = True, missed, repair
            if hearing.gapped or (counter is not None and counter.gap):
                hearing.tell_losses(data)
            return data

        return take

    def _counting(self) -> Count:
        extractor, resume, counter, counted = self._extractor, self._resume, self._hearing.counter, self._counted
        cursor, outside, dedupe = extractor.cursor, extractor.cursor_outside, extractor.dedupe

        def count(payload: bytes, message: Any, inner: Any, sse: Sse | None) -> tuple[int | None, bool]:
            number = None
            if counter is not None and counted is not None:
                number = counted.read(message, inner)
                if number is not None:
                    counter.count(number)
                    number = end_of(number)
            point: object = None
            if cursor is not None:
                point = cursor.read(message, inner)
            elif outside is not None and sse is not None:
                point = outside.find(sse)
            if point is not None and resume.replayed(point, payload):
                return number, True
            return number, dedupe is not None and resume.repeated(dedupe.read(message, inner))

        return count


def there(value: Any) -> Any:
    """The value. Raises NotKnown where it is not there."""
    if value is UNSET:
        raise NotKnown
    return value
