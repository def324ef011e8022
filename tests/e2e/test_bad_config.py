"""Files and places that are no good: refused before anything starts, in words that say what to do."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.daemon import environment
from tests.support.wheel import Installation

GOOD = """\
listeners:
  - endpoint: tcp:$PORT:interface=127.0.0.1
upstreams:
  exchange:
    connect: {url: "ws://127.0.0.1:9/"}
    topic: {at: {channel: type, symbol: product_id}}
    subscribe: {send: {type: $verb, channels: [{name: $channel, product_ids: [$symbol]}]}}
routes:
  - topic: market/$channel/$symbol
    upstream: exchange
    allow: {channel: [ticker], symbol: "*-USD"}
"""


def but(old: str, new: str, text: str = GOOD) -> str:
    """The good file with one thing changed."""
    assert old in text
    return text.replace(old, new)


# case -> the file, and what must be said about it
BAD_FILES: dict[str, tuple[str | bytes, list[str]]] = {
    "empty": ("", ["upstreams", "routes"]),
    "only a comment": ("# nothing\n", ["upstreams"]),
    "broken YAML": (GOOD + "  - topic: [a\n", [":12:12: "]),
    "not UTF-8": (b"upstreams: \xff\n", [":1:12: ", "UTF-8"]),
    "an unknown upstream in a route": (
        but("upstream: exchange", "upstream: exchnage"),
        [":10:15: ", "exchnage", "did you mean exchange?"],
    ),
    "an unknown key": (but("listeners:", "listener:"), [":1:1: ", "listener", "did you mean listeners?"]),
    "a field that the upstream does not yield": (but("/$symbol", "/$pair"), [":9:12: ", "pair"]),
    "a field that nothing fixes": (but("$channel/$symbol", "$symbol", but("[ticker]", "any")), ["channel"]),
    "two errors": (but("tcp:$PORT", "tpc:80", but("upstream: exchange", "upstream: x")), [":2:15: ", ":10:15: "]),
}


def run(*args: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        [str(arg) for arg in args],
        cwd=cwd, env=environment(**env), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


class BadFileTests:
    """A file with errors: `twistd` and `relayd check` say the same, and nothing is started."""

    @pytest.mark.parametrize("case", BAD_FILES)
    def test_refused(self, relayd: Installation, place: Path, case: str):
        """Exit status 1, the place and the remedy on stderr, no traceback, no usage page, no pidfile."""
        text, said = BAD_FILES[case]
        file = place / "relay.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        under_twistd = run(relayd.script("twistd"), "relayd", "-c", "relay.yaml", cwd=place)
        checked = run(relayd.script("relayd"), "check", "relay.yaml", cwd=place)
        assert (under_twistd.returncode, checked.returncode) == (1, 1)
        for words in ("relay.yaml:", *said):
            assert words in under_twistd.stderr
        assert under_twistd.stderr.splitlines() == checked.stderr.splitlines()[:-1]
        assert checked.stderr.splitlines()[-1].startswith("relay.yaml is refused: ")
        assert under_twistd.stdout == checked.stdout == ""
        assert "Traceback" not in under_twistd.stderr
        assert [path.name for path in place.iterdir()] == ["relay.yaml"]

    def test_all_errors_at_once(self, relayd: Installation, place: Path):
        """Nobody mends a file one error a run."""
        text, _ = BAD_FILES["two errors"]
        (place / "relay.yaml").write_text(text)
        assert len(run(relayd.script("twistd"), "relayd", "-c", "relay.yaml", cwd=place).stderr.splitlines()) == 2

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

    def test_port_in_use_in_front(self, start):
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
        assert not (place / "twistd.pid").exists()
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
