"""5,000 clients x 10 of 1,000 topics each, random sets: what it costs when no two clients want the same."""

from __future__ import annotations

from bench.arithmetic import median, paired_ratio
from bench.figure import SAMPLE_HEAD, Check, Effort, Figure, line, sample_data, sample_row, soundness, values
from bench.rig import Sample, measure
from bench.workload import Workload

TITLE = "5,000 clients x 10 of 1,000 topics each, 2,000 messages a second in all"
CPU_RATIO_MAX = 1.4
# Both make 100,000 deliveries a second to 5,000 clients, 20 to each: only who wants what differs. At 20 a second there
# is nothing to gather for a client, so the shared case is the one without batching; `messages/read` shows it.
SHARED = Workload(connections=5000, rate=20, drain_s=3.0)
OWN_SETS = Workload(connections=5000, rate=2000, topics=1000, topics_each=10, drain_s=3.0, history="100/1m/1MiB")


def run(effort: Effort) -> Figure:
    """relayd alone: shared and own sets, interleaved."""
    figure = Figure("own_sets", TITLE, (*SAMPLE_HEAD, "messages/read"))
    relayd = effort.peers["relayd"]
    rounds: dict[str, list[Sample]] = {"shared": [], "own sets": []}
    for number in range(effort.rounds):
        for name, workload in (("shared", SHARED), ("own sets", OWN_SETS)):
            sample = measure(relayd, workload)
            rounds[name].append(sample)
            effort.say(f"    round {number + 1}: {name:<9}{line(sample)}")
    for name, samples in rounds.items():
        per_read = median([s.window.delivered / max(1, s.window.reads) for s in samples])
        figure.rows.append([*sample_row(name, samples, 0), f"{per_read:.2f}"])
        figure.checks += soundness(name, samples)
    ratio = paired_ratio(*(values(rounds[name], lambda s: s.window.us_per_delivery) for name in ("own sets", "shared")))
    figure.checks.insert(0, Check("CPU per delivery: own sets / shared", ratio, "<=", CPU_RATIO_MAX))
    figure.data = {name: [sample_data(sample) for sample in samples] for name, samples in rounds.items()}
    return figure
