"""The figure of ingest measures stalled clients beside a reference that works as much, or says that it does not."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import machine, visit
from bench.figure import Effort, Figure
from bench.figures import ingest
from bench.figures.ingest import FULL_SPEED, NOBODY, POST_TOPIC, Posting, judge
from bench.peers.relayd import Relayd, RelaydPosts
from bench.process import Program, ProgramFailed, free_ports
from bench.rig import Rig, standing
from bench.visit import Visit
from tests.bench.ticks import tick
from tests.bench.windows import window


def test_what_is_posted_is_what_the_clients_subscribe_to() -> None:
    asked = json.loads("[" + RelaydPosts.subscribe_each.replace("{topic}", json.loads(tick(0, 0))["tick"]) + "]")
    assert POST_TOPIC in asked


def judged(*visits: Visit) -> Figure:
    """The figure of these rounds."""
    figure = Figure("ingest", "", ())
    judge(figure, "feed", visits)
    return figure


class JudgeTests:
    """Ratios are medians, and what must hold holds in each round."""

    even = window(1000, 1000)

    def test_the_worst_round_counts_for_what_must_hold(self) -> None:
        good = Visit(self.even, window(990, 1000), window(980, 1000), self.even, 10_000)
        lazy = replace(good, after=window(1000, 1000, 1.9))
        figure = judged(good, lazy, replace(good, stayed=9_999))
        assert [check.met for check in figure.checks] == [True, True, False, False]
        assert [row[5] for row in figure.rows] == ["", "9,999", "9,999", ""]

    def test_clients_for_whom_messages_wait_may_cost_no_more_than_others(self) -> None:
        figure = judged(Visit(self.even, self.even, window(970, 1000), self.even, 10_000))
        assert [check.met for check in figure.checks] == [False, True, True, True]

    def test_nor_may_others(self) -> None:
        slow = window(940, 1000)
        figure = judged(Visit(self.even, slow, slow, self.even, 10_000))
        assert [check.met for check in figure.checks] == [True, False, True, True]


@pytest.mark.parametrize("silent_first", [True, False])
def test_visitors_of_a_small_one(monkeypatch: pytest.MonkeyPatch, silent_first: bool) -> None:
    """Against relayd itself: the same clients come, stay and go, and both relays take messages in all the while."""
    asked: list[tuple[int, bool]] = []
    monkeypatch.setattr(visit, "_demand", lambda rig, *, waits: asked.append((len(rig.loads), waits)))
    for name in ("SPARE_DESCRIPTORS", "FILL_S", "WARM_S"):
        monkeypatch.setattr(visit, name, 0)
    effort = Effort(rounds=1, measure_s=0.4, peers={"relayd": Relayd()}, say=print)
    one = ingest.fed(effort, silent_first, replace(FULL_SPEED, connections=20))
    assert (asked, one.stayed) == ([(1, not silent_first), (1, silent_first)], 20)
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
