"""How fast relayd takes messages in, with 10,000 slow clients and with none: publishing never waits for browsers."""

from __future__ import annotations

import http.client
import json
import time

from bench.arithmetic import median, paired_ratio
from bench.figure import Check, Effort, Figure
from bench.peers.relayd import RelaydPosts
from bench.process import ProgramFailed
from bench.rig import standing
from bench.workload import Workload

TITLE = "Ingest with 10,000 slow clients and with none"
RATE_RATIO_MIN = 0.98
SETTLE_S = 6.0  # every slow client's socket is full well before
HELD_S = 600.0  # slow_after of this figure: nobody leaves while it is measured
STEADY_RATE = 2000
POST_BATCH, POST_BYTES = 100, 180  # the publications of one request, and about the size of a ticker

# At full speed the clients read nothing at all, so that the two differ in waiting only. At a steady rate they sip, as
# real slow clients do; serving a sip costs CPU, and must not cost the publisher.
FULL_SPEED = Workload(connections=10000, rate=0, never_permille=1000, slow_after_s=HELD_S)
SIPPING = Workload(connections=10000, rate=STEADY_RATE, slow_permille=1000, slow_after_s=HELD_S)
NOBODY = Workload(connections=1, rate=0, never_permille=1000, slow_after_s=HELD_S)


def ingest_rate(effort: Effort, workload: Workload) -> tuple[float, float, int]:
    """Messages a second that relayd took from its feed, its CPU us for each, and how many clients were still there."""
    with standing(effort.peers["relayd"], workload) as rig:
        rig.go(STEADY_RATE, SETTLE_S)  # fill the sockets at a rate that leaves them time
        rig.published(SETTLE_S)
        rig.go(workload.rate, effort.measure_s + 2.0)
        time.sleep(1.0)  # what the sockets between publisher and relay can hold is full by then
        rig.publisher.say("count")
        first, cpu_s = rig.publisher.hear("count", 5.0), rig.server.cpu_s()
        time.sleep(effort.measure_s)
        rig.publisher.say("count")
        last, cpu_s = rig.publisher.hear("count", 5.0), rig.server.cpu_s() - cpu_s
        rig.published(effort.measure_s + 2.0)
        final = rig.finish(0, 0.1)
        stayed = workload.connections - final["closed_others"] - final["closed_readers"]
    taken = max(1, last["published"] - first["published"])
    return taken / ((last["ns"] - first["ns"]) / 1e9), cpu_s * 1e6 / taken, stayed


def post(port: int, seconds: float) -> int:
    """Publish by HTTP as an application server does, batch after batch; how many publications were taken."""
    body = json.dumps({"publications": [{"topic": "posted/0", "data": {"price": "x" * POST_BYTES}}] * POST_BATCH})
    until, taken = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", "/topics", body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        answer = reply.read()
        connection.close()
        if reply.status != 200 or answer.count(b'"position"') != POST_BATCH:
            raise ProgramFailed(f"POST /topics was answered with {reply.status}: {answer[:300]!r}")
        taken += POST_BATCH
    return taken


def posted_rate(effort: Effort, workload: Workload) -> tuple[float, float, int]:
    """As `ingest_rate`, for publications over HTTP."""
    with standing(RelaydPosts(), workload) as rig:
        post(rig.port, SETTLE_S)  # fills every socket
        start, cpu_s = time.monotonic(), rig.server.cpu_s()
        taken = post(rig.port, effort.measure_s)
        seconds, cpu_s = time.monotonic() - start, rig.server.cpu_s() - cpu_s
        final = rig.finish(0, 0.1)
        stayed = workload.connections - final["closed_others"] - final["closed_readers"]
    return taken / seconds, cpu_s * 1e6 / taken, stayed


def run(effort: Effort) -> Figure:
    """relayd alone, interleaved."""
    figure = Figure("ingest", TITLE, ("clients", "publisher", "taken in/s", "CPU us/message", "clients still there"))
    cases = {
        "none": (ingest_rate, NOBODY, "full speed"),
        "10,000 that read nothing": (ingest_rate, FULL_SPEED, "full speed"),
        "10,000 that sip": (ingest_rate, SIPPING, f"{STEADY_RATE:,}/s"),
        "HTTP, none": (posted_rate, NOBODY, f"batches of {POST_BATCH}"),
        "HTTP, 10,000 that read nothing": (posted_rate, FULL_SPEED, f"batches of {POST_BATCH}"),
    }
    rates: dict[str, list[float]] = {name: [] for name in cases}
    costs: dict[str, list[float]] = {name: [] for name in cases}
    stayed: dict[str, int] = {}
    for number in range(effort.rounds):
        for name, (measure, workload, _) in cases.items():
            rate, cost, stayed[name] = measure(effort, workload)
            rates[name].append(rate)
            costs[name].append(cost)
            effort.say(
                f"    round {number + 1}: {name:<31}{rate:10,.0f} taken in/s, {cost:6.1f} us each, "
                f"{stayed[name]:,} clients still there"
            )
    for name, (_, _, publisher) in cases.items():
        figure.rows.append(
            [name, publisher, f"{median(rates[name]):,.0f}", f"{median(costs[name]):.1f}", f"{stayed[name]:,}"]
        )
    none, full, sip, posted, posted_full = rates.values()
    figure.checks += [
        Check("ingest rate, 10,000 stalled clients / none", paired_ratio(full, none), ">=", RATE_RATIO_MIN),
        Check(
            f"ingest rate, 10,000 sipping clients / the {STEADY_RATE:,}/s offered",
            median(sip) / STEADY_RATE,
            ">=",
            RATE_RATIO_MIN,
        ),
        Check("by HTTP: rate, 10,000 stalled clients / none", paired_ratio(posted_full, posted), ">=", RATE_RATIO_MIN),
        Check("stalled clients still there", stayed["10,000 that read nothing"], "=", FULL_SPEED.connections),
    ]
    figure.data = {"rates_per_s": rates, "us_per_message": costs, "stayed": stayed}
    return figure
