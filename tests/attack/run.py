"""Attacks beside 1,000 honest clients at 100 messages a second: who suffers.

    python -m tests.attack.run [--clients 1000] [--rounds 3] [--quick] [--only NAME | --part 2/5]

relayd runs as `twistd relayd` on one core; honest clients, feed and attacker share the other (bench/). For each
attack of attacks.py, WebSockets and HTTP requests:

* one attacker: its close code, and how soon it comes; what relayd logs; what its memory grows by;
* an attacker that comes back when it is thrown out, for some seconds: the latency of the honest clients against that
  of quiet seconds, interleaved.

Then 10,000 handshakes that are never finished, beside 1,000 that are. A goal that is missed is measured anew, twice at
most: a fault of relayd is there each time, a hiccup of the machine is not. `--quick` takes one round, shorter seconds,
and quiet ones for every third attack only. `--part 2/5` takes the second of five parts. Prints a table; figures go to
artifacts/attack.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from bench import build, machine
from bench.peers.relayd import Relayd
from bench.process import ProgramFailed
from bench.rig import LIFE_S, Rig, Window, standing
from bench.workload import Workload
from tests.attack.attacks import ATTACKS, Attack, Siege, carry_out
from tests.attack.slowloris import besiege
from tests.support.require import in_ci

ARTIFACT: Final = Path(__file__).resolve().parent.parent.parent / "artifacts" / "attack.json"
RATE: Final = 100
#: How often a goal that is missed is measured.
ATTEMPTS: Final = 3


@dataclass(frozen=True)
class Pace:
    """How long it takes: seconds of a window, seconds until rings, caches and allocator are as they stay, rounds, looks
    at the memory, and for how many attacks one quiet window serves.
    """

    window_s: float = 2.0
    warm_s: float = 15.0
    rounds: int = 3
    memory_looks: int = 10
    quiet_serves: int = 2

    @property
    def each_s(self) -> float:
        """An attack at the longest, all attempts apart."""
        return 4.0 + self.rounds * 2 * (self.window_s + 1.0)


QUICK: Final = Pace(window_s=1.5, warm_s=6.0, rounds=1, memory_looks=4, quiet_serves=3)
#: The goals.
P99_RATIO_MAX: Final = 2.0
LOG_LINES_MAX: Final = 10
MEMORY_MAX_BYTES: Final = 1 << 20
HALVES: Final = 10_000
HALF_LIVES_S: Final = 6.0
HALF_BYTES_MAX: Final = 8 << 10
HONEST: Final = 1_000
HONEST_P99_S: Final = 0.1


@dataclass
class Row:
    """One attack: figures, and which goals it missed."""

    name: str
    figures: dict[str, float | int | str | None] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)

    def demand(self, met: bool, what: str) -> None:
        """Note a goal that is missed."""
        if not met:
            self.missed.append(what)

    def print(self) -> None:
        """One line, and one for each goal missed."""
        shown = ", ".join(f"{name} {value}" for name, value in self.figures.items())
        print(f"{'ok  ' if not self.missed else 'MISS'} {self.name}: {shown}", flush=True)
        for what in self.missed:
            print(f"       {what}", flush=True)


def log_lines(rig: Rig) -> int:
    """What relayd has logged so far."""
    return len(rig.server.log.read_text(errors="replace").splitlines())


def window(rig: Rig, pace: Pace) -> Window:
    """Some seconds of the honest clients."""
    rig.begin()
    time.sleep(pace.window_s)
    return rig.end()


def memory_bytes(rig: Rig, pace: Pace) -> int:
    """The least of some looks: what honest clients that lag for a moment cost is not the attacker's."""
    samples = []
    for _ in range(pace.memory_looks):
        samples.append(rig.server.memory_bytes())
        time.sleep(0.1)
    return min(samples)


def alone(attack: Attack, rig: Rig, row: Row, pace: Pace) -> None:
    """One attacker, once."""
    lines, memory = log_lines(rig), memory_bytes(rig, pace)
    outcome = carry_out(attack, rig.port)
    lines, memory = log_lines(rig) - lines, memory_bytes(rig, pace) - memory
    rig.server.demand_alive()
    row.figures |= {
        "code": outcome.code,
        "closed_s": None if outcome.closed_s is None else round(outcome.closed_s, 3),
        "gone_s": None if outcome.gone_s is None else round(outcome.gone_s, 3),
        "log_lines": lines,
        "memory_kib": memory >> 10,
    }
    row.demand(outcome.code in attack.codes, f"closed with {outcome.code}, expected {attack.codes}")
    in_time = outcome.closed_s is not None and outcome.closed_s <= attack.within_s
    row.demand(in_time, f"closed after {outcome.closed_s} s, expected {attack.within_s} s")
    row.demand(outcome.gone_s is not None, "the connection stays")
    row.demand(lines <= LOG_LINES_MAX, f"{lines} lines in the log, expected {LOG_LINES_MAX} at most")
    row.demand(memory <= MEMORY_MAX_BYTES, f"memory grew by {memory >> 10} KiB, expected 1 MiB at most")


class Quiet:
    """Windows without an attacker, each of which serves for some attacks."""

    def __init__(self, rig: Rig, pace: Pace) -> None:
        self._rig, self._pace = rig, pace
        self._last: Window | None = None
        self._uses = 0

    def window(self) -> Window:
        """The last one while it serves, or a new one."""
        if self._last is None or self._uses == self._pace.quiet_serves:
            self._last, self._uses = window(self._rig, self._pace), 0
        self._uses += 1
        return self._last


def beside(attack: Attack, rig: Rig, row: Row, pace: Pace, still: Quiet) -> None:
    """An attacker that comes back, and the honest clients meanwhile."""
    quiet, loud, attempts = [], [], 0
    for _ in range(pace.rounds):
        quiet.append(still.window())
        with Siege(attack, rig.port) as siege:
            loud.append(window(rig, pace))
        attempts += siege.rounds
    quiet_ms, loud_ms = (statistics.median(one.p99_ms for one in windows) for windows in (quiet, loud))
    quiet_cpu, loud_cpu = (statistics.median(one.server_share for one in windows) for windows in (quiet, loud))
    ratio = loud_ms / quiet_ms
    row.figures |= {
        "attempts": attempts,
        "p99_quiet_ms": round(quiet_ms, 2),
        "p99_attacked_ms": round(loud_ms, 2),
        "ratio": round(ratio, 2),
        "cpu_quiet": round(quiet_cpu, 2),
        "cpu_attacked": round(loud_cpu, 2),
    }
    row.demand(
        ratio <= P99_RATIO_MAX, f"p99 of the honest is {ratio:.2f} times the quiet one, expected {P99_RATIO_MAX}"
    )


def measured(attack: Attack, rig: Rig, pace: Pace, still: Quiet, ends_at: float) -> Row:
    """One attack, anew while it misses a goal and the load generator lives."""
    for attempt in range(1, ATTEMPTS + 1):
        row = Row(attack.name)
        alone(attack, rig, row, pace)
        beside(attack, rig, row, pace, still)
        if attempt > 1:
            row.figures["measured"] = attempt
        if not row.missed or attempt == ATTEMPTS or time.monotonic() + pace.each_s > ends_at:
            break
        print(f"     {attack.name}: {'; '.join(row.missed)}; once more", flush=True)
    return row


def attacked(attacks: list[Attack], rig: Rig, pace: Pace, ends_at: float) -> list[Row]:
    """Attacks one after another on one relayd, taken from the list while there is time."""
    rows = []
    still = Quiet(rig, pace)
    while attacks and (not rows or time.monotonic() + pace.each_s + attacks[0].within_s < ends_at):
        attack = attacks.pop(0)
        try:
            row = measured(attack, rig, pace, still, ends_at)
        except ProgramFailed as end:
            row = Row(attack.name, missed=[str(end)])
        row.print()
        rows.append(row)
    return rows


def slowloris(rig: Rig) -> Row:
    """Half handshakes beside whole ones."""
    row = Row(f"{HALVES} half handshakes")
    loris = besiege(rig.port, HALVES, HONEST, rig.server.memory_bytes)
    lived, took = sorted(loris.lived_s), sorted(loris.honest_s)
    p99_s = took[int(len(took) * 0.99)] if took else float("inf")
    row.figures |= {
        "opening_s": round(loris.opening_s, 2),
        "longest_half_s": round(lived[-1], 2),
        "honest_p99_ms": round(p99_s * 1000, 1),
        "honest_refused": loris.honest_refused,
        "bytes_per_half": round(loris.bytes_per_half),
    }
    row.demand(lived[-1] <= HALF_LIVES_S, f"a half handshake lived {lived[-1]:.1f} s, expected {HALF_LIVES_S} s")
    row.demand(not loris.honest_refused, f"{loris.honest_refused} honest handshakes were refused")
    row.demand(
        p99_s <= HONEST_P99_S, f"honest handshakes took {p99_s * 1000:.0f} ms, expected {HONEST_P99_S * 1000:.0f}"
    )
    row.demand(loris.bytes_per_half <= HALF_BYTES_MAX, f"a half costs {loris.bytes_per_half:.0f} bytes")
    return row


def floods(chosen: list[Attack], workload: Workload, pace: Pace) -> list[Row]:
    """As many attacks on one relayd as the load generator lives for, then on the next."""
    rows: list[Row] = []
    while chosen:
        ends_at = time.monotonic() + LIFE_S - 30.0
        with standing(Relayd(), workload) as rig:
            rig.go(RATE, LIFE_S - 20.0)
            time.sleep(pace.warm_s)
            rows += attacked(chosen, rig, pace, ends_at)
    return rows


#: Of the table: heading, figure.
COLUMNS: Final = (
    ("code", "code"), ("closed s", "closed_s"), ("gone s", "gone_s"), ("lines", "log_lines"), ("KiB", "memory_kib"),
    ("p99 ms quiet", "p99_quiet_ms"), ("attacked", "p99_attacked_ms"), ("ratio", "ratio"), ("attempts", "attempts"),
)  # fmt: skip


def print_table(rows: list[Row]) -> None:
    """All floods, a line each."""
    width = max(len(row.name) for row in rows)
    print(f"\n{'':5}{'':{width}} " + " ".join(f"{heading:>12}" for heading, _ in COLUMNS))
    for row in rows:
        if "code" in row.figures:
            shown = " ".join(f"{'-' if (value := row.figures.get(key)) is None else value!s:>12}" for _, key in COLUMNS)
            print(f"{'ok' if not row.missed else 'MISS':5}{row.name:{width}} {shown}")


def part(text: str) -> tuple[int, int]:
    """`2/5`. Raises ValueError for what is no such part."""
    number, of = map(int, text.split("/"))
    if not 1 <= number <= of:
        raise ValueError(text)
    return number, of


def main() -> int:
    """As above; the exit status says whether every goal was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=Pace.rounds)
    parser.add_argument("--quick", action="store_true", help="three minutes")
    parser.add_argument("--only", help="attacks whose name holds this; `half` for the half handshakes")
    parser.add_argument("--part", type=part, default=(1, 1), metavar="2/5", help="the second fifth of the attacks")
    options = parser.parse_args()
    try:
        machine.demand(HALVES + HONEST + options.clients + 200)
        os.sched_setaffinity(0, {machine.LOAD_CORE})
        build.programs()
    except (machine.MachineTooSmall, build.BuildFailed) as reason:
        print(f"SKIPPED attack: {reason}")
        return 1 if in_ci() else 0
    pace = QUICK if options.quick else Pace(rounds=options.rounds)
    number, parts = options.part
    chosen = [attack for attack in ATTACKS[number - 1 :: parts] if not options.only or options.only in attack.name]
    workload = Workload(connections=options.clients, rate=RATE, history="100/5m/1MiB")
    rows = floods(chosen, workload, pace)
    if number == parts and (not options.only or options.only in "half handshakes"):
        with standing(Relayd(), workload) as rig:
            rig.go(RATE, 60.0)
            time.sleep(pace.warm_s)
            rows.append(slowloris(rig))
            rows[-1].print()
    print_table(rows)
    ARTIFACT.parent.mkdir(exist_ok=True)
    ARTIFACT.write_text(json.dumps({"machine": machine.facts(), "rows": [asdict(row) for row in rows]}, indent=1))
    missed = [row.name for row in rows if row.missed]
    print(f"{len(rows) - len(missed)} of {len(rows)} attacks met every goal")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
