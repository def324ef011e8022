"""Which topics browsers may have, from which upstream, and how they are delivered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from relayd.config.expressions import Field_, Path, Template
from relayd.config.model.access import Who
from relayd.config.model.allow import Allow, Pin
from relayd.config.model.block import Block
from relayd.config.scalars import Duration, Given, History, HistoryText, OrOff, Positive, Text

Mode = Literal["queue", "conflate", "lossless"]
"""How a lagging browser is served."""


class Deliver(Block):
    """How a route's publications are kept and delivered."""

    mode: Given[Mode] = None
    """`queue`: everything the ring still holds; `conflate`: only the newest; `lossless`: a fresh snapshot after a loss.
    Left out: `lossless` where a `snapshot` variant of the upstream applies, else `queue`, since neither hides a
    loss."""
    key: Given[Path] = None
    """Conflate by the value at this path of the payload instead of by topic."""
    history: HistoryText = History(100, 300.0, 1 << 20)
    """What a topic's ring keeps: publications, age, bytes; bridges a phone's change of network (guess)."""
    max_hz: OrOff[Positive] = None
    """Flushes a second at most, with the newest per topic; off, since it conflates."""
    max_lag_s: OrOff[Duration] = Field(default=None, alias="max_lag")
    """Older publications are dropped with notice, never delivered as news; off."""
    slow_after_s: Duration = Field(default=10.0, alias="slow_after")
    """A socket that took less than 1 KiB, or less than its rest, for this long is closed 4008; longer than a mobile
    handover."""
    deflate: OrOff[bool] = None
    """Compress publications for browsers that agreed; off, since it costs memory and a slow core's time."""
    as_: Given[Literal["data", "text"]] = Field(default=None, alias="as")
    """How `/ws` carries the payload; left out: `data` if the text is one whole JSON value, else `text`; binary is
    `base64`."""
    stamp: bool = False
    """Add `at`, the time of arrival in ms; off, since it costs 20 bytes a message."""


class Access(Block):
    """Who may do what on a route's topics."""

    subscribe: Who = "public"
    """Who may subscribe; anyone whose origin is allowed."""
    publish: Who = "nobody"
    """Who may publish; nobody unless it is said: a browser is heard by all others."""


class RoutePublish(Block):
    """What is sent to the upstream of what clients publish."""

    send: Template
    """The message: `$data` is the published JSON value, the route's fields are placeholders, `$id` counts; `$data`
    alone is the payload as it stands."""


class Route(Block):
    """Ties a topic template to an upstream, or to what clients publish."""

    topic: Text
    """Template such as `market/ticker/$symbol`; each `$field` is one whole segment."""
    upstream: Given[Text] = None
    """The name of the upstream whose fields fill the template; left out: what clients publish (`access.publish`) is all
    there is on these topics."""
    allow: Mapping[Field_, Allow] = Field(default_factory=dict)
    """Per field: a list (exact values), a text (glob), `{regex: ...}` (full match), or `any`; required for every field
    that an upstream subscription depends on, and without an upstream for all."""
    access: Access = Field(default_factory=Access)
    """Who may subscribe and publish."""
    publish: Given[RoutePublish] = None
    """How what clients publish is sent to the upstream; left out: nothing is."""
    exclusive: bool = False
    """Each browser on `/raw/<topic>` has an upstream connection of its own, with its own credentials
    (`${browser.token}`, `${browser.claims.N}`, `${browser.query.N}`); off, since sharing one is what relayd is for."""
    deliver: Deliver = Field(default_factory=Deliver)
    """How publications are kept and delivered."""
    stale_after_s: OrOff[Duration] = Field(default=None, alias="stale_after")
    """Tells browsers `stale` after this long without data; off, a quiet topic is no fault."""
    linger_s: Duration = Field(default=5.0, alias="linger")
    """How long the upstream subscription outlives its last browser; longer than a page reload."""
    pin: Pin = False
    """Topics kept subscribed without any browser: a list, or `true` for all where `allow` lists every field."""
