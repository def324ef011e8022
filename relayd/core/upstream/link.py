"""One connection of an upstream over its losses: the session that lives it, and what is meant for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from relayd.core.feed.resume import Resume
from relayd.core.upstream.connection import Connection
from relayd.core.upstream.places import Places
from relayd.core.upstream.session import UpstreamSession
from relayd.core.upstream.states import CONNECTED, SERVING

T = TypeVar("T")


class Maker(Protocol[T]):
    """Makes the session of a link. `main`: the one that is kept where the upstream is dialled at start."""

    def __call__(
        self, *, resume: Resume, main: bool, renew: Callable[[str, str | None], bool]
    ) -> UpstreamSession[T]: ...


@dataclass(eq=False, slots=True)
class Link(Generic[T]):
    """A session and its topics. Two are never the same."""

    number: int
    """From 1, in the order of making."""
    main: bool
    session: UpstreamSession[T]
    resume: Resume
    plan: Places[T]
    """The subscriptions meant for it."""
    topics: dict[T, Mapping[str, str]] = field(default_factory=dict)
    """Those beyond all places too: they wait on some link."""
    was_open: Connection[T] | None = None
    """The connection that was open when somebody looked last."""

    @property
    def changed(self) -> bool:
        """Whether another connection is open than when somebody looked last."""
        return self.was_open is not self.session.connection

    @property
    def has_asked(self) -> bool:
        """Whether it is connected, and has asked for all that is wanted of it."""
        connection = self.session.connection
        return self.session.state in SERVING and connection is not None and connection.has_asked

    @property
    def is_idle(self) -> bool:
        """Whether it has no topics, and has hung up."""
        return not self.topics and self.session.state not in CONNECTED
