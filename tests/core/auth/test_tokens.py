"""Static tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.auth import tokens as module
from relayd.core.auth.tokens import Tokens, TokensError, digest_of, parse_tokens, write_line
from relayd.core.auth.verdict import Denied, Identity, Why

HASH = digest_of("t").hex()


class TokensTests:
    """Who bears what."""

    def test_round_trip(self) -> None:
        """What is written is found, with its claims, and nothing else is."""
        lines = ["# ours", "", write_line("t", "alice", {"role": ["a"], "ö": 1}), "  " + write_line("u", "bob", {})]
        found = parse_tokens("\r\n".join(lines))
        who = found.find("t", 0.0)
        assert isinstance(who, Identity)
        assert (who.subject, dict(who.claims), who.expires_at) == (
            "alice",
            {"role": ["a"], "ö": 1, "sub": "alice"},
            None,
        )
        assert isinstance(found.find("u", 0.0), Identity)
        assert found.find("v", 0.0) == Denied(Why.UNKNOWN)

    def test_expiry(self) -> None:
        """`exp` as in a JWT."""
        found = parse_tokens(write_line("t", "alice", {"exp": 100}))
        assert isinstance(found.find("t", 99.0), Identity)
        assert found.find("t", 100.0) == Denied(Why.EXPIRED)

    def test_name_wins(self) -> None:
        """`sub` is the name, whatever the claims say."""
        who = parse_tokens(write_line("t", "alice", {"sub": "root"})).find("t", 0.0)
        assert isinstance(who, Identity) and who.claims["sub"] == "alice"

    @given(st.text(max_size=50))
    def test_any_token(self, token: str) -> None:
        """Never raises; a text that is no ASCII is unknown like any other."""
        found = parse_tokens(write_line("t", "alice", {}))
        assert isinstance(found.find(token, 0.0), Identity) == (token == "t")
        assert Tokens().find(token, 0.0) == Denied(Why.UNKNOWN)

    @pytest.mark.parametrize(
        ("text", "line", "what"),
        [
            ("hello", 1, "expected sha256:HASH NAME"),
            (f"# x\nsha256:{HASH}", 2, "expected"),
            (f"sha256:{HASH.upper()} a", 1, "expected"),
            (f"sha256:{HASH[1:]} a", 1, "expected"),
            (f"sha1:{HASH} a", 1, "expected"),
            (f"sha256:{HASH} a b", 1, "expected"),
            (f"sha256:{HASH} ä", 1, "expected"),
            (f"sha256:{HASH} a {{x}}", 1, "the claims are not a JSON object"),
            (f'sha256:{HASH} a {{"x":1,"x":2}}', 1, "the claims are"),
            (f'sha256:{HASH} a {{"exp":"x"}}', 1, "exp is not a time"),
            (f"sha256:{HASH} a\nsha256:{HASH} b", 2, "this hash stands twice"),
        ],
    )
    def test_refused(self, text: str, line: int, what: str) -> None:
        """With the line."""
        with pytest.raises(TokensError, match=f"^line {line}: {what}") as caught:
            parse_tokens(text)
        assert caught.value.line == line

    def test_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A bound."""
        monkeypatch.setattr(module, "MAX_TOKENS", 1)
        with pytest.raises(TokensError, match="line 2: more than 1 tokens"):
            parse_tokens("\n".join(write_line(name, name, {}) for name in "ab"))

    def test_secrets_are_not_shown(self) -> None:
        """Not even the hashes."""
        assert HASH not in repr(parse_tokens(write_line("t", "alice", {"role": "x"})))

    def test_claims_with_another_script(self) -> None:
        """A claim that no ASCII writes is escaped."""
        assert write_line("t", "a", {"x": "ä"}).isascii()
