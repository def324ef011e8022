"""A JSON Web Key Set (RFC 7517): which key may have signed a token, each with the one algorithm it signs with.

That the key decides the algorithm, and never the token, is what keeps a public RSA key from being used as an HMAC
secret. Private parts of a key are not read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Final

import jwt

from relayd.core.auth.strict_json import NotStrict, read_object

#: What `auth.jwt.algorithms` may name, by type of key.
ALGORITHMS: Final[Mapping[str, tuple[str, ...]]] = {
    "oct": ("HS256", "HS384", "HS512"),
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}
_KIND_OF: Final = {algorithm: kind for kind, algorithms in ALGORITHMS.items() for algorithm in algorithms}
_CURVES: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA", "Ed448": "EdDSA"}
_PUBLIC_PARTS: Final = {"oct": ("k",), "RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
#: RFC 7518 3.2: a secret shorter than the hash can be tried out.
_SECRET_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
#: RFC 7518 3.3.
_RSA_BITS: Final = 2048
#: A set holds the key of today and its neighbours; large identity providers have about ten (guess).
MAX_KEYS: Final = 100


class KeysError(ValueError):
    """A key set that cannot be used; the text says why, and which key."""


@dataclass(frozen=True, slots=True)
class Key:
    """One public key or secret, with its algorithm."""

    algorithm: str
    kid: str | None
    material: jwt.PyJWK = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """The usable keys of a set."""

    keys: tuple[Key, ...] = ()

    def find(self, algorithm: str, kid: str | None) -> Key | None:
        """The key a token means. `kid` is looked up and nothing else; without one only a key that is alone with its
        algorithm can be meant."""
        if kid is not None:
            return next((key for key in self.keys if key.kid == kid and key.algorithm == algorithm), None)
        fitting = [key for key in self.keys if key.algorithm == algorithm]
        return fitting[0] if len(fitting) == 1 else None


def parse_keys(data: bytes, algorithms: Set[str], *, secrets_allowed: bool) -> Keys:
    """The keys of a JWKS document that verify one of `algorithms`; keys for other purposes are passed over.

    Raises KeysError: no key set, a weak or broken key, two keys of one `kid`, no usable key, or a shared secret where
    `secrets_allowed` is False (whoever may read such a set could sign).
    """
    try:
        members = read_object(data).get("keys")
    except NotStrict as error:
        raise KeysError(f"not a JWKS: {error}") from None
    if not isinstance(members, list):
        raise KeysError('not a JWKS: an object {"keys": [...]} is expected')
    if len(members) > MAX_KEYS:
        raise KeysError(f"more than {MAX_KEYS} keys")
    found: dict[tuple[str | None, str, int], Key] = {}
    for at, member in enumerate(members):
        key = _parse_key(at, member, algorithms, secrets_allowed)
        if key is None:
            continue
        place = (key.kid, key.algorithm, at if key.kid is None else 0)
        if place in found:
            raise KeysError(f"keys[{at}]: another key has the same kid")
        found[place] = key
    if not found:
        raise KeysError(f"no key for {', '.join(sorted(algorithms))}")
    return Keys(tuple(found.values()))


def _parse_key(at: int, member: Any, algorithms: Set[str], secrets_allowed: bool) -> Key | None:
    if not isinstance(member, Mapping):
        raise KeysError(f"keys[{at}]: not an object")
    kind, kid, operations = str(member.get("kty")), member.get("kid"), member.get("key_ops")
    if kind not in ALGORITHMS or member.get("use", "sig") != "sig":
        return None
    if operations is not None and (not isinstance(operations, list) or "verify" not in operations):
        return None
    if kid is not None and not isinstance(kid, str):
        raise KeysError(f"keys[{at}].kid: not text")
    algorithm = _algorithm_of(at, kind, member, algorithms)
    if algorithm is None or algorithm not in algorithms:
        return None
    if kind == "oct" and not secrets_allowed:
        raise KeysError(f"keys[{at}]: a shared secret does not belong into a set that is fetched; use a file")
    _check_strength(at, kind, member, algorithm)
    public = {part: member.get(part) for part in _PUBLIC_PARTS[kind]}
    try:
        material = jwt.PyJWK({"kty": kind, **public}, algorithm)
    except Exception:  # whatever a library makes of a hostile document, it is a bad key
        raise KeysError(f"keys[{at}]: not a key of type {kind}") from None
    return Key(algorithm, kid, material)


def _algorithm_of(at: int, kind: str, member: Mapping[str, Any], algorithms: Set[str]) -> str | None:
    """The one algorithm of a key: what it says, what its curve says, or the only one of its type in the file."""
    stated = member.get("alg")
    by_curve = _CURVES.get(str(member.get("crv"))) if kind in ("EC", "OKP") else None
    if stated is not None:
        if _KIND_OF.get(str(stated)) != kind or by_curve not in (None, stated):
            return None
        return str(stated)
    if kind in ("EC", "OKP"):
        return by_curve if by_curve in ALGORITHMS[kind] else None
    possible = sorted(set(ALGORITHMS[kind]) & algorithms)
    if len(possible) > 1:
        raise KeysError(f"keys[{at}] has no `alg`, and {', '.join(possible)} are all possible: name it in the key")
    return possible[0] if possible else None


def _check_strength(at: int, kind: str, member: Mapping[str, Any], algorithm: str) -> None:
    if kind == "oct":
        need = _SECRET_BYTES[algorithm]
        if len(_decoded(at, member, "k")) < need:
            raise KeysError(f"keys[{at}]: a secret for {algorithm} has at least {need} bytes (RFC 7518 3.2)")
    elif kind == "RSA" and int.from_bytes(_decoded(at, member, "n")).bit_length() < _RSA_BITS:
        raise KeysError(f"keys[{at}]: an RSA key has at least {_RSA_BITS} bits (RFC 7518 3.3)")


def _decoded(at: int, member: Mapping[str, Any], part: str) -> bytes:
    value = member.get(part)
    try:
        assert isinstance(value, str)
        return base64.b64decode(value + "=" * (-len(value) % 4), b"-_", validate=True)
    except (AssertionError, ValueError, binascii.Error):
        raise KeysError(f"keys[{at}].{part}: not base64url") from None
