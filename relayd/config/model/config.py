"""The whole of relay.yaml."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from relayd.config.model.auth import Auth
from relayd.config.model.block import Block
from relayd.config.model.drain import Drain
from relayd.config.model.limits import Limits
from relayd.config.model.listener import Admin, Listener
from relayd.config.model.log import Log
from relayd.config.model.route import Route
from relayd.config.model.state import State
from relayd.config.model.upstream import Upstream
from relayd.config.scalars import Given, Seq, Text

DEFAULT_LISTENER = Listener(endpoint="tcp:8080")


class Config(Block):
    """relay.yaml, typed. The smallest file names one route, and where that comes from an upstream, the upstream."""

    listeners: Seq[Listener] = Field(default=(DEFAULT_LISTENER,), min_length=1)
    """Where browsers come in; `tcp:8080` for pages of the same origin."""
    upstreams: Mapping[Text, Upstream] = Field(default_factory=dict, min_length=1)
    """The feeds, by name; none where clients publish all there is."""
    routes: Seq[Route] = Field(min_length=1)
    """The topics browsers may have."""
    auth: Given[Auth] = None
    """How browsers show who they are; left out: nobody is known, and every topic is public or for nobody."""
    limits: Limits = Field(default_factory=Limits)
    """Bounds of the process."""
    admin: Given[Admin] = None
    """The listener for operators; left out: there is none."""
    drain: Drain = Field(default_factory=Drain)
    """How relayd goes down."""
    state: Given[State] = None
    """What outlives the process; left out: limits and cursors live as long as the process."""
    log: Log = Field(default_factory=Log)
    """What is logged."""
