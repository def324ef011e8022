"""Static tokens: a file with the hash of each, and who bears it.

    # relayd token NAME prints a token and its line
    sha256:5e88…  grafana  {"role": ["viewer"], "exp": 1830000000}

A token is 256 random bits, so its plain SHA-256 can be shown to anybody: there is nothing to guess. A hash is
found by its own value, which no guess at a token steers, and then compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from relayd.core.auth.strict_json import NotStrict, read_object
from relayd.core.auth.verdict import Denied, Identity, Why, read_time

PREFIX: Final = "rt_"
#: Bytes of randomness in a token.
TOKEN_BYTES: Final = 32
#: Lines with a token; more bearers are for JWT or the webhook (guess).
MAX_TOKENS: Final = 10_000
_LINE: Final = re.compile(r"sha256:([0-9a-f]{64})[ \t]+([!#-z|~]{1,255})(?:[ \t]+(\{.*\}))?", re.ASCII)


class TokensError(ValueError):
    """A file of tokens that cannot be used; `line` counts from 1."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")
        self.line = line


@dataclass(frozen=True, slots=True)
class Bearer:
    """One line of the file."""

    digest: bytes = field(repr=False)
    identity: Identity


@dataclass(frozen=True, slots=True)
class Tokens:
    """The bearers by the hash of their token."""

    bearers: Mapping[bytes, Bearer] = field(default_factory=dict, repr=False)

    def find(self, token: str, wall: float) -> Identity | Denied:
        """Who bears the token. Never raises, whatever the text."""
        digest = digest_of(token)
        known = self.bearers.get(digest)
        if known is None or not hmac.compare_digest(known.digest, digest):
            return Denied(Why.UNKNOWN)
        who = known.identity
        return Denied(Why.EXPIRED) if who.expires_at is not None and wall >= who.expires_at else who


def digest_of(token: str) -> bytes:
    """The SHA-256 of a token's UTF-8."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def write_line(token: str, name: str, claims: Mapping[str, Any]) -> str:
    """The line of the file for a token."""
    told = f"  {json.dumps(dict(claims), ensure_ascii=True)}" if claims else ""
    return f"sha256:{digest_of(token).hex()}  {name}{told}"


def parse_tokens(text: str) -> Tokens:
    """Read the file. Raises TokensError for the first line that is neither empty, a comment, nor a token."""
    bearers: dict[bytes, Bearer] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip(" \t")
        if not line or line.startswith("#"):
            continue
        hit = _LINE.fullmatch(line)
        if hit is None:
            raise TokensError(number, "expected sha256:HASH NAME {claims}, as `relayd token NAME` prints it")
        digest = bytes.fromhex(hit[1])
        if digest in bearers:
            raise TokensError(number, "this hash stands twice")
        if len(bearers) >= MAX_TOKENS:
            raise TokensError(number, f"more than {MAX_TOKENS} tokens")
        bearers[digest] = Bearer(digest, _identity(number, hit[2], hit[3]))
    return Tokens(bearers)


def _identity(number: int, name: str, told: str | None) -> Identity:
    try:
        claims = read_object(told.encode("ascii")) if told else {}
    except NotStrict as error:
        raise TokensError(number, f"the claims are {error}") from None
    expires_at = read_time(claims["exp"]) if "exp" in claims else None
    if "exp" in claims and expires_at is None:
        raise TokensError(number, "exp is not a time: seconds since 1970")
    return Identity(name, MappingProxyType({**claims, "sub": name}), expires_at)
