"""The wheel on the other Pythons that are here: relayd starts, bridges a feed and stops."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.test_daemon import CONFIG
from tests.support.daemon import Daemon, Exchange
from tests.support.ports import free_port
from tests.support.wheel import installation

OTHERS = [f"3.{minor}" for minor in (11, 12, 13) if minor != sys.version_info.minor]


def find(version: str) -> Path | None:
    """A Python of this version: on the PATH, or of pyenv."""
    wanted = f"python{version}"
    of_pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/{wanted}"), reverse=True)
    for candidate in (shutil.which(wanted), *of_pyenv):
        # A shim of pyenv is there for a version that is not switched on, and fails.
        if candidate and subprocess.run([candidate, "-c", "import venv"], capture_output=True).returncode == 0:
            return Path(candidate)
    return None


@pytest.mark.parametrize("version", OTHERS)
def test_bridges_a_feed(version: str, place: Path):
    """A topic of the simulated exchange arrives, on this Python from end to end.

    A machine has the Pythons it has, so a missing one is skipped in CI too.
    """
    python = find(version)
    if python is None:
        pytest.skip(f"Python {version} is not on this machine")
    relayd = installation(python)
    port = free_port()
    with Exchange(relayd, place) as exchange:
        file = place / "relay.yaml"
        file.write_text(CONFIG.replace("$PORT", str(port)).replace("$FEED", exchange.feed))
        with Daemon(relayd, file, port) as daemon:
            daemon.listens()
            status, answer = daemon.get("/topics/market/ticker/BTC-USD?wait=10s")
            assert (status, answer["state"]) == (200, "live")
            assert f"({relayd.python} {version}" in daemon.output
            assert daemon.stop() == 0
            assert "Traceback" not in daemon.output
            assert "DeprecationWarning" not in daemon.output
