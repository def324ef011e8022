"""What the log must mask."""

from __future__ import annotations

from pathlib import Path

from relayd.config.load import loads
from relayd.config.secret_values import MAX_FILE_BYTES, secret_values

FILE = """\
upstreams:
  feed:
    connect:
      url: "wss://${env.HOST}/ws?key=${env.URL_KEY}"
      headers: {x-token: ["${env.TOKEN:-fallback}", "${env.NONE:-}", "${file.$PLACE/token}", "${file.$PLACE/missing}"]}
    login: [{send: {auth: {password: "a ${env.PASSWORD} b", file: "${file.$PLACE/large}"}}, expect: {ok: true}}]
    topic: {at: {symbol: s}}
    subscribe: {send: {op: $verb, symbol: $symbol, empty: "${file.$PLACE/empty}"}}
routes: [{topic: m/$symbol, upstream: feed, allow: {symbol: [A]}}]
"""
ENVIRON = {"HOST": "feed.example", "URL_KEY": "k3y", "PASSWORD": "hunter2", "OTHER": "unused"}


class SecretValuesTests:
    """Of the environment, of defaults and of files."""

    def test_found(self, tmp_path: Path):
        """Wherever they stand; but where an upstream is, is no secret, and what cannot be read has no value."""
        (tmp_path / "token").write_text("from-a-file\n")
        (tmp_path / "large").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
        (tmp_path / "empty").write_text("\n")
        config = loads(FILE.replace("$PLACE", str(tmp_path)), "relay.yaml", ENVIRON)
        assert secret_values(config, ENVIRON) == {"k3y", "fallback", "from-a-file", "hunter2"}

    def test_environment_wins_over_the_default(self, tmp_path: Path):
        """As where it is rendered."""
        environ = {**ENVIRON, "TOKEN": "given"}
        config = loads(FILE.replace("$PLACE", str(tmp_path)), "relay.yaml", environ)
        assert secret_values(config, environ) == {"k3y", "given", "hunter2"}
