"""10,000 connections that say nothing: what their pings cost, and what a step of the wall clock does to them."""

from __future__ import annotations

import struct
import tempfile
import time

from bench import build
from bench.arithmetic import median
from bench.figure import Check, Effort, Figure
from bench.rig import standing
from bench.workload import Workload

TITLE = "10,000 idle connections, ping every 25 s"
CORE_SHARE_MAX = 0.02
PING_EVERY_S = 25
STEP_S = 3600
AFTER_STEP_S = 15.0  # longer than a pong may take (10 s): a clock that moved deadlines has closed somebody by then


def run(effort: Effort) -> Figure:
    """relayd alone: windows of one whole ping period each, then the wall clock an hour on, and back."""
    figure = Figure("idle", TITLE, ("window", "server % of a core", "pings", "delivered"))
    workload = Workload(connections=10000, rate=1)
    with tempfile.NamedTemporaryFile(prefix="bench-step-") as step:
        step.write(struct.pack("<q", 0))
        step.flush()
        env = {"LD_PRELOAD": str(build.CLOCKSTEP), "CLOCKSTEP": step.name}
        with standing(effort.peers["relayd"], workload, env) as rig:
            shares, softirq_s, pings = [], [], []
            for number in range(effort.rounds):
                rig.begin()
                time.sleep(PING_EVERY_S)
                window = rig.end()
                shares.append(window.server_share)
                softirq_s.append(window.server.softirq_s)
                pings.append(window.pings)
                figure.rows.append(
                    [str(number + 1), f"{window.server_share:.2%}", f"{window.pings:,}", f"{window.delivered}"]
                )
                effort.say(f"    window {number + 1}: {window.server_share:.2%} of a core, {window.pings:,} pings")
            stepped = []
            for seconds in (STEP_S, 0):
                rig.begin()
                step.seek(0)  # in place: the server has the file mapped, it must not become shorter
                step.write(struct.pack("<q", seconds))
                step.flush()
                time.sleep(AFTER_STEP_S)
                window = rig.end()
                stepped.append(window)
                figure.rows.append(
                    [f"clock {seconds:+} s", f"{window.server_share:.2%}", f"{window.pings:,}", f"{window.delivered}"]
                )
                effort.say(f"    wall clock {seconds:+} s: {window.pings:,} pings in {AFTER_STEP_S:.0f} s")
            final = rig.finish(0, 0.1)
            memory_kb = rig.memory_per_connection_bytes / 1024
    due = workload.connections * AFTER_STEP_S / PING_EVERY_S
    figure.checks += [
        Check("part of a core", median(shares), "<=", CORE_SHARE_MAX),
        Check("pings in a period / connections", median([count / workload.connections for count in pings]), ">=", 0.9),
        Check("pings after a clock step / due", max(window.pings for window in stepped) / due, "<=", 1.25),
        Check(
            "pings after a clock step / due (none withheld)", min(window.pings for window in stepped) / due, ">=", 0.75
        ),
        Check("connections closed", final["closed_readers"], "=", 0),
    ]
    figure.notes.append(
        f"{memory_kb:.1f} KB of process memory per connection, {rig.accept_us:.0f} us of CPU per accept and subscribe."
    )
    figure.data = {
        "shares": shares,
        "softirq_cpu_s": softirq_s,
        "pings": pings,
        "memory_per_connection_kb": memory_kb,
        "accept_us": rig.accept_us,
        "accept_softirq_us": rig.accept_softirq_us,
        "final": final,
    }
    return figure
