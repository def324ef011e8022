"""The compiled way of data messages: one Struct that holds only the values that decide, and the payload as a slice.

The values that choose the topic (`at`, `bound`, and what `when` and `unless` compare) together are the key under which
`shortcut.py` remembers what the general way (`hearing.py`) found out. So this way never decides: it recognises. What
does not fit the Struct (another type, an ack, a beat) raises, and goes the general way. A dialect whose paths make no
Struct (`-1`, `key_of`) is read loosely: decoded whole, then asked for the same values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import UNSET, Raw, UnsetType

from relayd.core.feed.decode import JSON, MSGPACK, Decode, decoder
from relayd.core.feed.extract_read import Reader, Value, read_flag, read_number, read_value
from relayd.core.feed.extract_tree import ABSENT, SLICE, SWITCH, VALUE, Get, NotCompiled, Stage
from relayd.core.feed.fields import Fields
from relayd.core.feed.head import compile_head
from relayd.core.feed.match import ALWAYS, Condition, Match
from relayd.core.feed.path import OUTER, SSE, Path
from relayd.core.feed.sequence import Sequence
from relayd.core.feed.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Extractor:
    """A dialect's compiled way. Decoders stand under their codec; none where there is nothing to decode."""

    message: dict[str, Get]
    key: Get | None
    key_paths: frozenset[Path]
    """Where the values of the key stand."""
    present: tuple[Get, ...]
    """Values that must be there (`when: {x: "*"}`)."""
    payload: Get | None
    inner: dict[str, Get]
    """Of the payload, for values that stand in it."""
    inner_key: Get | None
    outer: dict[str, Get]
    """Of the frame, for its parts and the values of `outer.`."""
    outer_key: Get | None
    parts: Get | None
    """Reads the parts from the decoded frame."""
    split: dict[str, Get]
    """Of a frame that is an array of parts."""
    separator: bytes | None
    sequences: tuple[Reader, ...]
    """A message's number, for each `sequence` variant."""
    snapshots: tuple[Reader | None, ...]
    """Whether it is a snapshot, for each `snapshot` variant."""
    cursor: Reader | None
    cursor_outside: Path | None
    """The cursor stands beside the message: `sse.id`."""
    dedupe: Reader | None
    guards: tuple[Get | None, ...]
    """For each rule a value without which it cannot match; None = all its values are in the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What of a dialect is to be read from every data message."""

    fields: Fields
    decode: Decode
    payload: tuple[Path, ...]
    sequences: tuple[Sequence, ...]
    snapshots: tuple[Snapshot, ...]
    cursor: tuple[Path, ...]
    dedupe: tuple[Path, ...]
    rules: tuple[Match, ...]
    """What may still match a message whose topic nobody wants: `heartbeat.expect`, then `control`."""


class _Compiler:
    def __init__(self, wishes: Wishes, *, loose: bool) -> None:
        self.wishes = wishes
        self.loose = loose
        self.message, self.inner, self.frame = Stage(loose), Stage(loose), Stage(loose)
        self.key_paths: set[Path] = set()
        self.payload: Path | None = None
        self.payload_get: Get | None = None
        if wishes.payload:
            self.payload = wishes.payload[0]
            if len(wishes.payload) > 1 or self.payload.root or loose:
                raise NotCompiled
            self.payload_get = self.message.want(self.payload, SLICE)

    def get(self, path: Path, kind: Any, *, is_key: bool = False) -> tuple[Stage, Get]:
        """Asks for a value. Returns the stage that will hold it, and how it is read."""
        if is_key:
            self.key_paths.add(path)
        depth = len(self.payload.parts) if self.payload is not None else 0
        if path.root == OUTER:
            stage = self.frame
        elif path.root:
            raise NotCompiled
        elif self.payload is not None and path.parts[:depth] == self.payload.parts:
            stage, path = self.inner, Path(path.text, path.parts[depth:])
        else:
            stage = self.message
        return stage, stage.want(path, kind, is_key=is_key)

    def choose_topic(self) -> tuple[Get, ...]:
        """Asks for what chooses the topic. Returns what must be present."""
        fields = self.wishes.fields
        if fields.key_of and not self.loose:
            raise NotCompiled
        for key in fields.key_of:
            self.get(Path(key, (key,)), SLICE, is_key=True)
        for paths in (*fields.at.values(), fields.name_at, () if fields.bound is None else (fields.bound,)):
            for path in paths:
                self.get(path, VALUE, is_key=True)
        when, unless = fields.when, fields.unless or ALWAYS
        if when.texts or unless.texts:
            raise NotCompiled
        for condition in (*when.conditions, *unless.conditions):
            if not condition.presence:
                self.get(condition.path, kind_of(condition), is_key=True)
        for condition in unless.conditions:
            if condition.presence:
                self.get(condition.path, ABSENT, is_key=True)
        found = [self.get(condition.path, SLICE) for condition in when.conditions if condition.presence]
        if any(stage is not self.message for stage, _ in found):
            raise NotCompiled
        return tuple([get for _, get in found])

    def inside(self, path: Path, kind: Any) -> Value:
        """Asks for a value that does not choose the topic."""
        stage, get = self.get(path, kind)
        if stage is self.frame:
            raise NotCompiled
        return Value(get, stage is self.inner)

    def number(self, rule: Sequence) -> Reader:
        """A message's number."""
        values = [self.inside(path, VALUE) for path in rule.paths]
        depth = len(self.payload.parts) if self.payload is not None else 0
        rests = [path.parts[depth:] for path in rule.paths]
        keys = tuple(rest[0] for rest in rests if len(rest) == 1 and isinstance(rest[0], str))
        is_head = values[0].in_payload and len(keys) == len(rests)
        return read_number(values, compile_head(keys) if is_head else None)

    def flag(self, rule: Snapshot) -> Reader | None:
        """Whether a message is a snapshot."""
        if rule.when is None:
            return None
        if rule.when.texts:
            raise NotCompiled
        kinds = [(one, SLICE if one.presence else kind_of(one)) for one in rule.when.conditions]
        return read_flag([(self.inside(one.path, kind), one) for one, kind in kinds])

    def value(self, paths: tuple[Path, ...]) -> Reader | None:
        """A cursor or an identity."""
        if len(paths) > 1:
            raise NotCompiled
        return read_value(self.inside(paths[0], VALUE)) if paths else None

    def guard(self, rule: Match) -> Get | None:
        """A value without which the rule cannot match, unless the key tells."""
        if rule.texts:
            # A text frame that a rule names in full is no object and no array, but for those written like one.
            never = not any(text.lstrip()[:1] in ("{", "[", "*") for text in rule.texts)
            return (lambda message: UNSET) if never else _always
        others = [one for one in rule.conditions if one.path not in self.key_paths]
        for condition in others:
            stage, get = self.get(condition.path, SLICE)
            if stage is self.message:
                return get
        return None if rule.conditions and not others else _always


def _always(message: Any) -> Any:
    return Ellipsis


def kind_of(condition: Condition) -> Any:
    """The type of what a condition compares with. Raises NotCompiled where keys would be confused."""
    switches = {isinstance(value, bool) for value in condition.values if value is not None}
    if any(isinstance(value, float) for value in condition.values) or len(switches) > 1:
        raise NotCompiled
    return SWITCH if True in switches else VALUE


def compile_extractor(wishes: Wishes) -> Extractor | None:
    """The compiled way of a dialect; None where it needs the general one."""
    for loose, guarded in ((False, True), (False, False), (True, True)):
        try:
            return _compile(_Compiler(wishes, loose=loose), guarded)
        except NotCompiled:
            continue
    return None


def _compile(compiler: _Compiler, guarded: bool) -> Extractor:
    wishes, message, inner, frame = compiler.wishes, compiler.message, compiler.inner, compiler.frame
    present = compiler.choose_topic()
    sequences = tuple(compiler.number(one) for one in wishes.sequences)
    snapshots = tuple(compiler.flag(one) for one in wishes.snapshots)
    outside = next((path for path in wishes.cursor if path.root == SSE), None)
    cursor = compiler.value(wishes.cursor) if outside is None else None
    dedupe = compiler.value(wishes.dedupe)
    guards = tuple(compiler.guard(rule) if guarded else _always for rule in wishes.rules)
    split, outer, parts = wishes.decode.split, frame.decoders(), None
    if split is not None and split.parts:
        if compiler.loose:
            raise NotCompiled
        parts = frame.want(split, list[Raw] | UnsetType)
        outer = frame.decoders()
    elif outer:
        raise NotCompiled
    whole = {codec: decoder(codec, list[Raw]) for codec in (JSON, MSGPACK)} if split is not None and not parts else {}
    return Extractor(
        message=message.decoders(),
        key=message.key(),
        key_paths=frozenset(compiler.key_paths),
        present=present,
        payload=compiler.payload_get,
        inner=inner.decoders(),
        inner_key=inner.key(),
        outer=outer,
        outer_key=frame.key(),
        parts=parts,
        split=whole,
        separator=None if wishes.decode.separator is None else wishes.decode.separator.encode(),
        sequences=sequences,
        snapshots=snapshots,
        cursor=cursor,
        cursor_outside=outside,
        dedupe=dedupe,
        guards=guards,
    )
