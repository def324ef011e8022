"""What relayd does before there is too much of it: not ready, then nobody new, then the slowest must go.

Two things run out: memory, whose limit is the system's and ends in a kill, and the time of the event loop, whose end is
that everybody waits. Memory is relayd's own account of what it holds (`Holdings`), because what the system counts grows
at once and falls late. The loop's time leads to refusing at most: who reads slowly costs memory and hardly any time, so
sending the slowest away would not help.

States are a table in which every state meets every trend, one step at a look, so that readiness always goes first. Up
goes quickly, down slowly and from a lower mark: a relay on the edge must not be ready every other second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from relayd.core.counters import Histogram

T = TypeVar("T")

#: How often `look` is called. Rings are bounded and a lagging client holds 64 KiB, so what grows fastest is 10,000 of
#: them on a link of 1 Gbit/s: 60 MB in this time.
LOOK_EVERY_S: Final = 0.5
#: Shares of `limits.memory` at which NOT_READY, REFUSING and EVICTING begin (guess: the account is within a quarter of
#: what the system counts, see tests/e2e/test_overload.py, and a tenth of 1 GiB is a second of the fastest growth).
MEMORY_SHARES: Final = (0.70, 0.80, 0.90)
#: Multiples of `limits.lag` at which NOT_READY and REFUSING begin.
LAG_MULTIPLES: Final = (1.0, 3.0)
#: A level ends below its mark less these shares.
MEMORY_SLACK: Final = 0.05
LAG_SLACK: Final = 0.5
#: How long it must have been calm for each step down (guess: ten looks).
CALM_S: Final = 5.0
#: At most so many clients are sent away at one look; a close costs 30 us, and what they held is free 2 s later.
EVICT_MOST: Final = 100

#: What a connection costs: 10.0 KB in the process (2,000 WebSockets with a topic, measured), 4 KB of the kernel's.
CONNECTION_BYTES: Final = 16 << 10
#: Over TLS: 63 KB more (10,000 connections, measured).
TLS_CONNECTION_BYTES: Final = 80 << 10
#: What one costs whose socket is full, beside the bytes that wait: 4 KB here, 20 KB in the kernel (measured).
LAGGING_BYTES: Final = 24 << 10
#: The upstream connection of an exclusive pair, beside its browser's: 24 KB here (a pair has 35, `python -m bench.pairs
#: 300`), 4 KB of the kernel's. What waits upward for an upstream that does not read is not counted: 100 KB a pair.
PAIR_BYTES: Final = 28 << 10
#: A ring counts payloads; the frame that most publications also carry is about as long (core/publication.py).
RING_FACTOR: Final = 2


class Load(Enum):
    """How it stands."""

    NORMAL = "normal"
    NOT_READY = "not_ready"  # balancers look elsewhere; everybody is served
    REFUSING = "refusing"  # nobody new comes in
    EVICTING = "evicting"  # the slowest are sent away

    @property
    def level(self) -> int:
        """0 for NORMAL to 3."""
        return _LEVELS.index(self)


_LEVELS: Final = tuple(Load)


class Trend(Enum):
    """What the figures say of the present state."""

    UP = "up"
    LEVEL = "level"
    DOWN = "down"


#: Every state meets every trend.
NEXT: Final[Mapping[tuple[Load, Trend], Load]] = MappingProxyType({
    (Load.NORMAL, Trend.UP): Load.NOT_READY,
    (Load.NORMAL, Trend.LEVEL): Load.NORMAL,
    (Load.NORMAL, Trend.DOWN): Load.NORMAL,
    (Load.NOT_READY, Trend.UP): Load.REFUSING,
    (Load.NOT_READY, Trend.LEVEL): Load.NOT_READY,
    (Load.NOT_READY, Trend.DOWN): Load.NORMAL,
    (Load.REFUSING, Trend.UP): Load.EVICTING,
    (Load.REFUSING, Trend.LEVEL): Load.REFUSING,
    (Load.REFUSING, Trend.DOWN): Load.NOT_READY,
    (Load.EVICTING, Trend.UP): Load.EVICTING,
    (Load.EVICTING, Trend.LEVEL): Load.EVICTING,
    (Load.EVICTING, Trend.DOWN): Load.REFUSING,
})  # fmt: skip

#: From the loop's timers to a hang of seconds; 20 ms is one flush that is too long.
LAG_BOUNDS_S: Final = (0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def _number(kind: str, meaning: str) -> Any:
    return field(default=0, metadata={"kind": kind, "meaning": meaning})


@dataclass(slots=True)
class OverloadCounters:
    """What is counted, described as in core/counters.py."""

    level: int = _number("gauge", "0 normal, 1 not ready, 2 refusing newcomers, 3 evicting the slowest")
    memory_bytes: int = _number("gauge", "memory in use by relayd's own account")
    memory_limit_bytes: int = _number("gauge", "what it may use: limits.memory, or what the system allows")
    entered: dict[str, int] = field(
        default_factory=lambda: {load.value: 0 for load in Load},
        metadata={"kind": "counter", "meaning": "times a state was entered", "label": "state"},
    )
    evicted: int = _number("counter", "clients sent away with 1013 because memory ran out")
    loop_lag: Histogram = field(
        default_factory=lambda: Histogram(LAG_BOUNDS_S),
        metadata={"kind": "histogram", "meaning": "how late timers of the event loop fire, in seconds"},
    )


@dataclass(frozen=True, slots=True)
class Holdings:
    """What relayd holds at a moment. `base_bytes` is what the process took before its first connection."""

    base_bytes: int
    ring_bytes: int = 0
    connections: int = 0
    tls_connections: int = 0
    lagging: int = 0
    buffered_bytes: int = 0
    pairs: int = 0

    @property
    def bytes(self) -> int:
        """All of it, the kernel's share included."""
        return (
            self.base_bytes
            + self.ring_bytes * RING_FACTOR
            + self.connections * CONNECTION_BYTES
            + self.tls_connections * TLS_CONNECTION_BYTES
            + self.lagging * LAGGING_BYTES
            + self.pairs * PAIR_BYTES
            + self.buffered_bytes
        )


class Overload:
    """The state of one process. `lag_s` is limits.lag."""

    def __init__(self, memory_limit_bytes: int, lag_s: float, counters: OverloadCounters) -> None:
        self.load = Load.NORMAL
        self.counters = counters
        counters.memory_limit_bytes = memory_limit_bytes
        self._limit_bytes = memory_limit_bytes
        self._lag_limit_s = lag_s
        self._lag_s = 0.0  # of the last two looks the lesser: one long pause is no overload
        self._lag_before_s = 0.0
        self._calm_since: float | None = None

    def look(self, now: float, memory_bytes: int, lag_s: float) -> bool:
        """Whether the state has changed. `lag_s` is the worst of the loop since the last look."""
        self._lag_s = min(lag_s, self._lag_before_s)
        self._lag_before_s = lag_s
        self.counters.memory_bytes = memory_bytes
        before = self.load
        self.load = NEXT[before, self._trend(now)]
        if self.load is before:
            return False
        self._calm_since = None
        self.counters.level = self.load.level
        self.counters.entered[self.load.value] += 1
        return True

    def _trend(self, now: float) -> Trend:
        if self._level(0.0, 0.0) > self.load.level:
            self._calm_since = None
            return Trend.UP
        if self._level(MEMORY_SLACK, LAG_SLACK) >= self.load.level:
            self._calm_since = None
            return Trend.LEVEL
        if self._calm_since is None:
            self._calm_since = now
        return Trend.DOWN if now - self._calm_since >= CALM_S else Trend.LEVEL

    def _level(self, memory_slack: float, lag_slack: float) -> int:
        """The highest level whose mark, less the slack, is reached."""
        share = self.counters.memory_bytes / self._limit_bytes
        by_memory = sum(share >= mark - memory_slack for mark in MEMORY_SHARES)
        multiple = self._lag_s / self._lag_limit_s
        by_lag = sum(multiple >= mark * (1 - lag_slack) for mark in LAG_MULTIPLES)
        return max(by_memory, by_lag)

    @property
    def why(self) -> str:
        """The figures, for a person."""
        used, limit = self.counters.memory_bytes >> 20, self._limit_bytes >> 20
        return f"memory {used} of {limit} MiB, event loop {self._lag_s:.1f} s late"

    def not_ready(self) -> str | None:
        """Why nobody should be sent here, or None."""
        return None if self.load is Load.NORMAL else f"overload ({self.load.value}): {self.why}"

    @property
    def excess_bytes(self) -> int:
        """What must go while the slowest are sent away; 0 in every other state."""
        if self.load is not Load.EVICTING:
            return 0
        target = round(self._limit_bytes * (MEMORY_SHARES[-1] - MEMORY_SLACK))
        return max(0, self.counters.memory_bytes - target)


@dataclass(frozen=True, slots=True)
class Laggard(Generic[T]):
    """A client whose socket did not take all: for how long it has taken next to nothing, and what waits for it."""

    client: T
    stalled_s: float
    buffered_bytes: int


def slowest(laggards: Iterable[Laggard[T]], excess_bytes: int) -> list[T]:
    """Who must go to free so much: who has stood still longest first, of those who hold most; who makes progress comes
    last. Clients that keep up are no laggards and never go.
    """
    chosen: list[T] = []
    if excess_bytes <= 0:
        return chosen
    for one in sorted(laggards, key=lambda one: (int(one.stalled_s), one.buffered_bytes), reverse=True):
        if excess_bytes <= 0 or len(chosen) == EVICT_MOST:
            break
        chosen.append(one.client)
        excess_bytes -= one.buffered_bytes + LAGGING_BYTES + CONNECTION_BYTES
    return chosen
