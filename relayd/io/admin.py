"""The listener for operators: is it alive, is it ready, what has it counted.

    GET /live      200 while the reactor turns
    GET /ready     200, or 503 with the reasons: a listener that is not open yet, a drain, an overload
    GET /metrics   for Prometheus: everything in core/counters.py, read when asked; no topic, no address is a label
    GET /status    upstreams with their state and ages, topics, connections, as JSON
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any, Final

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from twisted.web.server import Request

from relayd.core.auth.door import AuthCounters
from relayd.core.counters import (
    BridgeCounters,
    Histogram,
    HubCounters,
    ListenerCounters,
    Sample,
    StateCounters,
    UpstreamCounters,
    samples,
)
from relayd.core.guard import GuardCounters
from relayd.core.hub import Hub
from relayd.core.mishap import MishapCounters
from relayd.core.overload import OverloadCounters
from relayd.core.upstream.clock import FeedClock
from relayd.core.upstream.fleet import Fleet
from relayd.core.upstream.session import UpstreamSession
from relayd.io.clients import Clients
from relayd.io.gate import Gate, behind
from relayd.io.logs import LogCounters
from relayd.io.web import JsonResource, StrictSite, answer_json

PREFIX: Final = "relayd"
DAY_S: Final = 86_400.0

Counters = (
    BridgeCounters | ListenerCounters
    | HubCounters
    | UpstreamCounters
    | GuardCounters
    | AuthCounters
    | OverloadCounters
    | LogCounters
    | StateCounters
    | MishapCounters
)


@dataclass(slots=True)
class AdminSources:
    """What the admin listener looks at. Nothing is copied: it reads when it is asked."""

    hub: Hub
    clients: Clients
    guards: GuardCounters
    upstreams: Mapping[str, Fleet[Any]]
    monotonic: Callable[[], float]
    not_ready: Sequence[Callable[[], str | None]] = field(default=())
    """Each says why relayd is not ready to serve, or None."""
    auth: AuthCounters | None = None
    """What the door counts, where there is one."""
    certificates: Callable[[], Iterable[tuple[str, str, float]]] = tuple
    """Of whom (`listener` or `upstream`), its name, and when its certificate ends in wall seconds."""
    wall: Callable[[], float] = time.time
    """The time that certificates go by."""
    overload: OverloadCounters | None = None
    """What the watch over memory and event loop counts."""
    bridges: BridgeCounters | None = None
    """Exclusive routes."""
    clocks: Mapping[str, FeedClock] = field(default_factory=dict)
    """The times that upstreams go by."""
    state: StateCounters | None = None
    """What the keeper of `state` counts, where there is one."""
    mishaps: MishapCounters | None = None
    """Exceptions that were caught on behalf of many."""
    log: LogCounters | None = None
    """What the log holds back, where it is relayd's own."""

    def reasons(self) -> list[str]:
        """Why relayd is not ready."""
        return [reason for ask in self.not_ready if (reason := ask()) is not None]


def build_admin(sources: AdminSources, reactor: Any, gate: Gate | None = None) -> StrictSite:
    """The site of the admin listener. Whether relayd lives and is ready is told to everybody, since load balancers
    have no tokens; the rest to those whom the gate admits, or without one to everybody."""
    root = JsonResource()
    root.putChild(b"live", _Live())
    root.putChild(b"ready", _Ready(sources))
    for path, resource in ((b"metrics", _Metrics(sources)), (b"status", _Status(sources))):
        root.putChild(path, resource if gate is None else behind(gate, resource))
    return StrictSite(root, reactor)


class _Live(JsonResource):
    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        return answer_json(request, {"status": "live"})


class _Ready(JsonResource):
    isLeaf = True

    def __init__(self, sources: AdminSources) -> None:
        super().__init__()
        self._sources = sources

    def render_GET(self, request: Request) -> bytes:
        reasons = self._sources.reasons()
        if reasons:
            request.setResponseCode(503)
            return answer_json(request, {"status": "not ready", "reasons": reasons})
        return answer_json(request, {"status": "ready"})


class _Status(JsonResource):
    isLeaf = True

    def __init__(self, sources: AdminSources) -> None:
        super().__init__()
        self._sources = sources

    def render_GET(self, request: Request) -> bytes:
        sources = self._sources
        now = sources.monotonic()
        return answer_json(
            request,
            {
                "ready": not sources.reasons(),
                "connections": len(sources.clients.open),
                "topics": len(sources.hub.topics),
                "ring_bytes": sources.hub.ring_bytes,
                "upstreams": {name: _describe(fleet, now) for name, fleet in sources.upstreams.items()},
            },
        )


def _describe(fleet: Fleet[Any], now: float) -> dict[str, object]:
    """One upstream, and each of its connections; ages in seconds, null before the first."""
    counters = fleet.counters
    return {
        **_about(fleet, now),
        "topics": counters.topics,
        "received": counters.received,
        "losses": counters.losses,
        "connections": [
            {
                "number": link.number,
                **_about(link.session, now),
                "topics": len(link.session.topics),
                "received": link.session.counters.received,
                "losses": link.session.counters.losses,
            }
            for link in fleet.all
        ],
    }


def _about(one: Fleet[Any] | UpstreamSession[Any], now: float) -> dict[str, object]:
    connection = one.connection
    data_at = -inf if connection is None else connection.data_at
    return {
        "state": one.state.value,
        "why": one.why,
        "connected_s": None if connection is None else round(now - connection.open_at, 1),
        "data_age_s": round(now - data_at, 1) if isfinite(data_at) else None,
    }


class _Metrics(JsonResource):
    isLeaf = True

    def __init__(self, sources: AdminSources) -> None:
        super().__init__()
        self._registry = CollectorRegistry()
        self._registry.register(CountersCollector(sources))
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def render_GET(self, request: Request) -> bytes:
        accept = (request.getHeader(b"accept") or b"").decode("latin-1")
        encode, content_type = choose_encoder(accept)
        request.setHeader(b"content-type", content_type.encode("ascii"))
        request.setHeader(b"cache-control", b"no-store")
        return encode(self._registry)


class CountersCollector(Collector):
    """The counters as Prometheus wants them, made when they are asked for."""

    def __init__(self, sources: AdminSources) -> None:
        self._sources = sources

    def describe(self) -> Iterator[Metric]:
        """Nothing: the registry then does not collect at the start to learn the names."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        sources = self._sources
        yield from _families("clients", {None: sources.clients.counters})
        yield from _families("guard", {None: sources.guards})
        yield from _families("auth", {} if sources.auth is None else {None: sources.auth})
        yield from _families("exclusive", {} if sources.bridges is None else {None: sources.bridges})
        yield from _families("overload", {} if sources.overload is None else {None: sources.overload})
        yield from _families("state", {} if sources.state is None else {None: sources.state})
        yield from _families("mishaps", {} if sources.mishaps is None else {None: sources.mishaps})
        yield from _families("log", {} if sources.log is None else {None: sources.log})
        yield from _families("hub", {None: sources.hub.counters})
        yield from _families("upstream", {name: fleet.counters for name, fleet in sources.upstreams.items()})
        yield from _certificates(sources)
        yield from _clocks(sources)
        yield _gauge("hub_topics", "topics that exist now", len(sources.hub.topics))
        yield _gauge("hub_ring_bytes", "bytes of publications held in rings", sources.hub.ring_bytes)
        yield _gauge("hub_lagging", "clients whose socket did not take all, now", sources.hub.readers.count_lagging())
        yield _gauge("ready", "1 if relayd is ready to serve", int(not sources.reasons()))


def _certificates(sources: AdminSources) -> Iterator[Metric]:
    """Negative once it has ended. A family for each kind, also without certificates, so that an alarm finds it."""
    meanings = {
        "listener": "days until the listener's certificate ends",
        "upstream": "days until the certificate ends that the upstream showed last",
    }
    families = {
        kind: GaugeMetricFamily(f"{PREFIX}_{kind}_certificate_days", meaning, labels=[kind])
        for kind, meaning in meanings.items()
    }
    for kind, name, ends_at in sources.certificates():
        families[kind].add_metric([name], (ends_at - sources.wall()) / DAY_S)
    yield from families.values()


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", meaning, value=value)


def _clocks(sources: AdminSources) -> Iterator[Metric]:
    """A family without members would be noise where there are no upstreams."""
    meaning = "how far the clock of the upstream is ahead of ours, 0 below 2 s"
    family = GaugeMetricFamily(f"{PREFIX}_upstream_clock_skew_seconds", meaning, labels=["upstream"])
    for name, clock in sources.clocks.items():
        family.add_metric([name], clock.skew_s)
    if family.samples:
        yield family


def _families(group: str, objects: Mapping[str | None, Counters]) -> Iterator[Metric]:
    """One family per field over all `objects`, which are of one kind; their keys are the label named by `group`."""
    rows = [(name, list(samples(counters))) for name, counters in objects.items()]
    if not rows:
        return
    for index, first in enumerate(rows[0][1]):
        family = _family(group, first, labelled=rows[0][0] is not None)
        for name, row in rows:
            _add(family, [] if name is None else [name], row[index].value)
        yield family


def _family(group: str, sample: Sample, *, labelled: bool) -> Any:
    name = f"{PREFIX}_{group}_{sample.name}"
    labels = [group] if labelled else []
    if sample.label is not None:
        labels.append(sample.label)
    if sample.kind == "histogram":
        return HistogramMetricFamily(f"{name}_seconds", sample.meaning, labels=labels)
    make = CounterMetricFamily if sample.kind == "counter" else GaugeMetricFamily
    return make(name, sample.meaning, labels=labels)


def _add(family: Any, labels: list[str], value: int | dict[str, int] | Histogram) -> None:
    if isinstance(value, dict):
        for label, number in value.items():
            family.add_metric([*labels, label], number)
    elif isinstance(value, Histogram):
        total, buckets = 0, []
        for bound_s, count in zip((*value.bounds_s, float("inf")), value.counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound_s == float("inf") else str(bound_s), total))
        family.add_metric(labels, buckets, value.sum_s)
    else:
        family.add_metric(labels, value)
