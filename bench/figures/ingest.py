"""How fast relayd takes messages in, with 10,000 slow clients and with none: publishing never waits for browsers."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from bench.arithmetic import median
from bench.figure import Check, Effort, Figure
from bench.peers.relayd import Relayd, RelaydPosts
from bench.process import ProgramFailed
from bench.rig import LIFE_S, Rig, standing
from bench.visit import Turn, Visit, Visitors, closed, turns, visit
from bench.workload import Workload

TITLE = "Ingest with 10,000 slow clients and with none"
RATE_RATIO_MIN = 0.98
# Ours, for the rate beside that with no client at all: what it costs that ten thousand stand in the same heap, whether
# anything waits for them or not (docs/design/fan-out.md, "Ten thousand in the heap").
PRESENCE_RATIO_MIN = 0.95
# Of the core, for each of the two relays at work. With less one of them waits for its publisher, and that is measured,
# or something else has the core.
HALF_MIN = 0.48
SETTLE_S = 6.0  # every slow client's socket is full well before
HELD_S = 600.0  # slow_after of this figure: nobody leaves while it is measured
STEADY_RATE = 2000

POST_BATCH, POST_BYTES = 100, 180  # the publications of one request, and about the size of a ticker
POST_TOPIC = "posted/t0000000"  # the first of the load generator's (load/common.c)
# So many publish to each relay at once, that there is always something for it to do when its half of the core comes.
PUBLISHERS = 3
POST_WITHIN_S = 60.0  # a relay at rest answers late

# Of measure_s, each window. With nobody in one with clients either, rounds came out between 0.980 and 1.005 by windows
# of four seconds, 0.985 and 1.003 by six. One with clients has to be over before the first of them has left two pings
# without an answer, 20 s.
LONGER = 1.5

# At full speed the clients read nothing at all, so that the two differ in waiting only. At a steady rate they sip, as
# real slow clients do; serving a sip costs CPU, and must not cost the publisher.
FULL_SPEED = Workload(connections=10000, rate=0, never_permille=1000, slow_after_s=HELD_S)
SIPPING = Workload(connections=10000, rate=STEADY_RATE, slow_permille=1000, slow_after_s=HELD_S)
# None at all, neither slow nor quick: nothing is made for a reader. One that reads all would have flushes of its own,
# whose rhythm changes when others stand beside it.
NOBODY = Workload(connections=0, rate=0, slow_after_s=HELD_S)


def _fed(rig: Rig) -> tuple[int, int]:
    """A feed sends no more than relayd takes: the sockets between them are full."""
    rig.publisher.say("count")
    answer = rig.publisher.hear("count", 5.0)
    return answer["published"], answer["ns"]


def fed(effort: Effort, silent_first: bool, clients: Workload = FULL_SPEED) -> Visit:
    """By feeds at full speed."""
    visitors = Visitors(clients, stalled=Relayd(), silent=RelaydPosts(), silent_first=silent_first)
    with standing(RelaydPosts(), NOBODY) as reference, standing(RelaydPosts(), NOBODY) as subject:
        for rig in (reference, subject):
            rig.go(0, LIFE_S)
        return visit(_fed, subject, reference, visitors, LONGER * effort.measure_s)


class Posting:
    """Publishes to one relay by HTTP, as application servers do, batch after batch, while it is entered."""

    BODY = json.dumps({"publications": [{"topic": POST_TOPIC, "data": {"price": "x" * POST_BYTES}}] * POST_BATCH})

    def __init__(self, port: int) -> None:
        self._port = port
        self._taken = [0] * PUBLISHERS
        self._over = threading.Event()

    @property
    def taken(self) -> int:
        """Publications relayd has acknowledged so far."""
        return sum(self._taken)

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """ProgramFailed at the end if relayd refused anything."""
        with ThreadPoolExecutor(PUBLISHERS) as publishers:
            done = publishers.map(self._publish, range(PUBLISHERS))
            try:
                yield
            finally:
                self._over.set()
            list(done)

    def _publish(self, number: int) -> None:
        while not self._over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=POST_WITHIN_S)
            connection.request("POST", "/topics", self.BODY, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            answer = reply.read()
            connection.close()
            if reply.status != 200 or answer.count(b'"position"') != POST_BATCH:
                raise ProgramFailed(f"POST /topics was answered with {reply.status}: {answer[:300]!r}")
            self._taken[number] += POST_BATCH


def posted(effort: Effort, silent_first: bool, clients: Workload = FULL_SPEED) -> Visit:
    """By HTTP at full speed."""
    visitors = Visitors(clients, stalled=RelaydPosts(), silent=Relayd(), silent_first=silent_first)
    with standing(RelaydPosts(), NOBODY) as reference, standing(RelaydPosts(), NOBODY) as subject:
        posting = {rig: Posting(rig.port) for rig in (reference, subject)}
        with posting[reference].going_on(), posting[subject].going_on():
            return visit(
                lambda rig: (posting[rig].taken, time.monotonic_ns()),
                subject,
                reference,
                visitors,
                LONGER * effort.measure_s,
            )


def sipping(effort: Effort) -> tuple[Turn, int]:
    """At a steady rate: one relay alone, in one window; and how many clients stayed."""
    with standing(effort.peers["relayd"], SIPPING) as rig:
        rig.go(STEADY_RATE, SETTLE_S)
        rig.published(SETTLE_S)
        rig.go(STEADY_RATE, effort.measure_s + 2.0)
        time.sleep(1.0)
        [turn] = turns(_fed, [rig], effort.measure_s)
        rig.published(effort.measure_s + 2.0)
        return turn, SIPPING.connections - closed(rig)


HEAD = ("clients", "publisher", "taken in/s", "CPU us/message", "rate / the reference's", "clients still there")
STANDING = ("none, before", "10,000, a silent topic", "10,000 that read nothing", "none, after")


def run(effort: Effort) -> Figure:
    """relayd alone, interleaved."""
    figure = Figure("ingest", TITLE, HEAD)
    publishers = {"feed": fed, "HTTP": posted}
    visits: dict[str, list[Visit]] = {name: [] for name in publishers}
    sips: list[tuple[Turn, int]] = []
    for number in range(effort.rounds):
        for name, case in publishers.items():
            visits[name].append(case(effort, number % 2 == 0))
            effort.say(f"    round {number + 1}: {name}: {line(visits[name][-1])}")
        sips.append(sipping(effort))
        turn, stayed = sips[-1]
        effort.say(
            f"    round {number + 1}: sipping: {turn.per_s:,.0f}/s, {turn.cpu_us:.1f} us each, {stayed:,} stayed"
        )
    for name in publishers:
        judge(figure, name, visits[name])
    sip_per_s = median([turn.per_s for turn, _ in sips])
    figure.rows.append(
        [
            "10,000 that sip",
            f"feed, {STEADY_RATE:,}/s",
            f"{sip_per_s:,.0f}",
            f"{median([turn.cpu_us for turn, _ in sips]):.1f}",
            "",
            f"{min(stayed for _, stayed in sips):,}",
        ]
    )
    figure.checks.append(
        Check(
            f"ingest rate, 10,000 sipping clients / the {STEADY_RATE:,}/s offered",
            sip_per_s / STEADY_RATE,
            ">=",
            RATE_RATIO_MIN,
        )
    )
    figure.data["sipping"] = [{**turn._asdict(), "stayed": stayed} for turn, stayed in sips]
    return figure


def line(one: Visit) -> str:
    """One visit for the terminal."""
    paces = ", ".join(f"{window.pace:.3f}" for window in one.windows)
    return (
        f"{one.waiting:.3f} of a silent topic's, {one.presence:.3f} of none's (before, silent, stalled, after: {paces} "
        f"of the reference's rate), {one.stalled.subject.per_s:,.0f}/s, {one.stalled.subject.cpu_us:.1f} us each; "
        f"{one.stayed:,} stayed; "
        f"each relay had at least {one.least_share:.1%} of the core"
    )


def judge(figure: Figure, publisher: str, visits: Sequence[Visit]) -> None:
    """The rows and targets of one publisher."""
    stayed = min(one.stayed for one in visits)
    for name, windows in zip(STANDING, zip(*(one.windows for one in visits), strict=True), strict=True):
        figure.rows.append(
            [
                name,
                f"{publisher}, full speed",
                f"{median([window.subject.per_s for window in windows]):,.0f}",
                f"{median([window.subject.cpu_us for window in windows]):.1f}",
                f"{median([window.pace for window in windows]):.3f}",
                f"{stayed:,}" if name in STANDING[1:3] else "",
            ]
        )
    figure.checks += [
        Check(
            f"{publisher}: ingest rate, 10,000 stalled clients / 10,000 whose topic is silent",
            median([one.waiting for one in visits]),
            ">=",
            RATE_RATIO_MIN,
        ),
        Check(
            f"{publisher}: ingest rate, 10,000 stalled clients / none",
            median([one.presence for one in visits]),
            ">=",
            PRESENCE_RATIO_MIN,
        ),
        Check(f"{publisher}: clients that read nothing still there", stayed, "=", FULL_SPEED.connections),
        Check(
            f"{publisher}: the least part of the core that one of the two relays had",
            min(one.least_share for one in visits),
            ">=",
            HALF_MIN,
        ),
    ]
    figure.data[publisher] = [
        {
            "waiting": one.waiting,
            "presence": one.presence,
            "stayed": one.stayed,
            "windows": [{"subject": w.subject._asdict(), "reference": w.reference._asdict()} for w in one.windows],
        }
        for one in visits
    ]
