"""From a dialect to the policy of its upstream: the numbers that the life of a connection goes by."""

from __future__ import annotations

from urllib.parse import urlsplit

from relayd.config import model
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.spec import RateSpec
from relayd.core.upstream_policy import UpstreamPolicy
from relayd.core.windows import HostWindows, SlidingWindow, Windows


def compile_policy(dialect: Dialect, upstream: model.Upstream) -> UpstreamPolicy:
    """How an upstream is dialled, kept, watched and dialled again."""
    reconnect = upstream.reconnect
    defaults = UpstreamPolicy()
    return UpstreamPolicy(
        dial_at_start=dialect.dial_at_start,
        unasked=dialect.unasked,
        acks=dialect.acks,
        handshake_within_s=upstream.connect.within_s,
        login_within_s=dialect.login_within_s or defaults.login_within_s,
        subscribe_within_s=dialect.within_s,
        heartbeat=dialect.heartbeat,
        silence=dialect.silence,
        reconnect=dialect.reconnect,
        settle_s=reconnect.settle_s,
        retry_least_s=reconnect.min_s,
        retry_most_s=reconnect.max_s,
        first_send_s=dialect.limits.first_send_s,
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
    )
