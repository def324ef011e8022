"""Who judges what."""

from __future__ import annotations

import pytest

from relayd.core.auth.authority import Signed, Verifiers
from relayd.core.auth.credentials import Credential, of_message
from relayd.core.auth.jwt import JwtRules
from relayd.core.auth.keyring import KeyRing
from relayd.core.auth.keys import parse_keys
from relayd.core.auth.tokens import parse_tokens, write_line
from relayd.core.auth.verdict import Denied, Identity, Verdict, Why
from relayd.core.auth.webhook import OnFailure, Question, Webhook
from tests.support.signing import NOW, jwk, jwks, sign

TOKENS = parse_tokens("\n".join([write_line("rt_1", "static", {}), write_line("a.b.c", "dotted", {})]))
RULES = JwtRules(frozenset({"ES256"}))


class Rig:
    """Judges, and the questions they ask."""

    def __init__(self, *kinds: str) -> None:
        self.asked: list[Question] = []
        self.verifiers = Verifiers(lambda: NOW)
        if "tokens" in kinds:
            self.verifiers.tokens = TOKENS
        if "jwt" in kinds:
            ring = KeyRing(lambda: 0.0)
            ring.loaded(parse_keys(jwks(jwk("ES256")), RULES.algorithms, secrets_allowed=True))
            self.verifiers.signed = Signed(RULES, ring)
        if "webhook" in kinds:
            self.verifiers.webhook = Webhook(
                self._send, cache_s=30.0, on_failure=OnFailure.REFUSE, monotonic=lambda: 0.0, wall=lambda: NOW
            )

    def _send(self, key: bytes, question: Question) -> None:
        self.asked.append(question)

    def check(self, credential: Credential) -> Verdict | str:
        """The verdict, or `later`."""
        verdicts: list[Verdict] = []
        self.verifiers.check(credential, verdicts.append)
        return verdicts[0] if verdicts else "later"

    def name(self, token: str) -> str:
        """Whom a token names."""
        verdict = self.check(of_message(token))
        assert isinstance(verdict, Identity)
        return verdict.subject


class CheckTests:
    """By what is configured."""

    def test_each_judge(self) -> None:
        """Alone."""
        assert Rig("tokens").name("rt_1") == "static"
        assert Rig("jwt").name(sign()) == "alice"
        assert Rig("webhook").check(of_message("x")) == "later"

    def test_together(self) -> None:
        """The file first, whatever its tokens look like; the webhook not for a token that judges of tokens refuse."""
        rig = Rig("tokens", "jwt", "webhook")
        assert (rig.name("rt_1"), rig.name("a.b.c"), rig.name(sign())) == ("static", "dotted", "alice")
        assert rig.check(of_message("rt_2")) == Denied(Why.UNKNOWN)
        assert rig.check(of_message("x.y.z")) == Denied(Why.MALFORMED)
        assert rig.check(of_message(sign(which=1))) == Denied(Why.SIGNATURE)
        assert rig.asked == []
        assert rig.check(Credential(None, (("cookie", "a=b"),))) == "later"
        assert len(rig.asked) == 1

    def test_not_signed(self) -> None:
        """Where only signed ones count."""
        assert Rig("jwt").check(of_message("rt_1")) == Denied(Why.MALFORMED)

    def test_nothing_shown(self) -> None:
        """A stranger."""
        assert Rig("tokens", "jwt").check(Credential(None, (("cookie", "a=b"),))) is None

    @pytest.mark.parametrize("token", ["a b", "a\r\nX-User: root", "a\0", "ä", "☃", "\ud800", "x" * 8193, "\x7f"])
    @pytest.mark.parametrize("kind", ["tokens", "jwt", "webhook"])
    def test_no_header(self, kind: str, token: str) -> None:
        """What could not stand in a header is no token, and goes nowhere."""
        rig = Rig(kind)
        assert rig.check(of_message(token)) == Denied(Why.MALFORMED)
        assert rig.asked == []


class CertificateTests:
    """TLS has judged already."""

    @pytest.mark.parametrize(("ends_at", "is_in"), [(None, True), (NOW + 1, True), (NOW, False), (NOW - 1, False)])
    def test_until_it_ends(self, ends_at: float | None, is_in: bool) -> None:
        """It may have ended since the handshake; nobody else is asked."""
        rig = Rig("webhook")
        who = Identity("press-7", {}, ends_at)
        assert rig.check(Credential(certificate=who)) == (who if is_in else Denied(Why.EXPIRED))
        assert rig.asked == []
