"""What the operating system allows this process, against what the configuration asks of it."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from twisted.logger import Logger

#: Descriptors beside those of browsers: listeners, upstreams, logs, the reactor, files (guess: 50 are common).
RESERVED_DESCRIPTORS: Final = 200

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
