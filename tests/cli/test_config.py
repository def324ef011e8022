"""`relayd config` and `relayd schema`."""

import json
from pathlib import Path

import yaml
from click.testing import CliRunner

from relayd.cli.main import main

FILE = """\
upstreams:
  feed:
    connect: {url: "wss://feed.example/?key=${env.FEED_KEY}", headers: {x-token: "${env.FEED_TOKEN:-swordfish}"}}
    topic: {at: {symbol: s}}
    subscribe: {send: {op: $verb, symbol: $symbol}}
routes:
  - {topic: m/$symbol, upstream: feed, allow: {symbol: [A]}}
"""


class ConfigTests:
    """What the file means."""

    def test_effective(self, tmp_path: Path):
        """Defaults stand in it, secrets do not; it is YAML."""
        file = tmp_path / "relay.yaml"
        file.write_text(FILE)
        done = CliRunner().invoke(main, ["config", str(file)], env={"FEED_KEY": "hunter2hunter2"})
        assert done.exit_code == 0, done.output
        assert "hunter2" not in done.output
        assert "swordfish" not in done.output
        shown = yaml.safe_load(done.output)
        assert shown["routes"][0]["upstream"] == "feed"
        assert shown["limits"]["topics"] == 10000

    def test_bad_file(self, tmp_path: Path):
        """As `relayd check` does."""
        file = tmp_path / "relay.yaml"
        file.write_text("a: 1\n")
        done = CliRunner().invoke(main, ["config", str(file)])
        assert done.exit_code == 1
        assert " is refused: " in done.stderr
        assert done.stdout == ""


class SchemaTests:
    """What any file may hold."""

    def test_is_json(self):
        """An object with the top-level keys of the file."""
        done = CliRunner().invoke(main, ["schema"])
        assert done.exit_code == 0, done.output
        assert {"listeners", "upstreams", "routes"} <= set(json.loads(done.output)["properties"])
