"""The types that a message is decoded into: a tree of msgspec Structs with nothing in it but what is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, Raw, UnsetType

from relayd.core.feed.decode import JSON, MSGPACK, decoder
from relayd.core.feed.path import MISSING, Path

Get: TypeAlias = Callable[[Any], Any]
"""Reads a value from what was decoded; UNSET is what is not there."""

VALUE: Final = str | int | None | UnsetType
SWITCH: Final = str | bool | None | UnsetType
"""What is compared with true or false: not together with numbers, since 1 and true would be the same key."""
SLICE: Final = Raw | UnsetType
ABSENT: Final = None | UnsetType
"""What data does not hold: a message that does, but for null, does not fit."""
_WEAK: Final = (SLICE, ABSENT)
"""Kinds that give way where another is asked for at the same place, which tells as much; the first to all."""

# Keys that msgspec does not take for the name of an attribute.
_UNNAMEABLE = re.compile(r'[\x00-\x1f"\\]')
# A position far behind what feeds use; the array is read up to it in every message (guess).
_WIDEST_ARRAY = 64


class NotCompiled(Exception):
    """This dialect needs a more general way."""


@dataclass(slots=True)
class Node:
    """A place in the message, while the tree is being made."""

    kind: Any = None
    """The type of the value, where it is asked for."""
    children: dict[str | int, Node] = field(default_factory=dict)

    def leaf(self, parts: Iterable[str | int], kind: Any) -> None:
        """Asks for the value at the path. Raises NotCompiled."""
        node = self
        for part in parts:
            if isinstance(part, int) and not 0 <= part < _WIDEST_ARRAY:
                raise NotCompiled
            node = node.children.setdefault(part, Node())
        if node.kind is None or node.kind == SLICE or (node.kind == ABSENT and kind not in _WEAK):
            node.kind = kind
        elif kind not in (node.kind, *_WEAK):
            raise NotCompiled

    def struct(self) -> Any:
        """The type that holds what is asked for below this place. Raises NotCompiled."""
        if self.kind is not None:
            if self.children:
                raise NotCompiled
            return self.kind
        if all(isinstance(part, str) for part in self.children):
            members = [(attribute(part), *child.member()) for part, child in self.children.items()]
            names = {attribute(part): str(part) for part in self.children}
            if any(_UNNAMEABLE.search(name) for name in names.values()):
                raise NotCompiled
            return msgspec.defstruct("Table", members, frozen=True, rename=names)
        if not all(isinstance(part, int) for part in self.children):
            raise NotCompiled
        width = max(int(part) for part in self.children) + 1
        places = [self.children.get(place) or Node(SLICE) for place in range(width)]
        members = [(attribute(at), *child.member()) for at, child in enumerate(places)]
        return msgspec.defstruct("Array", members, frozen=True, array_like=True)

    def member(self) -> tuple[Any, Any]:
        """The type, and what stands for nothing."""
        kind = self.struct()
        return kind, UNSET if self.kind is not None else kind()


def attribute(part: str | int) -> str:
    """The attribute of a key, whatever text that is."""
    return f"i{part}" if isinstance(part, int) else "k" + part.encode("utf-8", "replace").hex()


class Stage:
    """One decoding: of the frame (where it is split), of the message, or of its payload.

    Loosely, the whole is decoded and the same values are looked for in it: for paths that no Struct can hold.
    """

    def __init__(self, loose: bool) -> None:
        self._root = Node()
        self._loose = loose
        self._is_used = False
        self._keys: dict[Path, Get] = {}
        self._kinds: set[Any] = set()
        """Of what is in the key."""

    def want(self, path: Path, kind: Any, *, is_key: bool = False) -> Get:
        """Asks for a value. Returns how it is read from what was decoded. Raises NotCompiled."""
        self._is_used = True
        get: Get
        if self._loose:
            get = _loosely(path, kind)
        elif not path.parts:
            raise NotCompiled
        else:
            self._root.leaf(path.parts, kind)
            get = attrgetter(_where(path))
        if is_key:
            self._keys[path] = get
            self._kinds.add(kind)
        return get

    def decoders(self) -> dict[str, Get]:
        """Its decoders, one for each codec; none where nothing is asked for. Raises NotCompiled."""
        if not self._is_used:
            return {}
        kind = Any if self._loose else self._root.struct()
        return {codec: decoder(codec, kind) for codec in (JSON, MSGPACK)}

    def key(self) -> Get | None:
        """Reads the values that choose the topic, as one hashable thing."""
        if not self._keys:
            return None
        if not self._loose:
            return attrgetter(*map(_where, self._keys))
        together = _together(tuple(self._keys.values()))
        places = [path.parts[0] for path in self._keys if len(path.parts) == 1]
        if len(self._keys) == len(places) == 2 and all(isinstance(at, int) for at in places) and self._kinds == {VALUE}:
            return _of_array(places[0], places[1], together)
        return together


def _together(getters: tuple[Get, ...]) -> Get:
    if len(getters) == 1:
        (only,) = getters
        return lambda doc: (only(doc),)
    if len(getters) == 2:  # a list made for two costs as much as reading them
        first, second = getters
        return lambda doc: (first(doc), second(doc))
    return lambda doc: tuple([get(doc) for get in getters])


def _of_array(first: Any, second: Any, general: Get) -> Get:
    """Two plain values of an array: what feeds with positions send. All else is looked at closely."""
    taken = frozenset((str, int))

    def key(doc: Any) -> Any:
        if doc.__class__ is list:
            try:
                one, other = doc[first], doc[second]
            except IndexError:
                return general(doc)
            if one.__class__ in taken and other.__class__ in taken:
                return one, other
        return general(doc)

    return key


def _where(path: Path) -> str:
    return ".".join(map(attribute, path.parts))


def _loosely(path: Path, kind: Any) -> Get:
    taken = frozenset((str, bool)) if kind == SWITCH else frozenset((str, int))
    find = path.find

    def general(doc: Any) -> Any:
        value = find(doc)
        if value is MISSING:
            return UNSET
        if kind in _WEAK or isinstance(value, dict | list):
            # It is there, and that is all a key or a comparison can know of it.
            return Ellipsis
        if value is None or value.__class__ in taken:
            return value
        raise ValueError("a value of this type can be no key")

    if kind in _WEAK or len(path.parts) != 1 or not isinstance(path.parts[0], int):
        return general
    position = path.parts[0]

    def at(doc: Any) -> Any:
        # An array, and a plain value in its place: what feeds with positions send. All else is looked at closely.
        if doc.__class__ is list and -len(doc) <= position < len(doc) and (value := doc[position]).__class__ in taken:
            return value
        return general(doc)

    return at
