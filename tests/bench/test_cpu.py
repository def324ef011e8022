"""What a server costs: its processes, and what the kernel's thread does for it on its core."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import pytest

from bench import cpu, machine
from bench.arithmetic import Latencies
from bench.cpu import Cost, process_s, softirq_s
from bench.figure import SAMPLE_HEAD, sample_data, sample_row
from bench.peers.floor import Floor
from bench.rig import FAULTS, Sample, Window, standing
from bench.workload import Workload

FACT = "ksoftirqd of the server's core"


def named(proc: Path, names: dict[int, str]) -> Path:
    """A /proc in which processes have these names."""
    for pid, name in names.items():
        (proc / str(pid)).mkdir(parents=True)
        (proc / str(pid) / "comm").write_text(f"{name}\n")
    return proc


def vacant_pid() -> int:
    """Of a process that has ended."""
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    return pid


class SoftirqTests:
    """The thread is found by its name, and its clock is read."""

    def test_of_this_core(self, tmp_path: Path) -> None:
        """This process stands for the thread of core 1: what it has used itself is what is read."""
        proc = named(tmp_path, {2: "kthreadd", 14: "ksoftirqd/0", os.getpid(): "ksoftirqd/1", 99: "ksoftirqd/11"})
        (proc / "net").mkdir()
        before_s = time.process_time()
        read_s = softirq_s(1, proc)
        assert read_s is not None and before_s <= read_s <= time.process_time()

    def test_it_is_looked_for_once(self, tmp_path: Path) -> None:
        """A window is not opened by a walk through all processes."""
        proc = named(tmp_path, {os.getpid(): "ksoftirqd/0"})
        assert softirq_s(0, proc) is not None
        (proc / str(os.getpid()) / "comm").write_text("renamed")
        assert softirq_s(0, proc) is not None

    @pytest.mark.parametrize("names", [{}, {14: "ksoftirqd/1"}, {14: "my-ksoftirqd/0"}])
    def test_a_container_hides_it(self, names: dict[int, str], tmp_path: Path) -> None:
        """No such thread, no time: not a time of 0."""
        assert softirq_s(0, named(tmp_path, names)) is None

    def test_no_clock(self, tmp_path: Path) -> None:
        """The same for a thread whose clock cannot be read, and for a process that ended while names were read."""
        proc = named(tmp_path, {vacant_pid(): "ksoftirqd/0"})
        (proc / "1").mkdir()
        assert softirq_s(0, proc) is None

    def test_a_process_s_clock(self) -> None:
        """Of one that has ended there is none."""
        assert process_s(os.getpid()) > 0
        with pytest.raises(OSError, match="Invalid argument"):
            process_s(vacant_pid())


class CostTests:
    """Sums."""

    def test_both_are_counted(self) -> None:
        """In the total and over pieces of work; the thread's part stands by itself as well."""
        cost = Cost(3.0, 1.5).since(Cost(1.0, 0.5))
        assert cost == Cost(2.0, 1.0)
        assert (cost.total_s, cost.us_each(1000), cost.softirq_us_each(1000)) == (3.0, 3000.0, 1000.0)

    def test_what_is_not_seen_is_not_counted(self) -> None:
        """And not taken for nothing."""
        cost = Cost(3.0, None).since(Cost(1.0, None))
        assert cost == Cost(2.0, None)
        assert (cost.total_s, cost.us_each(1000), cost.softirq_us_each(1000)) == (2.0, 2000.0, None)

    def test_of_no_work(self) -> None:
        """Unknown, not infinite."""
        assert math.isnan(Cost(1.0, 1.0).us_each(0))
        assert math.isnan(Cost(1.0, 1.0).softirq_us_each(0) or 0.0)


def sample(softirq: float | None) -> Sample:
    """A million deliveries in 4 s for 2 s of the processes; 5 us of the thread's an accept."""
    window = Window(4.0, Cost(2.0, softirq), 1.0, 1_000_000, 0, 0, 0, Latencies(((1, 1),)))
    part_us = None if softirq is None else 5.0
    counts = dict.fromkeys((*FAULTS, "lost"), 0)
    return Sample("some", Workload(connections=10, rate=10), window, 1, counts, 90.0, part_us, 0, 0, 0, 0)


class ReportedTests:
    """Who reads the report can tell what was counted."""

    @pytest.mark.parametrize(
        ("softirq", "us", "part_us", "cells", "share"),
        [(1.0, 3.0, 1.0, ["3.00", "1.00"], "75%"), (None, 2.0, None, ["2.00", "–"], "50%")],
    )
    def test_a_sample(
        self, softirq: float | None, us: float, part_us: float | None, cells: list[str], share: str
    ) -> None:
        """The thread's time is part of the server's, in every figure of it, and is told apart."""
        row = sample_row("some", [sample(softirq)], 0)
        assert len(row) == len(SAMPLE_HEAD)
        assert row[1:3] == cells
        assert row[SAMPLE_HEAD.index("server", 1)] == share
        data = sample_data(sample(softirq))
        assert (data["us_per_delivery"], data["softirq_us_per_delivery"]) == (us, part_us)
        assert (data["server_cpu_s"], data["softirq_cpu_s"]) == (us, part_us)
        assert data["accept_softirq_us"] == (None if softirq is None else 5.0)

    @pytest.mark.parametrize(("seen", "text"), [(True, "visible, its time"), (False, "not visible, its time is not")])
    def test_the_machine_s_facts(self, seen: bool, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whether it could be seen stands among them."""
        name = f"ksoftirqd/{machine.SERVER_CORE}" if seen else "bash"
        proc = named(tmp_path, {os.getpid(): name})
        monkeypatch.setattr(machine.cpu, "softirq_s", lambda core: softirq_s(core, proc))
        assert machine.facts()[FACT].startswith(text)


def test_a_rig_asks_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """In accepting and in a window, of the server's core: each look at this thread finds 10 s more."""
    looked: list[int] = []

    def more_s(core: int) -> float:
        looked.append(core)
        return 10.0 * len(looked)

    monkeypatch.setattr(cpu, "softirq_s", more_s)
    with standing(Floor(), Workload(connections=4, rate=1)) as rig:
        assert rig.accept_softirq_us == 10e6 / 4 <= rig.accept_us
        rig.begin()
        window = rig.end()
    assert window.server.softirq_s == 10.0 <= window.server.total_s
    assert looked == [machine.SERVER_CORE] * 4
