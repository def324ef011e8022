"""`relayd init`."""

from pathlib import Path

from click.testing import CliRunner

from relayd.cli.main import main


class InitTests:
    """A first file."""

    def test_writes_a_good_file(self, tmp_path: Path):
        """What is written passes `relayd check`."""
        file = str(tmp_path / "relay.yaml")
        written = CliRunner().invoke(main, ["init", file])
        assert written.exit_code == 0, written.output
        assert f"relayd check {file}" in written.output
        checked = CliRunner().invoke(main, ["check", file])
        assert checked.exit_code == 0, checked.output
        assert checked.output == f"{file} is good: 1 listener, 1 upstream, 1 route\n"

    def test_leaves_an_existing_file_alone(self, tmp_path: Path):
        """Nobody's work is overwritten."""
        file = tmp_path / "relay.yaml"
        file.write_text("mine")
        done = CliRunner().invoke(main, ["init", str(file)])
        assert done.exit_code == 1
        assert done.output == f"Error: {file} exists; name another file: relayd init FILE\n"
        assert file.read_text() == "mine"

    def test_place_that_does_not_exist(self, tmp_path: Path):
        """Says which and why."""
        done = CliRunner().invoke(main, ["init", str(tmp_path / "no" / "relay.yaml")])
        assert done.exit_code == 1
        assert "cannot be written: No such file or directory" in done.output
