"""The figure of ingest measures stalled clients beside a reference that works as much, or says that it does not."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench import machine
from bench.figure import Effort, Figure
from bench.figures import ingest
from bench.figures.ingest import (
    FULL_SPEED,
    NOBODY,
    POST_TOPIC,
    Posting,
    Turn,
    Visit,
    Window,
    _demand_stalled,
    _wait_until_gone,
    judge,
    turns,
)
from bench.peers.relayd import Relayd, RelaydPosts
from bench.process import Program, ProgramFailed, free_ports
from bench.rig import Rig, standing
from tests.bench.ticks import tick


def test_what_is_posted_is_what_the_clients_subscribe_to() -> None:
    asked = json.loads("[" + RelaydPosts.subscribe_each.replace("{topic}", json.loads(tick(0, 0))["tick"]) + "]")
    assert POST_TOPIC in asked


class GuardTests:
    """What would be measured in place of stalled clients is refused."""

    def rig(self, **fields: object) -> Rig:
        """What the guards look at."""
        return cast(Rig, SimpleNamespace(place=SimpleNamespace(workload=FULL_SPEED), **fields))

    def test_clients_with_empty_sockets_are_not_taken_for_stalled_ones(self) -> None:
        with pytest.raises(ProgramFailed, match="nothing is sent to them"):
            _demand_stalled(self.rig(kernel_before_bytes=machine.kernel_socket_bytes()))

    def test_full_sockets_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(machine, "kernel_socket_bytes", lambda: 25 * 1024 * 10_000)
        _demand_stalled(self.rig(kernel_before_bytes=0))

    def test_clients_that_left_and_are_not_closed_are_not_taken_for_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ingest, "GONE_WITHIN_S", 0.0)
        server = SimpleNamespace(descriptors=lambda: 100)
        with pytest.raises(ProgramFailed, match="holds 80 descriptors"):
            _wait_until_gone(self.rig(server=server), 20)
        _wait_until_gone(self.rig(server=server), 95)


def window(subject: int, reference: int, cpu_s: float = 2.0) -> Window:
    """Of four seconds."""
    return Window(Turn(subject, 4.0, cpu_s), Turn(reference, 4.0, 2.0))


class VisitTests:
    """Three windows, one number."""

    def test_the_machine_s_pace_and_a_steady_drift_are_left_out(self) -> None:
        one = Visit(window(1000, 1000), window(450, 500), window(1620, 2000), 10_000)
        assert math.isclose(one.ratio, 1.0)
        assert one.least_share == 0.5

    def test_what_the_clients_cost_is_not(self) -> None:
        assert math.isclose(Visit(window(1000, 1000), window(900, 1000), window(1000, 1000), 0).ratio, 0.9)

    def test_a_relay_that_takes_in_nothing_is_not_measured(self) -> None:
        rig = cast(Rig, SimpleNamespace(server=SimpleNamespace(cpu_s=lambda: 1.0)))
        with pytest.raises(ProgramFailed, match="took in nothing"):
            turns(lambda rig: (7, time.monotonic_ns()), [rig], 0.0)

    def test_the_worst_round_counts_for_what_must_hold(self) -> None:
        good = Visit(window(1000, 1000), window(990, 1000), window(1000, 1000), 10_000)
        lazy = replace(good, after=window(1000, 1000, 1.9))
        figure = Figure("ingest", "", ())
        judge(figure, "feed", [good, lazy, replace(good, stayed=9_999)])
        assert [check.met for check in figure.checks] == [True, False, False]
        assert [row[5] for row in figure.rows] == ["", "9,999", ""]


def test_visitors_of_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against relayd itself: the same clients come, stay and go, and both relays take messages in all the while."""
    asked: list[int] = []
    monkeypatch.setattr(ingest, "_demand_stalled", lambda rig: asked.append(len(rig.loads)))
    for name in ("SPARE_DESCRIPTORS", "FILL_S", "WARM_S"):
        monkeypatch.setattr(ingest, name, 0)
    effort = Effort(rounds=1, measure_s=0.4, peers={"relayd": Relayd()}, say=print)
    one = ingest.fed(effort, replace(FULL_SPEED, connections=20))
    assert (asked, one.stayed) == ([1], 20)
    assert all(turn.messages > 0 and turn.cpu_s > 0 for window in one.windows for turn in window)


class PostingTests:
    """Publishers by HTTP, and who visits a relay that stands."""

    def test_what_is_taken_is_counted(self) -> None:
        with standing(RelaydPosts(), NOBODY) as rig:
            posting = Posting(rig.port)
            with posting.going_on():
                while not posting.taken:
                    time.sleep(0.001)
            assert posting.taken % ingest.POST_BATCH == 0
            elsewhere = Rig(rig.peer, replace(rig.place, port=free_ports(1)[0]), rig.server, rig.publisher)
            with (
                pytest.raises(RuntimeError, match="2 of 2 connections were refused"),
                elsewhere.visited_by(replace(FULL_SPEED, connections=2)),
            ):
                pass

    def test_what_is_refused_is_not(self) -> None:
        with (
            standing(Relayd(), NOBODY) as rig,
            pytest.raises(ProgramFailed, match="POST /topics was answered with"),
            Posting(rig.port).going_on(),
        ):
            pass


def state_of(program: Any) -> str:
    """As /proc says: T for stopped."""
    return Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_program_at_rest_does_nothing_and_goes_on(tmp_path: Path) -> None:
    program = Program(["sleep", "60"], core=machine.SERVER_CORE, log=tmp_path / "log")
    try:
        while program.descriptors() != 3:  # its loader has a library open at first
            time.sleep(0.001)
        with program.at_rest():
            while state_of(program) != "T":
                time.sleep(0.001)
        while state_of(program) == "T":
            time.sleep(0.001)
        program.demand_alive()
    finally:
        program.stop()
