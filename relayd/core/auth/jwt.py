"""Signed tokens (RFC 7519, with the advice of RFC 8725): what one must be and say to be believed.

The library verifies signatures; everything that is read before or beside them is read here, strictly, and nothing that
a token says about itself chooses how it is verified: its `alg` must be that of the key, its `kid` is looked up in the
set, and `jwk`, `jku`, `x5u` and `x5c` are not looked at.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import jwt

from relayd.core.auth.keys import Keys
from relayd.core.auth.strict_json import NotStrict, read_object
from relayd.core.auth.verdict import Denied, Identity, Why, read_time

#: A token has to fit a request head; larger ones are no tokens (limits.head).
MAX_TOKEN_BYTES: Final = 8 * 1024
#: What databases of identities allow; OpenID Connect Core 2 says 255.
MAX_SUBJECT_CHARS: Final = 255
_SHAPE: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class JwtRules:
    """The `auth.jwt` block. Times in seconds; None and () are not checked, but a token for a named audience is only
    for that."""

    algorithms: frozenset[str]
    issuer: str | None = None
    audience: tuple[str, ...] = ()
    leeway_s: float = 30.0


@dataclass(frozen=True, slots=True)
class NoKey:
    """The set has no such key; a set that is fetched may have one by now."""


Read: TypeAlias = "Identity | Denied | NoKey"


def looks_signed(token: str) -> bool:
    """Whether a text has the shape of a JWT: three parts with dots between them."""
    return token.count(".") == 2


def verify(token: str, keys: Keys, rules: JwtRules, wall: float) -> Read:
    """Who the token says its bearer is. Never raises. `wall` is the time of day in seconds."""
    match = _SHAPE.fullmatch(token) if len(token) <= MAX_TOKEN_BYTES else None
    parts = [_decoded(part) for part in match.groups()] if match is not None else [None]
    if None in parts:
        return Denied(Why.MALFORMED)
    try:
        header = read_object(parts[0] or b"")
        claims = read_object(parts[1] or b"")
    except NotStrict:
        return Denied(Why.MALFORMED)
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in rules.algorithms:
        return Denied(Why.ALGORITHM)
    if "crit" in header or "b64" in header or "zip" in header or not isinstance(kid, str | None):
        return Denied(Why.MALFORMED)
    key = keys.find(algorithm, kid)
    if key is None:
        return NoKey()
    try:
        jwt.PyJWS(algorithms=[algorithm]).decode_complete(token, key.material, algorithms=[algorithm])
    except Exception:  # an advisory of this library was an exception of another type
        return Denied(Why.SIGNATURE)
    return _judge(claims, rules, wall)


def _judge(claims: Mapping[str, Any], rules: JwtRules, wall: float) -> Identity | Denied:
    """What claims that are genuine say."""
    times = {name: read_time(claims[name]) for name in ("exp", "nbf", "iat") if name in claims}
    subject, issuer, audience = claims.get("sub", ""), claims.get("iss"), claims.get("aud", ())
    audiences = (audience,) if isinstance(audience, str) else audience
    if None in times.values() or not isinstance(subject, str) or len(subject) > MAX_SUBJECT_CHARS:
        return Denied(Why.CLAIMS)
    if not isinstance(audiences, list | tuple) or not all(isinstance(one, str) for one in audiences):
        return Denied(Why.CLAIMS)
    expires_at = times.get("exp")
    if expires_at is None or wall >= expires_at + rules.leeway_s:
        return Denied(Why.EXPIRED)
    if any((times.get(name) or 0.0) > wall + rules.leeway_s for name in ("nbf", "iat")):
        return Denied(Why.NOT_YET)
    if rules.issuer is not None and issuer != rules.issuer:
        return Denied(Why.ISSUER)
    if set(audiences).isdisjoint(rules.audience) and (audiences or rules.audience):
        return Denied(Why.AUDIENCE)
    return Identity(subject, MappingProxyType(dict(claims)), expires_at)


def _decoded(part: str) -> bytes | None:
    """The bytes of base64url, or None for a text that no encoder makes."""
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        return None
    return data if base64.urlsafe_b64encode(data).rstrip(b"=") == part.encode("ascii") else None
