"""1,000 clients x 1,000 messages a second offered: what a core can deliver, and where it ends."""

from __future__ import annotations

import time
from dataclasses import replace

from bench.arithmetic import median, paired_ratio
from bench.figure import (
    SAMPLE_HEAD,
    Bars,
    Check,
    Effort,
    Figure,
    Lines,
    interleaved,
    sample_data,
    sample_row,
    soundness,
    values,
)
from bench.rig import standing
from bench.workload import Workload

TITLE = "1,000 clients x 1,000 messages a second offered"
P99_MAX_MS = 60.0
RATE_RATIO_MIN = 3.5
CPU_RATIO_MAX = 1 / 6
# The quick run leaves out those who send each message by itself: none of them comes near the best.
QUICK_PEERS = ("relayd", "nats")
STEP = 1.2  # the ceiling is looked for in steps of a fifth ...
STEPS_MAX = 10  # ... up to 6 times the rate of the figure
STEP_S = 3.0
KEPT_UP = 0.99  # a step is delivered when its window saw this part of what was offered in it, and nothing was lost
LOAD_SHARE_MAX = 0.9  # above it the load generator may be what ends first


def run(effort: Effort) -> Figure:
    """Every peer, interleaved, then relayd's ceiling."""
    figure = Figure("throughput", TITLE, SAMPLE_HEAD)
    # One second is ten times what may be late; what an overloaded peer has not sent by then is not worth the wait.
    workload = Workload(connections=1000, rate=1000, measure_s=effort.measure_s, warm_s=2.0, drain_s=1.0)
    names = [name for name in effort.peers if not effort.quick or name in QUICK_PEERS]
    rounds = interleaved(effort, workload, names, figure)
    floor_us = median([s.window.us_per_delivery for s in rounds.get("floor", [])])
    figure.rows += [sample_row(name, samples, floor_us) for name, samples in rounds.items()]
    figure.data = {name: [sample_data(sample) for sample in samples] for name, samples in rounds.items()}
    figure.plots += [
        Bars(
            "Delivered a second, one core",
            "messages",
            [(n, median([s.window.delivered_per_s for s in r])) for n, r in rounds.items()],
        ),
        Bars(
            "CPU of the server per delivered message",
            "us",
            [(n, median([s.window.us_per_delivery for s in r])) for n, r in rounds.items()],
        ),
    ]
    if "relayd" not in rounds:
        return figure
    ours = rounds["relayd"]
    rate = values(ours, lambda s: s.window.delivered_per_s)
    us = values(ours, lambda s: s.window.us_per_delivery)
    figure.checks += [
        Check("delivered / offered in the window", median([s.delivered_share for s in ours]), ">=", 0.99),
        Check("p99 ms", median([s.window.p99_ms for s in ours]), "<=", P99_MAX_MS),
        *soundness("relayd", ours),
    ]
    rivals = [name for name in effort.rivals() if name in rounds]
    if rivals:
        fastest = max(rivals, key=lambda name: median([s.window.delivered_per_s for s in rounds[name]]))
        cheapest = min(rivals, key=lambda name: median([s.window.us_per_delivery for s in rounds[name]]))
        figure.checks += [
            Check(
                f"delivered rate / best peer's ({fastest})",
                paired_ratio(rate, values(rounds[fastest], lambda s: s.window.delivered_per_s)),
                ">=",
                RATE_RATIO_MIN,
            ),
            Check(
                f"CPU per delivery / best peer's ({cheapest})",
                paired_ratio(us, values(rounds[cheapest], lambda s: s.window.us_per_delivery)),
                "<=",
                CPU_RATIO_MAX,
            ),
        ]
    if not effort.quick:
        ceiling(effort, workload, figure)
    return figure


def ceiling(effort: Effort, workload: Workload, figure: Figure) -> None:
    """Raise the rate until relayd no longer delivers everything in time; the last rate it did is the ceiling."""
    curve: list[tuple[float, float]] = []
    reached, why = 0, f"not reached in {STEPS_MAX} steps"
    with standing(effort.peers["relayd"], replace(workload, history="20000/1m/32MiB")) as rig:
        published = 0
        for step in range(STEPS_MAX):
            rate = round(workload.rate * STEP**step)
            rig.go(rate, STEP_S + 1.0)
            time.sleep(0.5)
            rig.begin()
            time.sleep(STEP_S)
            window = rig.end()
            published = rig.published(STEP_S)["published"]
            final = rig.finish(published, 5.0)
            share = window.delivered_per_s / (rate * workload.connections)
            curve.append((window.delivered_per_s, window.p99_ms))
            effort.say(
                f"    ceiling: {rate:,}/s offered: {window.delivered_per_s:,.0f} delivered/s  "
                f"p99 {window.p99_ms:.1f} ms  server {window.server_share:.0%}  load {window.load_share:.0%}"
            )
            if share < KEPT_UP or window.p99_ms > P99_MAX_MS or final["lost"]:
                why = (
                    f"at {rate:,}/s offered: {share:.1%} delivered in the window, p99 {window.p99_ms:.1f} ms, "
                    f"{final['lost']:,} lost, server {window.server_share:.0%} of its core"
                )
                if window.load_share > LOAD_SHARE_MAX:
                    why += f" (the load generator used {window.load_share:.0%} of its own: it may be what ended)"
                break
            reached = rate
    figure.notes.append(
        f"Ceiling of relayd with {workload.connections:,} clients: {reached * workload.connections:,} deliveries/s; "
        f"then {why}."
    )
    figure.data["ceiling"] = {"deliveries_per_s": reached * workload.connections, "curve": curve, "then": why}
    figure.plots.append(
        Lines("relayd to its ceiling", "deliveries a second", "p99 ms", [("relayd", curve)], log_y=True)
    )
