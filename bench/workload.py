"""What is asked of a server in one measurement."""

from __future__ import annotations

from dataclasses import dataclass

PAYLOAD_BYTES = 200  # TICK_BYTES of load/tick.h


@dataclass(frozen=True, slots=True)
class Workload:
    """Connections, topics and rate of one measurement. Shares are per 1,000 connections, rates messages a second."""

    connections: int
    rate: int  # of all topics together; 0 = as fast as the server takes them
    topics: int = 1
    topics_each: int = 1
    measure_s: float = 4.0
    warm_s: float = 1.5  # caches, the adaptive flush, TCP's congestion windows: settled by then
    drain_s: float = 5.0  # the time what is under way gets to arrive after the last publication
    never_permille: int = 0  # connections that read nothing
    slow_permille: int = 0  # connections that read slow_bytes every slow_every_ms
    slow_bytes: int = 2048
    slow_every_ms: int = 5000
    slow_after_s: float = 10.0  # relayd's deliver.slow_after
    history: str = "5000/1m/8MiB"  # relayd's deliver.history: five seconds at 1,000 messages a second
    seed: int = 1

    @property
    def readers(self) -> int:
        """Connections that read all they get."""
        return self.connections - self.connections * (self.never_permille + self.slow_permille) // 1000

    @property
    def offered_per_s(self) -> float:
        """Deliveries a second that are due to the readers."""
        return self.rate * self.readers * self.topics_each / self.topics
