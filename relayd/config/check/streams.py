"""Upstreams of server-sent events: what cannot be said where nobody listens."""

from __future__ import annotations

from collections.abc import Iterator

from relayd.config.model import Upstream
from relayd.config.problem import KeyPath, Problem, Source

LISTENS_ONLY = "an event stream hears nothing: nothing can be sent on it"


def check_stream(upstream: Upstream, path: KeyPath, source: Source) -> Iterator[Problem]:
    """What an upstream with `transport: sse` must not ask for; nothing of any other."""
    if upstream.transport != "sse":
        return
    for place, expected in _sends(upstream):
        yield source.problem(source.written(path, place), LISTENS_ONLY, expected=expected)


def _sends(upstream: Upstream) -> Iterator[tuple[KeyPath, str]]:
    """Where something is to be sent, and what could stand there."""
    for at, step in enumerate(upstream.login):
        if step.send is not None:
            yield ("login", at, "send"), "`expect` alone, or `connect.before`"
    for key, requests in (("subscribe", upstream.subscribe), ("unsubscribe", upstream.unsubscribe)):
        for at, request in enumerate(requests):
            if request.send is not None:
                yield (key, at, "send"), "`http`" if key == "unsubscribe" else "`in: url` or `http`"
    for at, rule in enumerate(upstream.control):
        if rule.send is not None:
            yield ("control", at, "send"), "`do`"
    for at, snapshot in enumerate(upstream.snapshot):
        if snapshot.send is not None:
            yield ("snapshot", at, "send"), "`http`"
    if upstream.heartbeat is not None:
        yield ("heartbeat",), "`silence.any`: comments and data are its beats"
    if upstream.connect.protocols:
        yield ("connect", "protocols"), "`connect.headers`"
    for limit in ("send", "subscribe", "first_send"):
        if getattr(upstream.limits, "first_send_s" if limit == "first_send" else limit) is not None:
            yield ("limits", limit), "`connect` or `http`"
