"""5,000 clients x 10 of 1,000 topics each, random sets: what it costs when no two clients want the same."""

from __future__ import annotations

from bench.arithmetic import median, paired_ratio
from bench.figure import SAMPLE_HEAD, Check, Effort, Figure, line, sample_data, sample_row, soundness, values
from bench.rig import Sample, measure
from bench.workload import Workload

TITLE = "5,000 clients x 10 of 1,000 topics each, 2,000 messages a second in all"
# To fifty cold sockets at a time the kernel sends dearer than to thousands in a row: the floor, which keeps a list of
# readers for each topic and nothing else, needs 1.18 to 1.54 times as much for own sets, from hour to hour.
TO_FLOOR_MAX = 1.15
# Both make 100,000 deliveries a second to 5,000 clients, 20 to each: only who wants what differs. At 20 a second there
# is nothing to gather for a client, so the shared case is the one without batching; `messages/read` shows it.
SHARED = Workload(connections=5000, rate=20, drain_s=3.0)
OWN_SETS = Workload(connections=5000, rate=2000, topics=1000, topics_each=10, drain_s=3.0, history="100/1m/1MiB")
WORKLOADS = {"shared": SHARED, "own sets": OWN_SETS}


def run(effort: Effort) -> Figure:
    """relayd and the floor: shared and own sets, interleaved."""
    figure = Figure("own_sets", TITLE, (*SAMPLE_HEAD, "messages/read"))
    rounds: dict[tuple[str, str], list[Sample]] = {
        (peer, sets): [] for peer in ("relayd", "floor") for sets in WORKLOADS
    }
    for number in range(effort.rounds):
        for (peer, sets), samples in rounds.items():
            samples.append(measure(effort.peers[peer], WORKLOADS[sets]))
            effort.say(f"    round {number + 1}: {sets:<9}{line(samples[-1])}")
    for (peer, sets), samples in rounds.items():
        per_read = median([s.window.delivered / max(1, s.window.reads) for s in samples])
        floor_us = median(_us(rounds["floor", sets]))
        figure.rows.append([*sample_row(f"{peer}, {sets}", samples, floor_us), f"{per_read:.2f}"])
    for sets in WORKLOADS:
        figure.checks += soundness(f"relayd, {sets}", rounds["relayd", sets])
    ratios = {
        peer: paired_ratio(_us(rounds[peer, "own sets"]), _us(rounds[peer, "shared"])) for peer in ("relayd", "floor")
    }
    to_floor = ratios["relayd"] / ratios["floor"]
    name = "CPU per delivery: own sets / shared, to that of the floor"
    figure.checks.insert(0, Check(name, to_floor, "<=", TO_FLOOR_MAX))
    figure.notes.append(
        f"own sets cost {ratios['relayd']:.2f} times the shared case, and the floor {ratios['floor']:.2f} times"
    )
    figure.data = {
        f"{peer}, {sets}": [sample_data(sample) for sample in samples] for (peer, sets), samples in rounds.items()
    }
    return figure


def _us(samples: list[Sample]) -> list[float]:
    return values(samples, lambda sample: sample.window.us_per_delivery)
