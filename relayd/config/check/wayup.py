"""The way up: what a route's `publish` sends, and who may make it do so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from relayd.config.check.streams import LISTENS_ONLY
from relayd.config.model import Route
from relayd.config.problem import KeyPath, Problem, Source, without_values
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.errors import Malformed
from relayd.core.feed.publish import DATA, Publish, parse_publish
from relayd.core.feed.usage import MESSAGE, is_secret, row_names, saved_names
from relayd.core.routes import AllowValues
from relayd.core.topic import TopicTemplate

_NAMED: Final = "who may, or no `publish`"


def check_way_up(
    path: KeyPath, route: Route, template: TopicTemplate, dialect: Dialect, source: Source, *, is_stream: bool = False
) -> Iterator[Problem]:
    """The problems of publishing on a route of an upstream."""
    if route.publish is None:
        if route.access.publish != "nobody" and not route.exclusive:
            what = f"nothing says what is sent to the upstream {route.upstream}"
            yield source.problem((*path, "access", "publish"), what, expected="`publish: {send: ...}`, or nobody")
        return
    if route.access.publish == "nobody":
        what = "nobody may publish, so nothing is ever sent"
        yield source.problem((*path, "publish"), what, expected=f"access: {{publish: ...}} with {_NAMED}", key=True)
    if is_stream:
        yield source.problem((*path, "publish"), LISTENS_ONLY, expected="no `publish`", key=True)
        return
    place: KeyPath = (*path, "publish", "send")
    try:
        publish = parse_publish(route.publish.send)
    except Malformed as error:
        yield source.problem(place, without_values(str(error)))
        return
    if DATA not in publish.names:
        what = "what is published stands nowhere in it"
        yield source.problem(place, what, expected="$data in the message")
    yield from _placeholders(place, publish, _fields(route, template), dialect, source)


def _fields(route: Route, template: TopicTemplate) -> list[str]:
    """The fields that every topic of the route has: those of the template, and those that `allow` fixes."""
    fixed = [name for name, rule in route.allow.items() if isinstance(rule, AllowValues) and len(rule.values) == 1]
    return list(dict.fromkeys((*template.fields, *fixed)))


def _placeholders(
    place: KeyPath, publish: Publish, fields: list[str], dialect: Dialect, source: Source
) -> Iterator[Problem]:
    if DATA in fields:
        what = "$data is what is published; the route has a field of that name"
        yield source.problem(place, what, expected="another name for the field")
    known = {DATA, *MESSAGE, *fields, *saved_names(dialect)}
    of_name = dialect.fields.name
    if of_name is not None and set(of_name.fields) <= set(fields):
        known |= {"topic"} | row_names(dialect)
    for name in sorted(publish.names - known):
        if is_secret(name):
            what = f"${{{name}}}: a secret is not said at a browser's word"
            yield source.problem(place, what, expected="it in `connect` or `login`")
        else:
            there = ", ".join(f"${one}" for one in sorted(known))
            yield source.problem(place, f"${name} has no value here; there are {there}")
