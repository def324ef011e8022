"""The upstreams of a relay: from each block of the file to a service that dials."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from relayd import __version__
from relayd.config import model
from relayd.config.compile_policy import compile_policy, compile_windows
from relayd.config.compile_upstream import compile_upstream
from relayd.core.bridge import Bridge
from relayd.core.dial_rules import DialRules
from relayd.core.feed.conversation import Conversation
from relayd.core.feed.resume import Resume
from relayd.core.feed.voice import Voice
from relayd.core.hub import Hub
from relayd.core.kept import Kept
from relayd.core.topics import Topic
from relayd.core.upstream.clock import FeedClock
from relayd.core.upstream.fleet import Fleet
from relayd.core.upstream.prepare import Preparation
from relayd.core.upstream.session import UpstreamSession
from relayd.core.wayup import WayUp
from relayd.core.windows import HostWindows
from relayd.io.exclusive import ExclusiveUpstream
from relayd.io.fleet import FleetService
from relayd.io.names import Names
from relayd.io.secrets import read_secrets, secret_names
from relayd.io.state import StateService
from relayd.io.ticker import Ticker
from relayd.io.upstream import UpstreamService
from relayd.io.upstream_plan import Transport


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
        dialect = compile_upstream(block)
        clock = self.clocks[name] = FeedClock(time.time)
        policy = compile_policy(dialect, block)
        windows = compile_windows(dialect, block, self._hosts)
        secrets = secret_names(block)
        kept: dict[int, Mapping[str, object]] = {}

        def read() -> dict[str, str]:
            return read_secrets(secrets, self._environ)

        def make(*, resume: Resume, main: bool, renew: Callable[[str, str | None], bool]) -> UpstreamSession[Topic]:
            if main and dialect.cursor is not None:
                self._resumes[name] = resume
                if self._kept is not None:
                    self._kept.keep(name, resume)

            def speak(saved: Mapping[str, object]) -> Voice:
                return Voice(wall=clock.now, uuid=_uuid, secrets=read(), saved=saved, resume=resume)

            def converse(saved: Mapping[str, object]) -> Conversation[Topic]:
                return Conversation(
                    dialect,
                    wall=clock.now,
                    uuid=_uuid,
                    secrets=read(),
                    saved=saved,
                    resolve=(lambda fields: self._hub.resolve(name, fields)) if dialect.unasked else None,
                    resume=resume,
                )

            return UpstreamSession(
                name,
                policy if main else replace(policy, dial_at_start=False),
                self._hub,
                converse=converse,
                random=random.random,
                wall=time.time,
                preparation=Preparation(dialect.connect.before, speak, kept) if dialect.connect.before else None,
                forget_cursor=resume.forget,
                windows=windows,
                renew=renew,
            )

        def serve(session: UpstreamSession[Topic], way: WayUp | None) -> UpstreamService:
            return UpstreamService(
                session,
                self._reactor,
                self._monotonic,
                self._ticker,
                payload_most_bytes=payload_most_bytes,
                ca=block.connect.tls.ca,
                user_agent=f"relayd/{__version__}",
                names=self._names,
                rules=DialRules.parse(block.connect.allow_addresses, "connect.allow_addresses"),
                transport=Transport(block.transport),
                clock=clock,
                way=way,
            )

        fleet = Fleet(name, policy, self._hub, make, monotonic=self._monotonic, wake=self._ticker.wake)
        service = FleetService(fleet, self._ticker, self._monotonic, serve)
        self._hub.demands[name] = service.demand
        self._hub.ways_up[name] = service.way
        return service

    def build_exclusive(
        self, name: str, block: model.Upstream, *, payload_most_bytes: int
    ) -> Callable[[Bridge, Mapping[str, str], Ticker], ExclusiveUpstream]:
        """What makes the connections of one upstream whose routes are exclusive. All of them share its limits."""
        dialect = compile_upstream(block)
        clock = self.clocks[name] = FeedClock(time.time)
        policy = compile_policy(dialect, block)
        windows = compile_windows(dialect, block, self._hosts)
        secrets = secret_names(block)

        def build(bridge: Bridge, values: Mapping[str, str], ticker: Ticker) -> ExclusiveUpstream:
            resume = Resume()

            def read() -> dict[str, str]:
                return {**read_secrets(secrets, self._environ), **values}

            def speak(saved: Mapping[str, object]) -> Voice:
                return Voice(wall=clock.now, uuid=_uuid, secrets=read(), saved=saved, resume=resume)

            def converse(saved: Mapping[str, object]) -> Conversation[Bridge]:
                return Conversation(
                    dialect,
                    wall=clock.now,
                    uuid=_uuid,
                    secrets=read(),
                    saved=saved,
                    resolve=(lambda fields: (bridge,) if bridge.takes(fields) else ()) if dialect.unasked else None,
                    resume=resume,
                )

            session: UpstreamSession[Bridge] = UpstreamSession(
                name,
                policy,
                bridge,
                converse=converse,
                random=random.random,
                wall=time.time,
                preparation=Preparation(dialect.connect.before, speak) if dialect.connect.before else None,
                forget_cursor=resume.forget,
                windows=windows,
            )
            return ExclusiveUpstream(
                session,
                self._reactor,
                self._monotonic,
                ticker,
                payload_most_bytes=payload_most_bytes,
                ca=block.connect.tls.ca,
                user_agent=f"relayd/{__version__}",
                names=self._names,
                rules=DialRules.parse(block.connect.allow_addresses, "connect.allow_addresses"),
                clock=clock,
            )

        return build

    def build_state(self, state: model.State) -> StateService:
        """Keeps what the upstreams built so far have used up and reached, not started."""
        kept = self._kept = Kept(self._hosts, monotonic=self._monotonic, wall=time.time)
        for name, resume in self._resumes.items():
            kept.keep(name, resume)
        service = StateService(state.dir, kept, self._reactor, self._ticker)
        self._hosts.on_dial = service.save
        return service


def _uuid() -> str:
    return str(uuid4())
