"""Exclusive routes: an upstream is each browser's own or everybody's, and what a browser brings must be known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from relayd.config.model import Route
from relayd.config.problem import KeyPath, Problem, Source
from relayd.config.validate import Blocks

#: Keys of a route that say how publications are kept and shared, which a bridge does not.
_OF_THE_HUB: Final = ("deliver", "stale_after_s", "linger_s", "pin")
_BROWSER: Final = re.compile(r"\$(?:\$|\{(browser\.[^{}]*)\})")
#: A URL up to its path: who is dialled.
_WHO: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_KNOWN: Final = re.compile(r"browser\.(?:token|claims\.[^:]+|query\.[A-Za-z0-9_.-]+)")


def check_exclusive(blocks: Blocks, source: Source) -> Iterator[Problem]:
    """The problems of exclusive routes, and of `${browser.X}` where it has no value."""
    exclusive = {route.upstream for route in blocks.routes.values() if route.exclusive and route.upstream is not None}
    for at, route in blocks.routes.items():
        if route.exclusive:
            yield from _check_route(("routes", at), route, source)
        elif route.upstream in exclusive:
            what = f"another route has the connections of {route.upstream} for each browser alone"
            yield source.problem(("routes", at), what, expected="exclusive: true here as well, or another upstream")
    for name, upstream in (blocks.upstreams or {}).items():
        if upstream is None:
            continue
        if name in exclusive and upstream.transport != "websocket":
            what = f"the routes of {name} are exclusive, and only a WebSocket is passed on"
            yield source.problem(("upstreams", name, "transport"), what, expected="websocket")
        for path, url in _urls(source.data["upstreams"][name], ("upstreams", name)):
            marked = _BROWSER.sub(lambda found: "\0" if found[1] else "", url)
            who = _WHO.match(marked)
            if "\0" in (marked if who is None else who[0]):
                what = "a browser must not choose which host is dialled: relayd stands in your network"
                yield source.problem(path, what, expected="${browser.X} in the path or in `query` only")
        for path, inner in _browsers(source.data["upstreams"][name], ("upstreams", name)):
            yield from _check_placeholder(path, inner, name in exclusive, blocks.has_auth, source)


def _check_route(path: KeyPath, route: Route, source: Source) -> Iterator[Problem]:
    for name in _OF_THE_HUB:
        if name in route.model_fields_set:
            key = type(route).model_fields[name].alias or name
            what = "an exclusive route keeps nothing: what comes is passed on at once"
            yield source.problem((*path, key), what, expected=f"no `{key}`", key=True)


def _check_placeholder(
    path: KeyPath, inner: str, is_exclusive: bool, has_auth: bool, source: Source
) -> Iterator[Problem]:
    name = inner.partition(":-")[0]
    if not _KNOWN.fullmatch(name):
        what = "a browser brings browser.token, browser.claims.NAME and browser.query.NAME"
        yield source.problem(path, what, expected="one of them")
    elif not is_exclusive:
        what = f"${{{name}}} has a value only on a connection that is one browser's own"
        yield source.problem(path, what, expected="`exclusive: true` on every route of this upstream")
    elif not has_auth and not name.startswith("browser.query."):
        what = f"nothing says how browsers show ${{{name}}}"
        yield source.problem(path, what, expected="an `auth` block")


def _urls(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Every `url` below, with its place."""
    if isinstance(value, dict):
        for key, one in value.items():
            if key == "url" and isinstance(one, str):
                yield (*path, key), one
            yield from _urls(one, (*path, key))
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from _urls(one, (*path, at))


def _browsers(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Every `${browser.X}` below, with its place."""
    if isinstance(value, str):
        yield from ((path, inner) for inner in _BROWSER.findall(value) if inner)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _browsers(key, (*path, key))
            yield from _browsers(one, (*path, key))
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from _browsers(one, (*path, at))
