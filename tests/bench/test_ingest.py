"""The figure of ingest measures stalled clients, or says that it does not."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench import machine
from bench.figures.ingest import POST_TOPIC, _demand_stalled
from bench.peers.relayd import RelaydPosts
from bench.process import Program, ProgramFailed
from bench.rig import Rig
from tests.bench.ticks import tick


def test_what_is_posted_is_what_the_clients_subscribe_to() -> None:
    asked = json.loads("[" + RelaydPosts.subscribe_each.replace("{topic}", json.loads(tick(0, 0))["tick"]) + "]")
    assert POST_TOPIC in asked


def rig(**fields: int) -> Rig:
    """What `_demand_stalled` looks at."""
    return cast(Rig, SimpleNamespace(**fields))


def test_clients_with_empty_sockets_are_not_taken_for_stalled_ones() -> None:
    with pytest.raises(ProgramFailed, match="nothing is sent to them"):
        _demand_stalled(rig(kernel_before_bytes=machine.kernel_socket_bytes()))


def test_full_sockets_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "kernel_socket_bytes", lambda: 25 * 1024 * 10_000)
    _demand_stalled(rig(kernel_before_bytes=0))


def state_of(program: Any) -> str:
    """As /proc says: T for stopped."""
    return Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_program_at_rest_does_nothing_and_goes_on(tmp_path: Path) -> None:
    program = Program(["sleep", "60"], core=machine.SERVER_CORE, log=tmp_path / "log")
    try:
        with program.at_rest():
            while state_of(program) != "T":
                time.sleep(0.001)
        while state_of(program) == "T":
            time.sleep(0.001)
        program.demand_alive()
    finally:
        program.stop()
