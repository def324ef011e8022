"""Routes: what a topic is made of, which values are let through, and how it can be delivered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from relayd.config.check.deltas import deltas_of, variants_fit
from relayd.config.check.values import Fit
from relayd.config.check.wayup import check_way_up
from relayd.config.model import Route, Upstream
from relayd.config.problem import KeyPath, Problem, Source, alternatives, closest
from relayd.core.feed.dialect import Dialect
from relayd.core.routes import AllowValues
from relayd.core.topic import TopicError, TopicTemplate


@dataclass(frozen=True, slots=True)
class Feed:
    """An upstream that is right in itself, and its dialect."""

    upstream: Upstream
    dialect: Dialect


def check_route(at: int, route: Route, template: TopicTemplate, feed: Feed, source: Source) -> Iterator[Problem]:
    """The problems of one route with its upstream."""
    check = _Check(("routes", at), route, template, feed, source)
    unknown = list(check.unknown_fields())
    yield from unknown
    if not unknown:
        yield from check.asked()
        yield from check.identity()
        yield from check.feed_names()
        yield from check.way_up()
        yield from check.delivery()
        yield from check.pinned()


def parse_topic(at: int, route: Route, source: Source) -> TopicTemplate | Problem:
    """The template of a route's topic, or what is wrong with it."""
    try:
        return TopicTemplate.parse(route.topic)
    except TopicError as error:
        return source.problem(("routes", at, "topic"), str(error), expected="a template such as market/ticker/$symbol")


def check_key(path: KeyPath, route: Route, source: Source) -> Iterator[Problem]:
    """A key by which nothing is conflated."""
    deliver = route.deliver
    if deliver.key is not None and deliver.mode != "conflate" and deliver.max_hz is None:
        what = "a key has a meaning only with conflation"
        yield source.problem((*path, "deliver", "key"), what, expected="mode: conflate")


@dataclass(frozen=True, slots=True)
class _Check:
    path: KeyPath
    route: Route
    template: TopicTemplate
    feed: Feed
    source: Source

    def unknown_fields(self) -> Iterator[Problem]:
        """Fields that no message of the upstream has."""
        known = self.feed.dialect.field_names
        asked: list[tuple[KeyPath, str]] = [(("topic",), name) for name in self.template.fields]
        asked += [(("allow", name), name) for name in self.route.allow if name not in self.template.fields]
        for place, name in asked:
            if name not in known:
                what = f"the upstream {self.route.upstream} yields no field {name}"
                meant = closest(name, known)
                expected = "" if meant else f"one of its fields: {alternatives(known)}" if known else ""
                yield self._problem(place, what, expected=expected, meant=meant)

    def asked(self) -> Iterator[Problem]:
        """Whether the upstream can be asked for the topics at all."""
        variants = self.feed.upstream.subscribe
        if variants and variants_fit(self.route, [one.for_ for one in variants]) is Fit.NONE:
            what = f"no `subscribe` variant of the upstream {self.route.upstream} is for these topics"
            yield self._problem(("allow",), what, expected="values that a `for` matches")

    def identity(self) -> Iterator[Problem]:
        """Fields that an upstream subscription depends on: bounded by `allow`, and in the topic or fixed."""
        for name in self._identity():
            rule = self.route.allow.get(name)
            fixed = isinstance(rule, AllowValues) and len(rule.values) == 1
            if name in self.template.fields:
                if rule is None:
                    what = f"`allow` must say which values ${name} may have: each is an upstream subscription"
                    yield self._problem(("allow",), what, expected=f"{name}: a list, a glob, {{regex: ...}} or any")
            elif not fixed:
                what = f"nothing fixes the field {name}, which an upstream subscription depends on"
                expected = f"${name} in the topic, or one value in allow.{name}"
                yield self._problem(("allow", name) if rule is not None else ("topic",), what, expected=expected)

    def _identity(self) -> list[str]:
        """The fields of the identity of every `subscribe` variant that this route can reach."""
        variants = zip(self.feed.upstream.subscribe, self.feed.dialect.identities, strict=True)
        reached = [names for one, names in variants if variants_fit(self.route, [one.for_]) is not Fit.NONE]
        return list(dict.fromkeys(name for names in reached for name in names))

    def feed_names(self) -> Iterator[Problem]:
        """Values that the `topics` table has not."""
        known, rule = self.feed.upstream.topics, self.route.allow.get("name")
        if known is None or self.feed.upstream.topic.name is not None or not isinstance(rule, AllowValues):
            return
        for index, value in enumerate(rule.values):
            if value not in known:
                what = f"the upstream {self.route.upstream} has no feed name {value}"
                meant = closest(value, known)
                expected = "" if meant else alternatives(known)
                yield self._problem(("allow", "name", index), what, expected=expected, meant=meant)

    def delivery(self) -> Iterator[Problem]:
        """Conflation and deltas."""
        deliver, deltas = self.route.deliver, deltas_of(self.route, self.feed.upstream)
        conflates = deliver.mode == "conflate" or deliver.max_hz is not None
        if deltas is Fit.SOME:
            what = "this route lets through topics with deltas and topics without: they are delivered differently"
            yield self._problem(("allow",), what, expected="one route for each kind")
        elif deltas is Fit.ALL and conflates:
            key = "mode" if deliver.mode == "conflate" else "max_hz"
            what = "a topic of deltas cannot be conflated: a delta left out makes all that follow wrong"
            yield self._problem(("deliver", key), what, expected="mode: lossless or queue, and no max_hz")
        yield from check_key(self.path, self.route, self.source)

    def way_up(self) -> Iterator[Problem]:
        """Publishing to an upstream."""
        is_stream = self.feed.upstream.transport == "sse"
        yield from check_way_up(
            self.path, self.route, self.template, self.feed.dialect, self.source, is_stream=is_stream
        )

    def pinned(self) -> Iterator[Problem]:
        """Topics that are kept without a browser."""
        if self.route.pin is True:
            for name in self.template.fields:
                if not isinstance(self.route.allow.get(name), AllowValues):
                    what = f"`true` pins every topic of the route, and allow.{name} is no list"
                    yield self._problem(("pin",), what, expected=f"a list for {name}, or the topics to pin")
            return
        for index, topic in enumerate(self.route.pin or ()):
            values = self.template.match(topic)
            if values is None:
                yield self._problem(("pin", index), f"{topic} is no topic of this route", expected=self.route.topic)
                continue
            for name, value in values.items():
                rule = self.route.allow.get(name)
                if rule is not None and not rule.permits(value):
                    yield self._problem(("pin", index), f"allow.{name} does not let {topic} through")

    def _problem(self, place: KeyPath, what: str, *, expected: str = "", meant: str = "") -> Problem:
        return self.source.problem((*self.path, *place), what, expected=expected, meant=meant)
