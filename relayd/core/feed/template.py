"""Messages with placeholders: `$name`, `${name}`, `${env.X:-default}`, `${file.PATH}`, `${msg.path}`, `${name.upper}`.

A message is a YAML structure. Its leaves are rendered, then the whole is serialised once, so no value can end a
string or add a key. A leaf that is exactly one placeholder keeps the value's type, else it becomes text (so does
`${id.text}`). `$$` is a dollar sign. A bare text is a text frame as it stands: there, and only there, values that
could break out of a quoted string are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from relayd.core.feed.errors import Malformed, Refused, Unset
from relayd.core.feed.path import MISSING, Path, Scope, parse_path

Values: TypeAlias = Mapping[str, object]
"""Placeholder -> value. `msg` is the Scope of the message that is answered; secrets stand under their whole name."""

SECRET_ROOTS: Final = ("env", "file", "browser")
"""Where secrets come from: whoever holds the connection reads them and hands them in by the placeholder's name."""

_REF = re.compile(r"\$(?:(\$)|([A-Za-z_][A-Za-z0-9_]*)|\{([^{}]*)\})")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_BREAKS_OUT = re.compile(r'[\x00-\x1f"\\\x7f]')
_FILTERS: Final[Mapping[str, Callable[[str], str]]] = {"upper": str.upper, "lower": str.lower, "text": str}


@dataclass(frozen=True, slots=True)
class Ref:
    """One placeholder."""

    name: str
    """As looked up: `symbol`, `env.CB_KEY`, `msg`."""
    path: Path | None = None
    """Of `${msg.path}`."""
    filters: tuple[str, ...] = ()
    default: str | None = None
    """Of a secret: used where it is not set."""

    def value(self, values: Values) -> object:
        """The value. Raises Unset."""
        found = values.get(self.name, MISSING)
        if self.path is not None:
            found = found.get(self.path) if isinstance(found, Scope) else MISSING
        if found is MISSING:
            if self.default is None:
                raise Unset(self.name if self.path is None else f"msg.{self.path.text}")
            found = self.default
        for name in self.filters:
            found = _FILTERS[name](as_text(found))
        return found


Part: TypeAlias = str | Ref
"""Of a text: a literal or a placeholder."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text with placeholders."""

    parts: tuple[Part, ...]

    @property
    def refs(self) -> Iterator[Ref]:
        """Its placeholders."""
        return (part for part in self.parts if isinstance(part, Ref))

    @property
    def only(self) -> Ref | None:
        """The placeholder, where the text is exactly one."""
        return self.parts[0] if len(self.parts) == 1 and isinstance(self.parts[0], Ref) else None

    def render(self, values: Values) -> object:
        """The value of the one placeholder, or text. Raises Unset."""
        only = self.only
        return only.value(values) if only is not None else self.text(values)

    def text(self, values: Values, encode: Callable[[object], str] | None = None) -> str:
        """The text; `encode` turns values into text in place of `as_text`. Raises Unset."""
        encode = encode or as_text
        return "".join(part if isinstance(part, str) else encode(part.value(values)) for part in self.parts)


Node: TypeAlias = "Text | int | float | bool | tuple[Node, ...] | dict[Text, Node] | None"
"""A structure whose texts are compiled: lists are tuples, tables are dicts of Text."""


def as_text(value: object) -> str:
    """A value inside a text: as JSON would write it, without quotes around a text."""
    return value if isinstance(value, str) else to_json(value).decode()


def parse_text(text: object, roots: tuple[str, ...] = ()) -> Text:
    """A text with placeholders; `roots` are those of paths (`${msg.outer.type}`). Raises Malformed."""
    if not isinstance(text, str):
        raise Malformed(f"{text!r} is not text")
    parts: list[Part] = []
    at = 0
    for hit in _REF.finditer(text):
        _literal(parts, text[at : hit.start()])
        if hit[1]:
            _literal(parts, "$", is_dollar=True)
        else:
            parts.append(_parse_ref(hit[2] or hit[3], roots))
        at = hit.end()
    _literal(parts, text[at:])
    return Text(tuple(parts))


def _literal(parts: list[Part], literal: str, is_dollar: bool = False) -> None:
    if "$" in literal and not is_dollar:
        raise Malformed(f"{literal!r}: a placeholder is $name or ${{name}}; a dollar sign is written $$")
    if parts and isinstance(parts[-1], str):
        parts[-1] += literal
    elif literal:
        parts.append(literal)


def _parse_ref(inner: str, roots: tuple[str, ...]) -> Ref:
    root, dot, rest = inner.partition(".")
    if dot and root in SECRET_ROOTS:
        name, has_default, default = rest.partition(":-")
        if not name:
            raise Malformed(f"${{{inner}}}: the name is missing")
        return Ref(f"{root}.{name}", default=default if has_default else None)
    if dot and root == "msg":
        return Ref("msg", parse_path(rest or ".", roots))
    filters = tuple(rest.split(".")) if dot else ()
    if not _NAME.fullmatch(root) or not all(name in _FILTERS for name in filters):
        known = ", ".join((*(f"${{{one}.…}}" for one in (*SECRET_ROOTS, "msg")), "${field.upper}", "${field.lower}"))
        raise Malformed(f"${{{inner}}} is no placeholder; write $name, or one of {known}")
    return Ref(root, filters=filters)


def compile_node(value: object, roots: tuple[str, ...] = ()) -> Node:
    """A structure from the file. Raises Malformed."""
    if isinstance(value, str):
        return parse_text(value, roots)
    if isinstance(value, Mapping):
        return {parse_text(key, roots): compile_node(one, roots) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return tuple(compile_node(one, roots) for one in value)
    if value is None or isinstance(value, int | float):
        return value
    raise Malformed(f"{value!r} cannot be sent as JSON")


def refs_of(node: Node) -> Iterator[Ref]:
    """All placeholders of a structure."""
    for text in texts_of(node):
        yield from text.refs


def names_of(node: Node) -> frozenset[str]:
    """The names a structure looks up."""
    return frozenset(ref.name for ref in refs_of(node))


def texts_of(node: Node) -> Iterator[Text]:
    """All texts of a structure, keys included."""
    if isinstance(node, Text):
        yield node
    elif isinstance(node, dict):
        for key, one in node.items():
            yield key
            yield from texts_of(one)
    elif isinstance(node, tuple):
        for one in node:
            yield from texts_of(one)


def render(node: Node, values: Values) -> object:
    """The structure with its values. Raises Unset; Refused when a key is rendered twice."""
    if isinstance(node, Text):
        return node.render(values)
    if isinstance(node, dict):
        table = {as_text(key.render(values)): render(one, values) for key, one in node.items()}
        if len(table) < len(node):
            raise Refused("these values would give a message the same key twice")
        return table
    if isinstance(node, tuple):
        return [render(one, values) for one in node]
    return node


def render_frame(node: Node, values: Values) -> bytes:
    """The bytes of a text frame: JSON, or a bare text as it stands. Raises Unset, Refused."""
    if isinstance(node, Text):
        return node.text(values, _unquotable).encode("utf-8", "replace")
    return to_json(render(node, values))


def to_json(value: object) -> bytes:
    """Compact JSON. Raises Refused for a text that is not Unicode (half of a surrogate pair)."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        raise Refused("a value is not valid Unicode") from None


def _unquotable(value: object) -> str:
    text = as_text(value)
    if _BREAKS_OUT.search(text):
        raise Refused("a value holds a quote, a backslash or a control character; messages of this upstream cannot")
    return text
