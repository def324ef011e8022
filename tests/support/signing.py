"""Keys, key sets and tokens for tests. Keys are made once a process; nothing here is a secret."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

NOW = 1_700_000_000.0
SECRET = bytes(range(64))
_CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}


@cache
def private_key(algorithm: str, which: int = 0) -> Any:
    """The private key (or secret) for an algorithm; `which` tells several apart. All RSA algorithms share theirs."""
    if algorithm.startswith("HS"):
        return bytes([which]) + SECRET[1:]
    if algorithm[0] in "RP":
        return _rsa(which)
    return (
        ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else ec.generate_private_key(_CURVES[algorithm]())
    )


@cache
def _rsa(which: int, bits: int = 2048) -> Any:
    return rsa.generate_private_key(65537, bits)


def jwk(algorithm: str, kid: str | None = "k", which: int = 0, **members: Any) -> dict[str, Any]:
    """The public key as a JWK; a member that is None is left out."""
    key = private_key(algorithm, which)
    public = key if isinstance(key, bytes) else key.public_key()
    found = dict(get_default_algorithms()[algorithm].to_jwk(public, as_dict=True))
    found.pop("key_ops", None)
    found |= {"alg": algorithm, "kid": kid, **members}
    return {name: value for name, value in found.items() if value is not None}


def jwks(*keys: dict[str, Any]) -> bytes:
    """A key set."""
    return json.dumps({"keys": list(keys)}).encode()


def sign(algorithm: str = "ES256", which: int = 0, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token that is good for an hour after NOW unless the claims say otherwise; a claim that is None is left out."""
    told = {"sub": "alice", "exp": NOW + 3600, **claims}
    told = {name: value for name, value in told.items() if value is not None}
    return sign_bytes(json.dumps(told).encode(), algorithm, which, header)


def sign_bytes(payload: bytes, algorithm: str = "ES256", which: int = 0, header: dict[str, Any] | None = None) -> str:
    """Any payload, signed; the header is taken as it is, without the library's opinion of it."""
    told = {"alg": algorithm, "typ": "JWT", "kid": "k", **(header or {})}
    told = {name: value for name, value in told.items() if value is not None}
    return sign_raw(json.dumps(told).encode(), payload, algorithm, which)


def sign_raw(header: bytes, payload: bytes, algorithm: str = "ES256", which: int = 0) -> str:
    """Two parts as they are, and their signature."""
    signed = f"{b64(header)}.{b64(payload)}"
    maker = get_default_algorithms()[algorithm]
    key = private_key(algorithm, which)
    return f"{signed}.{b64(maker.sign(signed.encode(), key))}"


def b64(data: bytes) -> str:
    """base64url without its padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


__all__ = ["NOW", "SECRET", "b64", "jwk", "jwks", "private_key", "sign", "sign_bytes", "sign_raw"]
