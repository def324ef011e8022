"""Feed names: what the upstream calls a subscription, and how it is taken apart into fields and put together again.

In `$symbol@$stream` each field is the shortest text up to the next literal; the last one takes the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from relayd.core.feed.errors import Malformed, Refused

_FIELD = re.compile(r"\$(?:([a-z_][a-z0-9_]*)|\{([a-z_][a-z0-9_]*)\})", re.ASCII)


@dataclass(frozen=True, slots=True)
class FeedName:
    """A feed name's shape."""

    fields: tuple[str, ...]
    literals: tuple[str, ...]
    """One before each field, and one behind the last: always one more than fields."""

    def apart(self, name: str) -> dict[str, str] | None:
        """The fields of a feed name, or None when it has another shape."""
        if not name.startswith(self.literals[0]):
            return None
        at, end = len(self.literals[0]), len(name) - len(self.literals[-1])
        if end < at or not name.endswith(self.literals[-1]):
            return None
        values = {}
        for field, literal in zip(self.fields[:-1], self.literals[1:-1], strict=True):
            found = name.find(literal, at, end)
            if found < 0:
                return None
            values[field] = name[at:found]
            at = found + len(literal)
        values[self.fields[-1]] = name[at:end]
        return values

    def together(self, fields: Mapping[str, str]) -> str:
        """The feed name of these fields. Raises Refused when it would come apart differently: it would mean another."""
        text = self.literals[0] + "".join(
            fields[field] + literal for field, literal in zip(self.fields, self.literals[1:], strict=True)
        )
        apart = self.apart(text)
        if apart is None or any(apart[field] != fields[field] for field in self.fields):
            raise Refused(f"these values do not make one name of the upstream: {text[:200]!r} reads differently")
        return text


#: Without `topic.name` the feed name is a single field.
WHOLE = FeedName(("name",), ("", ""))


def parse_feed_name(text: object) -> FeedName:
    """`topic.name` from the file. Raises Malformed."""
    if not isinstance(text, str):
        raise Malformed("write the feed name with its fields, such as $symbol@$stream")
    fields, literals, at = [], [], 0
    for hit in _FIELD.finditer(text):
        literals.append(text[at : hit.start()])
        fields.append(hit[1] or hit[2])
        at = hit.end()
    literals.append(text[at:])
    if not fields or any("$" in literal for literal in literals):
        raise Malformed(f"{text!r}: write the fields as $field, such as $symbol@$stream")
    if len(set(fields)) < len(fields):
        raise Malformed(f"{text!r}: a field stands twice")
    if "" in literals[1:-1]:
        raise Malformed(f"{text!r}: nobody can tell where one field ends and the next begins; put a text between them")
    return FeedName(tuple(fields), tuple(literals))
