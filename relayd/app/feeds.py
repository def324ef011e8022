"""The upstreams of a relay: from each block of the file to a service that dials."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, TypeVar
from uuid import uuid4

from relayd import __version__
from relayd.config import model
from relayd.config.compile_policy import compile_policy, compile_windows
from relayd.config.compile_upstream import compile_upstream
from relayd.core.bridge import Bridge
from relayd.core.dial_rules import DialRules
from relayd.core.feed.conversation import Conversation
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.resume import Resume
from relayd.core.feed.voice import Voice
from relayd.core.hub import Hub
from relayd.core.kept import Kept
from relayd.core.resolver import Resolver
from relayd.core.topics import Topic
from relayd.core.upstream.clock import FeedClock
from relayd.core.upstream.effects import FeedSink
from relayd.core.upstream.fleet import Fleet
from relayd.core.upstream.policy import UpstreamPolicy
from relayd.core.upstream.prepare import Preparation
from relayd.core.upstream.renewal import never_renewed
from relayd.core.upstream.session import UpstreamSession
from relayd.core.wayup import WayUp
from relayd.core.windows import HostWindows, Windows
from relayd.io.exclusive import ExclusiveUpstream
from relayd.io.fleet import FleetService
from relayd.io.names import Names
from relayd.io.secrets import read_secrets, secret_names
from relayd.io.state import StateService
from relayd.io.ticker import Ticker
from relayd.io.upstream import UpstreamService
from relayd.io.upstream_plan import Transport

T = TypeVar("T")

NO_VALUES: Final[Mapping[str, str]] = MappingProxyType({})


class Feeds:
    """Builds upstreams that publish into one hub; those of one host share their limits."""

    def __init__(
        self,
        hub: Hub,
        ticker: Ticker,
        reactor: Any,
        monotonic: Callable[[], float],
        environ: Mapping[str, str],
        names: Names,
    ) -> None:
        self._hub = hub
        self._ticker = ticker
        self._reactor = reactor
        self._monotonic = monotonic
        self._environ = environ
        self._hosts = HostWindows()
        self.clocks: dict[str, FeedClock] = {}
        """By upstream."""
        self._resumes: dict[str, Resume] = {}
        """Where the feeds that can be resumed stand, by upstream."""
        self._kept: Kept | None = None
        self._names = names

    def build(self, name: str, block: model.Upstream, *, payload_most_bytes: int) -> FleetService:
        """One upstream, not started; the hub asks its demand for topics from here on."""
        feed = self._compile(name, block, payload_most_bytes)
        kept: dict[int, Mapping[str, object]] = {}

        resolver = self._hub.resolver(name)

        def make(*, resume: Resume, main: bool, renew: Callable[[str, str | None], bool]) -> UpstreamSession[Topic]:
            if main and feed.dialect.cursor is not None:
                self._resumes[name] = resume
                if self._kept is not None:
                    self._kept.keep(name, resume)
            policy = feed.policy if main else replace(feed.policy, dial_at_start=False)
            return feed.session(self._hub, resolver, resume=resume, policy=policy, kept=kept, renew=renew)

        def serve(session: UpstreamSession[Topic], way: WayUp | None) -> UpstreamService:
            return UpstreamService(
                session,
                self._reactor,
                self._monotonic,
                self._ticker,
                **feed.options,
                transport=Transport(block.transport),
                way=way,
            )

        fleet = Fleet(name, feed.policy, self._hub, make, monotonic=self._monotonic, wake=self._ticker.wake)
        service = FleetService(fleet, self._ticker, self._monotonic, serve)
        self._hub.demands[name] = service.demand
        self._hub.ways_up[name] = service.way
        return service

    def build_exclusive(
        self, name: str, block: model.Upstream, *, payload_most_bytes: int
    ) -> Callable[[Bridge, Mapping[str, str], Ticker], ExclusiveUpstream]:
        """What makes the connections of one upstream whose routes are exclusive. All of them share its limits."""
        feed = self._compile(name, block, payload_most_bytes)

        def build(bridge: Bridge, values: Mapping[str, str], ticker: Ticker) -> ExclusiveUpstream:
            def resolve(fields: Mapping[str, str]) -> tuple[Bridge, ...]:
                return (bridge,) if bridge.takes(fields) else ()

            session = feed.session(bridge, Resolver(resolve), resume=Resume(), values=values)
            return ExclusiveUpstream(session, self._reactor, self._monotonic, ticker, **feed.options)

        return build

    def _compile(self, name: str, block: model.Upstream, payload_most_bytes: int) -> _Feed:
        dialect = compile_upstream(block)
        clock = self.clocks[name] = FeedClock(time.time)
        secrets = secret_names(block)
        return _Feed(
            name=name,
            dialect=dialect,
            policy=compile_policy(dialect, block),
            windows=compile_windows(dialect, block, self._hosts),
            clock=clock,
            read=lambda: read_secrets(secrets, self._environ),
            options={
                "payload_most_bytes": payload_most_bytes,
                "ca": block.connect.tls.ca,
                "user_agent": f"relayd/{__version__}",
                "names": self._names,
                "rules": DialRules.parse(block.connect.allow_addresses, "connect.allow_addresses"),
                "clock": clock,
            },
        )

    def build_state(self, state: model.State) -> StateService:
        """Keeps what the upstreams built so far have used up and reached, not started."""
        kept = self._kept = Kept(self._hosts, monotonic=self._monotonic, wall=time.time)
        for name, resume in self._resumes.items():
            kept.keep(name, resume)
        service = StateService(state.dir, kept, self._reactor, self._ticker)
        self._hosts.on_dial = service.save
        return service


@dataclass(frozen=True, slots=True)
class _Feed:
    """What one block of the file says, ready to make the sessions of its connections."""

    name: str
    dialect: Dialect
    policy: UpstreamPolicy
    windows: Windows
    clock: FeedClock
    read: Callable[[], dict[str, str]]
    """Its secrets, as they are now."""
    options: Mapping[str, Any]
    """Of its sockets."""

    def session(
        self,
        sink: FeedSink[T],
        resolver: Resolver[T],
        *,
        resume: Resume,
        policy: UpstreamPolicy | None = None,
        values: Mapping[str, str] = NO_VALUES,
        kept: dict[int, Mapping[str, object]] | None = None,
        renew: Callable[[str, str | None], bool] = never_renewed,
    ) -> UpstreamSession[T]:
        """One connection's, which publishes to `sink`. `values` stand beside the secrets; in `kept` live the answers
        of `connect.before` that more than one connection may use."""
        dialect = self.dialect

        def speak(saved: Mapping[str, object]) -> Voice:
            secrets = {**self.read(), **values}
            return Voice(wall=self.clock.now, uuid=_uuid, secrets=secrets, saved=saved, resume=resume)

        def converse(saved: Mapping[str, object]) -> Conversation[T]:
            return Conversation(
                dialect,
                wall=self.clock.now,
                uuid=_uuid,
                secrets={**self.read(), **values},
                saved=saved,
                resolver=resolver if dialect.unasked else None,
                resume=resume,
            )

        return UpstreamSession(
            self.name,
            policy or self.policy,
            sink,
            converse=converse,
            random=random.random,
            wall=time.time,
            preparation=Preparation(dialect.connect.before, speak, kept) if dialect.connect.before else None,
            forget_cursor=resume.forget,
            windows=self.windows,
            renew=renew,
        )


def _uuid() -> str:
    return str(uuid4())
