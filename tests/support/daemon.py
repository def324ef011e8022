"""relayd as a process: twistd from the installed wheel, in the foreground, with a file of the test's own."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.process import Program
from tests.support.waiting import eventually
from tests.support.wheel import Installation

#: What relays the tickers of the simulated exchange: $PORT is where browsers come, $FEED its URL.
TICKERS = """\
listeners:
  - endpoint: tcp:$PORT:interface=127.0.0.1
upstreams:
  exchange:
    connect: {url: "$FEED"}
    topic: {at: {channel: type, symbol: product_id}}
    subscribe: {each: $symbol, send: {type: $verb, channels: [{name: $channel, product_ids: $topics}]}}
    control: [{when: {type: subscriptions}, ack: {all: channels, at: {channel: name, symbol: product_ids}}}]
routes:
  - topic: market/$channel/$symbol
    upstream: exchange
    allow: {channel: [ticker], symbol: "*-USD"}
"""

STARTS_WITHIN_S = 20.0  # imports take about 1 s on an idle core; a full test run shares two cores


def environment(**more: str) -> dict[str, str]:
    """What a person's shell would pass on, without anything that leads Python back to the tree."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return kept | more


class Daemon(Program):
    """`twistd -n relayd -c FILE`, whose one listener is on a port that the test chose.

    Args:
        relayd: where the wheel is installed.
        file: the configuration.
        port: where it listens, on 127.0.0.1.
        options: what stands before `relayd`.
    """

    def __init__(self, relayd: Installation, file: Path, port: int, *options: str, **env: str) -> None:
        self.port = port
        command = [relayd.script("twistd"), "-n", "--pidfile=", *options, "relayd", "-c", file]
        super().__init__(command, cwd=file.parent, env=environment(**env))

    def listens(self) -> None:
        """Waits until it takes connections, and fails with its output if it ends before."""

        def look() -> bool:
            assert self.returncode is None, f"relayd ended with {self.returncode}:\n{self.output}"
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True

        eventually(look, f"relayd listens on {self.port}", STARTS_WITHIN_S)

    def url(self, path: str) -> str:
        """The WebSocket URL of a path."""
        return f"ws://127.0.0.1:{self.port}{path}"

    def get(self, path: str) -> tuple[int, Any]:
        """Status and decoded JSON (or text) of a GET."""
        return request(self.port, "GET", path)


Start = Callable[..., Daemon]
"""The fixture `start`: `start(text, *options, wait=True, **env)`."""


class Exchange(Program):
    """The simulated exchange, with the controls of relayd/demo/control.py."""

    def __init__(self, relayd: Installation, cwd: Path) -> None:
        command = [relayd.python, "-m", "relayd.demo.exchange", "--seed", "1"]
        super().__init__(command, cwd=cwd, env=environment())
        self.where: dict[str, Any] = json.loads(self.says(r"^\{.*\}$", STARTS_WITHIN_S)[0])

    @property
    def feed(self) -> str:
        """The URL that speaks the dialect of the exchange."""
        return str(self.where["url"])

    @property
    def firehose(self) -> str:
        """The URL that pushes what it is handed, unasked."""
        return str(self.where["firehose"])

    def ask(self, path: str) -> Any:
        """A GET of its control."""
        status, answer = request(self.where["control_port"], "GET", path)
        assert status == 200, answer
        return answer

    def tell(self, path: str, body: bytes = b"") -> Any:
        """A POST to its control."""
        status, answer = request(self.where["control_port"], "POST", path, body)
        assert status == 200, answer
        return answer


class Sender:
    """Has the exchange send numbered messages on its firehose, over one HTTP connection."""

    def __init__(self, exchange: Exchange) -> None:
        self._control = http.client.HTTPConnection("127.0.0.1", exchange.where["control_port"], timeout=30)
        self.sent = 0

    def send(self, count: int) -> None:
        for _ in range(count):
            self.say({"n": self.sent})
            self.sent += 1

    def say(self, data: object) -> None:
        self._control.request("POST", "/raw?topic=firehose", json.dumps(data))
        response = self._control.getresponse()
        answer = response.read()
        assert response.status == 200, answer


def request(port: int, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
    """One HTTP request to a port of loopback: status, and the answer decoded if it is JSON, else as text."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body or None)
        response = connection.getresponse()
        text = response.read().decode("utf-8", "replace")
    finally:
        connection.close()
    is_json = response.headers.get_content_type() == "application/json"
    return response.status, json.loads(text) if is_json else text


def metric(admin: int, name: str) -> float:
    """One number of /metrics."""
    _, text = request(admin, "GET", "/metrics")
    found = re.search(rf"^relayd_{name} ([0-9.e+]+)$", text, re.MULTILINE)
    assert found, f"{name} is not in:\n{text}"
    return float(found[1])
