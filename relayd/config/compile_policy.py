"""From a dialect to the policy of its upstream: the numbers that the life of a connection goes by."""

from __future__ import annotations

from urllib.parse import urlsplit

from relayd.config import model
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.spec import RateSpec
from relayd.core.upstream.policy import UpstreamPolicy
from relayd.core.windows import HostWindows, SlidingWindow, Windows


def compile_policy(dialect: Dialect, upstream: model.Upstream) -> UpstreamPolicy:
    """How an upstream is dialled, kept, watched and dialled again."""
    reconnect = upstream.reconnect
    return UpstreamPolicy.of(
        dialect,
        handshake_within_s=upstream.connect.within_s,
        settle_s=reconnect.settle_s,
        retry_least_s=reconnect.min_s,
        retry_most_s=reconnect.max_s,
    )


def compile_windows(dialect: Dialect, upstream: model.Upstream, hosts: HostWindows) -> Windows:
    """The limits of an upstream. Those of one host count together, whichever upstream dials it."""
    # A URL that is a placeholder has no host before it is dialled: such an upstream counts by its own text.
    host = urlsplit(upstream.connect.url).hostname or upstream.connect.url

    def window(kind: str, rate: RateSpec | None) -> SlidingWindow | None:
        return None if rate is None else hosts.window(host, kind, rate.count, rate.period_s)

    limits = dialect.limits
    return Windows(
        connect=window("connect", limits.connect),
        send=window("send", limits.send),
        subscribe=window("subscribe", limits.subscribe),
        http=window("http", limits.http),
        on_dial=lambda: hosts.on_dial(),
    )
