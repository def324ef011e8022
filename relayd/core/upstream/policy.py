"""The numbers and rules by which an upstream lives: what its block in relay.yaml decides beside the dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal, TypeAlias

from relayd.core import backoff
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.sequence import Sequence
from relayd.core.feed.spec import HeartbeatSpec, Reaction, ReconnectSpec, SilenceSpec
from relayd.core.upstream.alarms import is_rival
from relayd.core.upstream.effects import Loss, LossKind
from relayd.core.upstream.places import ClaimsOf, claims_of, no_claims

Verdict: TypeAlias = Reaction | Literal["refused"]

REFUSED_S = 300.0
"""The first pause after a refused login: a bad key retried in a loop gets accounts locked."""
REFUSED_MOST_S = 6 * 3600.0
"""guess: a key renewed over night works in the morning without a restart."""
WAIT_S = 60.0
"""`wait` without a `Retry-After`: as long as the longest backoff."""
RETRY_AFTER_MOST_S = 3600.0
"""A `Retry-After` is obeyed up to this; Kraken's and Binance's bans are minutes to an hour."""
MOST_DOUBLINGS = 16  # past REFUSED_MOST_S; keeps 2**n small in a session refused for a year

REFUSED: Literal["refused"] = "refused"
"""Come back after five minutes, then ten, then twenty: the default for a refused login, 204, 401 and 403."""

#: HTTP statuses that mean something without a rule: 418 is Binance's ban, 204 sends a reader of events away for good.
STATUS_DEFAULTS: Mapping[int, Verdict] = {204: REFUSED, 401: REFUSED, 403: REFUSED, 418: "wait", 429: "wait"}


def unnumbered(fields: Mapping[str, str]) -> None:
    """No topic's messages are numbered."""


def without_state(fields: Mapping[str, str]) -> bool:
    """No topic has snapshots."""
    return False


def never(fields: Mapping[str, str]) -> None:
    """No topic is ever overdue: a quiet one is no fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamPolicy:
    """Durations in seconds; None switches a watchdog off."""

    dial_at_start: bool = False
    """`dial: start`: connected and kept; else dialled while something is wanted."""
    unasked: bool = False
    """No `subscribe` block: the upstream pushes what it likes."""
    topics_in_url: bool = False
    """What is wanted stands in the URL: a change of it needs a new connection."""
    change_s: float = 1.0
    """How long such changes are gathered."""
    max_age_s: float = inf
    """A connection ends in good order at this age, or a little earlier."""
    refresh_s: float = inf
    """How often what was saved before the connection is fetched anew beside it."""
    connect_within_s: float = 15.0
    """Name, then TCP. DNS alone gets 5 s (two servers, one retry), a SYN is sent three times within 10 s."""
    handshake_within_s: float = 10.0
    """TLS and WebSocket handshake together."""
    login_within_s: float = 10.0
    """The whole login; graphql-transport-ws closes with 4408 after 3 to 10 s."""
    goodbye_within_s: float = 2.0
    """Close frame to the end of TCP, as for browsers."""
    subscribe_within_s: Callable[[Mapping[str, str]], float | None] = never
    """How long a sent topic of these fields may stay without an ack or data before it has failed; None = for ever."""
    sequence_of: Callable[[Mapping[str, str]], Sequence | None] = unnumbered
    """How the messages of a topic of these fields are numbered."""
    is_delta: Callable[[Mapping[str, str]], bool] = without_state
    """Whether the messages of a topic of these fields mean something only after a snapshot."""
    failed_again_s: float = 300.0
    """A failed topic is asked for again at this pace: guess, slow enough for any limit."""
    heartbeat: HeartbeatSpec | None = field(default_factory=HeartbeatSpec)
    silence: SilenceSpec = field(default_factory=SilenceSpec)
    reconnect: ReconnectSpec = field(default_factory=ReconnectSpec)
    settle_s: float = 30.0
    """The backoff is reset after this much data ..."""
    settle_quiet_s: float = 600.0
    """... or after this long logged in, for feeds that have nothing to say: guess."""
    retry_least_s: float = backoff.LEAST_S
    retry_most_s: float = backoff.MOST_S
    topics_most: int | None = None
    """Subscriptions of one connection."""
    connections_most: int | None = None
    """Connections at once (`limits.connections`), those included that take over from another or are closing; None = it
    is not known how many the upstream allows."""
    claims_of: ClaimsOf = no_claims
    """The subscriptions that a topic of these fields needs."""
    first_send_s: float | None = None
    """The upstream closes a connection that has sent nothing for this long."""

    @classmethod
    def of(cls, dialect: Dialect, **others: Any) -> UpstreamPolicy:
        """What a dialect asks for; `others` are the fields that are no part of it, such as `settle_s`."""
        values: dict[str, Any] = {
            "dial_at_start": dialect.dial_at_start,
            "unasked": dialect.unasked,
            "topics_in_url": dialect.topics_in_url,
            "change_s": dialect.settle_s,
            "subscribe_within_s": dialect.within_s,
            "sequence_of": lambda fields: _sequence_of(dialect, fields),
            "heartbeat": dialect.heartbeat,
            "silence": dialect.silence,
            "reconnect": dialect.reconnect,
            "is_delta": lambda fields: any(one.applies.holds(fields) for one in dialect.snapshots),
            "topics_most": dialect.limits.topics,
            "connections_most": dialect.limits.connections,
            "claims_of": lambda fields: claims_of(dialect, fields),
            "first_send_s": dialect.limits.first_send_s,
        }
        if dialect.connect.max_age_s is not None:
            values["max_age_s"] = dialect.connect.max_age_s
        if dialect.connect.refresh is not None:
            values["refresh_s"] = dialect.connect.refresh.every_s
        if dialect.login_within_s:
            values["login_within_s"] = dialect.login_within_s
        return cls(**{**values, **others})

    @property
    def is_kept(self) -> bool:
        """Connected whoever wants something; but an upstream that cuts those who say nothing is not dialled before
        there is something to say."""
        return self.dial_at_start and self.first_send_s is None

    def verdict(self, loss: Loss) -> Verdict:
        """What a loss asks for: the narrowest rule of `reconnect`, else the default."""
        if loss.code is not None and (rule := self.reconnect.after_code(loss.code)) is not None:
            return rule
        if loss.status is not None:
            if (rule := self.reconnect.after_status(loss.status)) is not None:
                return rule
            return STATUS_DEFAULTS.get(loss.status, "wait" if is_rival(loss) else "retry")
        if is_rival(loss):
            return "wait"
        return REFUSED if loss.kind is LossKind.LOGIN else "retry"


def _sequence_of(dialect: Dialect, fields: Mapping[str, str]) -> Sequence | None:
    return next((one for one in dialect.sequences if not one.per_connection and one.applies.holds(fields)), None)
