"""A topic while it exists: its ring, its state, who reads it, and whom to ask for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from relayd.core.publication import Encoding, TopicState
from relayd.core.ring import Ring
from relayd.core.routes import Match, Route

if TYPE_CHECKING:
    from relayd.core.cohort import Cohort
    from relayd.core.crowd import Crowd
    from relayd.core.hub import Hub
    from relayd.core.lane import Lane


class Demand(Protocol):
    """The upstream side of a topic's readers (core/demand.py)."""

    def wanted(self, topic: Topic) -> None:
        """Its first reader came."""
        ...

    def unwanted(self, topic: Topic) -> None:
        """Its last reader left."""
        ...

    def refresh(self, topic: Topic) -> None:
        """A fresh snapshot is needed: the ring let the last one go."""
        ...


class Topic:
    """One topic: its ring, its state, and the cohorts that read it."""

    __slots__ = (
        "aside", "born_after", "claims", "cohorts", "crowds", "demand", "epoch", "fields", "hub", "idle_since",
        "last_at", "name", "name_bytes", "readers", "ref", "ring", "route", "state", "waiters", "why",
    )  # fmt: skip

    def __init__(
        self, hub: Hub, match: Match, epoch: str, demand: Demand | None, now: float, ref: int = 0
    ) -> None:
        self.hub = hub
        self.ref = ref
        """Its number in the hub: what a binary frame calls it."""
        self.born_after = hub.serial
        """The hub's serial when it was made: nobody can have had anything of it before."""
        self.demand = demand
        self.name = match.name
        self.name_bytes = match.name.encode("ascii")
        self.route: Route = match.route
        self.fields: Mapping[str, str] = match.fields
        self.epoch = epoch
        delivery = match.route.delivery
        self.ring = Ring(
            max_count=delivery.history_count,
            max_bytes=delivery.history_bytes,
            max_age_s=delivery.history_age_s,
            deltas=delivery.deltas,
        )
        # Nobody has to be asked for a local topic: it waits for no first data.
        self.state = TopicState.LIVE if match.route.upstream is None else TopicState.PENDING
        self.why = ""
        self.last_at: float | None = None
        """Monotonic time of the newest publication."""
        self.cohorts: dict[Cohort | Lane, None] = {}
        """Those that are flushed by themselves."""
        self.aside: dict[Cohort, None] = {}
        """Those whose members are all behind."""
        self.crowds: dict[Encoding, Crowd] = {}
        """Those that are flushed together; never empty ones."""
        self.readers = 0
        """Subscribers and holds."""
        self.claims = 0
        """Those of them that create demand: not the matches of a pattern over an endless set."""
        self.idle_since = now
        self.waiters: list[Callable[[], None]] = []
        """Whom to call at the next publication, once."""

    @property
    def is_local(self) -> bool:
        """Whether its publications come from clients alone."""
        return self.route.upstream is None

    @property
    def position(self) -> str:
        """Epoch and offset of the newest entry, as on the wire."""
        return f"{self.epoch}:{self.ring.end - 1}"

    def add_reader(self, claims: bool) -> None:
        """One reader more; the first that claims creates demand."""
        self.readers += 1
        if claims:
            self.claims += 1
            if self.claims == 1 and self.demand is not None:
                self.demand.wanted(self)

    def remove_reader(self, claims: bool, now: float) -> None:
        """One reader less; the last that claimed ends the demand."""
        self.readers -= 1
        if not self.readers:
            self.idle_since = now
        if claims:
            self.claims -= 1
            if self.claims == 0 and self.demand is not None:
                self.demand.unwanted(self)
