"""`relayd token`."""

from __future__ import annotations

import time

import pytest
from click.testing import CliRunner

from relayd.cli.main import main
from relayd.core.auth.tokens import parse_tokens
from relayd.core.auth.verdict import Identity


def run(*arguments: str):
    """The command."""
    return CliRunner().invoke(main, ["token", *arguments])


class TokenTests:
    """A token, and its line."""

    def test_token(self):
        """The line alone goes to the standard output, so that `>> FILE` adds it; it knows the token."""
        done = run("alice", "--claim", "role=operator", "--claim", "level=5", "--claim", 'a=["x"]', "--expires", "2h")
        assert done.exit_code == 0, done.output
        token = done.stderr.splitlines()[0].removeprefix("token: ")
        assert len(token) > 40 and token not in done.stdout
        who = parse_tokens(done.stdout).find(token, time.time())
        assert isinstance(who, Identity)
        assert {name: who.claims[name] for name in ("sub", "role", "level", "a")} == {
            "sub": "alice", "role": "operator", "level": 5, "a": ["x"],
        }  # fmt: skip
        assert 7190 < who.expires_at - time.time() <= 7200

    def test_never_twice(self):
        """Random."""
        assert run("a").stdout != run("a").stdout

    @pytest.mark.parametrize(
        "arguments",
        [("a b",), ("ä",), ("{a}",), ("",), ("a", "--claim", "x"), ("a", "--claim", "=x"), ("a", "--expires", "soon")],
    )
    def test_wrong_use(self, arguments):
        """Told, with exit status 2."""
        assert run(*arguments).exit_code == 2

    def test_claims_that_cannot_be_read(self):
        """They would be refused in the file."""
        done = run("a", "--claim", 'exp="soon"')
        assert done.exit_code == 1
        assert "exp is not a time" in done.stderr
