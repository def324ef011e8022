"""What the operating system allows this process, against what the configuration asks of it."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twisted.logger import Logger

from relayd.config import model
from relayd.core.overload import RING_FACTOR

#: Descriptors beside those of browsers: listeners, upstreams, logs, the reactor, files (guess: 50 are common).
RESERVED_DESCRIPTORS: Final = 200

#: Of the machine's memory, where neither relay.yaml nor the system sets a limit (guess: the rest is the system's).
MACHINE_SHARE: Final = 0.75
#: Of the limit, what relayd itself and its rings may take: below the share at which it is not ready any more.
RING_SHARE: Final = 0.6
#: Rings are worth having at all from here on.
RING_LEAST_BYTES: Final = 1 << 20
#: The kernel writes "no limit" as a number near 2**63.
UNLIMITED_BYTES: Final = 1 << 60

log = Logger()


@dataclass(frozen=True, slots=True)
class DescriptorLimit:
    """How many descriptors the process may have (`descriptors`), and how many browsers it may therefore serve."""

    descriptors: int
    connections: int


def raise_descriptor_limit(
    connections: int,
    *,
    get: Callable[[int], tuple[int, int]] = resource.getrlimit,
    put: Callable[[int, tuple[int, int]], None] = resource.setrlimit,
) -> DescriptorLimit:
    """Raise the soft limit to the hard one and say how many connections fit; fewer than asked for are a warning.

    Args:
        connections: limits.connections of the configuration.
        get, put: resource.getrlimit and setrlimit.
    """
    soft, hard = get(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            put(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):  # a sandbox may forbid it; macOS refuses "unlimited"
            log.info("the soft descriptor limit cannot be raised", soft=soft, hard=hard)
    if soft == resource.RLIM_INFINITY or soft >= connections + RESERVED_DESCRIPTORS:
        return DescriptorLimit(soft, connections)
    fitting = max(1, soft - RESERVED_DESCRIPTORS)
    log.warn(
        "limits.connections is {asked}, but the system allows {descriptors} descriptors: {fitting} connections will be "
        "accepted; raise LimitNOFILE= of the unit (or `ulimit -n`) to {needed}, or lower limits.connections",
        asked=connections,
        descriptors=soft,
        fitting=fitting,
        needed=connections + RESERVED_DESCRIPTORS,
    )
    return DescriptorLimit(soft, fitting)


def fit_limits(limits: model.Limits, base_bytes: int) -> model.Limits:
    """The limits that this process can hold: `connections` and `ring_bytes` lowered audibly where the system gives
    less, `memory_bytes` filled in. `base_bytes` is what the process uses before its first connection.
    """
    memory_bytes = memory_limit_bytes(limits.memory_bytes)
    return limits.model_copy(update={
        "connections": raise_descriptor_limit(limits.connections).connections,
        "memory_bytes": memory_bytes,
        "ring_bytes": fitting_ring_bytes(limits.ring_bytes, memory_bytes, base_bytes),
    })  # fmt: skip


def memory_limit_bytes(setting_bytes: int | None, *, root: Path = Path("/"), machine_bytes: int | None = None) -> int:
    """What relayd may use: `setting_bytes` (limits.memory), else three quarters of the machine's memory, and never more
    than the control group of the process allows (MemoryMax= and MemoryHigh= of a unit, the limit of a container).

    Args:
        setting_bytes: limits.memory of the configuration.
        root: where /proc and /sys are.
        machine_bytes: the machine's memory; looked up by default.
    """
    if machine_bytes is None:
        machine_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    wanted = setting_bytes or int(machine_bytes * MACHINE_SHARE)
    return min([wanted, *_group_limits_bytes(root)])


def _group_limits_bytes(root: Path) -> Iterator[int]:
    """Every limit of the control groups the process is in, of either version; none where they cannot be read."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        names: tuple[str, ...]
        if not controllers:
            top, names = root / "sys/fs/cgroup", ("memory.max", "memory.high")
        elif "memory" in controllers.split(","):
            top, names = root / "sys/fs/cgroup/memory", ("memory.limit_in_bytes",)
        else:
            continue
        # Inside a container the path may be one of the host's; then the top is the container's own group.
        group = top / path.lstrip("/")
        for folder in {group, *group.parents, top}:
            if folder == top or top in folder.parents:
                for name in names:
                    with suppress(OSError, ValueError):  # a file says "max" where there is no limit
                        if (limit := int((folder / name).read_text())) < UNLIMITED_BYTES:
                            yield limit


def resident_bytes(root: Path = Path("/")) -> int:
    """What the process has in memory; 0 where nobody says."""
    try:
        return int((root / "proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def fitting_ring_bytes(ring_bytes: int, memory_bytes: int, base_bytes: int) -> int:
    """limits.ring_bytes, lowered audibly where rings of that size would leave no room for clients.

    Args:
        ring_bytes: limits.ring_bytes of the configuration.
        memory_bytes: what relayd may use.
        base_bytes: what it uses before its first connection.
    """
    fitting = max(RING_LEAST_BYTES, int((memory_bytes * RING_SHARE - base_bytes) / RING_FACTOR))
    if ring_bytes <= fitting:
        return ring_bytes
    log.warn(
        "limits.ring_bytes is {asked} MiB, but relayd may use {memory} MiB of memory: rings get {fitting} MiB; raise "
        "limits.memory, or MemoryMax= of the unit, or lower limits.ring_bytes",
        asked=ring_bytes >> 20,
        memory=memory_bytes >> 20,
        fitting=fitting >> 20,
    )
    return fitting
