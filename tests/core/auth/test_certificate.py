"""Whom a certificate names."""

from __future__ import annotations

import pytest

from relayd.core.auth.access import Answer, Claim, Literal, ask
from relayd.core.auth.certificate import MAX_NAMES, CertificateNames, identity_of

SHA = "5e" * 32


class IdentityTests:
    """Subject and claims."""

    def test_all_of_it(self):
        """Every kind of name at its place."""
        names = CertificateNames(
            SHA, 9e9, ("press-7",), ("Plant",), ("Hall 3",), ("p.example",), ("a@b",), ("spiffe://x/y",), ("192.0.2.1",)
        )
        who = identity_of(names)
        assert (who.subject, who.expires_at) == ("press-7", 9e9)
        assert who.claims == {
            "sub": "press-7",
            "exp": 9e9,
            "certificate": {
                "cn": "press-7",
                "o": ["Plant"],
                "ou": ["Hall 3"],
                "dns": ["p.example"],
                "email": ["a@b"],
                "uri": ["spiffe://x/y"],
                "ip": ["192.0.2.1"],
                "sha256": SHA,
            },
        }

    @pytest.mark.parametrize(
        ("names", "subject"),
        [
            ({"uris": ("spiffe://x",), "dns": ("d",)}, "spiffe://x"),
            ({"emails": ("a@b",), "dns": ("d",)}, "a@b"),
            ({"dns": ("d",), "addresses": ("::1",)}, "d"),
            ({"addresses": ("::1",)}, "::1"),
            ({}, SHA),
            ({"common_names": ("a\nb", "\x1b[31m", "", "a" * 256, "second")}, "second"),
            ({"common_names": ("a\u202eb",)}, SHA),
        ],
    )
    def test_subject(self, names, subject):
        """The first name that can be shown; without any, the certificate's own hash."""
        who = identity_of(CertificateNames(SHA, 1.0, **names))
        assert who.subject == who.claims["sub"] == subject
        assert ("cn" in who.claims["certificate"]) is (subject == "second")

    def test_bounds(self):
        """A certificate with a thousand names."""
        who = identity_of(CertificateNames(SHA, 1.0, dns=tuple(f"d{number}" for number in range(1000))))
        assert len(who.claims["certificate"]["dns"]) == MAX_NAMES

    def test_access(self):
        """A route asks for them as for any claim; nothing of them is in the repr."""
        who = identity_of(CertificateNames(SHA, 1.0, ("secret name",), units=("Hall 3", "Hall 4")))
        for hall, answer in (("Hall 4", Answer.YES), ("Hall 5", Answer.FORBIDDEN)):
            assert ask((Claim("certificate.ou", (Literal(hall),)),), who, {}) is answer
        assert "Hall" not in repr(who)
