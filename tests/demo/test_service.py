"""`relayd demo`: its configuration, its ports, and the lines it prints."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from relayd.config.load import loads
from relayd.demo.service import EXCHANGE_PORT, javascript_line, welcome
from tests.support.ports import free_port
from tests.support.process import Program
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
PRODUCTS = ["BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD", "ADA-USD", "DOGE-USD"]


class ConfigurationTests:
    """The packaged relay.yaml."""

    def test_it_is_a_good_file(self) -> None:
        """And says how each kind of topic is delivered."""
        text = (ROOT / "relayd" / "demo" / "relay.yaml").read_text("utf-8")
        config = loads(text, "relay.yaml", {EXCHANGE_PORT: "9000"})
        assert [(route.topic, route.deliver.mode) for route in config.routes] == [
            ("demo/ticker/$symbol", "conflate"), ("demo/matches/$symbol", "queue"), ("demo/level2/$symbol", None),
        ]
        assert config.upstreams["demo"].silence.data_s == 5.0


@pytest.fixture(scope="module")
def demo() -> Iterator[tuple[Program, int]]:
    """A running demo, and its port."""
    with Program([sys.executable, "-m", "relayd", "demo", "--port", "0", "--admin-port", "0"], ROOT) as program:
        found = program.says(r"Open +http://127\.0\.0\.1:(\d+)/")
        program.says("Ctrl-C")
        yield program, int(found[1])


class DemoTests:
    """The exchange and the relay in one process."""

    def test_the_printed_lines_work(self, demo: tuple[Program, int]) -> None:
        """curl and Python exactly as they stand there; the operators' address answers too."""
        program, port = demo
        for name in ("curl", "Python"):
            line = program.says(rf"^  {name} +(.+)$")[1].strip()
            command = shlex.split(line)
            done = subprocess.run(command, capture_output=True, timeout=20, check=True)
            assert b'"product_id":"BTC-USD"' in done.stdout, line
        operators = program.says(r"Operators +(\S+)")[1]
        with urllib.request.urlopen(operators, timeout=10) as answer:
            assert b"relayd" in answer.read()
        assert javascript_line(port) in program.output

    def test_each_product_has_its_three_topics(self, demo: tuple[Program, int]) -> None:
        """Eighteen topics, all of them live within seconds, over one connection to the exchange."""
        _, port = demo
        topics = [f"demo/{channel}/{name}" for channel in ("ticker", "matches", "level2") for name in PRODUCTS]
        waiting = set(topics)
        with connect(f"ws://127.0.0.1:{port}/ws?topics={','.join(topics)}", max_size=None) as browser:
            while waiting:
                message = json.loads(browser.recv(10))
                if "data" in message:
                    waiting.discard(message["topic"])
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/demo/status", timeout=10) as answer:
                assert json.load(answer)["connections"] == 1

    def test_a_skipped_trade_is_told(self, demo: tuple[Program, int]) -> None:
        """As a loss of one, caused by the feed."""
        _, port = demo
        with connect(f"ws://127.0.0.1:{port}/ws?topics=demo/matches/BTC-USD", max_size=None) as browser:
            while "data" not in json.loads(browser.recv(10)):
                pass
            request = urllib.request.Request(f"http://127.0.0.1:{port}/demo/skip?product=BTC-USD", b"", method="POST")
            urllib.request.urlopen(request, timeout=10).close()
            while (message := json.loads(browser.recv(10))).get("op") != "lost":
                pass
        assert (message["count"], message["why"]) == (1, "upstream")

    def test_it_ends_when_it_is_told(self) -> None:
        """With status 0 and nothing that looks like a fault in its log; a taken port is one sentence."""
        port = free_port()
        command = [sys.executable, "-m", "relayd", "demo", "--port", str(port), "--admin-port", "0"]
        with Program(command, ROOT) as program:
            program.says("Ctrl-C")
            with Program(command, ROOT) as second:
                assert second.ends() == 1
                assert re.search(rf"cannot listen on tcp:{port}.*\nOther ports: relayd demo", second.output)
                assert "Traceback" not in second.output
            eventually(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read(), "the page")
            assert program.stop() == 0
            assert "Traceback" not in program.output


def test_the_welcome_names_what_to_open() -> None:
    """Page, operators' page, and the file to begin one's own with."""
    text = welcome(8080, 8081)
    assert "http://127.0.0.1:8080/" in text
    assert "http://127.0.0.1:8081/metrics" in text
    assert "relay.yaml" in text
