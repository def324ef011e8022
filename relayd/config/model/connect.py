"""How an upstream is dialled and logged in to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from relayd.config.endpoints import Network
from relayd.config.expressions import AfterClose, Codes, MarketHours, Match, Paths, Template
from relayd.config.model.block import Block
from relayd.config.scalars import Count, Duration, Given, OrOff, RateText, Seq, Text


class Http(Block):
    """One HTTP request; every text may hold placeholders."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    """What a plain request is."""
    url: Text
    """An http: or https: URL."""
    query: Given[Mapping[str, Template]] = None
    """Parameters; a list repeats its key, an unset value drops it."""
    headers: Given[Mapping[str, Template]] = None
    """Request headers; an unset value drops its header."""
    json_: Template = Field(default=None, alias="json")
    """Body, sent as JSON; no body where it is left out."""
    form: Given[Mapping[str, Template]] = None
    """Body, sent as a form; not beside `json`."""


class Hmac(Block):
    """A signature computed when a message is made."""

    hmac: Literal["sha1", "sha256", "sha384", "sha512"]
    """The hash."""
    key: Text
    """The secret, as a placeholder."""
    key_is: Literal["text", "base64", "hex"] = "text"
    """How the secret is written; most feeds use it as it is."""
    text: Text
    """What is signed, with placeholders."""
    out: Literal["hex", "base64"] = "hex"
    """How the signature is written; most feeds use hex."""


def _computed(value: Any) -> str:
    return "a signature" if isinstance(value, Hmac) or (isinstance(value, Mapping) and "hmac" in value) else "a value"


Computed = Annotated[
    Annotated[Hmac, Tag("a signature")] | Annotated[Template, Tag("a value")], Discriminator(_computed)
]
"""A value of `set`: a signature where the table holds `hmac`, else a template."""


class HttpStep(Block):
    """An HTTP request before the connection is opened."""

    http: Http
    """The request."""
    save: Mapping[str, Paths] = Field(default_factory=dict)
    """Name -> path in the reply, for use as `$name`."""
    keep: Given[Literal["until-refused"]] = None
    """Keep what was saved until a 401, 403 or failed handshake; left out: asked anew at each dial."""
    within_s: Duration = Field(default=10.0, alias="within")
    """The reply is due in this time (as long as a handshake)."""


class Refresh(Block):
    """An HTTP request repeated while connected, so that what was saved stays fresh."""

    every_s: Duration = Field(alias="every")
    """The interval."""
    http: Http
    """The request."""
    save: Mapping[str, Paths] = Field(default_factory=dict)
    """Name -> path in the reply."""


class ConnectTls(Block):
    """Whom to trust when the upstream is dialled with TLS; its name is always checked."""

    ca: Given[Text] = None
    """PEM file with your own authorities; left out: those of the system."""


class Connect(Block):
    """Where the upstream is and what the opening request holds."""

    url: Text
    """A ws: or wss: URL (http: or https: with `transport: sse`) with placeholders; every value is encoded, but a URL
    that is one placeholder."""
    query: Given[Mapping[str, Template]] = None
    """Parameters; a list repeats its key, an unset value drops it."""
    headers: Given[Mapping[str, Template]] = None
    """Request headers; an unset value drops its header."""
    protocols: Seq[Text] = ()
    """Subprotocols to offer, best first. On exclusive routes the browser is answered the first of its own offers that
    stands here, and the upstream is then offered that one alone; with nothing in common, all of these."""
    before: Seq[HttpStep] = ()
    """HTTP steps, run in order at every connection attempt."""
    refresh: Given[Refresh] = None
    """Keeps what `before` saved fresh while connected."""
    max_age_s: OrOff[Duration] = Field(default=None, alias="max_age")
    """A new connection takes over at this age (up to 10 % earlier); off."""
    hosts: Seq[Text] = ()
    """Hosts that a URL taken from a reply may name; left out: those under the same parent domain."""
    allow_addresses: Seq[Network] = ()
    """Networks that may be dialled although no feed is expected there: link-local and multicast addresses, those of
    cloud metadata services; none, whatever a name leads to."""
    tls: ConnectTls = Field(default_factory=ConnectTls)
    """Whom to trust."""
    within_s: Duration = Field(default=10.0, alias="within")
    """The opening handshake is due in this time; a healthy one takes under 1 s."""


class LoginStep(Block):
    """One step of a login: what is sent and what must come."""

    set: Mapping[str, Computed] = Field(default_factory=dict)
    """Values computed for this message."""
    send: Template = None
    """The message; left out where the server speaks first."""
    expect: Given[Match] = None
    """The answer that ends this step; left out: the step ends when it is sent."""
    fail: Given[Match] = None
    """The answer that means no; the upstream is then `refused`, not retried at pace."""
    save: Mapping[str, Paths] = Field(default_factory=dict)
    """Name -> path in the answer, for use as `$name`."""
    within_s: Duration = Field(default=10.0, alias="within")
    """The answer is due in this time (as long as a handshake)."""


class Silence(Block):
    """Two watchdogs that end a connection which is open but says nothing."""

    any_s: OrOff[Duration] = Field(default=None, alias="any")
    """No frame at all for this long; off, `heartbeat` sees a dead link."""
    data_s: OrOff[Duration] = Field(default=None, alias="data")
    """No data for this long; off, a quiet feed is no fault."""
    hours: Given[MarketHours] = None
    """The watchdogs rest outside of these, and count anew when the market opens; left out: always open."""


class UpstreamLimits(Block):
    """What the feed allows; rates are strict sliding windows, shared per host by all connections."""

    topics: Given[Count] = None
    """Subscriptions of one connection, companions too; further connections are opened for what is beyond."""
    connections: Given[Count] = None
    """Connections at once, one that takes over from another included; with 1 the old one ends first. Left out: 4 for
    topics, each of which may be doubled while it is renewed. Topics beyond all of them fail until a place frees."""
    send: Given[RateText] = None
    """Messages sent, pings and pongs included."""
    connect: Given[RateText] = None
    """Connection attempts."""
    subscribe: Given[RateText] = None
    """Subscribe and unsubscribe messages."""
    http: Given[RateText] = None
    """HTTP requests."""
    first_send_s: Given[Duration] = Field(default=None, alias="first_send")
    """Something must be sent this soon after opening, so nothing is opened unasked."""


class Reconnect(Block):
    """When to dial again after a loss: full jitter between `min` and `max`, doubling."""

    min_s: Duration = Field(default=1.0, alias="min")
    """Ceiling of the first delay."""
    max_s: Duration = Field(default=60.0, alias="max")
    """Ceiling of every delay; a minute is found soon enough and storms nobody."""
    settle_s: Duration = Field(default=30.0, alias="settle")
    """The delay starts over after this long of confirmed data: accept-then-drop is no success."""
    codes: Mapping[Codes, AfterClose] = Field(default_factory=dict)
    """Close code or range -> `stop`, `retry`, `wait`, `forget-cursor` or a delay; the narrower wins."""
    status: Mapping[Codes, AfterClose] = Field(default_factory=dict)
    """The same for the HTTP status of a refused handshake."""
