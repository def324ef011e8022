"""The descriptor limit: raised, and audible where it is too low."""

from __future__ import annotations

import resource
from typing import Any

import pytest
from twisted.logger import globalLogPublisher

from relayd.io.limits import RESERVED_DESCRIPTORS, DescriptorLimit, raise_descriptor_limit


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
