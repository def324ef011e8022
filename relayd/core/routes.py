"""Routes: which topics exist, which upstream they come from, and how they are delivered.

A browser's topic finds its route by the template and is let through by `allow`; an upstream's fields find the topics
that
they are published on. Both directions end in the same `Match`, so the two can never disagree about a name.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import translate
from types import MappingProxyType
from typing import Protocol

from relayd.core.auth.access import Access
from relayd.core.feed.publish import Publish
from relayd.core.topic import TopicError, TopicPattern, TopicTemplate, check_topic, is_pattern

# A value longer than this is not tried against a regex of the file (shared decision in docs/reference/config.md): it
# bounds what a browser can make a badly written expression cost.
MAX_REGEX_VALUE_CHARS = 64


class TopicRefused(Exception):
    """A topic that is not to be had. `code` is one of the protocol's error codes, the text names the setting that
    decides. `retry_s`: in so many seconds the same may be had; None where waiting alone does not help."""

    def __init__(self, code: str, message: str, retry_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_s = retry_s


class Allow(Protocol):
    """Which raw values of one field a browser may ask for."""

    def permits(self, value: str) -> bool:
        """Whether the value is let through."""
        ...

    @property
    def values(self) -> tuple[str, ...] | None:
        """All of them where the list is finite, else None."""
        ...


@dataclass(frozen=True, slots=True)
class AllowValues:
    """`allow: {channel: [ticker, level2]}`: exactly these."""

    values: tuple[str, ...]

    def permits(self, value: str) -> bool:
        """Whether the value is one of the list."""
        return value in self.values


@dataclass(frozen=True, slots=True)
class AllowGlob:
    """`allow: {symbol: "*-USD"}`: a shell pattern over the whole value, case-sensitive."""

    glob: str
    values: None = None
    _regex: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_regex", re.compile(translate(self.glob)))

    def permits(self, value: str) -> bool:
        """Whether the value fits the glob."""
        return self._regex.match(value) is not None


@dataclass(frozen=True, slots=True)
class AllowRegex:
    """`allow: {line: {regex: "L[0-9]{1,3}"}}`: a full match, on values up to MAX_REGEX_VALUE_CHARS characters."""

    regex: re.Pattern[str]
    values: None = None

    def permits(self, value: str) -> bool:
        """Whether the whole value matches."""
        return len(value) <= MAX_REGEX_VALUE_CHARS and self.regex.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class AllowAny:
    """`allow: {sensor: any}`."""

    values: None = None

    def permits(self, value: str) -> bool:
        """Always."""
        return True


class Mode(Enum):
    """What a lagging reader gets (docs/backpressure.md)."""

    QUEUE = "queue"
    """Everything the ring still holds, in order; what it let go is announced."""
    CONFLATE = "conflate"
    """Only the newest per topic, or per key."""
    LOSSLESS = "lossless"
    """As QUEUE, and a fresh snapshot with its deltas when the ring let something go."""


class Form(Enum):
    """`deliver.as`: under which key of the envelope a text payload stands."""

    AUTO = "auto"
    """`data` if the text is one whole JSON value, else `text`."""
    DATA = "data"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A route's `deliver` block, resolved. Rates in hertz, ages and waits in seconds; None is off."""

    mode: Mode
    history_count: int
    history_bytes: int
    history_age_s: float
    deltas: bool
    """True where the feed declares a snapshot: the topic is a state, then its changes."""
    max_hz: float | None
    max_lag_s: float | None
    slow_after_s: float
    form: Form
    stamp: bool
    key_of: Callable[[bytes], Hashable] | None
    """Reads the conflation key from a payload; None conflates by the topic alone."""


@dataclass(frozen=True, slots=True)
class Route:
    """One rule that ties a topic template to an upstream, or to what clients publish."""

    template: TopicTemplate
    upstream: str | None
    """None: a local route, whose publications come from clients alone."""
    allow: Mapping[str, Allow]
    """Per field; a field without an entry takes any value."""
    delivery: Delivery
    stale_after_s: float | None
    linger_s: float
    pin: tuple[str, ...]
    """Topics of this route that are wanted whoever listens."""
    access: Access = field(default_factory=Access)
    """Who may do what with its topics."""
    publish: Publish | None = None
    """What is sent to the upstream of what clients publish; None: nothing is."""
    exclusive: bool = False
    """Each browser has an upstream connection of its own: its topics are in no hub (core/bridge.py)."""

    @property
    def fixed(self) -> dict[str, str]:
        """Fields that do not stand in the topic, with the one value that `allow` leaves them."""
        return {
            name: allow.values[0]
            for name, allow in self.allow.items()
            if name not in self.template.fields and allow.values is not None and len(allow.values) == 1
        }

    def refusal(self, fields: Mapping[str, str]) -> str | None:
        """The name of the first field whose value `allow` does not permit, or None."""
        for name, allow in self.allow.items():
            value = fields.get(name)
            if value is None or not allow.permits(value):
                return name
        return None

    def finite(self, only: Mapping[str, str] = MappingProxyType({})) -> Iterator[dict[str, str]] | None:
        """All field values of the template where every one of them has a finite list, else None. `only` are the values
        that some fields must have."""
        lists: list[tuple[str, ...]] = []
        for name in self.template.fields:
            allow = self.allow.get(name)
            if allow is None or allow.values is None:
                return None
            wanted = only.get(name)
            lists.append(allow.values if wanted is None else (wanted,) if allow.permits(wanted) else ())
        names = self.template.fields
        return (dict(zip(names, values, strict=True)) for values in itertools.product(*lists))


@dataclass(frozen=True, slots=True)
class Match:
    """A topic that a route yields."""

    name: str
    route: Route
    fields: Mapping[str, str]
    """The route's fields: those in the topic and those that `allow` fixes."""


class RouteTable:
    """All routes of a configuration. The first segment, where it is a literal, finds the few that can match."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._by_head: dict[str, list[Route]] = {}
        self._headless: list[Route] = []
        self._by_upstream: dict[str, list[Route]] = {}
        for route in routes:
            head = route.template.segments[0]
            if head[0] == "$":
                self._headless.append(route)
            else:
                self._by_head.setdefault(head, []).append(route)
            if route.upstream is not None:
                self._by_upstream.setdefault(route.upstream, []).append(route)

    def find(self, name: str) -> Match:
        """The route of a browser's topic.

        Raises TopicRefused: `bad_request` for a name outside the grammar, `unknown_topic` where no route has such a
        topic,
        `forbidden` where one has and its `allow` does not let the value through.
        """
        if is_pattern(name):
            raise TopicRefused("bad_request", "a pattern is no topic")
        try:
            head = check_topic(name)[0]
        except TopicError as error:
            raise TopicRefused("bad_request", str(error)) from None
        refused: TopicRefused | None = None
        for route in (*self._by_head.get(head, ()), *self._headless):
            values = route.template.match(name)
            if values is None:
                continue
            fields = values | route.fixed
            field_name = route.refusal(fields)
            if field_name is None:
                return Match(name, route, MappingProxyType(fields))
            refused = refused or TopicRefused(
                "forbidden", f"route {route.template.text}: allow.{field_name} does not permit this value"
            )
        raise refused or TopicRefused("unknown_topic", "no route has this topic")

    def of_fields(self, upstream: str, fields: Mapping[str, str]) -> list[Match]:
        """The topics on which a message of this upstream with these fields is published, one per route that lets it
        through."""
        found = []
        for route in self._by_upstream.get(upstream, ()):
            if any(name not in fields for name in route.template.fields) or route.refusal(fields) is not None:
                continue
            try:
                name = route.template.render(fields)
            except TopicError:
                continue  # an empty or overlong value: the caller counts what found no topic
            own = {key: fields[key] for key in route.template.fields} | route.fixed
            found.append(Match(name, route, MappingProxyType(own)))
        return found

    def finite_topics(self, pattern: TopicPattern, may: Callable[[Route], bool] = lambda _: True) -> Iterator[Match]:
        """The topics a pattern can create demand for: those of routes whose `allow` lists are finite, and that `may`
        lets through. What the pattern does not mean costs nothing: a hundred channels of a thousand symbols are more
        than may be tried in one turn.
        """
        for route in self.routes:
            only = None if route.exclusive else route.template.meant_by(pattern)
            if only is None or not may(route):
                continue
            fixed = route.fixed
            for values in route.finite(only) or ():
                yield Match(route.template.render(values), route, MappingProxyType(values | fixed))
