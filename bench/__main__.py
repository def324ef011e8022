"""python -m bench: measures relayd and its peers in one run.

Exit status 0 when every target is met, 1 when one is missed, 2 when something could not be measured.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import build, machine, report
from bench.figure import Effort, Figure
from bench.figures import FIGURES, QUICK, TITLES
from bench.peers import PEERS, REQUIRED_IN_CI
from bench.peers.base import Peer
from bench.process import ProgramFailed

RESULTS = Path(__file__).parent / "results"
DESCRIPTORS = 19500  # 19,000 connections in one load process and what it needs beside them
ROUNDS, QUICK_ROUNDS = 5, 3
MEASURE_S, QUICK_MEASURE_S = 4.0, 1.5
# In the quick run: the floor, and the peers that were best in the figures it measures.
QUICK_PEERS = ("relayd", "floor", "picows", "nats")


def say(text: str) -> None:
    """A line for whoever watches."""
    print(text, flush=True)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures relayd and its peers in one run.")
    parser.add_argument(
        "--quick", action="store_true", help="three figures, fewer peers and rounds: under three minutes"
    )
    parser.add_argument("--figure", action="append", choices=list(FIGURES), help="only this one (may be repeated)")
    parser.add_argument("--peers", help="only these, separated by commas", default="")
    parser.add_argument(
        "--rounds",
        type=int,
        help=f"measurements of each server in each figure (default {ROUNDS}, quick {QUICK_ROUNDS})",
    )
    parser.add_argument(
        "--measure-s", type=float, help=f"seconds of each (default {MEASURE_S}, quick {QUICK_MEASURE_S})"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where report.md, report.json and the plots go")
    return parser.parse_args(argv)


def prepared(names: Sequence[str]) -> tuple[dict[str, Peer], dict[str, str], dict[str, str]]:
    """(peers that can be measured, their versions, why the others cannot)."""
    ready: dict[str, Peer] = {}
    versions: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for name in names:
        try:
            PEERS[name].prepare()
            versions[name] = PEERS[name].version()
            ready[name] = PEERS[name]
        except (build.BuildFailed, ImportError) as error:
            skipped[name] = " ".join(str(error).split())
            say(f"SKIPPED {name}: {skipped[name]}")
    return ready, versions, skipped


def measured(names: Sequence[str], effort: Effort) -> tuple[list[Figure], bool]:
    """The figures, and whether all of them could be measured."""
    figures, whole = [], True
    for name in names:
        say(f"\n{TITLES[name]}")
        start = time.monotonic()
        try:
            figure = FIGURES[name](effort)
        except (ProgramFailed, RuntimeError) as error:
            whole = False
            say(f"  COULD NOT BE MEASURED: {error}")
            continue
        figures.append(figure)
        for check in figure.checks:
            say(f"  {report.check_line(check)}")
        for note in figure.notes:
            say(f"  {note}")
        say(f"  ({time.monotonic() - start:.0f} s)")
    return figures, whole


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write, judge."""
    asked = arguments(argv)
    wanted = [name for name in asked.peers.split(",") if name] or list(QUICK_PEERS if asked.quick else PEERS)
    if unknown := set(wanted) - set(PEERS):
        say(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
        return 2
    try:
        machine.demand(DESCRIPTORS)
        build.programs()
    except (machine.MachineTooSmall, build.BuildFailed) as error:
        say(f"cannot measure here: {error}")
        return 2
    peers, versions, skipped = prepared(wanted)
    missing = sorted(REQUIRED_IN_CI & skipped.keys()) if os.environ.get("CI") == "true" else []
    if missing or "floor" not in peers:
        say(f"cannot measure without {', '.join(missing) or 'floor'}")
        return 2
    os.sched_setaffinity(0, {machine.LOAD_CORE})
    effort = Effort(
        rounds=asked.rounds or (QUICK_ROUNDS if asked.quick else ROUNDS),
        measure_s=asked.measure_s or (QUICK_MEASURE_S if asked.quick else MEASURE_S),
        peers=peers,
        say=say,
        quick=asked.quick,
    )
    names = asked.figure or (list(QUICK) if asked.quick else list(FIGURES))
    facts = machine.facts()
    start = time.monotonic()
    figures, whole = measured(names, effort)
    how = (
        f"{effort.rounds} rounds of {effort.measure_s:g} s, interleaved; server on core {machine.SERVER_CORE}, "
        f"load on core {machine.LOAD_CORE}; {(time.monotonic() - start) / 60:.1f} minutes."
    )
    report.write(asked.results, figures, facts, versions, skipped, how)
    missed = [f"{figure.name}: {check.name}" for figure in figures for check in figure.checks if not check.met]
    say(f"\n{asked.results / 'report.md'}: {len(missed)} targets missed, {len(skipped)} peers skipped")
    for name in missed:
        say(f"  missed  {name}")
    if not whole:
        return 2
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
