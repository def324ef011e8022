"""What a look at a credential comes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import TypeAlias

#: No clock of a token counts beyond: the year 9999, and a number that a script holds exactly.
LATEST_S = 253_402_300_799


class Why(Enum):
    """Why a credential is not accepted: a closed set, since it is a label of a metric and says nothing of the token."""

    MALFORMED = "malformed"
    """Not a token at all, or one of more than 8 KiB."""
    UNKNOWN = "unknown"
    """A static token that no line of the file has, or one that nothing here can judge."""
    ALGORITHM = "algorithm"
    """Signed in a way that `auth.jwt.algorithms` does not name, or `none`."""
    KEY = "key"
    """No key of the set is meant."""
    SIGNATURE = "signature"
    """The key says that somebody else made it, or that it was changed."""
    EXPIRED = "expired"
    """`exp` is over, or missing."""
    NOT_YET = "not_yet"
    """`nbf` or `iat` lies ahead."""
    ISSUER = "issuer"
    AUDIENCE = "audience"
    CLAIMS = "claims"
    """A claim of the standard has the wrong type, or one stands twice."""
    WEBHOOK = "webhook"
    """The user's server says no."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who is known. `expires_at` is wall time in seconds; None never ends.

    Claims are personal: they are in no log and not in the repr.
    """

    subject: str
    claims: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """The credential is bad, and stays so."""

    why: Why


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Nobody can say at the moment: a server that is asked does not answer. `where` names the setting."""

    where: str


Verdict: TypeAlias = "Identity | Denied | Unavailable | None"
"""None: nobody in particular, who may have what is public."""
Done: TypeAlias = "Callable[[Verdict], None]"
"""Takes the verdict, in the same turn or a later one, once."""


def read_time(value: object) -> float | None:
    """A NumericDate (RFC 7519 2) in seconds; None for what is no number, not finite, or beyond all calendars."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -LATEST_S <= value <= LATEST_S else None
