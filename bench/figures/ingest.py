"""How fast relayd takes messages in, with 10,000 slow clients and with none: publishing never waits for browsers."""

from __future__ import annotations

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor

from bench import machine
from bench.arithmetic import median, paired_ratio
from bench.figure import Check, Effort, Figure
from bench.peers.relayd import RelaydPosts
from bench.process import ProgramFailed
from bench.rig import Rig, standing
from bench.workload import Workload

TITLE = "Ingest with 10,000 slow clients and with none"
RATE_RATIO_MIN = 0.98
SETTLE_S = 6.0  # every slow client's socket is full well before
HELD_S = 600.0  # slow_after of this figure: nobody leaves while it is measured
STEADY_RATE = 2000
STALLED_BYTES = 16 << 10  # kernel memory of a client that takes nothing: 25 KiB when its sockets are full, 2 when empty

POST_BATCH, POST_BYTES = 100, 180  # the publications of one request, and about the size of a ticker
POST_TOPIC = "posted/t0000000"  # the first of the load generator's (load/common.c)
POST_SETTLE_S = 3.0
# So many publish at once. With one, relayd waits for a quarter of the time, and what is measured besides is how long a
# core of the machine takes to wake.
PUBLISHERS = 3
# Both relays stand side by side and are measured in turn, one at rest while the other works: the machine's own pace
# changes by half within seconds (12 to 20 us a publication), and 2 % are looked for. All that relayd does now and then
# for clients, pings and looks at what waits, has its time at least twice in a turn.
TURN_S = 0.5

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
        _demand_stalled(rig, workload)
        rig.go(workload.rate, effort.measure_s + 2.0)
        time.sleep(1.0)  # what the sockets between publisher and relay can hold is full by then
        rig.publisher.say("count")
        first, cpu_s = rig.publisher.hear("count", 5.0), rig.server.cpu_s()
        time.sleep(effort.measure_s)
        rig.publisher.say("count")
        last, cpu_s = rig.publisher.hear("count", 5.0), rig.server.cpu_s() - cpu_s
        rig.published(effort.measure_s + 2.0)
        stayed = workload.connections - _closed(rig)
    taken = max(1, last["published"] - first["published"])
    return taken / ((last["ns"] - first["ns"]) / 1e9), cpu_s * 1e6 / taken, stayed


def _demand_stalled(rig: Rig, workload: Workload) -> None:
    """ProgramFailed unless the sockets of 10,000 stalled clients are full: else it is other clients that are there."""
    held_bytes = (machine.kernel_socket_bytes() - rig.kernel_before_bytes) // workload.connections
    if workload is FULL_SPEED and held_bytes < STALLED_BYTES:
        raise ProgramFailed(f"clients that read nothing hold {held_bytes} bytes each: nothing is sent to them")


def post(port: int, seconds: float) -> int:
    """Publish by HTTP as application servers do, batch after batch; how many publications were taken."""
    with ThreadPoolExecutor(PUBLISHERS) as publishers:
        return sum(publishers.map(lambda _: _post(port, time.monotonic() + seconds), range(PUBLISHERS)))


def _post(port: int, until: float) -> int:
    body = json.dumps({"publications": [{"topic": POST_TOPIC, "data": {"price": "x" * POST_BYTES}}] * POST_BATCH})
    taken = 0
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


def posted_rates(effort: Effort, quiet: Workload, stalled: Workload) -> list[tuple[float, float, int]]:
    """As `ingest_rate`, for publications over HTTP: of both, each in its fastest turn. What disturbs only slows."""
    with standing(RelaydPosts(), quiet) as one, standing(RelaydPosts(), stalled) as other:
        order = [(one, other), (other, one)]
        for rig, resting in order:
            with resting.server.at_rest():
                post(rig.port, POST_SETTLE_S)  # fills every socket
        _demand_stalled(other, stalled)
        turns: dict[Rig, list[tuple[float, float]]] = {one: [], other: []}
        for number in range(max(1, round(effort.measure_s / TURN_S))):
            for rig, resting in order if number % 2 else reversed(order):
                with resting.server.at_rest():
                    start, cpu_s = time.monotonic(), rig.server.cpu_s()
                    taken = post(rig.port, TURN_S)
                    seconds, cpu_s = time.monotonic() - start, rig.server.cpu_s() - cpu_s
                turns[rig].append((taken / seconds, cpu_s * 1e6 / taken))
        both = ((one, quiet), (other, stalled))
        return [(*max(turns[rig]), workload.connections - _closed(rig)) for rig, workload in both]


def _closed(rig: Rig) -> int:
    final = rig.finish(0, 0.1)
    closed: int = final["closed_others"] + final["closed_readers"]
    return closed


PUBLISHED = {
    "none": "full speed",
    "10,000 that read nothing": "full speed",
    "10,000 that sip": f"{STEADY_RATE:,}/s",
    "HTTP, none": f"batches of {POST_BATCH}",
    "HTTP, 10,000 that read nothing": f"batches of {POST_BATCH}",
}


def _round(effort: Effort) -> dict[str, tuple[float, float, int]]:
    """Rate, cost and who stayed, of each."""
    by_feed = [ingest_rate(effort, workload) for workload in (NOBODY, FULL_SPEED, SIPPING)]
    return dict(zip(PUBLISHED, [*by_feed, *posted_rates(effort, NOBODY, FULL_SPEED)], strict=True))


def run(effort: Effort) -> Figure:
    """relayd alone, interleaved."""
    figure = Figure("ingest", TITLE, ("clients", "publisher", "taken in/s", "CPU us/message", "clients still there"))
    rates: dict[str, list[float]] = {name: [] for name in PUBLISHED}
    costs: dict[str, list[float]] = {name: [] for name in PUBLISHED}
    stayed: dict[str, int] = {}
    for number in range(effort.rounds):
        for name, (rate, cost, stayed[name]) in _round(effort).items():
            rates[name].append(rate)
            costs[name].append(cost)
            effort.say(
                f"    round {number + 1}: {name:<31}{rate:10,.0f} taken in/s, {cost:6.1f} us each, "
                f"{stayed[name]:,} clients still there"
            )
    for name, publisher in PUBLISHED.items():
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
        Check("and by HTTP", stayed["HTTP, 10,000 that read nothing"], "=", FULL_SPEED.connections),
    ]
    figure.data = {"rates_per_s": rates, "us_per_message": costs, "stayed": stayed}
    return figure
