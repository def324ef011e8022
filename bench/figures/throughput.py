"""1,000 clients x 1,000 messages a second offered: what a core can deliver, and where it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

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
    line,
    sample_data,
    sample_row,
    soundness,
    values,
)
from bench.figures.ceiling import Climb, climb
from bench.rig import Sample, measure
from bench.workload import Workload

TITLE = "1,000 clients x 1,000 messages a second offered, and the ceiling"
P99_MAX_MS = 60.0
# Of ceilings: what is offered first, one other server delivers as well (docs/design/fan-out.md).
RATE_RATIO_MIN = 3.5
CPU_RATIO_MAX = 1 / 6
# The quick run offers the first rate to relayd alone, climbs from near the top, and with it the peer that was best.
QUICK_PEER = "nats"
QUICK_START = 3583  # 1,000 raised by seven steps


def run(effort: Effort) -> Figure:
    """Every peer, interleaved; then the ceilings of relayd and of the peer that delivered most."""
    figure = Figure("throughput", TITLE, SAMPLE_HEAD)
    # One second is ten times what may be late; what an overloaded peer has not sent by then is not worth the wait.
    workload = Workload(connections=1000, rate=1000, measure_s=effort.measure_s, warm_s=2.0, drain_s=1.0)
    rounds = interleaved(effort, workload, ["relayd"] if effort.quick else list(effort.peers), figure)
    floor_us = median([s.window.us_per_delivery for s in rounds.get("floor", [])])
    figure.rows += [sample_row(name, samples, floor_us) for name, samples in rounds.items()]
    figure.data = {name: [sample_data(sample) for sample in samples] for name, samples in rounds.items()}
    figure.plots += [
        Bars("Delivered a second, one core", "messages", _medians(rounds, lambda s: s.window.delivered_per_s)),
        Bars("CPU of the server per delivered message", "us", _medians(rounds, lambda s: s.window.us_per_delivery)),
    ]
    if "relayd" not in rounds:
        return figure
    ours = rounds["relayd"]
    figure.checks += [
        Check("delivered / offered in the window", median([s.delivered_share for s in ours]), ">=", 0.99),
        Check("p99 ms", median([s.window.p99_ms for s in ours]), "<=", P99_MAX_MS),
        *soundness("relayd", ours),
    ]
    ceilings(effort, replace(workload, history="20000/1m/32MiB"), _rival(effort, rounds), figure)
    return figure


def _medians(rounds: Rounds, of: Callable[[Sample], float]) -> Sequence[tuple[str, float]]:
    return [(name, median(values(samples, of))) for name, samples in rounds.items()]


def _rival(effort: Effort, rounds: Rounds) -> str | None:
    """The peer to be climbed with."""
    if effort.quick:
        return QUICK_PEER if QUICK_PEER in effort.peers else None
    rivals = [name for name in effort.rivals() if name in rounds]
    return max(rivals, key=lambda name: median([s.window.delivered_per_s for s in rounds[name]]), default=None)


def ceilings(effort: Effort, workload: Workload, rival: str | None, figure: Figure) -> None:
    """Find the ceilings, measure there in turn as often as there are rounds (the quick run: once), and compare."""
    found: dict[str, Climb] = {}
    for name in filter(None, ("relayd", rival)):
        start = QUICK_START if effort.quick and name == "relayd" else workload.rate

        def at(rate: int, name: str = name) -> Sample:
            sample = measure(effort.peers[name], replace(workload, rate=rate))
            effort.say(f"    ceiling: {rate:,}/s: {line(sample)}")
            return sample

        found[name] = climb(at, start, P99_MAX_MS)
    reached = {name: climbed.best for name, climbed in found.items() if climbed.best is not None}
    rounds: Rounds = {name: [best] for name, best in reached.items()}
    for _ in range(0 if effort.quick else effort.rounds - 1):
        for name, best in reached.items():
            rounds[name].append(measure(effort.peers[name], best.workload))
            effort.say(f"    at the ceiling: {line(rounds[name][-1])}")
    for name, climbed in found.items():
        offered = f"{reached[name].workload.offered_per_s:,.0f} deliveries/s" if name in reached else "none"
        figure.notes.append(f"Ceiling of {name} with {workload.connections:,} clients: {offered}; then {climbed.why}.")
        figure.rows += [sample_row(f"{name} at its ceiling", rounds[name], floor_us=0)] if name in rounds else []
        figure.data[f"ceiling of {name}"] = {
            "steps": [sample_data(sample) for sample in climbed.samples],
            "rounds": [sample_data(sample) for sample in rounds.get(name, [])],
            "then": climbed.why,
        }
    curves = [(name, climbed.curve) for name, climbed in found.items()]
    figure.plots.append(Lines("To the ceiling", "deliveries a second", "p99 ms", curves, log_y=True))
    if rival is not None:
        figure.checks += _against(rival, rounds)


def _against(rival: str, rounds: Rounds) -> list[Check]:
    """Ceiling against ceiling."""
    # Who kept up at no rate has no ceiling: nothing can be said, and what cannot be said meets no target.
    both = [rounds[name] for name in ("relayd", rival)] if rounds.keys() >= {"relayd", rival} else [[], []]
    rate = paired_ratio(*(values(samples, lambda s: s.window.delivered_per_s) for samples in both))
    us = paired_ratio(*(values(samples, lambda s: s.window.us_per_delivery) for samples in both))
    return [
        Check(f"ceiling / best peer's ({rival})", rate, ">=", RATE_RATIO_MIN),
        Check(f"CPU per delivery at the ceiling / best peer's ({rival}) at its own", us, "<=", CPU_RATIO_MAX),
    ]
