"""All of a file: each upstream with its dialect, each route with its upstream, all routes with each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from relayd.config.check.auth import check_access, check_auth
from relayd.config.check.exclusive import check_exclusive
from relayd.config.check.listeners import check_listeners
from relayd.config.check.local import check_local
from relayd.config.check.overlap import check_overlaps
from relayd.config.check.routes import Feed, check_route, parse_topic
from relayd.config.check.secrets import check_environment
from relayd.config.check.upstreams import check_upstream
from relayd.config.compile_upstream import compile_upstream
from relayd.config.model import Upstream
from relayd.config.problem import Problem, Source, alternatives, closest, without_values
from relayd.config.validate import Blocks
from relayd.core.feed.errors import DialectError


def check(blocks: Blocks, source: Source, environ: Mapping[str, str]) -> list[Problem]:
    """Every problem of the blocks that are right in themselves."""
    problems = list(check_listeners(blocks.listeners, blocks.admin, source))
    if blocks.auth is not None:
        problems += check_auth(blocks.auth, blocks.listeners, source)
    feeds: dict[str, Feed] = {}
    for name, upstream in (blocks.upstreams or {}).items():
        if upstream is not None:
            found = list(_check_upstream(name, upstream, source, feeds))
            if not found:
                routes = [route for route in blocks.routes.values() if route.upstream == name]
                found = list(check_environment(name, upstream, routes, source, environ))
            problems += found
    return problems + list(_check_routes(blocks, feeds, source))


def _check_upstream(name: str, upstream: Upstream, source: Source, feeds: dict[str, Feed]) -> Iterator[Problem]:
    """The problems of an upstream; where there are none, its dialect is put into `feeds`."""
    found = list(check_upstream(name, upstream, source))
    path = ("upstreams", name)
    try:
        dialect = compile_upstream(upstream)
    except DialectError as error:
        found += [source.problem(source.written(path, place), without_values(what)) for place, what in error.problems]
    else:
        if not found:
            feeds[name] = Feed(upstream, dialect)
    return iter(found)


def _check_routes(blocks: Blocks, feeds: Mapping[str, Feed], source: Source) -> Iterator[Problem]:
    parsed = {}
    for at, route in blocks.routes.items():
        template = parse_topic(at, route, source)
        if isinstance(template, Problem):
            yield template
            continue
        parsed[at] = route, template
        yield from check_access(at, route, template, blocks.has_auth, source)
        if route.upstream is None:
            yield from check_local(at, route, template, source)
        elif route.upstream in feeds:
            yield from check_route(at, route, template, feeds[route.upstream], source)
        elif blocks.upstreams is not None and route.upstream not in blocks.upstreams:
            meant = closest(route.upstream, blocks.upstreams)
            there_is = alternatives(blocks.upstreams) if blocks.upstreams else f"{route.upstream} in `upstreams`"
            expected = "" if meant else there_is
            what = f"there is no upstream {route.upstream}"
            yield source.problem(("routes", at, "upstream"), what, expected=expected, meant=meant)
    yield from check_overlaps(parsed, source)
    yield from check_exclusive(blocks, source)


