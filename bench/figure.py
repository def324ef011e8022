"""One figure: what was measured, the table of it, and the targets it is held against."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.arithmetic import median
from bench.peers.base import Peer
from bench.process import ProgramFailed
from bench.rig import Sample, measure
from bench.workload import Workload

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Check:
    """One target: a measured value against its limit."""

    name: str
    value: float
    relation: str  # "<=", ">=" or "="
    limit: float

    @property
    def met(self) -> bool:
        """Whether the target is met; a value that could not be measured (NaN) meets none."""
        if math.isnan(self.value):
            return False
        if self.relation == "=":
            return self.value == self.limit
        return self.value <= self.limit if self.relation == "<=" else self.value >= self.limit


@dataclass(frozen=True, slots=True)
class Bars:
    """A bar chart: (label, value) pairs, drawn in the order given."""

    title: str
    unit: str
    bars: Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Lines:
    """A line chart on logarithmic axes if asked for: named series of (x, y)."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]]
    log_y: bool = False


@dataclass(slots=True)
class Figure:
    """What a figure's module returns."""

    name: str
    title: str
    head: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    plots: list[Bars | Lines] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether every target is met; a figure without targets met nothing."""
        return bool(self.checks) and all(check.met for check in self.checks)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int
    measure_s: float
    peers: dict[str, Peer]  # those that can be measured here, relayd among them
    say: Say
    quick: bool = False

    def rivals(self) -> list[str]:
        """Every peer but relayd and the floor."""
        return [name for name in self.peers if name not in ("relayd", "floor")]


Rounds = dict[str, list[Sample]]


def interleaved(effort: Effort, workload: Workload, names: Sequence[str], figure: Figure) -> Rounds:
    """Every named peer once a round. A peer that fails is left out and named in the notes; relayd must not fail."""
    rounds: Rounds = {name: [] for name in names}
    for number in range(effort.rounds):
        for name in [name for name in names if name in rounds]:
            try:
                sample = measure(effort.peers[name], workload)
            except (ProgramFailed, RuntimeError) as error:
                if name == "relayd":
                    raise
                figure.notes.append(f"{name} left out: {error}")
                effort.say(f"    {name}: left out: {error}")
                del rounds[name]
                continue
            rounds[name].append(sample)
            effort.say(f"    round {number + 1}: {line(sample)}")
    return rounds


def line(sample: Sample) -> str:
    """One sample for the terminal."""
    window = sample.window
    return (
        f"{sample.peer:<11}{window.us_per_delivery:7.2f} us {window.delivered_per_s:10,.0f}/s  "
        f"p50 {window.p50_ms:8.2f}  p99 {window.p99_ms:8.2f} ms  server {window.server_share:4.0%}  "
        f"load {window.load_share:4.0%}  lost {sample.lost:,}" + (f"  FAULTS {sample.faults}" if sample.faults else "")
    )


SAMPLE_HEAD = (
    "server",
    "CPU us/delivery",
    "of that softirq",
    "x floor",
    "delivered/s",
    "p50 ms",
    "p99 ms",
    "KB/connection",
    "us/accept",
    "server",
    "load",
    "lost",
)


def softirq_text(parts_us: Sequence[float | None]) -> str:
    """The median of what ksoftirqd was charged with, for a table; a dash where it cannot be seen."""
    seen_us = [us for us in parts_us if us is not None]
    return f"{median(seen_us):.2f}" if seen_us else "–"


def sample_row(name: str, samples: Sequence[Sample], floor_us: float) -> list[str]:
    """The medians of one peer, for a table with SAMPLE_HEAD."""
    windows = [sample.window for sample in samples]
    us = median([window.us_per_delivery for window in windows])
    return [
        name,
        f"{us:.2f}",
        softirq_text([window.softirq_us_per_delivery for window in windows]),
        f"{us / floor_us:.2f}" if floor_us else "",
        f"{median([window.delivered_per_s for window in windows]):,.0f}",
        f"{median([window.p50_ms for window in windows]):.2f}",
        f"{median([window.p99_ms for window in windows]):.2f}",
        f"{median([sample.memory_per_connection_bytes for sample in samples]) / 1024:.1f}",
        f"{median([sample.accept_us for sample in samples]):.0f}",
        f"{median([window.server_share for window in windows]):.0%}",
        f"{median([window.load_share for window in windows]):.0%}",
        f"{max(sample.lost for sample in samples):,}",
    ]


def sample_data(sample: Sample) -> dict[str, Any]:
    """One sample as JSON, every round kept: medians can be made again from it."""
    window = sample.window
    return {
        "us_per_delivery": window.us_per_delivery,
        "softirq_us_per_delivery": window.softirq_us_per_delivery,
        "delivered_per_s": window.delivered_per_s,
        "delivered": window.delivered,
        "seconds": window.seconds,
        "p50_ms": window.p50_ms,
        "p99_ms": window.p99_ms,
        "p999_ms": window.latencies.percentile_ms(99.9),
        "server_cpu_s": window.server.total_s,
        "softirq_cpu_s": window.server.softirq_s,
        "load_cpu_s": window.load_cpu_s,
        "reads": window.reads,
        "bytes": window.bytes,
        "published": sample.published,
        "final": dict(sample.final),
        "accept_us": sample.accept_us,
        "accept_softirq_us": sample.accept_softirq_us,
        "memory_bytes": sample.memory_bytes,
        "memory_per_connection_bytes": sample.memory_per_connection_bytes,
        "memory_after_bytes": sample.memory_after_bytes,
        "kernel_bytes": sample.kernel_bytes,
        "publisher": dict(sample.publisher),
    }


def soundness(name: str, samples: Sequence[Sample]) -> list[Check]:
    """What holds in every round whatever the speed: nothing lost, reordered, doubled, corrupt or disconnected."""
    return [
        Check(f"{name}: messages lost", max(sample.lost for sample in samples), "=", 0),
        Check(
            f"{name}: late, doubled, strange, corrupt messages and closed readers",
            sum(sum(s.faults.values()) for s in samples),
            "=",
            0,
        ),
    ]


def values(samples: Sequence[Sample], of: Callable[[Sample], float]) -> list[float]:
    """One number of each round."""
    return [of(sample) for sample in samples]
