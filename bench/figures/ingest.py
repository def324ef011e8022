"""How fast relayd takes messages in, with 10,000 slow clients and with none: publishing never waits for browsers."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

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
# So many publish at once. With one, relayd waits for a quarter of the time, and what is measured besides is how long a
# core of the machine takes to wake.
PUBLISHERS = 3

# Both relays stand side by side and are measured in turn, one at rest while the other works: the machine's own pace
# changes by half within seconds (8 to 13 us a publication of a feed), and 2 % are looked for. The shorter the turns,
# the more of them: single ones scatter by a tenth. What a relay does now and then has its share of them; that it is
# done although the relay rests half of the time makes it weigh double.
TURN_S = 0.1
FILL_S = 3.0  # the sockets of stalled clients, before the turns
LAST_S = 0.5  # what one or the other of them still took was a fiftieth of the turns that follow
WAKE_S = 0.02  # what the sockets between publisher and relay can hold is full by then

# At full speed the clients read nothing at all, so that the two differ in waiting only. At a steady rate they sip, as
# real slow clients do; serving a sip costs CPU, and must not cost the publisher.
FULL_SPEED = Workload(connections=10000, rate=0, never_permille=1000, slow_after_s=HELD_S)
SIPPING = Workload(connections=10000, rate=STEADY_RATE, slow_permille=1000, slow_after_s=HELD_S)
NOBODY = Workload(connections=1, rate=0, never_permille=1000, slow_after_s=HELD_S)


class Turn(NamedTuple):
    """What relayd took in, in one turn or in several."""

    messages: int
    seconds: float
    cpu_s: float


class Taken(NamedTuple):
    """What relayd took in while its clients stood as the case says."""

    per_s: float
    cpu_us: float
    """For each message."""
    stayed: int
    """Clients that were still there."""


def sipping(effort: Effort) -> Taken:
    """At a steady rate: one relay alone, in one window."""
    with standing(effort.peers["relayd"], SIPPING) as rig:
        rig.go(STEADY_RATE, SETTLE_S)
        rig.published(SETTLE_S)
        rig.go(STEADY_RATE, effort.measure_s + 2.0)
        time.sleep(1.0)
        turn = _fed(rig, effort.measure_s)
        rig.published(effort.measure_s + 2.0)
        return _taken(turn, SIPPING.connections - _closed(rig))


def _fed(rig: Rig, seconds: float) -> Turn:
    """What relayd takes from its feed."""
    rig.publisher.say("count")
    first, cpu_s = rig.publisher.hear("count", 5.0), rig.server.cpu_s()
    time.sleep(seconds)
    rig.publisher.say("count")
    last, cpu_s = rig.publisher.hear("count", 5.0), rig.server.cpu_s() - cpu_s
    return Turn(last["published"] - first["published"], (last["ns"] - first["ns"]) / 1e9, cpu_s)


def fed(effort: Effort) -> list[Taken]:
    """By the feed at full speed: with nobody, and with stalled clients."""

    def turn(rig: Rig) -> Turn:
        time.sleep(WAKE_S)
        return _fed(rig, TURN_S)

    with standing(effort.peers["relayd"], NOBODY) as one, standing(effort.peers["relayd"], FULL_SPEED) as other:
        other.go(STEADY_RATE, FILL_S)  # at a rate that leaves the sockets time
        other.published(FILL_S)
        _demand_stalled(other)
        # The feed of the one at rest stands still, too: its socket is full.
        seconds = 3 * _turns(effort) * (WAKE_S + TURN_S) + LAST_S + 2.0
        for rig in (one, other):
            rig.go(0, seconds)
        with one.server.at_rest():
            time.sleep(LAST_S)
        took = _in_turns(effort, one, other, turn)
        for rig in (one, other):
            rig.published(seconds)
        return _both(took, one, other)


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


def posted(effort: Effort) -> list[Taken]:
    """By HTTP at full speed: with nobody, and with stalled clients."""

    def turn(rig: Rig) -> Turn:
        start, cpu_s = time.monotonic(), rig.server.cpu_s()
        messages = post(rig.port, TURN_S)
        return Turn(messages, time.monotonic() - start, rig.server.cpu_s() - cpu_s)

    with standing(RelaydPosts(), NOBODY) as one, standing(RelaydPosts(), FULL_SPEED) as other:
        with one.server.at_rest():
            post(other.port, FILL_S)
        _demand_stalled(other)
        return _both(_in_turns(effort, one, other, turn), one, other)


def _demand_stalled(rig: Rig) -> None:
    """ProgramFailed unless the sockets of 10,000 stalled clients are full: else it is other clients that are there."""
    held_bytes = (machine.kernel_socket_bytes() - rig.kernel_before_bytes) // FULL_SPEED.connections
    if held_bytes < STALLED_BYTES:
        raise ProgramFailed(f"clients that read nothing hold {held_bytes} bytes each: nothing is sent to them")


def _turns(effort: Effort) -> int:
    """Of each. They end before the first of the stalled clients has left two pings without an answer, 20 s."""
    return max(1, round(0.75 * effort.measure_s / TURN_S))


def _in_turns(effort: Effort, one: Rig, other: Rig, turn: Callable[[Rig], Turn]) -> list[Turn]:
    """What each took in all of its turns."""
    order = [(one, other), (other, one)]
    turns: dict[Rig, list[Turn]] = {one: [], other: []}
    for number in range(_turns(effort)):
        for rig, resting in order if number % 2 else reversed(order):
            with resting.server.at_rest():
                turns[rig].append(turn(rig))
    return [Turn(*map(sum, zip(*turns[rig], strict=True))) for rig in (one, other)]


def _both(took: list[Turn], one: Rig, other: Rig) -> list[Taken]:
    stayed = (NOBODY.connections - _closed(one), FULL_SPEED.connections - _closed(other))
    return [_taken(turn, still_there) for turn, still_there in zip(took, stayed, strict=True)]


def _taken(turn: Turn, stayed: int) -> Taken:
    messages = max(1, turn.messages)
    return Taken(messages / turn.seconds, turn.cpu_s * 1e6 / messages, stayed)


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


def _round(effort: Effort) -> dict[str, Taken]:
    """By what PUBLISHED names."""
    cases = [*fed(effort), sipping(effort), *posted(effort)]
    return dict(zip(PUBLISHED, cases, strict=True))


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
