"""The dialect of a feed: all that its block in relay.yaml fixes, compiled. It knows no connection and no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from relayd.core.feed.connect import Connect
from relayd.core.feed.control import ControlRule
from relayd.core.feed.decode import Decode
from relayd.core.feed.errors import Refused, Unset
from relayd.core.feed.extract import Extractor
from relayd.core.feed.fields import Fields
from relayd.core.feed.login import LoginStep
from relayd.core.feed.match import Match
from relayd.core.feed.path import Path, Paths
from relayd.core.feed.sequence import Sequence
from relayd.core.feed.snapshot import Snapshot
from relayd.core.feed.spec import HeartbeatSpec, LimitsSpec, ReconnectSpec, SilenceSpec
from relayd.core.feed.subscription import UNSUBSCRIBE, Variant, check_joiner, choose
from relayd.core.feed.template import Node, Text, as_text, names_of, render


@dataclass(frozen=True, slots=True)
class FeedRow:
    """A row of the `topics` table."""

    values: Mapping[str, object] = field(default_factory=dict)
    """Placeholder -> value; data, not templates."""
    answers_as: str | None = None
    """The feed name under which the upstream sends what was asked for under this one."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What is said when the heartbeat is due, and what answers it."""

    every: float | Text = 20.0
    """Seconds, or a template of what the server tells."""
    send: Node = None
    sends: bool = False
    expect: Match | None = None
    also: Mapping[str, Text] | None = None
    """The fields of a companion subscription."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the upstream resumes."""

    at: Paths
    rewind: float = 0


@dataclass(frozen=True, slots=True)
class Dialect:
    """An upstream block, compiled; `build.py` makes it."""

    connect: Connect
    fields: Fields = field(default_factory=Fields)
    decode: Decode = field(default_factory=Decode)
    login: tuple[LoginStep, ...] = ()
    subscribe: tuple[Variant, ...] = ()
    unsubscribe: tuple[Variant, ...] = ()
    identities: tuple[tuple[str, ...], ...] = ()
    """Of each `subscribe` variant: the fields that make a subscription the same."""
    topics: Mapping[str, FeedRow] | None = None
    """The feed names there are; None = any."""
    payload: Paths = ()
    control: tuple[ControlRule, ...] = ()
    beat: Beat | None = None
    sequences: tuple[Sequence, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    cursor: Cursor | None = None
    dedupe: Paths = ()
    extractor: Extractor | None = None
    """The compiled way of data messages; None = this dialect needs the general one."""
    field_names: tuple[str, ...] = ()
    """Every field that a message can have, in a fixed order."""

    heartbeat: HeartbeatSpec | None = None
    """None: switched off."""
    silence: SilenceSpec = field(default_factory=SilenceSpec)
    reconnect: ReconnectSpec = field(default_factory=ReconnectSpec)
    limits: LimitsSpec = field(default_factory=LimitsSpec)
    settle_s: float = 1.0
    """With `topics_in_url` or `whole`: how long changes are gathered."""
    dial_at_start: bool = False
    secrets: tuple[str, ...] = ()
    """The `env.X` and `file.PATH` that something uses and that have no default."""

    @property
    def rules(self) -> tuple[Match, ...]:
        """What a message is compared with that is no data, in order: `heartbeat.expect`, then `control`."""
        expect = (self.beat.expect,) if self.beat is not None and self.beat.expect is not None else ()
        return (*expect, *(rule.when for rule in self.control))

    @property
    def unasked(self) -> bool:
        """No `subscribe` block: the upstream sends what it likes."""
        return not self.subscribe

    @property
    def topics_in_url(self) -> bool:
        """A change of what is wanted needs a new connection."""
        return any(variant.in_url for variant in self.subscribe)

    @property
    def acks(self) -> bool:
        """Whether the upstream confirms subscriptions; else they are confirmed when they are sent."""
        by_message = any(rule.ack is not None for rule in self.control)
        return by_message or any(variant.http is not None for variant in self.subscribe)

    @property
    def ack_binds(self) -> bool:
        """Whether an ack tells the id by which data is known."""
        return any(rule.ack is not None and rule.ack.bind is not None for rule in self.control)

    @property
    def login_within_s(self) -> float:
        """How long the whole login may take: the sum of its steps; 0 = there is none that waits."""
        return sum(step.within_s for step in self.login if step.expect is not None)

    def variant_of(self, fields: Mapping[str, str]) -> int | None:
        """The position of the `subscribe` variant for these fields."""
        return choose(self.subscribe, fields)

    def ending(self, position: int, fields: Mapping[str, str]) -> Variant | None:
        """How a subscription of this variant is ended; None = it cannot be, the connection's end does."""
        if self.unsubscribe:
            at = choose(self.unsubscribe, fields)
            return None if at is None else self.unsubscribe[at]
        variant = self.subscribe[position]
        return variant if variant.whole or "verb" in variant.message_names else None

    def within_s(self, fields: Mapping[str, str]) -> float | None:
        """How long an ack or data may take before the topic has failed; None = a quiet topic is no fault."""
        position = self.variant_of(fields)
        return None if position is None else self.subscribe[position].within_s

    def identity(self, position: int, fields: Mapping[str, str]) -> tuple[str, ...]:
        """What makes a subscription of this variant the same. Raises Refused where a field is missing."""
        try:
            return tuple(fields[name] for name in self.identities[position])
        except KeyError as missing:
            raise Refused(f"asking the upstream needs the field {missing.args[0]}") from None

    def feed_name(self, fields: Mapping[str, str]) -> str | None:
        """The upstream's name for these fields; None where it has none, or a field is missing. Raises Refused."""
        name = self.fields.name
        if name is None or any(part not in fields for part in name.fields):
            return None
        return name.together(fields)

    def row_values(self, fields: Mapping[str, str]) -> dict[str, object]:
        """The placeholders of one subscription: fields, `$topic`, values of the `topics` table. Raises Refused."""
        values = self.fields.typed(fields)
        name = self.feed_name(fields)
        if name is not None:
            values["topic"] = name
            if self.topics is not None:
                if name not in self.topics:
                    raise Refused("the upstream has no such topic")
                values.update(self.topics[name].values)
        return values

    def answered_as(self, fields: Mapping[str, str]) -> Mapping[str, str]:
        """The fields under which data for these fields comes."""
        if self.topics is None:
            return fields
        row = self.topics.get(self.feed_name(fields) or "")
        if row is None or row.answers_as is None:
            return fields
        return {**fields, **(self.fields.apart(row.answers_as) or {})}

    def companion(self, fields: Mapping[str, str]) -> dict[str, str] | None:
        """The fields of the subscription that beats for this one; None = there is none."""
        if self.beat is None or self.beat.also is None:
            return None
        try:
            return {name: as_text(text.render(fields)) for name, text in self.beat.also.items()}
        except Unset:
            return None

    def refusal(self, fields: Mapping[str, str]) -> str | None:
        """Why a topic with these fields cannot be asked for, fit for a browser; None = it can."""
        if self.unasked:
            return None
        try:
            position = self.variant_of(fields)
            if position is None:
                return "the upstream has no subscription of this kind"
            self.identity(position, fields)
            values = self.row_values(fields)
            variant = self.subscribe[position]
            known = names_of(variant.each) <= values.keys()
            if variant.join is not None and variant.is_many and known:
                check_joiner(variant, [as_text(render(variant.each, values))])
        except Refused as error:
            return str(error)
        return None


__all__ = ["UNSUBSCRIBE", "Beat", "Cursor", "Dialect", "FeedRow", "Path"]
