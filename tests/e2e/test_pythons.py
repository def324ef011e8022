"""The wheel on the other Pythons of 3.11 to 3.13: relayd starts, bridges a feed and stops.

No Debian has them all, so `.ci/run` cannot bring them: it is the machine that says which it has. `PYTHONS="3.12 3.13"`
promises those two, and in CI one that was promised and is missing is a failure (tests/support/require.py).
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support import require
from tests.support.daemon import TICKERS, Daemon, Exchange
from tests.support.ports import free_port
from tests.support.wheel import installation

OTHERS = [f"3.{minor}" for minor in (11, 12, 13) if minor != sys.version_info.minor]


@pytest.mark.parametrize("version", OTHERS)
def test_bridges_a_feed(version: str, place: Path):
    """A topic of the simulated exchange arrives, on this Python from end to end."""
    relayd = installation(require.python(version))
    port = free_port()
    with Exchange(relayd, place) as exchange:
        file = place / "relay.yaml"
        file.write_text(TICKERS.replace("$PORT", str(port)).replace("$FEED", exchange.feed))
        with Daemon(relayd, file, port) as daemon:
            daemon.listens()
            status, answer = daemon.get("/topics/market/ticker/BTC-USD?wait=10s")
            assert (status, answer["state"]) == (200, "live")
            assert f"({relayd.python} {version}" in daemon.output
            assert daemon.stop() == 0
            assert "Traceback" not in daemon.output
            assert "DeprecationWarning" not in daemon.output
