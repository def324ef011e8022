"""Puts one upstream together: its block in relay.yaml, its dialect, its session, its sockets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import uuid4

from relayd.config.model import Block, Upstream
from relayd.core.counters import UpstreamCounters
from relayd.core.feed.conversation import Conversation
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.resume import Resume
from relayd.core.feed.spec import RateSpec
from relayd.core.upstream import UpstreamSession
from relayd.core.upstream_effects import FeedSink
from relayd.core.upstream_policy import UpstreamPolicy
from relayd.core.windows import HostWindows, SlidingWindow, Windows
from relayd.io.secrets import read_secrets
from relayd.io.ticker import Ticker
from relayd.io.upstream import UpstreamService

_SECRET = re.compile(r"\$\{((?:env|file)\.[^{}]+)\}")


class Hub(FeedSink[Any], Protocol):
    """What an upstream needs of the hub."""

    def resolve(self, upstream: str, fields: Mapping[str, str]) -> tuple[Any, ...]: ...


def build_upstream(
    name: str,
    upstream: Upstream,
    dialect: Dialect,
    hub: Hub,
    *,
    reactor: Any,
    monotonic: Callable[[], float],
    wall: Callable[[], float],
    ticker: Ticker,
    hosts: HostWindows,
    environ: Mapping[str, str],
    payload_most_bytes: int,
    user_agent: str,
    counters: UpstreamCounters | None = None,
) -> UpstreamService:
    """A service that is not started yet. All upstreams share `hosts`, and so the limits of each host."""
    secret_names = secrets_of(upstream)
    resume = Resume()

    def converse(saved: Mapping[str, object]) -> Conversation[Any]:
        return Conversation(
            dialect,
            wall=wall,
            uuid=lambda: str(uuid4()),
            secrets=read_secrets(secret_names, environ),
            saved=saved,
            resolve=lambda fields: hub.resolve(name, fields),
            resume=resume,
        )

    session: UpstreamSession[Any] = UpstreamSession(
        name,
        UpstreamPolicy.of(
            dialect,
            handshake_within_s=upstream.connect.within_s,
            settle_s=upstream.reconnect.settle_s,
            retry_least_s=upstream.reconnect.min_s,
            retry_most_s=upstream.reconnect.max_s,
        ),
        hub,
        converse=converse,
        random=Random().random,
        forget_cursor=resume.forget,
        windows=windows_of(name, upstream, dialect, hosts),
        counters=counters,
    )
    return UpstreamService(
        session,
        reactor,
        monotonic,
        ticker,
        payload_most_bytes=payload_most_bytes,
        ca=upstream.connect.tls.ca,
        user_agent=user_agent,
    )


def windows_of(name: str, upstream: Upstream, dialect: Dialect, hosts: HostWindows) -> Windows:
    """The limits, shared by host; an upstream whose host is only known when it dials shares with nobody."""
    host = _host(upstream.connect.url) or name

    def window(kind: str, rate: RateSpec | None) -> SlidingWindow | None:
        return None if rate is None else hosts.window(host, kind, rate.count, rate.period_s)

    limits = dialect.limits
    return Windows(
        connect=window("connect", limits.connect),
        send=window("send", limits.send),
        subscribe=window("subscribe", limits.subscribe),
        http=window("http", limits.http),
    )


def secrets_of(upstream: Upstream) -> tuple[str, ...]:
    """The names of all `${env.X}` and `${file.PATH}` in a block, with or without a default, in order."""
    found = (hit.partition(":-")[0] for text in _texts(upstream) for hit in _SECRET.findall(text))
    return tuple(dict.fromkeys(found))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _texts(key)
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, Block):
        for key in type(value).model_fields:
            yield from _texts(getattr(value, key))


def _host(url: str) -> str:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return "" if "$" in host else host
