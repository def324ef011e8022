"""Who may see the admin listener."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.auth.gate import admits
from relayd.core.auth.tokens import parse_tokens, write_line

TOKEN, OLD = "rt_" + "a" * 43, "rt_" + "b" * 43
TOKENS = parse_tokens(write_line(TOKEN, "prometheus", {}) + "\n" + write_line(OLD, "old", {"exp": 1000}))


def basic(user: str, password: str) -> str:
    """The value of a header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class AdmitsTests:
    """Bearer and Basic."""

    @pytest.mark.parametrize(
        "shown",
        [f"Bearer {TOKEN}", f"bearer  {TOKEN} ", basic("prometheus", TOKEN), f"BASIC{basic('prometheus', TOKEN)[5:]}"],
    )
    def test_admitted(self, shown):
        """Schemes have no case."""
        assert admits(shown, TOKENS, 2000.0)

    @pytest.mark.parametrize(
        "shown",
        [
            None,
            "",
            "Bearer",
            "Bearer ",
            TOKEN,
            f"Token {TOKEN}",
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            f"Bearer {OLD}",
            f"Bearer {'ä' * 40}",
            f"Bearer {'x' * 20_000}",
            basic("grafana", TOKEN),
            basic("", TOKEN),
            basic("prometheus", ""),
            basic("prometheus", OLD),
            basic("old", OLD),
            basic("prometheus", f"{TOKEN}:"),
            "Basic " + base64.b64encode(TOKEN.encode()).decode(),
            "Basic !!!",
            "Basic YQ",
            "Basic ä",
            "Basic " + base64.b64encode(b"\xff:\xff").decode(),
            basic("pröm", TOKEN),
        ],
    )
    def test_refused(self, shown):
        """Near misses, and what is no credential at all; a token whose time is over."""
        assert not admits(shown, TOKENS, 2000.0)

    @given(st.text(), st.sampled_from(["", "Basic ", "Bearer "]))
    def test_never_raises(self, text, scheme):
        """Any text at all."""
        assert admits(scheme + text, TOKENS, 2000.0) is False
