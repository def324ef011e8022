"""Environment variables that the file needs and the environment lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from relayd.config.check.deltas import variants_fit
from relayd.config.check.values import Fit
from relayd.config.model import Route, Upstream
from relayd.config.problem import KeyPath, Problem, Source

#: Blocks of an upstream that hold templates; `topics` holds data.
_TEMPLATES: Final = ("connect", "login", "subscribe", "unsubscribe", "control", "heartbeat", "snapshot")
#: Blocks with variants: one that no route can reach is not required.
_VARIANTS: Final = ("subscribe", "unsubscribe", "snapshot")

_ENV: Final = re.compile(r"\$(?:\$|\{env\.([^{}]*)\})")


def check_environment(
    name: str, upstream: Upstream, routes: list[Route], source: Source, environ: Mapping[str, str]
) -> Iterator[Problem]:
    """A Problem for each variable that the routes of this upstream need and that is not set, at its first use."""
    told: set[str] = set()
    for path, text in _needed(name, upstream, routes, source):
        for inner in _ENV.findall(text):
            variable, has_default, _ = inner.partition(":-")
            if not variable or has_default or variable in environ or variable in told:
                continue
            told.add(variable)
            what = f"the environment variable {variable} is not set"
            yield source.problem(path, what, expected=f"{variable} in the environment, or ${{env.{variable}:-default}}")


def _needed(name: str, upstream: Upstream, routes: list[Route], source: Source) -> Iterator[tuple[KeyPath, str]]:
    """Every text that is rendered for these routes, with its place."""
    if not routes:
        return
    block = source.data["upstreams"][name]
    for key in _TEMPLATES:
        path: KeyPath = ("upstreams", name, key)
        if key not in block:
            continue
        if key not in _VARIANTS:
            yield from _texts(block[key], path)
            continue
        alone = isinstance(block[key], Mapping)
        for at, variant in enumerate(getattr(upstream, key)):
            if any(variants_fit(route, [variant.for_]) is not Fit.NONE for route in routes):
                yield from _texts(block[key] if alone else block[key][at], path if alone else (*path, at))


def _texts(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _texts(key, (*path, key))
            yield from _texts(one, (*path, key))
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from _texts(one, (*path, at))
