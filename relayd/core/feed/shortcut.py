"""The way of most messages: known at a glance, published without building anything but the publication.

`hear` answers only for what the general way has found out before: the values that chose the topic then are the key, and
under it stands the plan of what is done with such a message. Whatever else comes is None, and goes the general way.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from relayd.core.feed.decode import JSON
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.extract import Extractor
from relayd.core.feed.extract_tree import Get
from relayd.core.feed.hearing import Hearing
from relayd.core.feed.outcome import Outcome, Parts
from relayd.core.feed.path import Scope
from relayd.core.feed.plan import NotKnown, Plan, Planner, Sse, there
from relayd.core.feed.resume import Resume
from relayd.core.feed.routing import Target

T = TypeVar("T")

#: Keys that are remembered. A feed whose messages all differ in what chooses the topic would fill it: then it is
#: emptied (guess: as many as targets).
MAX_KEYS = 65_536

Hear: TypeAlias = Callable[..., Outcome[T]]
"""Takes a frame, whether it is text, and what surrounds a server-sent event (None: nothing). Returns what it is."""

_BROKEN = (msgspec.MsgspecError, ValueError, RecursionError)
"""Not whole JSON, not of the shape that data has, or not known."""


class Shortcut(Generic[T]):
    """Recognises the messages of one connection."""

    def __init__(
        self, dialect: Dialect, extractor: Extractor, hearing: Hearing[T], resume: Resume, general: Hear[T]
    ) -> None:
        """`general` hears what is not known here."""
        self._unpack = dialect.decode.unpack if dialect.decode.binary else None
        self._rules = dialect.rules
        self._is_settled = dialect.fields.bound is None and hearing.resolver is None
        """What nobody wants stays unwanted until more is wanted."""
        self._extractor = extractor
        self._planner = Planner(dialect, extractor, hearing, resume)
        self._plans: dict[Hashable, Plan[T]] = {}
        self._by_name: dict[bytes, Plan[T]] = {}
        """With `topic.prefix`: the bytes of a feed name."""
        self._splits = bool(extractor.split or extractor.outer or extractor.separator)
        prefix = dialect.fields.prefix
        is_whole = not (dialect.payload or self._planner.counts or self._splits or self._unpack is not None)
        self._prefix = prefix.encode() if prefix is not None and is_whole and fields_alone(dialect) else None
        self._plain = plain_of(extractor) if self._unpack is None and not self._splits else None
        """Most feeds: the decoder and the key of a message that needs no more to be recognised."""
        self._general = general
        self.hear: Hear[T] = self._hear
        """What a frame is: known here, or by the general way."""
        if self._plain is not None and self._prefix is None:
            self.hear = self._hear_plain(*self._plain)

    def _hear_plain(self, decode: Get, key: Get) -> Hear[T]:
        plan_of, general = self._plans.get, self._general

        def hear(payload: bytes, is_text: bool, sse: Sse | None = None) -> Outcome[T]:
            try:
                message = decode(payload)
                plan = plan_of(key(message))
                if plan is not None:
                    take = plan.take
                    heard = take(payload, is_text, message, None, sse)
                    if heard is not None:
                        return heard
            except _BROKEN:
                pass
            return general(payload, is_text, sse)

        return hear

    def _hear(self, payload: bytes, is_text: bool, sse: Sse | None = None) -> Outcome[T]:
        heard = self._known(payload, is_text, sse)
        return self._general(payload, is_text, sse) if heard is None else heard

    def _known(self, payload: bytes, is_text: bool, sse: Sse | None) -> Outcome[T] | None:
        if self._prefix is not None:
            plan = self._by_name.get(self._name(payload))
            if plan is not None and (heard := plan.take(payload, is_text, None, None, None)) is not None:
                return heard
        try:
            codec = JSON
            if self._unpack is not None and not is_text:
                frame = self._unpack(payload, is_text)
                payload, is_text, codec = frame.payload, frame.is_text, frame.codec
            outer, parts = self._parts(payload, codec) if self._splits else ((), [payload])
            if len(parts) != 1:
                return self._hear_parts(parts, outer, is_text, codec)
            (part,) = parts
            found, message, inner = self._key(part, codec, outer)
            plan = self._plans.get(found)
            return None if plan is None else plan.take(bytes(part), is_text, message, inner, sse)
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
            if len(self._plans) + len(parts) > MAX_KEYS:
                self.forget()
            for part, one in zip(parts, found, strict=True):
                if one is None:
                    continue
                plan = self._plan(one, codec)
                self._plans[self._key(part, codec, outer)[0]] = plan
                if self._prefix is not None and plan.is_whole and (name := self._name(payload)):
                    self._by_name[name] = plan
        except _BROKEN:
            return

    def forget(self) -> None:
        """What is wanted, or what ids stand for, has changed."""
        self._plans.clear()
        self._by_name.clear()

    def forget_unwanted(self) -> None:
        """More is wanted than before."""
        for key in [key for key, plan in self._plans.items() if not plan.is_data]:
            del self._plans[key]

    def _plan(self, found: Target[T] | Scope, codec: str) -> Plan[T]:
        if isinstance(found, Target):
            return self._planner.data(found, codec)
        return self._planner.unwanted(self._guards(found), codec)

    def _guards(self, scope: Scope) -> tuple[Get, ...]:
        if not self._is_settled:
            # An id may only not be known yet; and who resolves fields may resolve them differently the next time.
            raise NotKnown
        guards = []
        for rule, guard in zip(self._rules, self._extractor.guards, strict=True):
            told = [one for one in rule.conditions if one.path in self._extractor.key_paths]
            if all(one.accepts(scope.get(one.path)) for one in told):
                if guard is None:
                    raise NotKnown
                guards.append(guard)
        return tuple(guards)

    def _name(self, payload: bytes) -> bytes:
        """The feed name behind the prefix, as it is written; empty where the frame begins differently."""
        prefix = self._prefix or b""
        if not payload.startswith(prefix):
            return b""
        name = payload[len(prefix) : payload.find(b'"', len(prefix))]
        return b"" if b"\\" in name else name

    def _key(self, payload: Any, codec: str, outer: Hashable) -> tuple[Hashable, Any, Any]:
        """The key, and what was decoded to make it: the message and its payload."""
        extractor = self._extractor
        message = inner = key = inner_key = None
        if extractor.message:
            message = extractor.message[codec](payload)
            for get in extractor.present:
                there(get(message))
            if extractor.key is not None:
                key = extractor.key(message)
        if self._plain is not None:
            return key, message, None
        if extractor.inner_key is not None and extractor.payload is not None:
            inner = extractor.inner[codec](there(extractor.payload(message)))
            inner_key = extractor.inner_key(inner)
        return (codec, outer, key, inner_key), message, inner

    # Frames that hold several messages

    def _parts(self, payload: bytes, codec: str) -> tuple[Hashable, Sequence[Any]]:
        """The key of the frame, and its parts."""
        extractor = self._extractor
        if extractor.separator is not None:
            return (), [part for part in payload.split(extractor.separator) if part]
        outer = extractor.outer[codec](payload) if extractor.outer else None
        key = extractor.outer_key(outer) if extractor.outer_key is not None else ()
        if extractor.parts is not None:
            return key, there(extractor.parts(outer))
        if payload[:1] == b"[" and codec == JSON:
            return key, extractor.split[codec](payload)
        return key, [payload]

    def _hear_parts(self, parts: Sequence[Any], outer: Hashable, is_text: bool, codec: str) -> Outcome[T] | None:
        # All are recognised before any is counted: a frame goes one way or the other.
        known = []
        for part in parts:
            key, message, inner = self._key(part, codec, outer)
            plan = self._plans.get(key)
            if plan is None:
                return None
            known.append((plan.take, bytes(part), message, plan.prepare(message, inner)))
        outcomes = [take(part, is_text, message, inner, None) for take, part, message, inner in known]
        return Parts(tuple([one for one in outcomes if one is not None]))


def plain_of(extractor: Extractor) -> tuple[Get, Get] | None:
    """The decoder and the key of a dialect whose messages need no more to be recognised."""
    if extractor.key is None or extractor.present or extractor.inner_key is not None:
        return None
    return extractor.message[JSON], extractor.key


def fields_alone(dialect: Dialect) -> bool:
    """Whether the feed name alone chooses the topic."""
    fields = dialect.fields
    return len(fields.name_at) == 1 and not fields.when.conditions and fields.unless is None and fields.bound is None
