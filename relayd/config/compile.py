"""From the typed file to what `core` works with: the routes. (The upstreams' half is compile_upstream.py.)"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from relayd.config import model
from relayd.core.conflation import key_reader
from relayd.core.feed.match import For, parse_for
from relayd.core.feed.path import parse_path
from relayd.core.routes import Delivery, Form, Mode, Route
from relayd.core.topic import TopicTemplate

# Fields of one route whose combinations are tried against `for:`; allow lists are short, so this is never met (guess).
_MAX_COMBINATIONS = 10_000


def compile_routes(config: model.Config) -> list[Route]:
    """The routes of a file that has been checked, in its order."""
    return [compile_route(route, config.upstreams[route.upstream]) for route in config.routes]


def compile_route(route: model.Route, upstream: model.Upstream) -> Route:
    """One route, its delivery resolved: `mode` follows from whether the upstream declares snapshots for its topics."""
    deliver = route.deliver
    deltas = has_deltas(route, upstream)
    mode = Mode(deliver.mode) if deliver.mode is not None else Mode.LOSSLESS if deltas else Mode.QUEUE
    compiled = Route(
        template=TopicTemplate.parse(route.topic),
        upstream=route.upstream,
        allow=route.allow,
        delivery=Delivery(
            mode=mode,
            history_count=deliver.history.count,
            history_bytes=deliver.history.bytes,
            history_age_s=deliver.history.age_s,
            deltas=deltas,
            max_hz=deliver.max_hz,
            max_lag_s=deliver.max_lag_s,
            slow_after_s=deliver.slow_after_s,
            form=Form(deliver.as_) if deliver.as_ is not None else Form.AUTO,
            stamp=deliver.stamp,
            key_of=None if deliver.key is None else key_reader(parse_path(deliver.key)),
        ),
        stale_after_s=route.stale_after_s,
        linger_s=route.linger_s,
        pin=(),
    )
    return compiled if route.pin is False else _pinned(compiled, route.pin)


def _pinned(route: Route, pin: bool | tuple[str, ...]) -> Route:
    names = pin if isinstance(pin, tuple) else tuple(route.template.render(fields) for fields in route.finite() or ())
    return Route(
        route.template, route.upstream, route.allow, route.delivery, route.stale_after_s, route.linger_s, names
    )


def has_deltas(route: model.Route, upstream: model.Upstream) -> bool:
    """Whether the topics of this route are a state and its changes: a `snapshot` variant of the upstream is for them."""
    variants = [parse_for(variant.for_) for variant in upstream.snapshot]
    return any(variant.holds(fields) for variant in variants for fields in _field_values(route, variant))


def _field_values(route: model.Route, variant: For) -> Iterator[Mapping[str, str | None]]:
    """The values that a route's fields can have, as far as `for` asks for them; None for one that is not listed."""
    lists: list[tuple[str | None, ...]] = []
    for name in variant.fields:
        allow = route.allow.get(name)
        lists.append((None,) if allow is None or allow.values is None else allow.values)
    for values in itertools.islice(itertools.product(*lists), _MAX_COMBINATIONS):
        yield dict(zip(variant.fields, values, strict=True))
