"""The way of most messages: known at a glance, published without building anything but the publication.

`hear` answers only for what the general way has found out before: the values that chose the topic then are the key.
Whatever else comes is None, and goes the general way.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET

from relayd.core.feed.decode import JSON
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.extract import Extractor
from relayd.core.feed.extract_tree import Get
from relayd.core.feed.head import LARGE_BYTES
from relayd.core.feed.hearing import Hearing
from relayd.core.feed.outcome import Beat, Data, Outcome, Parts, Unrouted
from relayd.core.feed.path import Scope
from relayd.core.feed.resume import Resume
from relayd.core.feed.routing import Target
from relayd.core.feed.sequence import end_of

T = TypeVar("T")

#: Keys that are remembered. A feed whose messages all differ in what chooses the topic would fill it: then it is
#: emptied (guess: as many as targets).
MAX_KEYS = 65_536


class _NotKnown(ValueError):
    """This message goes the general way."""


_BROKEN = (msgspec.MsgspecError, ValueError, RecursionError)
"""Not whole JSON, not of the shape that data has, or not known."""

Unwanted: TypeAlias = tuple[Get, ...]
"""A topic that nobody wants: values of the message without which no rule can match it either."""


class Shortcut(Generic[T]):
    """Recognises the messages of one connection."""

    def __init__(self, dialect: Dialect, extractor: Extractor, hearing: Hearing[T], resume: Resume) -> None:
        self._unpack = dialect.decode.unpack if dialect.decode.binary else None
        self._rules = dialect.rules
        self._is_settled = dialect.fields.bound is None and not hearing.resolves
        """What nobody wants stays unwanted until more is wanted."""
        self._extractor = extractor
        self._hearing = hearing
        self._resume = resume
        self._by_key: dict[Hashable, Target[T] | Unwanted] = {}
        self._by_name: dict[bytes, Target[T]] = {}
        """With `topic.prefix`: the bytes of a feed name."""
        self._counts = hearing.counter is not None or dialect.cursor is not None or bool(dialect.dedupe)
        """Every message is counted, or compared with what came before."""
        self._splits = bool(extractor.split or extractor.outer or extractor.separator)
        counting = hearing.counter.sequence if hearing.counter is not None else None
        self._counted = None if counting is None else extractor.sequences[dialect.sequences.index(counting)]
        prefix = dialect.fields.prefix
        is_whole = not (dialect.payload or self._counts or self._splits or self._unpack is not None)
        self._prefix = prefix.encode() if prefix is not None and is_whole and fields_alone(dialect) else None
        self._plain = plain_of(extractor) if self._unpack is None and not self._splits else None
        readers = [one for one in (self._counted, extractor.cursor, extractor.dedupe) if one is not None]
        self._counts_inside = any(one.in_payload for one in readers)

    def hear(self, payload: bytes, is_text: bool, sse: Mapping[str, object] | None = None) -> Outcome[T] | None:
        """What a frame is, where that is known; else None."""
        codec = JSON
        if self._prefix is not None:
            target = self._by_name.get(self._name(payload))
            if target is not None and not target.counts and self._hearing.is_wanted(target):
                return Data(target.topics, payload, is_text)
        try:
            if self._plain is not None:
                # Most feeds: one decoder, one key. Written out, since a call costs as much as the look-up.
                message = self._plain[0](payload)
                known = self._by_key.get(self._plain[1](message))
                return self._recognised(known, payload, is_text, JSON, message, None, sse)
            if self._unpack is not None and not is_text:
                frame = self._unpack(payload, is_text)
                payload, is_text, codec = frame.payload, frame.is_text, frame.codec
            if self._splits:
                outer, parts = self._parts(payload, codec)
                if len(parts) != 1:
                    return self._hear_parts(parts, outer, is_text, codec)
                return self._hear_one(parts[0], outer, is_text, codec, sse)
            return self._hear_one(payload, (), is_text, codec, sse)
        except _BROKEN:
            return None

    def learn(self, payload: bytes, is_text: bool, found: Sequence[Target[T] | Scope | None]) -> None:
        """What the general way found the messages of a frame to be: data of a target, or of a topic that nobody wants
        (then the message itself is given), or something else (None)."""
        try:
            codec = JSON
            if self._unpack is not None and not is_text:
                frame = self._unpack(payload, is_text)
                payload, codec = frame.payload, frame.codec
            outer, parts = self._parts(payload, codec) if self._splits else ((), [payload])
            if len(self._by_key) + len(parts) > MAX_KEYS:
                self.forget()
            for part, one in zip(parts, found, strict=True):
                if isinstance(one, Target) and self._prefix is not None and (name := self._name(payload)):
                    self._by_name[name] = one
                if one is not None:
                    key = self._key(part, codec, outer)[0]
                    self._by_key[key] = one if isinstance(one, Target) else self._guards(one)
        except _BROKEN:
            return

    def forget(self) -> None:
        """What is wanted, or what ids stand for, has changed."""
        self._by_key.clear()
        self._by_name.clear()

    def forget_unwanted(self) -> None:
        """More is wanted than before."""
        self._by_key = {key: known for key, known in self._by_key.items() if known.__class__ is Target}

    def _name(self, payload: bytes) -> bytes:
        """The feed name behind the prefix, as it is written; empty where the frame begins differently."""
        prefix = self._prefix or b""
        if not payload.startswith(prefix):
            return b""
        name = payload[len(prefix) : payload.find(b'"', len(prefix))]
        return b"" if b"\\" in name else name

    def _guards(self, scope: Scope) -> Unwanted:
        if not self._is_settled:
            # An id may only not be known yet; and who resolves fields may resolve them differently the next time.
            raise _NotKnown
        guards = []
        for rule, guard in zip(self._rules, self._extractor.guards, strict=True):
            told = [one for one in rule.conditions if one.path in self._extractor.key_paths]
            if all(one.accepts(scope.get(one.path)) for one in told):
                if guard is None:
                    raise _NotKnown
                guards.append(guard)
        return tuple(guards)

    def _key(self, payload: Any, codec: str, outer: Hashable) -> tuple[Hashable, Any, Any]:
        """The key, and what was decoded to make it: the message and its payload."""
        extractor = self._extractor
        message = inner = None
        key: Hashable = outer
        if extractor.message:
            message = extractor.message[codec](payload)
            for get in extractor.present:
                if get(message) is UNSET:
                    raise _NotKnown
            for get in extractor.absent:
                if get(message) is not UNSET:
                    raise _NotKnown
            if extractor.key is not None:
                key = extractor.key(message) if outer == () else (outer, extractor.key(message))
        if extractor.inner_key is not None and extractor.payload is not None:
            inner = extractor.inner[codec](_there(extractor.payload(message)))
            key = (key, extractor.inner_key(inner))
        return key, message, inner

    def _hear_one(
        self, payload: Any, outer: Hashable, is_text: bool, codec: str, sse: Mapping[str, object] | None
    ) -> Outcome[T] | None:
        key, message, inner = self._key(payload, codec, outer)
        return self._recognised(self._by_key.get(key), payload, is_text, codec, message, inner, sse)

    def _recognised(
        self,
        known: Target[T] | Unwanted | None,
        payload: Any,
        is_text: bool,
        codec: str,
        message: Any,
        inner: Any,
        sse: Mapping[str, object] | None,
    ) -> Outcome[T] | None:
        if isinstance(known, Target):
            if not self._hearing.is_wanted(known):
                return None
            return self._data(known, payload, is_text, codec, message, inner, sse)
        return None if known is None else self._unwanted(known, payload, message, inner, codec, sse)

    def _data(
        self,
        target: Target[T],
        payload: Any,
        is_text: bool,
        codec: str,
        message: Any,
        inner: Any,
        sse: Mapping[str, object] | None,
    ) -> Data[T] | Beat:
        extractor = self._extractor
        body = payload if extractor.payload is None else _there(extractor.payload(message))
        data = Data(target.topics, body if body.__class__ is bytes else bytes(body), is_text)
        if self._counts:
            if inner is None and self._counts_inside:
                inner = extractor.inner[codec](data.payload)
            number, is_known = self._count(payload, message, inner, sse)
            if is_known:
                return Beat(number)
            data.seq = number
        if target.counts:
            if target.head is not None and len(data.payload) >= LARGE_BYTES:
                numbers = target.head(data.payload)
                if numbers is not None:
                    return self._follow(data, target, numbers if len(numbers) > 1 else numbers[0])
            if inner is None and target.counts_inside:
                inner = extractor.inner[codec](data.payload)
            self._sequence(data, target, message, inner)
        elif self._hearing.has_losses:
            self._hearing.tell_losses(data)
        return data

    def _sequence(self, data: Data[T], target: Target[T], message: Any, inner: Any) -> None:
        for flag in target.flags:
            if flag.read(message, inner):
                data.snapshot = True
        self._follow(data, target, None if target.number is None else target.number.read(message, inner))

    def _follow(self, data: Data[T], target: Target[T], number: Any) -> Data[T]:
        if number is not None:
            data.seq = number
        gap, missed = target.count(number, data.snapshot)
        if gap and target.sequence is not None:
            data.gap, data.missed, data.repair = True, missed, target.sequence.repair
        if self._hearing.has_losses:
            self._hearing.tell_losses(data)
        return data

    def _count(
        self, payload: Any, message: Any, inner: Any, sse: Mapping[str, object] | None
    ) -> tuple[int | None, bool]:
        """Counts a message. Returns its number in the connection, and whether it was delivered before."""
        extractor, number = self._extractor, None
        if self._counted is not None and self._hearing.counter is not None:
            counted = self._counted.read(message, inner)
            if counted is not None:
                self._hearing.counter.count(counted)
                number = end_of(counted)
        point: object = None
        if extractor.cursor is not None:
            point = extractor.cursor.read(message, inner)
        elif extractor.cursor_outside is not None and sse is not None:
            point = extractor.cursor_outside.find(sse)
        if point is not None and self._resume.replayed(point, bytes(payload)):
            return number, True
        dedupe = extractor.dedupe
        return number, dedupe is not None and self._resume.repeated(dedupe.read(message, inner))

    def _unwanted(
        self, guards: Unwanted, payload: Any, message: Any, inner: Any, codec: str, sse: Mapping[str, object] | None
    ) -> Unrouted | Beat:
        for guard in guards:
            if guard(message) is not UNSET:
                raise _NotKnown
        if self._counts:
            if self._counts_inside and inner is None and self._extractor.payload is not None:
                inner = self._extractor.inner[codec](_there(self._extractor.payload(message)))
            number, is_known = self._count(payload, message, inner, sse)
            if is_known:
                return Beat(number)
        return Unrouted()

    # Frames that hold several messages

    def _parts(self, payload: bytes, codec: str) -> tuple[Hashable, Sequence[Any]]:
        """The key of the frame, and its parts."""
        extractor = self._extractor
        if extractor.separator is not None:
            return (), [part for part in payload.split(extractor.separator) if part]
        outer = extractor.outer[codec](payload) if extractor.outer else None
        key = extractor.outer_key(outer) if extractor.outer_key is not None else ()
        if extractor.parts is not None:
            return key, _there(extractor.parts(outer))
        if payload[:1] == b"[" and codec == JSON:
            return key, extractor.split[codec](payload)
        return key, [payload]

    def _hear_parts(self, parts: Sequence[Any], outer: Hashable, is_text: bool, codec: str) -> Outcome[T] | None:
        # All are recognised before any is counted: a frame goes one way or the other.
        calls: list[Callable[[], Outcome[T]]] = []
        for part in parts:
            key, message, inner = self._key(part, codec, outer)
            known = self._by_key.get(key)
            if known is None:
                return None
            calls.append(self._call(known, part, is_text, codec, message, inner))
        return Parts(tuple([call() for call in calls]))

    def _call(
        self, known: Target[T] | Unwanted, part: Any, is_text: bool, codec: str, message: Any, inner: Any
    ) -> Callable[[], Outcome[T]]:
        extractor = self._extractor
        if extractor.payload is not None:
            _there(extractor.payload(message))
        if isinstance(known, Target):
            if not self._hearing.is_wanted(known):
                raise _NotKnown
            return lambda: self._data(known, part, is_text, codec, message, inner, None)
        for guard in known:
            if guard(message) is not UNSET:
                raise _NotKnown
        return lambda: self._unwanted((), part, message, inner, codec, None)


def plain_of(extractor: Extractor) -> tuple[Get, Get] | None:
    """The decoder and the key of a dialect whose messages need no more to be recognised."""
    if extractor.key is None or extractor.present or extractor.absent or extractor.inner_key is not None:
        return None
    return extractor.message[JSON], extractor.key


def fields_alone(dialect: Dialect) -> bool:
    """Whether the feed name alone chooses the topic."""
    fields = dialect.fields
    return len(fields.name_at) == 1 and not fields.when.conditions and fields.unless is None and fields.bound is None


def _there(value: Any) -> Any:
    if value is UNSET:
        raise _NotKnown
    return value
