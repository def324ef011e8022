"""Published faults of other servers in saying who somebody is: each must find nothing here."""

from __future__ import annotations

import pytest

from relayd.config.check.files import MAX_FILE_BYTES
from relayd.core.auth.credentials import FOR_WEBHOOK, Places
from relayd.core.auth.jwt import JwtRules, NoKey, verify
from relayd.core.auth.keys import KeysError, parse_keys
from relayd.core.auth.tokens import Tokens
from relayd.core.auth.verdict import Denied, Why
from relayd.core.auth.webhook import question
from tests.support.relay_yaml import relay_yaml, told
from tests.support.signing import NOW, jwk, jwks, sign, sign_raw

RULES = JwtRules(frozenset({"ES256", "RS256"}))
KEYS = parse_keys(jwks(jwk("ES256"), jwk("RS256", "rsa")), RULES.algorithms, secrets_allowed=True)


class CentrifugoTests:
    """Two of 2026."""

    @pytest.mark.parametrize("url", ["https://{{iss}}/jwks", "https://${iss}/jwks", "https://$iss/jwks"])
    def test_cve_2026_32301_claims_in_the_url_of_the_keys(self, url):
        """What a token says cannot be part of what is fetched: such a URL is an error."""
        assert told(relay_yaml(top=f'auth: {{jwt: {{jwks: "{url}", algorithms: [ES256]}}}}'))
        metadata = "http://169.254.169.254"
        token = sign(iss=metadata, header={"jku": metadata, "kid": metadata})
        assert verify(token, KEYS, RULES, NOW) == NoKey()

    def test_cve_2026_71485_headers_that_a_client_makes_up(self):
        """Only five headers go to the user's server, and none that a proxy in front of it would set."""
        forged = {name: "root" for name in ("x-user", "x-forwarded-user", "x-forwarded-for", "x-real-ip", "forwarded")}
        shown = Places().read((forged | {"cookie": "a=1"}).get, "", cookie_counts=True, client="192.0.2.1", path="/ws")
        assert question(shown).headers == (("cookie", "a=1"),)
        assert not any(name.startswith(("x-", "forwarded")) for name in FOR_WEBHOOK)


class PyJwtTests:
    """The library's own, whose floor in setup.cfg is 2.15, and its neighbours'."""

    @pytest.mark.parametrize("crit", [["exp"], ["x"], [], "x", None])
    def test_cve_2026_32597_unknown_critical_headers(self, crit):
        """`crit` in whatever shape is refused."""
        header = b'{"alg":"ES256","kid":"k","crit":null}' if crit is None else None
        token = sign(header={"crit": crit}) if header is None else sign_raw(header, b'{"exp": 1800000000}')
        assert verify(token, KEYS, RULES, NOW) == Denied(Why.MALFORMED)

    @pytest.mark.parametrize(("algorithm", "kid"), [("ES256", "rsa"), ("RS256", "k")])
    def test_cve_2026_48523_the_list_of_algorithms_and_the_key(self, algorithm, kid):
        """Both are listed, but each key has one."""
        assert verify(sign(algorithm, header={"kid": kid}), KEYS, RULES, NOW) == NoKey()

    @pytest.mark.parametrize("data", [b'{"keys":[{"kty":"RSA","n":"","e":"","alg":"RS256"}]}',
                                      b'{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}',
                                      b'{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA"}]}'])  # fmt: skip
    def test_cve_2026_102273_errors_of_another_type(self, data):
        """A hostile key set is a KeysError."""
        with pytest.raises(KeysError):
            parse_keys(data, frozenset({"RS256", "ES256", "EdDSA"}), secrets_allowed=True)

    def test_cve_2024_33663_public_key_as_secret(self):
        """A PEM is no secret here: a JWKS holds none, and a file with one is refused."""
        with pytest.raises(KeysError):
            parse_keys(b"-----BEGIN PUBLIC KEY-----", RULES.algorithms, secrets_allowed=True)


class CompareTests:
    """Comparing secrets."""

    @pytest.mark.parametrize("token", ["ä", "\udcff", "", "a" * 100_000])
    def test_compare_digest_of_texts(self, token):
        """It raises TypeError for text that is not ASCII: here digests are compared."""
        assert Tokens().find(token, NOW) == Denied(Why.UNKNOWN)

    def test_files_are_bounded(self):
        """A path such as /dev/zero ends."""
        [problem] = told(relay_yaml(top="auth: {tokens: /dev/zero}"))
        assert problem.startswith("auth.tokens: /dev/zero is larger than 4 MiB") and MAX_FILE_BYTES == 4 << 20
