"""relay.yaml as text -> Config. The only module that reads YAML.

Every problem of the file is found in one run: those of the YAML itself, of single values, and of the whole
(`check`). A block with a problem is left out of what is checked next, so that one mistake is told once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml

from relayd.config.check.whole import check
from relayd.config.model import Config
from relayd.config.plain import Ambiguous, Plain, TooLong, read_plain
from relayd.config.problem import Key, KeyPath, Place, Problem, Source, may_be_secret
from relayd.config.scalars import OFF
from relayd.config.syntax import explain
from relayd.config.validate import validate
from relayd.core.errors import ConfigErrors

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # a PyYAML built without libyaml: slower, and the same events
    from yaml import SafeLoader  # type: ignore[assignment]  # the other class, with the same methods

#: Two hundred upstreams written out take 200 KiB; a larger file is a mistake or an attack (guess).
MAX_FILE_BYTES: Final = 1 << 20
#: The deepest of 18 real feeds has 11 levels; recursion over what was read stays bounded.
MAX_DEPTH: Final = 20

TOP: Final = Place(1, 1)

_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Broken:
    """Stands where a value was refused; what is checked later passes over it."""


BROKEN: Final = Broken()


class _GaveUpError(Exception):
    """What follows cannot be read: the problem stands in the list."""


class Reader(SafeLoader):
    """Reads events into plain data, remembers where everything stands, refuses what two readers could see differently.

    Only the event stream of the loader is used: no tag, anchor or merge key is ever resolved.
    """

    def __init__(self, text: str, file: str) -> None:
        super().__init__(text)
        self.text = text
        self.file = file
        self.problems: list[Problem] = []
        self.complete = False
        """The whole text was read, so that what is missing from the data is missing from the file."""
        self._keys: dict[KeyPath, Place] = {}
        self._values: dict[KeyPath, Place] = {}

    def read_source(self) -> Source:
        """The data and its places; `problems` holds what was refused, with BROKEN in its place."""
        data: Any = BROKEN
        try:
            data = self._document()
            self.complete = True
        except yaml.MarkedYAMLError as error:
            self._explain(error)
        except _GaveUpError:
            pass
        return Source(self.file, data, self._keys, self._values)

    def _document(self) -> Any:
        self._next()
        if isinstance(self._next(), yaml.StreamEndEvent):
            self._give_up(Place(1, 1), (), "the file is empty", "at least `upstreams` and `routes`")
        event = self._next()
        if not isinstance(event, yaml.MappingStartEvent):
            self._give_up(_place(event), (), "the file is no table", "keys such as upstreams: and routes:")
        data = self._value(event, ())
        self._next()
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            self._give_up(_place(event), (), "a second document starts here", "one document, without `---` after it")
        return data

    def _value(self, event: Any, path: KeyPath) -> Any:
        place = self._values[path] = _place(event)
        if len(path) > MAX_DEPTH:
            self._give_up(place, path[:1], f"deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._refuse(place, path, "an alias: write the value out, or quote a text that starts with `*`")
        if event.anchor is not None:
            self._refuse(place, path, "an anchor: there are no aliases that could use it")
        if event.tag is not None:
            self._refuse(place, path, "a tag: types are known without")
        if isinstance(event, yaml.MappingStartEvent):
            return self._table(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(path)
        return self._scalar(event, path)

    def _list(self, path: KeyPath) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            found.append(self._value(event, (*path, len(found))))
        return found

    def _table(self, path: KeyPath) -> dict[Key, Any]:
        found: dict[Key, Any] = {}
        places: dict[str, Place] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            place = _place(event)
            key = self._key(event, path)
            here = path if key is None else (*path, key)
            first = places.get(str(key))
            if first is not None:
                self._refuse(place, here, f"the key stands twice, first in line {first.line}")
                here = path
            if here == path:
                self._discard()
                continue
            places[str(key)] = self._keys[here] = place
            found[here[-1]] = self._value(self._next(), here)
        return found

    def _key(self, event: Any, path: KeyPath) -> Key | None:
        """The key, or None where it was refused."""
        place = _place(event)
        if isinstance(event, yaml.AliasEvent):
            self._refuse(place, (*path, "?"), "an alias where a key is meant: write the key out")
            return None
        if not isinstance(event, yaml.ScalarEvent):
            self._skip(event)
            self._refuse(place, (*path, "?"), "a list or a table where a key is meant")
            return None
        if event.anchor is not None or event.tag is not None:
            self._refuse(place, (*path, event.value), "a key with a tag or an anchor: write the key alone")
            return None
        if event.style:
            return str(event.value)
        key = self._plain(event, (*path, event.value), is_key=True)
        if isinstance(key, str) or (isinstance(key, int) and not isinstance(key, bool)):
            return key
        if not isinstance(key, Broken):
            self._refuse(place, (*path, event.value), "a key is text", expected=f'quotes: "{event.value}"')
        return None

    def _scalar(self, event: Any, path: KeyPath) -> Any:
        return event.value if event.style else self._plain(event, path)

    def _plain(self, event: Any, path: KeyPath, *, is_key: bool = False) -> Plain | Broken:
        place, text = _place(event), event.value
        try:
            value = read_plain(text)
        except Ambiguous as error:
            if may_be_secret(path):
                what = "a word that YAML 1.1 and YAML 1.2 read differently"
                return self._refuse(place, path, what, expected="quotes around it")
            return self._refuse(place, path, f"`{text}` is {error}", expected=error.instead)
        except TooLong:
            return self._refuse(place, path, "a number of more than 18 digits", expected="quotes around it")
        if is_key and value is OFF:
            return self._refuse(place, path, "`off` is false in YAML 1.1 and text in YAML 1.2", expected='"off"')
        return value

    def _discard(self) -> None:
        self._skip(self._next())

    def _skip(self, event: Any) -> None:
        """Reads to the end of what starts with this event, however deep, and forgets it."""
        depth = 0
        while True:
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth == 0:
                return
            event = self._next()

    def _next(self) -> Any:
        return self.get_event()

    def _refuse(self, place: Place, path: KeyPath, what: str, expected: str = "") -> Broken:
        self.problems.append(Problem(self.file, place, path, what, expected=expected))
        return BROKEN

    def _give_up(self, place: Place, path: KeyPath, what: str, expected: str = "") -> NoReturn:
        self._refuse(place, path, what, expected)
        raise _GaveUpError

    def _explain(self, error: yaml.MarkedYAMLError) -> None:
        mark, start = error.problem_mark, error.context_mark
        at = self.text[mark.index : mark.index + 1] if mark is not None else ""
        what, at_start = explain(error.problem or "", error.context or "", at)
        mark = start if at_start and start is not None else mark
        self._refuse(Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1), (), what)


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


def load(path: str | Path, environ: Mapping[str, str]) -> Config:
    """The Config of a file.

    Raises ConfigErrors for everything: no file, one that cannot be read, one that is not valid.
    """
    name = str(path)
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise _refused(name, "there is no such file", "a relay.yaml; `relayd init` writes one") from None
    except IsADirectoryError:
        raise _refused(name, "this is a directory", "a file") from None
    except PermissionError:
        raise _refused(name, "the file may not be read by this user", "read permission") from None
    except (OSError, ValueError) as error:
        raise _refused(name, f"the file cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise _refused(name, "the file is larger than 1 MiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        place = _place_of(before, len(before))
        raise _refused(name, "this is not UTF-8", "a file saved as UTF-8", place) from None
    return loads(text, name, environ)


def loads(text: str, name: str, environ: Mapping[str, str]) -> Config:
    """The Config of a text; `name` is what errors call it. Raises ConfigErrors with every problem of the text."""
    if len(text) > MAX_FILE_BYTES:
        raise _refused(name, "the file is larger than 1 MiB")
    hit = _UNPRINTABLE.search(text)
    if hit is not None:
        what = f"a control character (U+{ord(hit[0]):04X}) cannot stand in YAML"
        raise _refused(name, what, 'an escape such as "\\x1e" in double quotes', _place_of(text, hit.start()))
    reader = Reader(text, name)
    source = reader.read_source()
    if not reader.complete:
        raise ConfigErrors(reader.problems)
    config, blocks, problems = validate(source, reader.problems)
    problems += check(blocks, source, environ)
    if problems or config is None:
        in_order = sorted(problems, key=lambda problem: problem.place)
        raise ConfigErrors(in_order)
    return config


def _refused(name: str, what: str, expected: str = "", place: Place = TOP) -> ConfigErrors:
    return ConfigErrors([Problem(name, place, (), what, expected=expected)])


def _place_of(text: str, index: int) -> Place:
    return Place(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))
