"""A file or a place that is no good: refused before anything starts, in words that say what to do.

Every kind of bad file is in tests/test_bad_files.py, without a process; here is what only a process shows.
"""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from tests.support.daemon import Start, environment
from tests.support.waiting import eventually
from tests.support.wheel import Installation
from tests.test_bad_files import BAD_FILES, GOOD


def run(*args: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        [str(arg) for arg in args],
        cwd=cwd, env=environment(**env), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


class BadFileTests:
    """A file with errors: `twistd` and `relayd check` say the same, and nothing is started."""

    def test_refused(self, relayd: Installation, place: Path):
        """Exit status 1, all errors on stderr, no traceback, no usage page, no pidfile, no log."""
        text, said = BAD_FILES["two errors"]
        (place / "relay.yaml").write_text(str(text))
        under_twistd = run(relayd.script("twistd"), "relayd", "-c", "relay.yaml", cwd=place)
        checked = run(relayd.script("relayd"), "check", "relay.yaml", cwd=place)
        assert (under_twistd.returncode, checked.returncode) == (1, 1)
        errors = under_twistd.stderr.splitlines()
        assert [words in error for words, error in zip(said, errors, strict=True)] == [True, True]
        assert checked.stderr.splitlines() == [*errors, "relay.yaml is refused: 2 errors"]
        assert under_twistd.stdout == checked.stdout == ""
        assert [path.name for path in place.iterdir()] == ["relay.yaml"]

    def test_no_file(self, relayd: Installation, place: Path):
        """The name that was given, and what to do."""
        done = run(relayd.script("twistd"), "-n", "relayd", "-c", "nowhere.yaml", cwd=place)
        assert done.returncode == 1
        assert "nowhere.yaml" in done.stderr
        assert "no such file" in done.stderr
        assert "Traceback" not in done.stderr

    def test_no_option(self, relayd: Installation, place: Path):
        """Which option is missing."""
        done = run(relayd.script("twistd"), "-n", "relayd", cwd=place)
        assert done.returncode == 1
        assert "twistd relayd -c relay.yaml" in done.stdout + done.stderr

    def test_good_file(self, relayd: Installation, place: Path):
        """--check says so and starts nothing."""
        (place / "relay.yaml").write_text(GOOD.replace("$PORT", "8080"))
        done = run(relayd.script("twistd"), "relayd", "-c", "relay.yaml", "--check", cwd=place)
        assert (done.returncode, done.stdout, done.stderr) == (0, "relay.yaml: no errors\n", "")


class BadPlaceTests:
    """A good file, where relayd cannot run."""

    def test_port_in_use_in_front(self, start: Start):
        """One line that names the port and the setting, no traceback, exit status 1."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            daemon = start(GOOD.replace("$PORT", str(port)), wait=False)
            assert daemon.ends() == 1
        (line,) = [line for line in daemon.output.splitlines() if " crit " in line]
        assert f"cannot start: cannot listen on tcp:{port}:interface=127.0.0.1: the port is in use; " in line
        assert "Traceback" not in daemon.output

    def test_port_in_use_as_a_daemon(self, relayd: Installation, place: Path):
        """The person at the shell reads it before the shell returns; no pidfile is left."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            (place / "relay.yaml").write_text(GOOD.replace("$PORT", str(port)))
            done = run(relayd.script("twistd"), "relayd", "-c", "relay.yaml", cwd=place)
        assert done.returncode == 1
        assert f"cannot listen on tcp:{port}" in done.stderr
        # The daemon tells the shell first, and tidies up then.
        eventually(lambda: not (place / "twistd.pid").exists(), "the pidfile is gone")
        assert f"tcp:{port}:interface=127.0.0.1: the port is in use" in (place / "twistd.log").read_text()

    def test_unwritable_pidfile(self, relayd: Installation, place: Path):
        """Which file, why, and the option that names another."""
        (place / "relay.yaml").write_text(GOOD.replace("$PORT", "0"))
        for pidfile, why in ((place / "no" / "relayd.pid", "No such file or directory"), (place, "Is a directory")):
            done = run(relayd.script("twistd"), f"--pidfile={pidfile}", "relayd", "-c", "relay.yaml", cwd=place)
            assert done.returncode == 1
            assert done.stderr == (
                f"relayd: the pidfile {pidfile} cannot be written: {why}; "
                "name another with --pidfile=FILE, or none: --pidfile=\n"
            )

    def test_unwritable_log(self, relayd: Installation, place: Path):
        """A daemon without a log would fail in silence."""
        (place / "relay.yaml").write_text(GOOD.replace("$PORT", "0"))
        done = run(relayd.script("twistd"), f"--logfile={place}/no/relayd.log", "relayd", "-c", "relay.yaml", cwd=place)
        assert done.returncode == 1
        assert "the log file" in done.stderr
        assert "--logfile=FILE" in done.stderr
