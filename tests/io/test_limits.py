"""What the system allows: descriptors and memory, audible where it is too little."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import globalLogPublisher

from relayd.config.model import Limits
from relayd.io.limits import (
    RESERVED_DESCRIPTORS,
    DescriptorLimit,
    fit_limits,
    fitting_ring_bytes,
    memory_limit_bytes,
    raise_descriptor_limit,
    resident_bytes,
)


class System:
    """An operating system with one limit."""

    def __init__(self, soft: int, hard: int, fault: Exception | None = None) -> None:
        self.limit = soft, hard
        self.fault = fault

    def get(self, which: int) -> tuple[int, int]:
        assert which == resource.RLIMIT_NOFILE
        return self.limit

    def put(self, which: int, limit: tuple[int, int]) -> None:
        assert which == resource.RLIMIT_NOFILE
        if self.fault is not None:
            raise self.fault
        self.limit = limit


@pytest.fixture
def events() -> Any:
    """The log while the test runs."""
    found: list[dict[str, Any]] = []
    globalLogPublisher.addObserver(found.append)
    yield found
    globalLogPublisher.removeObserver(found.append)


def raised(system: System, connections: int) -> DescriptorLimit:
    return raise_descriptor_limit(connections, get=system.get, put=system.put)


class DescriptorLimitTests:
    """What the process takes from the system."""

    def test_soft_to_hard(self, events: list[dict[str, Any]]) -> None:
        """The soft limit becomes the hard one; nothing is said when that is enough."""
        system = System(1024, 20_000)
        assert raised(system, 15_000) == DescriptorLimit(20_000, 15_000)
        assert system.limit == (20_000, 20_000)
        assert events == []

    def test_just_enough(self, events: list[dict[str, Any]]) -> None:
        """Connections and what relayd itself needs."""
        assert raised(System(1200, 1200), 1200 - RESERVED_DESCRIPTORS).connections == 1000
        assert events == []

    def test_too_few(self, events: list[dict[str, Any]]) -> None:
        """The limit is lowered, with the numbers and both remedies."""
        assert raised(System(256, 1199), 1000) == DescriptorLimit(1199, 999)
        (event,) = events
        text = event["log_format"].format(**event)
        assert text == (
            "limits.connections is 1000, but the system allows 1199 descriptors: 999 connections will be accepted; "
            "raise LimitNOFILE= of the unit (or `ulimit -n`) to 1200, or lower limits.connections"
        )

    def test_far_too_few(self) -> None:
        """At least one connection is left."""
        assert raised(System(64, 64), 1000).connections == 1

    def test_no_limit_at_all(self) -> None:
        """Unlimited is enough for everybody."""
        infinite = resource.RLIM_INFINITY
        assert raised(System(infinite, infinite), 1 << 40).connections == 1 << 40

    @pytest.mark.parametrize("fault", [PermissionError(1, "no"), ValueError("no")])
    def test_raising_is_refused(self, fault: Exception, events: list[dict[str, Any]]) -> None:
        """A sandbox that forbids it is named, and the soft limit counts."""
        assert raised(System(1024, 20_000, fault), 5000) == DescriptorLimit(1024, 824)
        assert [event["log_level"].name for event in events] == ["info", "warn"]

    def test_of_this_machine(self) -> None:
        """The real calls work."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            assert raise_descriptor_limit(1).connections == 1
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class MemoryTests:
    """What relayd may use: the setting, the machine, and what a control group allows."""

    MACHINE = 8 << 30

    def limit(self, root: Path, setting: int | None = None) -> int:
        return memory_limit_bytes(setting, root=root, machine_bytes=self.MACHINE)

    def groups(self, root: Path, lines: str, **files: str) -> Path:
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/self/cgroup").write_text(lines)
        for name, text in files.items():
            path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("max", "memory.max")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return root

    def test_nothing_said(self, tmp_path: Path):
        """Three quarters of the machine, or what the file says."""
        assert self.limit(tmp_path) == 6 << 30
        assert self.limit(tmp_path, 1 << 20) == 1 << 20

    def test_unit(self, tmp_path: Path):
        """MemoryMax= of the unit, or of a slice above it: the least counts; a setting above it does not."""
        files = {"max": "max", "system.slice__max": "2147483648\n", "system.slice__relayd.service__max": "1073741824"}
        root = self.groups(tmp_path, "0::/system.slice/relayd.service\n", **files)
        assert self.limit(root) == 1 << 30
        assert self.limit(root, 7 << 30) == 1 << 30
        assert self.limit(root, 5 << 20) == 5 << 20

    def test_memory_high(self, tmp_path: Path):
        """Where the kernel begins to brake, relayd has begun before."""
        root = self.groups(tmp_path, "0::/\n", max="max\n")
        (root / "sys/fs/cgroup/memory.high").write_text("1000000\n")
        assert self.limit(root) == 1_000_000

    def test_version_1(self, tmp_path: Path):
        """The older layout; inside a container the path is the host's, and the top is its own."""
        root = self.groups(tmp_path, "5:cpu:/x\n4:memory:/docker/abc\n")
        top = root / "sys/fs/cgroup/memory"
        top.mkdir(parents=True)
        (top / "memory.limit_in_bytes").write_text("9223372036854771712\n")
        assert self.limit(root) == 6 << 30
        (top / "memory.limit_in_bytes").write_text(f"{256 << 20}\n")
        assert self.limit(root) == 256 << 20

    def test_this_process(self):
        """On this machine, whatever it is."""
        assert memory_limit_bytes(None) > 0
        assert resident_bytes() > 1 << 20
        assert resident_bytes(Path("/nowhere")) == 0


class RingTests:
    """Rings that leave no room for clients are cut."""

    def test_enough(self):
        """As configured."""
        assert fitting_ring_bytes(512 << 20, 4 << 30, 70 << 20) == 512 << 20

    def test_small_container(self):
        """512 MiB of memory: what is left of 60 % of it, halved, since a publication is kept with its frame."""
        events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(events.append)
        try:
            assert fitting_ring_bytes(512 << 20, 512 << 20, 70 << 20) >> 20 == 118
            assert fitting_ring_bytes(512 << 20, 64 << 20, 70 << 20) == 1 << 20
        finally:
            globalLogPublisher.removeObserver(events.append)
        assert [event["fitting"] for event in events] == [118, 1]

    def test_all_limits(self):
        """What the process can hold is written into the limits."""
        limits = fit_limits(Limits(memory="200MiB"), 70 << 20)
        assert limits.memory_bytes == 200 << 20
        assert limits.ring_bytes == 25 << 20
