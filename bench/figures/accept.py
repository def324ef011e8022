"""5,000 browsers that come back at once: CPU of a handshake and a subscribe, and how many a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from bench.arithmetic import median
from bench.figure import Bars, Check, Effort, Figure, softirq_text
from bench.peers.base import Peer
from bench.process import ProgramFailed
from bench.rig import FAULTS, standing
from bench.workload import Workload

TITLE = "5,000 browsers that come back at once"
# A third of a core second for a thousand: a relay that restarts with 10,000 has its readers back in three seconds.
ACCEPT_US_MAX = 300.0
WORKLOAD = Workload(connections=5000, rate=10, drain_s=5.0)
PROOF_S = 0.5  # of publications, all of which everybody must get: who was not taken in for good is found out
# A handshake and one subscribe of the same kind; Centrifugo, NATS and nchan have other ways in, told by `us/accept`
# of the other figures.
PEERS = ("relayd", "websockets", "ws", "picows", "autobahn")


@dataclass(frozen=True, slots=True)
class Storm:
    """One start of a server, and everybody who came."""

    accept_us: float  # CPU of the server for each
    accept_softirq_us: float | None  # of that, what ksoftirqd was charged with
    accepts_per_s: float
    memory_per_connection_bytes: float
    lost: int  # of what was published afterwards
    faults: int


def storm(peer: Peer, workload: Workload) -> Storm:
    """Let all connect, then publish for a moment."""
    with standing(peer, workload) as rig:
        rig.go(workload.rate, PROOF_S)
        published = rig.published(PROOF_S)["published"]
        final = rig.finish(published, workload.drain_s)
        return Storm(
            accept_us=rig.accept_us,
            accept_softirq_us=rig.accept_softirq_us,
            accepts_per_s=workload.connections / rig.ready_s,
            memory_per_connection_bytes=rig.memory_per_connection_bytes,
            lost=final["lost"],
            faults=sum(final[name] for name in FAULTS),
        )


def run(effort: Effort) -> Figure:
    """relayd and the libraries, interleaved."""
    figure = Figure("accept", TITLE, ("server", "CPU us/accept", "of that softirq", "accepts/s", "KB/connection"))
    rounds: dict[str, list[Storm]] = {name: [] for name in PEERS if name in effort.peers}
    for number in range(effort.rounds):
        for name in list(rounds):
            try:
                one = storm(effort.peers[name], WORKLOAD)
            except (ProgramFailed, RuntimeError) as error:
                if name == "relayd":
                    raise
                figure.notes.append(f"{name} left out: {error}")
                del rounds[name]
                continue
            rounds[name].append(one)
            effort.say(
                f"    round {number + 1}: {name:<11}{one.accept_us:7.0f} us {one.accepts_per_s:8,.0f}/s"
                f"  {one.memory_per_connection_bytes / 1024:5.1f} KB  lost {one.lost:,}"
            )
    figure.rows += [row(name, storms) for name, storms in rounds.items()]
    figure.plots.append(
        Bars(
            "CPU of the server per accept",
            "us",
            [(name, middle(storms, lambda s: s.accept_us)) for name, storms in rounds.items()],
        )
    )
    figure.data = {name: [asdict(one) for one in storms] for name, storms in rounds.items()}
    if "relayd" in rounds:
        judge(figure, rounds["relayd"])
    return figure


def row(name: str, storms: Sequence[Storm]) -> list[str]:
    """The medians of one server."""
    return [
        name,
        f"{middle(storms, lambda s: s.accept_us):.0f}",
        softirq_text([one.accept_softirq_us for one in storms]),
        f"{middle(storms, lambda s: s.accepts_per_s):,.0f}",
        f"{middle(storms, lambda s: s.memory_per_connection_bytes) / 1024:.1f}",
    ]


def judge(figure: Figure, ours: Sequence[Storm]) -> None:
    """The targets."""
    figure.checks += [
        Check("CPU us per accept and subscribe", middle(ours, lambda s: s.accept_us), "<=", ACCEPT_US_MAX),
        Check("relayd: messages lost afterwards", max(one.lost for one in ours), "=", 0),
        Check(
            "relayd: late, doubled, strange, corrupt messages and closed readers", sum(s.faults for s in ours), "=", 0
        ),
    ]


def middle(storms: Sequence[Storm], of: Callable[[Storm], float]) -> float:
    """The median of one number over the rounds."""
    return median([of(one) for one in storms])
