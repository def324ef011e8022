"""One measurement: a server, its publisher and its clients, started, driven through one workload, measured, ended."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench import build, cpu, machine
from bench.arithmetic import Latencies
from bench.cpu import Cost
from bench.peers.base import Options, Peer, Place
from bench.process import Program, Talker, free_ports, wait_for_port
from bench.workload import Workload

CONNECTIONS_PER_LOAD = 19000  # CONNECTIONS_MAX of load/load.c
SOURCES_PER_LOAD = 2  # 28,232 ephemeral ports a source address: two are ample for 19,000 connections
READY_WITHIN_S = 90.0
ANSWER_WITHIN_S = 15.0
LIFE_S = 420  # a load generator, publisher or floor that is forgotten ends by itself

FAULTS = ("late", "doubled", "stranger", "corrupt", "closed_readers")


@dataclass(frozen=True, slots=True)
class Window:
    """What was measured between `begin` and `end`."""

    seconds: float
    server: Cost
    load_cpu_s: float
    delivered: int
    bytes: int
    reads: int
    pings: int
    latencies: Latencies

    @property
    def us_per_delivery(self) -> float:
        """CPU microseconds of the server per delivered message."""
        return self.server.us_each(self.delivered)

    @property
    def softirq_us_per_delivery(self) -> float | None:
        """Of that, what ksoftirqd was charged with; None where it cannot be seen."""
        return self.server.softirq_us_each(self.delivered)

    @property
    def delivered_per_s(self) -> float:
        """Messages delivered a second."""
        return self.delivered / self.seconds

    @property
    def p50_ms(self) -> float:
        """Median latency from the scheduled time to the client's read."""
        return self.latencies.percentile_ms(50)

    @property
    def p99_ms(self) -> float:
        """99th percentile of the same."""
        return self.latencies.percentile_ms(99)

    @property
    def server_share(self) -> float:
        """Part of one core the server used."""
        return self.server.total_s / self.seconds

    @property
    def load_share(self) -> float:
        """Part of one core the load generator used: near 1 it is the load that is measured."""
        return self.load_cpu_s / self.seconds


@dataclass(frozen=True, slots=True)
class Sample:
    """One whole measurement."""

    peer: str
    workload: Workload
    window: Window
    published: int
    final: Mapping[str, int | dict[str, int]]  # summed over the load processes
    accept_us: float  # server CPU per connection made and subscribed
    accept_softirq_us: float | None  # of that, what ksoftirqd was charged with
    memory_bytes: int  # of the server, with all connections, before the first message
    memory_per_connection_bytes: float
    memory_after_bytes: int  # of the server at the end of the window
    kernel_bytes: int  # sockets of the whole machine at the end of the window, less those before its clients came
    publisher: Mapping[str, Any] = field(default_factory=dict)

    def count(self, name: str) -> int:
        """A counter of the final account."""
        value = self.final[name]
        assert isinstance(value, int)
        return value

    @property
    def faults(self) -> dict[str, int]:
        """What no server may do to a reader: reorder, double, corrupt, disconnect. Empty when all is well."""
        return {name: self.count(name) for name in FAULTS if self.count(name)}

    @property
    def lost(self) -> int:
        """Messages published and not delivered to readers that stayed."""
        return self.count("lost")

    @property
    def delivered_share(self) -> float:
        """Delivered in the window, as part of what the schedule offered in it."""
        return self.window.delivered_per_s / self.workload.offered_per_s if self.workload.rate else float("nan")


class Rig:
    """A started server with its publisher and its clients, ready to be measured. Made by `standing()`."""

    def __init__(self, peer: Peer, place: Place, server: Program, publisher: Talker) -> None:
        self.peer = peer
        self.place = place
        self.server = server
        self.publisher = publisher
        self.loads: list[Talker] = []
        self.accept_us = 0.0
        self.accept_softirq_us: float | None = None
        self.ready_s = 0.0
        self.memory_bytes = 0
        self.memory_per_connection_bytes = 0.0
        self.kernel_before_bytes = 0
        self._before = Cost(0.0, None)

    @property
    def port(self) -> int:
        """Where the server listens for clients."""
        return self.place.port

    def cost(self) -> Cost:
        """What the server has cost so far. It has the core to itself, so that what the kernel does there is for it."""
        return Cost(self.server.cpu_s(), cpu.softirq_s(machine.SERVER_CORE))

    @contextlib.contextmanager
    def visited_by(self, workload: Workload, peer: Peer | None = None) -> Iterator[Rig]:
        """The same server and publisher with clients as this workload has them, connected and subscribed as clients of
        `peer` are, by default of the server's own; they are gone afterwards, whatever happens. Of the workload only
        what concerns clients counts: the server has started.

        RuntimeError if one of them is refused, ProgramFailed if a part fails.
        """
        rig = Rig(peer or self.peer, replace(self.place, workload=workload), self.server, self.publisher)
        many = max(1, workload.connections)
        rig.kernel_before_bytes = machine.kernel_socket_bytes()
        memory, before = self.server.memory_bytes(), self.cost()
        try:
            rig.loads.extend(_loads(rig.peer, rig.place))
            ready = [load.hear("ready", READY_WITHIN_S) for load in rig.loads]
            accepting = self.cost().since(before)
            rig.accept_us, rig.accept_softirq_us = accepting.us_each(many), accepting.softirq_us_each(many)
            rig.ready_s = max((one["seconds"] for one in ready), default=0.0)
            rig.memory_bytes = self.server.memory_bytes()
            rig.memory_per_connection_bytes = (rig.memory_bytes - memory) / many
            if failed := sum(one["failed"] for one in ready):
                folder = rig.place.folder
                raise RuntimeError(
                    f"{rig.peer.name}: {failed} of {workload.connections} connections were refused; the first: "
                    + (folder / "load.log").read_text(errors="replace")[:1000]
                    + "\nthe server's log ends:\n"
                    + (folder / "server.log").read_text(errors="replace")[-800:]
                )
            yield rig
        finally:
            for load in rig.loads:
                load.stop()

    def go(self, rate: int, seconds: float) -> None:
        """Let the publisher start: `rate` messages a second (0 = full speed) for so long."""
        count = max(1, round(rate * seconds)) if rate else 0
        self.publisher.say(f"go {rate} {count} {round(seconds * 1000) + (1000 if rate else 0)}")

    def published(self, seconds: float) -> dict[str, Any]:
        """The publisher's account once its go is over."""
        return self.publisher.hear("done", seconds + ANSWER_WITHIN_S)

    def begin(self) -> None:
        """Open a measuring window."""
        for load in self.loads:
            load.say("begin")
        for load in self.loads:
            load.hear("begun", ANSWER_WITHIN_S)
        self._before = self.cost()

    def end(self) -> Window:
        """Close it."""
        cost = self.cost().since(self._before)
        self.server.demand_alive()
        for load in self.loads:
            load.say("end")
        heard = [load.hear("window", ANSWER_WITHIN_S) for load in self.loads]
        return Window(
            seconds=max(one["seconds"] for one in heard),
            server=cost,
            load_cpu_s=sum(one["cpu_s"] for one in heard),
            delivered=sum(one["delivered"] for one in heard),
            bytes=sum(one["bytes"] for one in heard),
            reads=sum(one["reads"] for one in heard),
            pings=sum(one["pings"] for one in heard),
            latencies=Latencies.merged(one["latency_ns"] for one in heard),
        )

    def finish(self, published: int, drain_s: float) -> dict[str, Any]:
        """The account of every message: waits at most `drain_s` for those still under way."""
        for load in self.loads:
            load.say(f"finish {published} {round(drain_s * 1000)}")
        return _sum([load.hear("final", drain_s + ANSWER_WITHIN_S) for load in self.loads])


def _sum(parts: list[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            if key == "first_other_closed_ns":
                total[key] = min(value, total.get(key) or value) if value else total.get(key, 0)
            elif key == "last_other_closed_ns":
                total[key] = max(value, total.get(key, 0))
            elif key == "close_codes":
                codes = total.setdefault(key, {})
                for code, count in value.items():
                    codes[code] = codes.get(code, 0) + count
            elif key == "controls":
                total[key] = [a + b for a, b in zip(total.get(key, [0] * len(value)), value, strict=True)]
            elif key != "event":
                total[key] = total.get(key, 0) + value
    return total


def _argv(program: str, options: Options) -> list[str]:
    argv = [str(build.BUILD / program)]
    for name, value in options.items():
        argv += [f"--{name}", str(value)]
    return argv


def _publisher(peer: Peer, place: Place) -> Talker:
    options: Options = {"topics": place.workload.topics, "life-s": LIFE_S, **peer.publish_options(place)}
    return Talker(_argv("publish", options), core=machine.LOAD_CORE, log=place.folder / "publish.log")


def _loads(peer: Peer, place: Place) -> Iterator[Talker]:
    """One after the other, so that those that run are known if the next does not start."""
    workload = place.workload
    number, left = 0, workload.connections
    while left:
        share = min(left, CONNECTIONS_PER_LOAD)
        options: Options = {
            "port": place.port,
            "connections": share,
            "topics": workload.topics,
            "topics-each": workload.topics_each,
            "seed": workload.seed + number,
            "never-permille": workload.never_permille,
            "slow-permille": workload.slow_permille,
            "slow-bytes": workload.slow_bytes,
            "slow-every-ms": workload.slow_every_ms,
            "sources": SOURCES_PER_LOAD,
            "first-source": 2 + SOURCES_PER_LOAD * number,
            "life-s": LIFE_S,
            **peer.load_options(place),
        }
        yield Talker(_argv("load", options), core=machine.LOAD_CORE, log=place.folder / "load.log")
        left -= share
        number += 1


@contextlib.contextmanager
def standing(peer: Peer, workload: Workload, env: Mapping[str, str] | None = None) -> Iterator[Rig]:
    """Start everything, in the order the peer needs, and end it whatever happens. ProgramFailed if a part fails."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    port, publish_port = free_ports(2)
    place = Place(port, publish_port, folder, workload)
    started: list[Program] = []
    try:
        if peer.publisher_first:
            publisher = _publisher(peer, place)
            started.append(publisher)
            publisher.hear("listening", ANSWER_WITHIN_S)
        start = peer.start(place)
        server = Program(
            start.argv, core=machine.SERVER_CORE, log=folder / "server.log", env={**start.env, **(env or {})}
        )
        started.append(server)
        wait_for_port(port, server)
        if not peer.publisher_first:
            wait_for_port(publish_port, server)
            publisher = _publisher(peer, place)
            started.append(publisher)
        publisher.hear("connected", ANSWER_WITHIN_S)
        time.sleep(0.3)  # imports and collections that follow the start
        with Rig(peer, place, server, publisher).visited_by(workload) as rig:
            yield rig
    finally:
        for program in reversed(started):
            program.stop()
        shutil.rmtree(folder, ignore_errors=True)


def measure(peer: Peer, workload: Workload) -> Sample:
    """The usual measurement: warm up, one window, then the account of every message."""
    with standing(peer, workload) as rig:
        total_s = workload.warm_s + workload.measure_s + 0.3
        rig.go(workload.rate, total_s)
        time.sleep(workload.warm_s)
        rig.begin()
        time.sleep(workload.measure_s)
        window = rig.end()
        memory_after, kernel = rig.server.memory_bytes(), machine.kernel_socket_bytes() - rig.kernel_before_bytes
        publisher = rig.published(total_s)
        final = rig.finish(publisher["published"], workload.drain_s)
        return Sample(
            peer=peer.name,
            workload=workload,
            window=window,
            published=publisher["published"],
            final=final,
            accept_us=rig.accept_us,
            accept_softirq_us=rig.accept_softirq_us,
            memory_bytes=rig.memory_bytes,
            memory_per_connection_bytes=rig.memory_per_connection_bytes,
            memory_after_bytes=memory_after,
            kernel_bytes=kernel,
            publisher=publisher,
        )
