"""`relayd check`."""

from pathlib import Path

from click.testing import CliRunner

from relayd.cli.main import main
from tests.support.wheel import ROOT


class CheckTests:
    """Whether a file is good."""

    def test_sample(self):
        """The sample that is shipped is."""
        done = CliRunner().invoke(main, ["check", str(ROOT / "etc/relay.yaml")])
        assert done.exit_code == 0, done.output
        assert " is good: " in done.output

    def test_errors(self, tmp_path: Path):
        """All of them, with their places, and how many; exit status 1."""
        file = tmp_path / "relay.yaml"
        file.write_text("listeners: [{endpoint: tpc:1}]\nupstream: {}\n")
        done = CliRunner().invoke(main, ["check", str(file)])
        assert done.exit_code == 1
        *errors, last = done.stderr.splitlines()
        assert errors
        assert all(line.startswith(f"{file}:") for line in errors)
        assert last == f"{file} is refused: {len(errors)} errors"
        assert done.stdout == ""

    def test_no_file_named(self):
        """Wrong use of the command is exit status 2."""
        assert CliRunner().invoke(main, ["check"]).exit_code == 2
