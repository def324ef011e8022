"""2,000 clients, a tenth of which never read: what they cost the others, how much memory, and for how long."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.arithmetic import median, paired_ratio
from bench.figure import SAMPLE_HEAD, Check, Effort, Figure, line, sample_data, sample_row, soundness, values
from bench.process import ProgramFailed
from bench.rig import Rig, Sample, measure, standing
from bench.workload import Workload

TITLE = "2,000 clients, 10 % of which never read"
THROUGHPUT_MIN = 0.98
P99_RATIO_MAX = 1.10
NEVER_READER_BYTES_MAX = 256 << 10
GRACE_S = 2.0  # beyond slow_after
FULL_SHARE = 0.8  # of the most that was ever queued
POLL_S = 0.1

# The others are 1,800 in both, so that the same fan-out is compared.
WITHOUT = Workload(connections=1800, rate=50)
WITH = Workload(connections=2000, rate=50, never_permille=100)


def run(effort: Effort) -> Figure:
    """relayd alone: with and without, interleaved; then how long a never-reader stays."""
    figure = Figure("never_readers", TITLE, SAMPLE_HEAD)
    relayd = effort.peers["relayd"]
    rounds: dict[str, list[Sample]] = {"without": [], "with": []}
    for number in range(effort.rounds):
        for name, workload in (("without", WITHOUT), ("with", WITH)):
            sample = measure(relayd, replace(workload, measure_s=effort.measure_s))
            rounds[name].append(sample)
            effort.say(f"    round {number + 1}: {name:<8}{line(sample)}")
    without, with_ = rounds["without"], rounds["with"]
    never = WITH.connections - WITH.readers
    costs = [
        (b.memory_after_bytes + b.kernel_bytes - a.memory_after_bytes - a.kernel_bytes) / never
        for a, b in zip(without, with_, strict=True)
    ]
    figure.rows += [sample_row(name, samples, 0) for name, samples in rounds.items()]
    figure.checks += [
        Check(
            "throughput of the others, with / without",
            paired_ratio(*(values(s, lambda s: s.window.delivered_per_s) for s in (with_, without))),
            ">=",
            THROUGHPUT_MIN,
        ),
        Check(
            "p99 of the others, with / without",
            paired_ratio(*(values(s, lambda s: s.window.p99_ms) for s in (with_, without))),
            "<=",
            P99_RATIO_MAX,
        ),
        Check(
            "KiB of process and kernel memory per never-reader",
            median(costs) / 1024,
            "<=",
            NEVER_READER_BYTES_MAX / 1024,
        ),
        *soundness("relayd", [*without, *with_]),
    ]
    stay(effort, figure, never)
    figure.data |= {name: [sample_data(sample) for sample in samples] for name, samples in rounds.items()}
    return figure


def stay(effort: Effort, figure: Figure, never: int) -> None:
    """From the moment the sockets of the never-readers are full: how long until the last of them is closed?"""
    workload = replace(WITH, slow_after_s=5.0 if effort.quick else 10.0)
    allowed_s = workload.slow_after_s + GRACE_S
    with standing(effort.peers["relayd"], workload) as rig:
        total_s = workload.slow_after_s * 2 + 10
        rig.go(workload.rate, total_s)
        full_ns, gone_by = watch(rig, total_s)
        publisher = rig.published(total_s)
        final = rig.finish(publisher["published"], workload.drain_s)
    closed, last_ns = final["closed_others"], final["last_other_closed_ns"]
    took_s = (last_ns - full_ns) / 1e9 if closed == never else float("nan")
    effort.say(
        f"    {closed} of {never} never-readers closed, the last {took_s:.1f} s after the sockets were full; "
        f"codes {final['close_codes']}"
    )
    figure.checks += [
        Check("never-readers closed", closed, "=", never),
        Check(
            f"seconds a never-reader stays once its socket is full (slow_after {workload.slow_after_s:.0f} s)",
            took_s,
            "<=",
            allowed_s,
        ),
        Check("readers closed meanwhile", final["closed_readers"], "=", 0),
    ]
    figure.data["stay"] = {"seconds": took_s, "closed": closed, "sockets_empty_after_s": gone_by, "final": final}


def queued_bytes(port: int) -> int:
    """Bytes that wait in the sockets of `port`, unsent at the server and unread at its clients, from /proc/net/tcp."""
    wanted = f":{port:04X}"
    total = 0
    for text in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = text.split()
        sent, _, received = words[4].partition(":")
        if words[1].endswith(wanted):
            total += int(sent, 16)
        elif words[2].endswith(wanted):
            total += int(received, 16)
    return total


def watch(rig: Rig, within_s: float) -> tuple[int, float]:
    """When the sockets were full (ns), and after how many seconds they were empty. Bounded by within_s."""
    start, most = time.monotonic(), 0
    samples: list[tuple[int, int]] = []  # ns, queued bytes
    while time.monotonic() - start < within_s:
        queued = queued_bytes(rig.port)
        samples.append((time.monotonic_ns(), queued))
        most = max(most, queued)
        if queued < most / 10:
            return full_at(samples), time.monotonic() - start
        time.sleep(POLL_S)
    if not rig.server.alive():
        raise ProgramFailed("the server ended while its never-readers were watched")
    return full_at(samples), float("nan")


def full_at(samples: Sequence[tuple[int, int]]) -> int:
    """The first of these times (ns) at which nearly as many bytes were queued as ever: the rest may be what readers
    have under way, which flickers."""
    most = max(queued for _, queued in samples)
    return next(ns for ns, queued in samples if queued >= FULL_SHARE * most)
