"""What a dialect asks of whoever holds the connection: timers, watchdogs, limits, reactions. Seconds throughout.

A conversation knows no clock; `core/upstream/session.py` reads these and keeps the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from relayd.core.hours import Hours

Reaction: TypeAlias = Literal["stop", "retry", "wait", "forget-cursor"] | float
"""After a close code or HTTP status; a float is a pause in seconds."""

NEVER: float = float("inf")


@dataclass(frozen=True, slots=True)
class HeartbeatSpec:
    """How the connection is kept and proved alive; `Conversation.heartbeat_every_s()` is the interval in force."""

    within_s: float | None = 10.0
    """The answer (or, of a companion, the next beat) is due in this time; guess: the feeds studied ask for 10."""
    ping: bool = True
    """A WebSocket ping; False: `Conversation.beat()` makes the message, or a companion subscription beats by itself."""
    expects: bool = False
    """An answer is described (`Beat.answer`); else any frame, or a pong, will do."""
    companion: bool = False
    """`also`: the upstream beats unasked on a companion subscription, and `every` has no meaning."""


@dataclass(frozen=True, slots=True)
class SilenceSpec:
    """Two watchdogs; None = off."""

    any_s: float | None = None
    data_s: float | None = None
    hours: Hours | None = None
    """Both rest outside of these, and count anew when the market opens; None = it never closes."""


@dataclass(frozen=True, slots=True)
class CodeRule:
    """What to do after a close code or HTTP status from `first` to `last`, both included."""

    first: int
    last: int
    reaction: Reaction


@dataclass(frozen=True, slots=True)
class ReconnectSpec:
    """When to dial again."""

    codes: tuple[CodeRule, ...] = ()
    status: tuple[CodeRule, ...] = ()

    def after_code(self, code: int) -> Reaction | None:
        """The reaction to a close code: the narrowest range that holds it; None = no rule."""
        return _narrowest(self.codes, code)

    def after_status(self, status: int) -> Reaction | None:
        """The reaction to the HTTP status of a refused handshake; None = no rule."""
        return _narrowest(self.status, status)


@dataclass(frozen=True, slots=True)
class RateSpec:
    """At most `count` in any window of `period_s`."""

    count: int
    period_s: float


@dataclass(frozen=True, slots=True)
class LimitsSpec:
    """What the feed allows; None = no limit is known."""

    topics: int | None = None
    """Subscriptions of one connection."""
    connections: int | None = None
    send: RateSpec | None = None
    connect: RateSpec | None = None
    subscribe: RateSpec | None = None
    http: RateSpec | None = None
    first_send_s: float | None = None


def _narrowest(rules: tuple[CodeRule, ...], number: int) -> Reaction | None:
    holding = [rule for rule in rules if rule.first <= number <= rule.last]
    return min(holding, key=lambda rule: rule.last - rule.first).reaction if holding else None
