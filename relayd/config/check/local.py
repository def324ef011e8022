"""Routes without an upstream: what clients publish is all there is on their topics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from relayd.config.check.routes import check_key
from relayd.config.model import Route
from relayd.config.problem import KeyPath, Problem, Source, alternatives, closest
from relayd.core.topic import TopicTemplate

#: Keys that speak of an upstream, and what they have to say without one.
_OF_AN_UPSTREAM: Final = {
    "exclusive": "no connection can be a browser's own",
    "publish": "nothing can be sent up",
    "linger_s": "no upstream subscription outlives its last browser",
    "pin": "no upstream has to be kept subscribed",
}


def check_local(at: int, route: Route, template: TopicTemplate, source: Source) -> Iterator[Problem]:
    """The problems of one route that has no `upstream`."""
    path: KeyPath = ("routes", at)
    if route.access.publish == "nobody":
        what = "it has no upstream, and nobody may publish: nothing would ever come"
        yield source.problem(path, what, expected="upstream: NAME, or access: {publish: ...}")
        return
    yield from _allow(path, route, template, source)
    for name, what in _OF_AN_UPSTREAM.items():
        if name in route.model_fields_set:
            key = type(route).model_fields[name].alias or name
            yield source.problem((*path, key), f"without an upstream {what}", expected=f"no `{key}`", key=True)
    if route.deliver.mode == "lossless":
        what = "without an upstream nobody can be asked for a fresh snapshot"
        yield source.problem((*path, "deliver", "mode"), what, expected="queue or conflate")
    yield from check_key(path, route, source)


def _allow(path: KeyPath, route: Route, template: TopicTemplate, source: Source) -> Iterator[Problem]:
    """Every field is bounded, and a field is one of the topic."""
    for name in template.fields:
        if name not in route.allow:
            what = f"`allow` must say which values ${name} may have: each is a topic"
            yield source.problem((*path, "allow"), what, expected=f"{name}: a list, a glob, {{regex: ...}} or any")
    for name in route.allow:
        if name not in template.fields:
            meant = closest(name, template.fields)
            expected = "" if meant else f"one of {alternatives(template.fields)}" if template.fields else ""
            what = f"the topic has no field {name}"
            yield source.problem((*path, "allow", name), what, expected=expected, meant=meant)
