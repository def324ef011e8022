"""Exclusive routes: what makes the upstream connection of each browser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relayd.app.feeds import Feeds
from relayd.config import model
from relayd.core.bridge import Bridge, Bridges
from relayd.core.counters import BridgeCounters
from relayd.core.mishap import Report
from relayd.io.exclusive import ExclusiveLines, ExclusiveUpstream
from relayd.io.secrets import browser_needs
from relayd.io.ticker import Ticker

_OF_QUERY = "browser.query."


@dataclass(frozen=True, slots=True)
class BuiltBridges:
    """The bridges of a relay, and the service that holds their sockets."""

    bridges: Bridges
    lines: ExclusiveLines
    query_names: frozenset[str]
    """What is wanted of a handshake's query."""


def build_bridges(
    upstreams: Mapping[str, model.Upstream],
    feeds: Feeds,
    limits: model.Limits,
    reactor: Any,
    monotonic: Callable[[], float],
    report: Report,
) -> BuiltBridges:
    """Of the upstreams whose routes are exclusive. `report` hears of errors on behalf of one bridge."""
    needs = {name: browser_needs(block) for name, block in upstreams.items()}
    makers = {
        name: feeds.build_exclusive(name, block, payload_most_bytes=limits.payload_bytes)
        for name, block in upstreams.items()
    }

    def build(bridge: Bridge, values: Mapping[str, str], ticker: Ticker) -> ExclusiveUpstream:
        assert bridge.route.upstream is not None
        return makers[bridge.route.upstream](bridge, values, ticker)

    lines = ExclusiveLines(build, reactor, monotonic, report)
    bridges = Bridges(
        lines.open,
        most=limits.exclusive,
        needs=needs,
        protocols={name: block.connect.protocols for name, block in upstreams.items()},
        call_later=reactor.callLater,
        counters=BridgeCounters(),
        report=report,
    )
    lines.bridges = bridges
    names = {need.name for wanted in needs.values() for need in wanted if need.name.startswith(_OF_QUERY)}
    return BuiltBridges(bridges, lines, frozenset(name.removeprefix(_OF_QUERY) for name in names))
