"""`relayd demo`, what people see first: from the wheel, in an empty folder; and how a price comes to Chromium."""

from __future__ import annotations

import re
import signal
import statistics
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.chromium import chromium
from tests.support.daemon import environment, request
from tests.support.ports import free_port
from tests.support.process import Program
from tests.support.wheel import Installation

STARTS_WITHIN_S = 20
SHOWN_WITHIN_S = 1.0
MARKERS = ("98765.43", "87654.32", "76543.21")  # prices that the market does not reach by itself in a few seconds

# The demo's own page cannot set a price; here it can, so that a test knows what must be shown.
DEMO_WITH_PRICES = """
import sys
from relayd.demo import service, site
site.BUTTONS |= {"price"}
service.run(int(sys.argv[1]), int(sys.argv[2]))
"""


def test_needs_nothing(relayd: Installation, place: Path):
    """One command; what it prints to try next works as printed; it writes no file and ends on Ctrl-C."""
    port, admin_port = free_port(), free_port()
    command = [relayd.script("relayd"), "demo", "--port", str(port), "--admin-port", str(admin_port)]
    with Program(command, place, environment()) as demo:
        demo.says(rf"http://127\.0\.0\.1:{port}/$", STARTS_WITHIN_S)
        status, page = request(port, "GET", "/")
        assert (status, "<title>" in page) == (200, True)
        assert request(admin_port, "GET", "/ready")[0] == 200
        for kind in ("curl", "Python"):
            line = demo.says(rf"^  {kind} +(\S.*)$")[1]
            done = subprocess.run(line, shell=True, cwd=place, capture_output=True, text=True, timeout=20)
            assert '"topic":"demo/ticker/BTC-USD"' in done.stdout, f"{line}\n{done.stderr}"
        assert list(place.iterdir()) == []
        demo.signal(signal.SIGINT)
        assert demo.ends() == 0
        assert "Traceback" not in demo.output


def test_port_in_use(relayd: Installation, place: Path):
    """Which, and how to choose another; no traceback."""
    port = free_port()
    command = [relayd.script("relayd"), "demo", "--port", str(port), "--admin-port", "0"]
    with Program(command, place, environment()) as first:
        first.says(rf"http://127\.0\.0\.1:{port}/$", STARTS_WITHIN_S)
        with Program(command, place, environment()) as second:
            assert second.ends(STARTS_WITHIN_S) == 1
            assert f"tcp:{port}" in second.output
            assert "--port" in second.output
            assert "Traceback" not in second.output


@pytest.mark.browser
def test_a_price_reaches_the_page(relayd: Installation, place: Path, artifacts: Path):
    """A trade on the exchange stands in Chromium within a second, in both colour schemes; the screenshots are kept."""
    port, admin_port = free_port(), free_port()
    command = [relayd.python, "-c", DEMO_WITH_PRICES, str(port), str(admin_port)]
    with Program(command, place, environment()) as demo:
        demo.says(rf"http://127\.0\.0\.1:{port}/$", STARTS_WITHIN_S)
        with chromium(viewport={"width": 1280, "height": 900}) as page:
            complaints: list[str] = []
            page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
            page.goto(f"http://127.0.0.1:{port}/")
            page.get_by_text(re.compile(r"^[0-9]{2},[0-9]{3}\.[0-9]{2}$")).first.wait_for()
            waited_s = []
            for marker in MARKERS:
                began = time.monotonic()
                status, answer = request(port, "POST", f"/demo/price?product=BTC-USD&price={marker}&hold=3")
                assert status == 200, answer
                page.get_by_text(f"{float(marker):,.2f}").first.wait_for(timeout=10_000)
                waited_s.append(time.monotonic() - began)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                page.wait_for_timeout(500)  # until colours have faded over
                page.screenshot(path=artifacts / f"demo-{scheme}.png")
            assert complaints == []
    # The middle one of three, so that one turn of a busy machine is no failure.
    assert statistics.median(waited_s) <= SHOWN_WITHIN_S, waited_s
