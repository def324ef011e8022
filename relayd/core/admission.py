"""Whether there is room for one more connection: in this process, for this address, at this moment.

Asked before anything is built for a connection, so that saying no costs nothing. The answer of a full house always
says when to come back, with a spread, because a thousand browsers that were refused together would otherwise come
back together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relayd.core.address import client_key
from relayd.core.refusal import (
    DRAINING,
    OVERLOADED,
    TOO_MANY_CONNECTIONS,
    TOO_MANY_FROM_ADDRESS,
    TOO_MANY_HANDSHAKES,
    HttpRefusal,
)


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Bounds on connections of one process."""

    connections: int = 10_000  # limits.connections
    spare: int = 150  # sockets beside them for who is not in yet or leaving; relayd wants 200 descriptors beside them
    per_address: int | None = None  # limits.per_address; None is off
    handshakes: int = 500  # limits.handshakes: so many in each `handshakes_per_s` seconds
    handshakes_per_s: float = 1.0
    ramp_s: float = 10.0  # limits.ramp: after the start the rate grows in this time to its full value
    ramp_from: float = 0.5  # from this share on: 250 cold handshakes a second cost 5 % of a core (30-200 us each)
    retry_soon_s: int = 1  # the least Retry-After when only the rate was too high
    retry_soon_spread_s: int = 9  # so that what 500/s refuses comes back over 10 s (guess)
    retry_full_s: int = 5  # the least Retry-After when there is no room
    retry_full_spread_s: int = 25  # as far as reconnecting clients go by themselves (guess)


class Admission:
    """Counts the connections of one process, over all its listeners.

    `random` gives floats in [0, 1) for the spread of Retry-After. Every `admit` that returned None is paid back by
    one `release`.
    """

    def __init__(self, limits: AdmissionLimits, *, started: float, random: Callable[[], float]) -> None:
        self._limits = limits
        self._random = random
        self._started = started
        self._tokens = limits.handshakes * limits.ramp_from
        self._counted_at = started
        self._by_address: dict[str, int] = {}
        self.draining = False
        self.overloaded = False
        #: Connections that are in.
        self.connections = 0
        #: Sockets that are open, let in or not: guards count them up and down.
        self.sockets = 0

    @property
    def is_crowded(self) -> bool:
        """Whether more sockets are open than the descriptors allow, so that somebody who is not in must go."""
        return self.sockets > self._limits.connections + self._limits.spare

    def admit(self, client: str, now: float, *, handshake: bool) -> HttpRefusal | None:
        """Let one connection in, or say why not. `client` is its address or the empty text; a `handshake` is a
        WebSocket's.
        """
        limits = self._limits
        if self.draining:
            return DRAINING.later(self._spread(limits.retry_soon_s, limits.retry_soon_spread_s))
        if self.overloaded:
            return OVERLOADED.later(self._spread(limits.retry_full_s, limits.retry_full_spread_s))
        if self.connections >= limits.connections:
            return TOO_MANY_CONNECTIONS.later(self._spread(limits.retry_full_s, limits.retry_full_spread_s))
        key = None if limits.per_address is None else client_key(client)
        if key is not None and self._by_address.get(key, 0) >= (limits.per_address or 0):
            return TOO_MANY_FROM_ADDRESS.later(self._spread(limits.retry_full_s, limits.retry_full_spread_s))
        if handshake and not self._take_token(now):
            return TOO_MANY_HANDSHAKES.later(self._spread(limits.retry_soon_s, limits.retry_soon_spread_s))
        self.connections += 1
        if key is not None:
            self._by_address[key] = self._by_address.get(key, 0) + 1
        return None

    def release(self, client: str) -> None:
        """A connection that was let in is gone. `client` is what `admit` was given."""
        self.connections -= 1
        key = None if self._limits.per_address is None else client_key(client)
        if key is None:
            return
        left = self._by_address[key] - 1
        if left:
            self._by_address[key] = left
        else:
            del self._by_address[key]

    def from_address(self, client: str) -> int:
        """How many connections of this client's address (an IPv6 /64) are in; 0 where per_address is off."""
        return self._by_address.get(client_key(client) or "", 0)

    def _take_token(self, now: float) -> bool:
        """A bucket that holds one period's handshakes and fills at their rate, both scaled by the ramp."""
        limits = self._limits
        grown = min(1.0, (now - self._started) / limits.ramp_s) if limits.ramp_s > 0 else 1.0
        capacity = max(1.0, limits.handshakes * (limits.ramp_from + (1.0 - limits.ramp_from) * grown))
        refill = capacity / limits.handshakes_per_s * (now - self._counted_at)
        self._counted_at = now
        self._tokens = min(capacity, self._tokens + refill)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _spread(self, least_s: int, spread_s: int) -> int:
        return least_s + int(self._random() * (spread_s + 1))
