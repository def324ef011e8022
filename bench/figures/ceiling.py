"""How far a server can be taken: the highest rate at which it still delivers everything in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bench.rig import Sample

STEP = 1.2  # it is looked for in steps of a fifth ...
STEPS_MAX = 12  # ... up to 7.4 times the rate it starts from, or down to an eighth
KEPT_UP = 0.99  # a rate is delivered when the window saw this part of what was offered in it, and nothing was lost
LOAD_SHARE_MAX = 0.9  # above it the load generator may be what ends first


@dataclass(slots=True)
class Climb:
    """What one server did: every step, the best that it kept up with (None if none), and why it went no further."""

    samples: list[Sample] = field(default_factory=list)
    best: Sample | None = None
    why: str = ""

    @property
    def curve(self) -> list[tuple[float, float]]:
        """(deliveries a second, p99 in ms) of every step, the slowest first."""
        windows = [sample.window for sample in sorted(self.samples, key=lambda sample: sample.workload.rate)]
        return [(window.delivered_per_s, window.p99_ms) for window in windows]


def climb(measure: Callable[[int], Sample], start: int, p99_max_ms: float) -> Climb:
    """Measure at `start` messages a second, then higher until the server no longer keeps up, or lower until it does."""
    found, rate, way = Climb(), float(start), 0
    for _ in range(STEPS_MAX):
        sample = measure(round(rate))
        found.samples.append(sample)
        short = _falls_short(sample, p99_max_ms)
        if short:
            found.why = f"at {sample.workload.rate:,}/s offered: {short}"
        else:
            found.best = sample
        way = way or (-1 if short else 1)
        if bool(short) == (way > 0):
            return found
        rate = rate * STEP if way > 0 else rate / STEP
    if way > 0:
        found.why = f"not reached in {STEPS_MAX} steps"
    return found


def _falls_short(sample: Sample, p99_max_ms: float) -> str:
    """In what the server did not keep up; "" if it did."""
    window = sample.window
    if sample.delivered_share >= KEPT_UP and window.p99_ms <= p99_max_ms and not sample.lost and not sample.faults:
        return ""
    short = (
        f"{sample.delivered_share:.1%} delivered in the window, p99 {window.p99_ms:.1f} ms, {sample.lost:,} late by "
        f"more than a second or lost, server {window.server_share:.0%} of its core"
    )
    if sample.faults:
        short += f", {sample.faults}"
    if window.load_share > LOAD_SHARE_MAX:
        short += f" (the load generator used {window.load_share:.0%} of its own: it may be what ended)"
    return short
