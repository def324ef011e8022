"""JSON Web Tokens as attackers and careless issuers write them: each with the one right answer.

The verifier has one key of every type, as an issuer that changes its algorithm would publish; `k` is the ES256 key.
"""

# A vector is a line.
# ruff: noqa: E501

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relayd.core.auth.authority import Signed, Verifiers
from relayd.core.auth.credentials import Credential
from relayd.core.auth.jwt import JwtRules
from relayd.core.auth.keyring import KeyRing
from relayd.core.auth.keys import parse_keys
from relayd.core.auth.verdict import Denied, Identity, Verdict, Why
from tests.support.signing import NOW, b64, jwk, jwks, private_key, sign, sign_bytes, sign_raw

ALGORITHMS = ("HS256", "HS512", "RS256", "PS384", "ES256", "ES384", "EdDSA")
KEYS = jwks(
    jwk("ES256", "k"), jwk("RS256", "rsa"), jwk("HS256", "hs"), jwk("HS512", "hs512"), jwk("PS384", "ps"),
    jwk("ES384", "es384"), jwk("EdDSA", "ed"), jwk("RS512", "unlisted"), jwk("ES256", "k2", 1),
    jwk("RS256", "enc", use="enc"),
)  # fmt: skip
RULES = JwtRules(frozenset(ALGORITHMS), "https://issuer.example", ("relayd", "other"), 30.0)
GOOD: dict[str, Any] = {"iss": "https://issuer.example", "aud": "relayd"}


def good(algorithm: str = "ES256", kid: str | None = "k", which: int = 0, **changes: Any) -> str:
    """A token of the right issuer for the right audience; the header may be changed by `header`."""
    header = {"kid": kid, **changes.pop("header", {})}
    return sign(algorithm, which, header, **{**GOOD, **changes})


def claims(text: str) -> str:
    """A token whose claims are that JSON, behind the good ones."""
    start = json.dumps({**GOOD, "sub": "alice", "exp": NOW + 3600})[:-1]
    return sign_bytes(f"{start}, {text}}}".encode())


def judge(token: str) -> Verdict:
    """The verdict of everything a token passes."""
    ring = KeyRing(lambda: 0.0)
    ring.loaded(parse_keys(KEYS, RULES.algorithms, secrets_allowed=True))
    verdicts: list[Verdict] = []
    Verifiers(lambda: NOW, signed=Signed(RULES, ring)).check(Credential(token), verdicts.append)
    [verdict] = verdicts
    return verdict


def pem(algorithm: str) -> bytes:
    """A public key as everybody can have it."""
    return private_key(algorithm).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def hmac_with(secret: bytes, kid: str) -> str:
    """A token signed with somebody's public key as an HMAC secret."""
    payload = json.dumps({**GOOD, "sub": "root", "exp": NOW + 3600}).encode()
    signed = f"{b64(json.dumps({'alg': 'HS256', 'kid': kid}).encode())}.{b64(payload)}"
    return f"{signed}.{b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def unsigned(algorithm: str, signature: str = "") -> str:
    """A token with nothing behind it."""
    payload = json.dumps({**GOOD, "sub": "root", "exp": NOW + 3600}).encode()
    return f"{b64(json.dumps({'alg': algorithm, 'kid': 'k'}).encode())}.{b64(payload)}.{signature}"


def parts(token: str) -> list[str]:
    """Header, claims, signature."""
    return token.split(".")


def broken(token: str, part: int, change: str) -> str:
    """The token with one part in other words."""
    found = parts(token)
    found[part] = change
    return ".".join(found)


TOKEN = good()
HEADER, CLAIMS, SIGNATURE = parts(TOKEN)
ACCEPTED = {
    "plain": good(),
    "RS256": good("RS256", "rsa"), "PS384": good("PS384", "ps"), "HS256": good("HS256", "hs"),
    "HS512": good("HS512", "hs512"), "ES384": good("ES384", "es384"), "EdDSA": good("EdDSA", "ed"),
    "second key of a type": good(which=1, kid="k2"),
    "no kid, one key of that type": good("EdDSA", None),
    "aud list": good(aud=["x", "relayd"]), "aud second": good(aud="other"),
    "exp float": good(exp=NOW + 0.5), "exp within leeway": good(exp=NOW - 29),
    "nbf within leeway": good(nbf=NOW + 29), "nbf past": good(nbf=0), "iat now": good(iat=NOW), "exp far": good(exp=253402300799),
    "no sub": good(sub=None), "unicode sub": good(sub="ålice ☃"),
    "typ at+jwt": good(header={"typ": "at+jwt"}), "no typ": good(header={"typ": None}),
    "extra claims": claims('"roles": ["a", {"b": null}], "x": 1e3'),
    # What a token says of keys is not looked at, so it does no harm either.
    "jku to elsewhere": good(header={"jku": "http://169.254.169.254/keys"}),
    "x5u to elsewhere": good(header={"x5u": "file:///etc/passwd"}),
    "a jwk of its own": good(header={"jwk": {"kty": "oct", "k": "AAAA"}}),
    "x5c of its own": good(header={"x5c": ["AAAA"]}),
}  # fmt: skip
DENIED = {
    Why.MALFORMED: {
        "two parts": f"{HEADER}.{CLAIMS}", "four parts": f"{TOKEN}.x", "empty parts": "..",
        "empty header": f".{CLAIMS}.{SIGNATURE}", "empty claims": f"{HEADER}..{SIGNATURE}",
        "no signature": f"{HEADER}.{CLAIMS}.", "padding": f"{HEADER}.{CLAIMS}.{SIGNATURE}==",
        "a blank": f"{HEADER}. {CLAIMS}.{SIGNATURE}", "a line break": f"{TOKEN}\n", "NUL": f"{TOKEN}\0",
        "standard alphabet": f"{HEADER}.{CLAIMS}.ab+/", "one character of base64": f"{HEADER}.{CLAIMS}.a",
        "bits behind the end": f"{HEADER}.{CLAIMS}.{SIGNATURE[:-1]}{'B' if SIGNATURE[-1] != 'B' else 'C'}",
        "not ASCII": f"{HEADER}.{CLAIMS}.ä", "letter-like digits": f"{HEADER}.{CLAIMS}.²²²²",
        "8 KiB and more": good(x="y" * 8192), "only dots": "." * 9000,
        "header no JSON": broken(TOKEN, 0, b64(b"{")), "header a list": broken(TOKEN, 0, b64(b"[]")),
        "header a text": broken(TOKEN, 0, b64(b'"ES256"')), "header not UTF-8": broken(TOKEN, 0, b64(b'{"alg":"\xff"}')),
        "header with a BOM": sign_raw(b'\xef\xbb\xbf{"alg":"ES256","kid":"k"}', b"{}"),
        "alg twice": sign_raw(b'{"alg":"none","alg":"ES256","kid":"k"}', b"{}"),
        "kid twice": sign_raw(b'{"alg":"ES256","kid":"x","kid":"k"}', b"{}"),
        "header too deep": broken(TOKEN, 0, b64(b"[" * 5000)),
        "crit": good(header={"crit": ["exp"]}), "crit unknown": good(header={"crit": ["http://example.com/x"], "http://example.com/x": 1}),
        "crit empty": good(header={"crit": []}), "b64 false": good(header={"b64": False}), "zip": good(header={"zip": "DEF"}),
        "kid a number": good(header={"kid": 1}), "kid a list": good(header={"kid": ["k"]}), "kid an object": good(header={"kid": {}}),
        "claims no JSON": sign_bytes(b"hello"), "claims a list": sign_bytes(b"[1]"), "claims null": sign_bytes(b"null"),
        "claims with bytes behind": sign_bytes(b'{"exp": 9} x'), "claims too deep": sign_bytes(b'{"a":' + b"[" * 3000),
        "sub twice": claims('"sub": "root"'), "exp twice": claims('"exp": 99999999999'),
        "twice deeper": claims('"a": {"b": 1, "b": 2}'),
        "NaN": claims('"nbf": NaN'), "Infinity": claims('"iat": Infinity'), "minus Infinity": claims('"nbf": -Infinity'),
        "a number of 5000 digits": claims(f'"nbf": {"9" * 5000}'),
    },
    Why.ALGORITHM: {
        "none": unsigned("none", "AA"), "None": unsigned("None", "AA"), "NONE": unsigned("NONE", "AA"), "nOnE": unsigned("nOnE", "AA"),
        "empty": unsigned("", "AA"), "lower case": unsigned("es256", "AA"), "a blank behind": unsigned("ES256 ", "AA"),
        "RS512, which is not listed": good("RS512", "unlisted"), "HS384": good("HS384", "hs"), "unknown": unsigned("XX256", "AA"),
        "alg missing": good(header={"alg": None}), "alg a list": good(header={"alg": ["ES256"]}),
        "alg null": sign_raw(b'{"alg":null,"kid":"k"}', b"{}"), "alg a number": good(header={"alg": 256}), "__proto__": unsigned("__proto__", "AA"),
    },
    Why.KEY: {
        "kid a path": good(kid="../../../dev/null"), "kid SQL": good(kid="x' UNION SELECT 'k"), "kid a URL": good(kid="http://127.0.0.1/k"),
        "kid a pipe": good(kid="|/bin/sh"), "kid empty": good(kid=""), "kid in upper case": good(kid="K"), "kid with NUL": good(kid="k\0"),
        "kid of another type": good(kid="rsa"), "kid of an encryption key": good("RS256", "enc"),
        "no kid, two keys of that type": good(kid=None), "kid unknown": good(kid="k3"), "kid __proto__": good(kid="__proto__"),
        "HS256 with the kid of an RSA key": hmac_with(pem("RS256"), "rsa"), "HS256 with the kid of an EC key": hmac_with(pem("ES256"), "k"),
        "RS256 with the kid of a secret": good("RS256", "hs"), "PS384 with the kid of an RS256 key": good("PS384", "rsa"),
        "HS512 with the kid of an HS256 secret": good("HS512", "hs"),
    },
    Why.SIGNATURE: {
        "another key": good(which=1), "claims exchanged": broken(TOKEN, 1, parts(good(sub="root"))[1]),
        "header exchanged": broken(TOKEN, 0, parts(good(header={"x": 1}))[0]), "signature of another": broken(TOKEN, 2, parts(good(sub="bob"))[2]),
        "a short signature": broken(TOKEN, 2, b64(b"\0" * 8)), "zeros (psychic signature)": broken(TOKEN, 2, b64(b"\0" * 64)),
        "DER in place of raw": broken(TOKEN, 2, b64(b"\x30\x06\x02\x01\x00\x02\x01\x00")), "a long signature": broken(TOKEN, 2, b64(b"\1" * 512)),
        "RSA: zeros": broken(good("RS256", "rsa"), 2, b64(b"\0" * 256)), "RSA: ones": broken(good("RS256", "rsa"), 2, b64(b"\0" * 255 + b"\1")),
        "EdDSA: zeros": broken(good("EdDSA", "ed"), 2, b64(b"\0" * 64)),
        "HMAC with an RSA key's PEM and the kid of the secret": hmac_with(pem("RS256"), "hs"), "HMAC with an empty secret": hmac_with(b"", "hs"),
    },
    Why.EXPIRED: {
        "no exp": good(exp=None), "exp over": good(exp=NOW - 31), "exp zero": good(exp=0), "exp negative": good(exp=-1),
        "exp in milliseconds of the past": good(exp=1_600_000_000),
    },
    Why.NOT_YET: {"nbf ahead": good(nbf=NOW + 31), "iat ahead": good(iat=NOW + 31), "nbf far": good(nbf=253402300799)},
    Why.ISSUER: {
        "no iss": good(iss=None), "another": good(iss="https://evil.example"), "a slash more": good(iss="https://issuer.example/"),
        "a list": good(iss=["https://issuer.example"]), "another case": good(iss="HTTPS://ISSUER.EXAMPLE"),
    },
    Why.AUDIENCE: {
        "no aud": good(aud=None), "another": good(aud="relay"), "an empty list": good(aud=[]), "a list of others": good(aud=["x", "y"]),
        "an empty text": good(aud=""), "within a text": good(aud="relayd other"),
    },
    Why.CLAIMS: {
        "exp a text": good(exp="9999999999"), "exp true": good(exp=True), "exp a list": good(exp=[9999999999]), "exp null": sign_bytes(b'{"exp": null}'),
        "exp in milliseconds": good(exp=9_999_999_999_999), "exp 1e999": claims('"nbf": 1e999'), "exp huge": good(exp=10**300),
        "nbf a text": good(nbf="0"), "nbf an object": good(nbf={}), "iat a text": good(iat="now"),
        "sub a number": good(sub=5), "sub a list": good(sub=["alice"]), "sub an object": good(sub={"$ne": ""}), "sub of 256 characters": good(sub="a" * 256),
        "aud a number": good(aud=5), "aud an object": good(aud={"relayd": 1}), "aud a list with a number": good(aud=["relayd", 5]),
        "aud lists in a list": good(aud=[["relayd"]]),
    },
}  # fmt: skip
VECTORS = [(why, name, token) for why, vectors in DENIED.items() for name, token in vectors.items()]


class JwtVectorTests:
    """The whole way of a token."""

    def test_count(self):
        """As many as the plan asks for."""
        assert len(VECTORS) + len(ACCEPTED) >= 80

    @pytest.mark.parametrize("token", ACCEPTED.values(), ids=ACCEPTED)
    def test_accepted(self, token):
        """Genuine, in time, for us."""
        assert isinstance(judge(token), Identity)

    @pytest.mark.parametrize(
        ("why", "token"), [(why, token) for why, _, token in VECTORS], ids=[name for _, name, _ in VECTORS]
    )
    def test_denied(self, why, token):
        """Refused, and for the reason that is meant: another would hide that the check is missing."""
        assert judge(token) == Denied(why)
