"""Key sets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import get_default_algorithms

from relayd.core.auth import keys as module
from relayd.core.auth.keys import ALGORITHMS, KeysError, parse_keys
from tests.support.signing import jwk, jwks

EVERY = frozenset(algorithm for algorithms in ALGORITHMS.values() for algorithm in algorithms)


NAMES = st.sampled_from(["kty", "kid", "alg", "use", "crv", "x", "y", "n", "e", "k"])
WORDS = st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "RS256", "AQAB"])
DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.text(max_size=4) | WORDS,
    lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
)


def parse(*keys: Any, algorithms: frozenset[str] = EVERY, secrets_allowed: bool = True) -> module.Keys:
    """A set of these keys."""
    return parse_keys(jwks(*keys), algorithms, secrets_allowed=secrets_allowed)


def weak() -> dict[str, Any]:
    """An RSA key of 1024 bits."""
    key = rsa.generate_private_key(65537, 1024).public_key()
    return dict(get_default_algorithms()["RS256"].to_jwk(key, as_dict=True)) | {"alg": "RS256"}


class ParseTests:
    """What is used of a set."""

    def test_every_kind(self) -> None:
        """Each key with its one algorithm."""
        found = parse(*(jwk(algorithm, algorithm) for algorithm in sorted(EVERY)))
        assert {(key.kid, key.algorithm) for key in found.keys} == {(name, name) for name in EVERY}

    @pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "EdDSA"])
    def test_curve_says_the_algorithm(self, algorithm: str) -> None:
        """Without `alg`."""
        assert parse(jwk(algorithm, alg=None)).keys[0].algorithm == algorithm

    def test_only_possible(self) -> None:
        """An RSA key or a secret without `alg`: the one algorithm of its type that is listed, or none is clear."""
        plain = jwk("RS256", alg=None)
        assert parse(plain, algorithms=frozenset({"RS256", "ES256"})).keys[0].algorithm == "RS256"
        with pytest.raises(KeysError, match=r"keys\[0\] has no `alg`, and PS256, RS256 are all possible"):
            parse(plain, algorithms=frozenset({"RS256", "PS256"}))
        with pytest.raises(KeysError, match="no key for ES256"):
            parse(plain, algorithms=frozenset({"ES256"}))

    @pytest.mark.parametrize(
        "other",
        [{"kty": "XYZ"}, jwk("RS256", use="enc"), jwk("RS256", key_ops=["sign"]), jwk("RS256", key_ops="verify"),
         jwk("RS256", alg="RSA-OAEP"), jwk("RS256", alg="ES256"), jwk("ES256", alg="ES384"), jwk("ES256", alg=5),
         jwk("ES256", crv="P-999", alg=None), jwk("EdDSA", crv="X25519", alg=None), jwk("EdDSA", crv="P-256", alg=None),
         jwk("RS512")],
    )  # fmt: skip
    def test_passed_over(self, other: dict[str, Any]) -> None:
        """Keys for something else, or that contradict themselves."""
        found = parse(other, jwk("EdDSA", "x"), algorithms=frozenset({"EdDSA", "ES256", "RS256"}))
        assert [key.kid for key in found.keys] == ["x"]

    def test_key_ops(self) -> None:
        """With `verify` it is ours."""
        assert parse(jwk("ES256", key_ops=["sign", "verify"])).keys

    def test_private_parts(self) -> None:
        """Are not read."""
        private = ec.generate_private_key(ec.SECP256R1())
        member = dict(get_default_algorithms()["ES256"].to_jwk(private, as_dict=True))
        assert "d" in member
        assert not hasattr(parse(member).keys[0].material.key, "private_numbers")

    @pytest.mark.parametrize(
        ("data", "what"),
        [
            (b"", "not a JWKS: not a JSON object"),
            (b"[]", "not a JWKS: not a JSON object"),
            (b"{}", 'not a JWKS: an object {"keys"'),
            (b'{"keys": {}}', "not a JWKS: an object"),
            (b'{"keys": []}', "no key for"),
            (b'{"keys": [5]}', r"keys\[0\]: not an object"),
            (jwks(jwk("ES256", kid=5)), r"keys\[0\].kid: not text"),
            (jwks(jwk("ES256"), jwk("ES256", which=1)), r"keys\[1\]: another key has the same kid"),
            (jwks(jwk("HS256", k="AAAA")), r"keys\[0\]: a secret for HS256 has at least 32 bytes"),
            (jwks(jwk("HS256", k=None)), r"keys\[0\].k: not base64url"),
            (jwks(jwk("HS256", k="!!!!")), r"keys\[0\].k: not base64url"),
            (jwks(jwk("HS256", k="A")), r"keys\[0\].k: not base64url"),
            (jwks(jwk("RS256", n="AQAB")), r"keys\[0\]: an RSA key has at least 2048 bits"),
            (jwks(jwk("RS256", e=None)), r"keys\[0\]: not a key of type RSA"),
            (jwks(jwk("ES256", x="AAAA")), r"keys\[0\]: not a key of type EC"),
            (jwks(jwk("ES256", x="\u2603")), r"keys\[0\]: not a key of type EC"),
        ],
    )
    def test_refused(self, data: bytes, what: str) -> None:
        """With which key."""
        with pytest.raises(KeysError, match=f"^{what}"):
            parse_keys(data, EVERY, secrets_allowed=True)

    def test_weak(self) -> None:
        """A real key, too short."""
        with pytest.raises(KeysError, match="2048 bits"):
            parse(weak())

    def test_secret_in_a_fetched_set(self) -> None:
        """Who may read it could sign."""
        with pytest.raises(KeysError, match="a shared secret does not belong"):
            parse(jwk("HS256"), secrets_allowed=False)

    def test_too_many(self) -> None:
        """A bound."""
        with pytest.raises(KeysError, match="more than 100 keys"):
            parse(*[{}] * 101)

    @given(DOCUMENTS)
    def test_any_document(self, value: Any) -> None:
        """A KeysError and nothing else."""
        with pytest.raises(KeysError):
            parse_keys(json.dumps({"keys": [value, value]}).encode(), EVERY, secrets_allowed=True)


class FindTests:
    """Which key a token means."""

    def test_kid(self) -> None:
        """With the algorithm, exactly."""
        found = parse(jwk("ES256", "a"), jwk("RS256", "b"), jwk("RS256", None, 1))
        assert found.find("ES256", "a") is found.keys[0]
        assert found.find("RS256", "a") is None and found.find("ES256", "c") is None

    def test_no_kid(self) -> None:
        """Only where there is no choice."""
        found = parse(jwk("ES256", "a"), jwk("RS256", "b"), jwk("RS256", None, 1))
        assert found.find("ES256", None) is found.keys[0]
        assert found.find("RS256", None) is None and found.find("EdDSA", None) is None

    def test_several_without_kid(self) -> None:
        """They do not exclude each other in the set."""
        assert len(parse(jwk("ES256", None), jwk("ES256", None, 1)).keys) == 2

    def test_material_is_not_shown(self) -> None:
        """A secret in a log would be the end of it."""
        assert repr(parse(jwk("HS256")).keys[0]) == "Key(algorithm='HS256', kid='k')"
