"""500 clients x 50 messages a second: what one delivery costs when there is nothing to gather."""

from __future__ import annotations

from bench.arithmetic import median, paired_ratio
from bench.figure import (
    SAMPLE_HEAD,
    Bars,
    Check,
    Effort,
    Figure,
    Lines,
    Rounds,
    interleaved,
    sample_data,
    sample_row,
    soundness,
    values,
)
from bench.workload import Workload

TITLE = "500 clients x 50 messages a second"
FLOOR_RATIO_MAX = 1.15
PEER_RATIO_MAX = 1.05
P99_RATIO_MAX = 1.0
# The quick run leaves out whom it knows to be dearer than picows.
QUICK_PEERS = ("relayd", "floor", "picows")
PERCENTS = (1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9)


def best(rounds: Rounds, names: list[str], of: str) -> str:
    """The rival with the lowest median of a window's number."""
    return min(
        (name for name in names if name in rounds),
        key=lambda name: median([getattr(s.window, of) for s in rounds[name]]),
    )


def run(effort: Effort) -> Figure:
    """Every peer, interleaved."""
    figure = Figure("fan_out", TITLE, SAMPLE_HEAD)
    workload = Workload(connections=500, rate=50, measure_s=effort.measure_s)
    names = [name for name in effort.peers if not effort.quick or name in QUICK_PEERS]
    rounds = interleaved(effort, workload, names, figure)
    floor_us = median([s.window.us_per_delivery for s in rounds["floor"]])
    figure.rows += [sample_row(name, samples, floor_us) for name, samples in rounds.items()]
    figure.data = {name: [sample_data(sample) for sample in samples] for name, samples in rounds.items()}
    figure.plots += [
        Bars(
            "CPU of the server per delivered message",
            "us",
            [(n, median([s.window.us_per_delivery for s in r])) for n, r in rounds.items()],
        ),
        Lines(
            "Latency, all rounds' median",
            "percent of messages",
            "ms",
            [
                (n, [(p, median([s.window.latencies.percentile_ms(p) for s in r])) for p in PERCENTS])
                for n, r in rounds.items()
            ],
            log_y=True,
        ),
    ]
    if "relayd" in rounds:
        judge(figure, rounds, effort.rivals())
    return figure


def judge(figure: Figure, rounds: Rounds, rivals: list[str]) -> None:
    """relayd against the floor and the best of the rivals."""
    ours = rounds["relayd"]
    us = values(ours, lambda s: s.window.us_per_delivery)
    figure.checks.append(
        Check(
            "CPU per delivery / floor",
            paired_ratio(us, values(rounds["floor"], lambda s: s.window.us_per_delivery)),
            "<=",
            FLOOR_RATIO_MAX,
        )
    )
    if any(name in rounds for name in rivals):
        cheapest, quickest = best(rounds, rivals, "us_per_delivery"), best(rounds, rivals, "p99_ms")
        figure.checks += [
            Check(
                f"CPU per delivery / best peer ({cheapest})",
                paired_ratio(us, values(rounds[cheapest], lambda s: s.window.us_per_delivery)),
                "<=",
                PEER_RATIO_MAX,
            ),
            Check(
                f"p99 / best peer's ({quickest})",
                paired_ratio(
                    values(ours, lambda s: s.window.p99_ms), values(rounds[quickest], lambda s: s.window.p99_ms)
                ),
                "<=",
                P99_RATIO_MAX,
            ),
        ]
    figure.checks += soundness("relayd", ours)
