"""From the typed file to what `core` works with: the routes. (The upstreams' half is compile_upstream.py.)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from relayd.config import model
from relayd.config.check.deltas import deltas_of
from relayd.config.check.values import Fit
from relayd.core.auth.access import Access, Anyone, Claim, Rule, parse_value
from relayd.core.conflation import key_reader
from relayd.core.feed.path import parse_path
from relayd.core.feed.publish import parse_publish
from relayd.core.routes import Delivery, Form, Mode, Route
from relayd.core.topic import TopicTemplate


def compile_routes(config: model.Config) -> list[Route]:
    """The routes of a file that has been checked, in its order."""
    return [
        compile_route(route, None if route.upstream is None else config.upstreams[route.upstream])
        for route in config.routes
    ]


def compile_route(route: model.Route, upstream: model.Upstream | None) -> Route:
    """One route, its delivery resolved: `mode` follows from whether the upstream declares snapshots for its topics."""
    deliver = route.deliver
    deltas = upstream is not None and deltas_of(route, upstream) is Fit.ALL
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
        publish=None if route.publish is None else parse_publish(route.publish.send),
        exclusive=route.exclusive,
        access=Access(_rule(route.access.subscribe), _rule(route.access.publish)),
    )
    return compiled if route.pin is False else _pinned(compiled, route.pin)


def _pinned(route: Route, pin: bool | tuple[str, ...]) -> Route:
    names = pin if isinstance(pin, tuple) else tuple(route.template.render(fields) for fields in route.finite() or ())
    return replace(route, pin=names)


def _rule(who: str | Mapping[str, tuple[str, ...]]) -> Rule:
    if isinstance(who, str):
        return Anyone(who)
    return tuple(Claim(name, tuple(map(parse_value, values))) for name, values in who.items())
