"""Signed tokens. What attackers write stands in tests/security/test_jwt_vectors.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.auth.jwt import JwtRules, NoKey, looks_signed, verify
from relayd.core.auth.keys import parse_keys
from relayd.core.auth.verdict import Denied, Identity, Why
from tests.support.signing import NOW, b64, jwk, jwks, sign, sign_bytes, sign_raw

RULES = JwtRules(frozenset({"ES256", "HS256"}), audience=("relayd",), leeway_s=30.0)
PLAIN = JwtRules(frozenset({"ES256"}))
KEYS = parse_keys(jwks(jwk("ES256")), RULES.algorithms, secrets_allowed=True)
ISSUED = JwtRules(frozenset({"ES256"}), issuer="me")


class VerifyTests:
    """From a text to an identity."""

    def test_identity(self) -> None:
        """Subject, claims and end."""
        who = verify(sign(aud="relayd", role=["x"]), KEYS, RULES, NOW)
        assert isinstance(who, Identity)
        assert (who.subject, who.expires_at, who.claims["role"]) == ("alice", NOW + 3600, ["x"])
        with pytest.raises(TypeError):
            who.claims["role"] = "root"

    def test_subject_may_be_missing(self) -> None:
        """Then it is empty."""
        who = verify(sign(sub=None), KEYS, PLAIN, NOW)
        assert isinstance(who, Identity) and who.subject == ""

    @pytest.mark.parametrize(
        ("token", "rules", "why"),
        [
            ("a.b", PLAIN, Why.MALFORMED),
            ("a.b.c", PLAIN, Why.MALFORMED),
            ("AA.AA.AA", PLAIN, Why.MALFORMED),
            ("x" * 9000, PLAIN, Why.MALFORMED),
            (sign(header={"crit": ["x"]}), PLAIN, Why.MALFORMED),
            (sign(header={"kid": 5}), PLAIN, Why.MALFORMED),
            (sign(header={"alg": "RS256"}), PLAIN, Why.ALGORITHM),
            (sign(header={"alg": 5}), PLAIN, Why.ALGORITHM),
            (sign(which=1), PLAIN, Why.SIGNATURE),
            (sign(exp=None), PLAIN, Why.EXPIRED),
            (sign(exp=NOW - 30), PLAIN, Why.EXPIRED),
            (sign(nbf=NOW + 31), PLAIN, Why.NOT_YET),
            (sign(iat=NOW + 31), PLAIN, Why.NOT_YET),
            (sign(exp="x"), PLAIN, Why.CLAIMS),
            (sign(sub=5), PLAIN, Why.CLAIMS),
            (sign(sub="a" * 256), PLAIN, Why.CLAIMS),
            (sign(aud=5), PLAIN, Why.CLAIMS),
            (sign(aud=[5]), PLAIN, Why.CLAIMS),
            (sign(), ISSUED, Why.ISSUER),
            (sign(), RULES, Why.AUDIENCE),
            (sign(aud="somebody"), PLAIN, Why.AUDIENCE),
        ],
    )
    def test_denied(self, token: str, rules: JwtRules, why: Why) -> None:
        """Each check once."""
        assert verify(token, KEYS, rules, NOW) == Denied(why)

    def test_issuer(self) -> None:
        """Where it is asked for."""
        assert isinstance(verify(sign(iss="me"), KEYS, ISSUED, NOW), Identity)

    def test_no_key(self) -> None:
        """A newer set may have it."""
        assert verify(sign(header={"kid": "new"}), KEYS, PLAIN, NOW) == NoKey()

    @given(st.text(max_size=60) | st.binary(max_size=40).map(b64).map(lambda part: f"{part}.{part}.{part}"))
    def test_any_text(self, token: str) -> None:
        """Nothing raises, and nothing that nobody signed is believed."""
        assert isinstance(verify(token, KEYS, RULES, NOW), Denied)

    @given(st.binary(max_size=60), st.binary(max_size=60))
    def test_any_parts(self, header: bytes, payload: bytes) -> None:
        """Not even signed ones."""
        assert not isinstance(verify(sign_raw(header, payload), KEYS, PLAIN, NOW), Identity)

    @given(st.binary(max_size=60))
    def test_any_claims(self, payload: bytes) -> None:
        """Whatever the right key signs."""
        assert isinstance(verify(sign_bytes(payload), KEYS, PLAIN, NOW), Denied)


class ShapeTests:
    """What a JWT looks like."""

    def test_shape(self) -> None:
        """Two dots; a token of ours has none."""
        assert looks_signed("a.b.c") and not looks_signed("rt_abc") and not looks_signed("a.b")
