"""What two relays side by side say of clients that stand at one of them."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace
from typing import cast

import pytest

from bench import machine, visit
from bench.figures.ingest import FULL_SPEED
from bench.process import ProgramFailed
from bench.rig import Rig
from bench.visit import Visit, _demand, _wait_until_gone, turns
from tests.bench.windows import window


class GuardTests:
    """What would be measured in place of stalled clients is refused."""

    def rig(self, **fields: object) -> Rig:
        """What the guards look at."""
        return cast(Rig, SimpleNamespace(place=SimpleNamespace(workload=FULL_SPEED), **fields))

    def test_clients_with_empty_sockets_are_not_taken_for_stalled_ones(self) -> None:
        with pytest.raises(ProgramFailed, match="nothing is sent to them"):
            _demand(self.rig(kernel_before_bytes=machine.kernel_socket_bytes()), waits=True)

    def test_nor_for_those_of_a_silent_topic_are_clients_to_whom_something_is_sent(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(machine, "kernel_socket_bytes", lambda: 25 * 1024 * 10_000)
        with pytest.raises(ProgramFailed, match="something is sent to them"):
            _demand(self.rig(kernel_before_bytes=0), waits=False)

    def test_full_sockets_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(machine, "kernel_socket_bytes", lambda: 25 * 1024 * 10_000)
        _demand(self.rig(kernel_before_bytes=0), waits=True)

    def test_empty_sockets_are_those_of_a_silent_topic(self) -> None:
        _demand(self.rig(kernel_before_bytes=machine.kernel_socket_bytes()), waits=False)

    def test_clients_that_left_and_are_not_closed_are_not_taken_for_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(visit, "GONE_WITHIN_S", 0.0)
        server = SimpleNamespace(descriptors=lambda: 100)
        with pytest.raises(ProgramFailed, match="holds 80 descriptors"):
            _wait_until_gone(self.rig(server=server), 20)
        _wait_until_gone(self.rig(server=server), 95)


class VisitTests:
    """Four windows, two numbers."""

    def test_the_machine_s_pace_and_a_steady_drift_are_left_out(self) -> None:
        one = Visit(window(1000, 1000), window(360, 400), window(450, 500), window(1620, 2000), 10_000)
        assert math.isclose(one.waiting, 1.0)
        assert math.isclose(one.presence, 1.0)
        assert one.least_share == 0.5

    def test_what_the_clients_cost_is_not(self) -> None:
        even = window(1000, 1000)
        assert math.isclose(Visit(even, even, window(900, 1000), even, 0).waiting, 0.9)
        there = Visit(even, window(900, 1000), window(900, 1000), even, 0)
        assert (there.waiting, there.presence) == (1.0, 0.9)

    def test_a_relay_that_takes_in_nothing_is_not_measured(self) -> None:
        rig = cast(Rig, SimpleNamespace(server=SimpleNamespace(cpu_s=lambda: 1.0)))
        with pytest.raises(ProgramFailed, match="took in nothing"):
            turns(lambda rig: (7, time.monotonic_ns()), [rig], 0.0)
