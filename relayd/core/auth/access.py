"""What somebody may do with a topic: the `access` of its route, over the claims of who asks.

    public                        everybody
    nobody                        nobody
    {role: operator}              whose claim `role` is operator, or a list that holds it
    {role: [operator, admin]}     one of these
    {sub: "$name"}                whose claim `sub` is the topic's field `name`
    {realm_access.roles: viewer}  a claim within a claim
Several claims must all hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from relayd.core.auth.verdict import Identity


class Anyone(Enum):
    """The two rules that do not look at who asks."""

    PUBLIC = "public"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Literal:
    """A value of the file."""

    text: str

    def of(self, fields: Mapping[str, str]) -> str | None:
        """Itself."""
        return self.text


@dataclass(frozen=True, slots=True)
class OfField:
    """`$name`: the topic's own field."""

    name: str

    def of(self, fields: Mapping[str, str]) -> str | None:
        """The raw value; None where the topic has no such field."""
        return fields.get(self.name)


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim that must have one of some values."""

    name: str
    values: tuple[Literal | OfField, ...]

    def holds(self, claims: Mapping[str, object], fields: Mapping[str, str]) -> bool:
        """Whether one value of the claim is wanted."""
        wanted = {value.of(fields) for value in self.values} - {None}
        return not wanted.isdisjoint(texts_of(claims, self.name))


Rule: TypeAlias = "Anyone | tuple[Claim, ...]"


@dataclass(frozen=True, slots=True)
class Access:
    """Who may subscribe to the topics of a route, and who may publish on them."""

    subscribe: Rule = Anyone.PUBLIC
    publish: Rule = Anyone.NOBODY


class Answer(Enum):
    """May they? The values of the two refusals are the protocol's error codes."""

    YES = "yes"
    UNAUTHORIZED = "unauthorized"
    """Not as a stranger: a token may help."""
    FORBIDDEN = "forbidden"
    """Not with this token."""


def ask(rule: Rule, identity: Identity | None, fields: Mapping[str, str]) -> Answer:
    """Whether somebody (None: a stranger) may do what the rule guards, with a topic of these fields. Total."""
    if rule is Anyone.PUBLIC:
        return Answer.YES
    if rule is Anyone.NOBODY:
        return Answer.FORBIDDEN
    if identity is None:
        return Answer.UNAUTHORIZED
    # An empty tuple would hold for everybody who is known; no file can say that, and it is not what it looks like.
    may = bool(rule) and all(claim.holds(identity.claims, fields) for claim in rule)
    return Answer.YES if may else Answer.FORBIDDEN


def may_any(rule: Rule, identity: Identity | None) -> bool:
    """False where `ask` says no whatever the topic is: where that is known, no topic of a route has to be tried."""
    if rule is Anyone.PUBLIC:
        return True
    if rule is Anyone.NOBODY or identity is None:
        return False
    of_topic = (any(isinstance(value, OfField) for value in claim.values) for claim in rule)
    return bool(rule) and all(
        is_of_topic or claim.holds(identity.claims, {}) for claim, is_of_topic in zip(rule, of_topic, strict=True)
    )


def parse_value(text: str) -> Literal | OfField:
    """`$name` is a field, `$$` at the start a dollar sign, everything else itself."""
    if text.startswith("$$"):
        return Literal(text[1:])
    return OfField(text[1:]) if text.startswith("$") else Literal(text)


def texts_of(claims: Mapping[str, object], name: str) -> frozenset[str]:
    """The values of a claim as text: one, or those of a list. Texts as they are, whole numbers in digits, true and
    false; everything else is no value. A name with dots is looked up whole first, then as a way into tables."""
    value = claims.get(name)
    if name not in claims:
        value = claims
        for step in name.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
    members = value if isinstance(value, list | tuple) else (value,)
    return frozenset(text for one in members if (text := _text(one)) is not None)


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < 2**63 else None
    return value if isinstance(value, str) else None
