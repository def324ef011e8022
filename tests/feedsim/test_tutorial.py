"""docs/feeds.md: what it shows is what relayd prints."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from relayd.cli.main import main

PAGE = Path(__file__).parents[2] / "docs/feeds.md"
BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


class TutorialTests:
    """Its files and its outputs."""

    def test_outputs(self, tmp_path: Path) -> None:
        """Each command of the page is run on the whole file that stands before it."""
        relay, sample = tmp_path / "relay.yaml", tmp_path / "sample.jsonl"
        runs = 0
        for kind, text in BLOCK.findall(PAGE.read_text("utf-8")):
            if kind == "yaml" and text.startswith("listeners:"):
                relay.write_text(text.replace("batch: 50", "batch: 2"))
            elif not kind and text.startswith('{"ref"'):
                sample.write_text(text)
            elif not kind and text.startswith("$ relayd "):
                command, _, shown = text.partition("\n")
                words = command.split()[2:]
                names = {"relay.yaml": str(relay), "sample.jsonl": str(sample)}
                done = CliRunner().invoke(main, [names.get(word, word) for word in words])
                printed = done.output.replace(str(relay), "relay.yaml")
                assert [line.rstrip() for line in printed.splitlines()] == shown.splitlines()
                runs += 1
        assert runs == 3

    def test_login(self, tmp_path: Path) -> None:
        """The login step of its last part, put into its whole file."""
        blocks = [text for kind, text in BLOCK.findall(PAGE.read_text("utf-8")) if kind == "yaml"]
        [login] = [text for text in blocks if text.lstrip().startswith("login:")]
        whole = [text for text in blocks if text.startswith("listeners:")][-1]
        relay = tmp_path / "relay.yaml"
        relay.write_text(whole.replace("    payload: body\n", "    payload: body\n" + login))
        command = ["check", str(relay), "--topics", "acme/quote/ACME"]
        assert "ACME_SECRET is not set" in CliRunner().invoke(main, command, env={}).output
        done = CliRunner().invoke(main, command, env={"ACME_SECRET": "s", "ACME_KEY": "k"})
        assert done.exit_code == 0, done.output
        assert '{"action":"login","key":"${env.ACME_KEY}","time":0,"signature":"(sig)"}' in done.output
