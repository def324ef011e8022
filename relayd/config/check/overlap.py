"""Two routes that could yield the same topic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from relayd.config.check.values import can_meet
from relayd.config.model import AllowRule, Route
from relayd.config.problem import Problem, Source
from relayd.core.routes import AllowAny, AllowValues
from relayd.core.topic import TopicTemplate, unescape

_ANY: Final = AllowAny()


def check_overlaps(routes: Mapping[int, tuple[Route, TopicTemplate]], source: Source) -> Iterator[Problem]:
    """A Problem for each route that could yield a topic of an earlier one."""
    # Templates of different length or first literal never meet: in a long file few pairs remain.
    earlier: dict[tuple[int, str], list[int]] = {}
    for at, (route, template) in routes.items():
        size, head = len(template.segments), template.segments[0]
        heads = [key for key in earlier if key[0] == size and (head[0] == "$" or key[1] in ("$", head))]
        rivals = sorted(other for key in heads for other in earlier[key])
        first = next((other for other in rivals if can_share(route, template, *routes[other])), None)
        if first is not None:
            what = f"could yield the same topic as routes[{first}] ({routes[first][0].topic})"
            yield source.problem(
                ("routes", at, "topic"), what, expected="other literals, or `allow` lists without a common value"
            )
        earlier.setdefault((size, "$" if head[0] == "$" else head), []).append(at)


def can_share(one: Route, one_template: TopicTemplate, other: Route, other_template: TopicTemplate) -> bool:
    """Whether two routes could yield the same topic."""
    pairs = zip(one_template.segments, other_template.segments, strict=False)
    same_size = len(one_template.segments) == len(other_template.segments)
    return same_size and all(can_meet(_values(one, left), _values(other, right)) for left, right in pairs)


def _values(route: Route, segment: str) -> AllowRule:
    """The raw values that a segment of a topic may stand for."""
    if segment[0] == "$":
        return route.allow.get(segment[1:], _ANY)
    return AllowValues((unescape(segment),))
