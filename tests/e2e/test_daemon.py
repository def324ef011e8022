"""twistd, the plugin and the wheel: relayd in front and as a daemon, its logs, its end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.support.daemon import TICKERS, Exchange, Start, environment, request
from tests.support.ports import free_port
from tests.support.waiting import eventually
from tests.support.wheel import ROOT, Installation


class InstalledTests:
    """It is the wheel that is tested, and twistd knows it."""

    def test_not_the_tree(self, relayd: Installation, place: Path):
        """The code that runs lies in the virtualenv."""
        done = subprocess.run(
            [relayd.python, "-c", "import relayd; print(relayd.__file__)"],
            cwd=place, env=environment(), capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert Path(done.stdout.strip()).is_relative_to(relayd.root)
        assert not Path(done.stdout.strip()).is_relative_to(ROOT / "relayd")

    def test_twistd_lists_it(self, relayd: Installation, place: Path):
        """`twistd --help` has a line for relayd."""
        done = subprocess.run(
            [relayd.script("twistd"), "--help"], cwd=place, env=environment(), capture_output=True, text=True
        )
        assert re.search(r"^ +relayd +Bridges upstream", done.stdout, re.MULTILINE), done.stdout

    def test_its_own_help(self, relayd: Installation, place: Path):
        """`twistd relayd --help` names its options."""
        done = subprocess.run(
            [relayd.script("twistd"), "relayd", "--help"], cwd=place, env=environment(), capture_output=True, text=True
        )
        assert "--config=" in done.stdout
        assert "--check" in done.stdout


class InFrontTests:
    """twistd -n"""

    def test_logs_go_to_stderr(self, relayd: Installation, place: Path):
        """Nothing on stdout; on stderr one line an event, with UTC time, level and logger."""
        port = free_port()
        (place / "relay.yaml").write_text(TICKERS.replace("$PORT", str(port)).replace("$FEED", "ws://127.0.0.1:9/"))
        running = subprocess.Popen(
            [relayd.script("twistd"), "-n", "relayd", "-c", "relay.yaml"],
            cwd=place, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            eventually(lambda: request(port, "GET", "/topics")[0] == 200, "relayd serves", 20)
            assert int((place / "twistd.pid").read_text()) == running.pid
        finally:
            running.terminate()
            out, err = running.communicate(timeout=15)
        assert running.returncode == 0
        assert out == b""
        lines = err.decode().splitlines()
        assert all(re.match(r"[0-9-]{10} [0-9:.]{12}Z (info|warn) +\w+ +\S", line) for line in lines), err
        assert any(f"127.0.0.1:{port}" in line for line in lines)
        assert not (place / "twistd.pid").exists()

    def test_json(self, start: Start, exchange: Exchange):
        """`log: {format: json}`: every line is an object."""
        config = TICKERS.replace("$FEED", exchange.feed) + "log: {format: json}\n"
        daemon = start(config)
        assert daemon.get("/topics/market/ticker/BTC-USD?wait=10s")[0] == 200
        assert daemon.stop() == 0
        records = [json.loads(line) for line in daemon.output.splitlines()]
        assert {"time", "level", "logger", "message"} <= set.intersection(*(set(record) for record in records))

    def test_no_secret_and_no_query_in_the_log(self, start: Start, exchange: Exchange):
        """What comes from the environment, and what stands behind a `?`, is nowhere in it."""
        config = TICKERS.replace("$FEED", exchange.feed + "?key=${env.FEED_KEY}")
        daemon = start(config + "log: {level: debug}\n", FEED_KEY="hunter2hunter2")
        assert daemon.get("/topics/market/ticker/BTC-USD?wait=10s&token=swordfish")[0] == 200
        assert daemon.stop() == 0
        assert "hunter2" not in daemon.output
        assert "swordfish" not in daemon.output

    @pytest.mark.parametrize(("addresses", "shown"), [("full", "127.0.0.1"), ("truncated", "127.0.0.0"), ("none", "-")])
    def test_what_is_said_of_a_client(self, start: Start, addresses: str, shown: str):
        """A line at its open, one at its close, one where it is refused; its address as configured; never the query."""
        daemon = start(TICKERS.replace("$FEED", "ws://127.0.0.1:9/") + f"log: {{addresses: {addresses}}}\n")
        with connect(daemon.url("/ws?topics=market/ticker/BTC-USD&token=swordfish")) as browser:
            browser.recv(10)
        with pytest.raises(InvalidStatus):
            connect(daemon.url("/ws?token=swordfish"), origin="https://evil.example", legacy=True)
        daemon.says("client closed")
        assert daemon.stop() == 0
        about = [line for line in daemon.output.splitlines() if " client " in line or "request refused" in line]
        assert [len([line for line in about if what in line]) for what in ("opened", "closed", "refused")] == [1, 1, 1]
        assert all(re.search(rf" client={re.escape(shown)}\S*( |$)", line) for line in about), about
        assert ("127.0.0.1" in "".join(about)) == (addresses == "full")
        assert "swordfish" not in daemon.output

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_ends_on(self, start: Start, number: signal.Signals):
        """In good order, with exit status 0."""
        daemon = start(TICKERS.replace("$FEED", "ws://127.0.0.1:9/"))
        request(daemon.port, "GET", "/topics")  # it answers: the reactor runs, and has taken the signals over
        daemon.signal(number)
        assert daemon.ends() == 0
        assert "Traceback" not in daemon.output


class BehindTests:
    """As a daemon, with a pidfile and a log file."""

    def test_life(self, relayd: Installation, place: Path, exchange: Exchange):
        """The prompt is back when relayd listens; SIGUSR1 rotates the log; SIGTERM ends it and removes its pidfile."""
        port = free_port()
        pidfile, log = place / "relayd.pid", place / "relayd.log"
        (place / "relay.yaml").write_text(TICKERS.replace("$PORT", str(port)).replace("$FEED", exchange.feed))
        done = subprocess.run(
            [relayd.script("twistd"), f"--pidfile={pidfile}", f"--logfile={log}", "relayd", "-c", "relay.yaml"],
            cwd=place, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        pid = int(pidfile.read_text())
        try:
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            assert request(port, "GET", "/topics/market/ticker/BTC-USD?wait=10s")[0] == 200
            assert f"127.0.0.1:{port}" in log.read_text()
            os.kill(pid, signal.SIGUSR1)
            eventually((place / "relayd.log.1").exists, "the log is rotated")
            assert request(port, "GET", "/topics")[0] == 200
        finally:
            os.kill(pid, signal.SIGTERM)
        eventually(lambda: not pidfile.exists(), "the pidfile is removed", 15)
        eventually(lambda: not Path(f"/proc/{pid}").exists(), "the daemon has ended")
        assert "Traceback" not in log.read_text() + (place / "relayd.log.1").read_text()

    def test_second_one_is_refused(self, relayd: Installation, place: Path, start: Start):
        """twistd's own guard against two with one pidfile works."""
        pidfile = f"--pidfile={place / 'one.pid'}"
        daemon = start(TICKERS.replace("$FEED", "ws://127.0.0.1:9/"), pidfile)
        done = subprocess.run(
            [relayd.script("twistd"), pidfile, "relayd", "-c", next(place.glob("relay-*.yaml"))],
            cwd=place, env=environment(), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 1
        assert f"PID {daemon.pid}" in done.stderr
