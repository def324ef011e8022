"""Clients that are not ours, all at once, on one topic: each gets every message, unchanged and in order."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.clients import tally
from tests.support import require
from tests.support.chromium import chromium
from tests.support.daemon import Exchange, Start, environment
from tests.support.process import Program
from tests.support.wheel import ROOT, STORE

CLIENTS = ROOT / "tests/e2e/clients"
WS_VERSION = "8.18.0"
MESSAGES = 1_200
LARGE_BYTES = 3 * 1024 * 1024
TOPIC = "raw/all"

CONFIG = f"""\
listeners:
  - endpoint: tcp:$PORT:interface=127.0.0.1
upstreams:
  firehose:
    connect: {{url: "$FIREHOSE"}}
    topic: {{}}
routes:
  - topic: {TOPIC}
    upstream: firehose
    deliver: {{mode: queue, history: 5000/5m/64MiB}}
"""


def messages() -> Iterator[tuple[bytes, bool]]:
    """Payload and whether it is text: short and long, empty, two of 3 MiB, any bytes."""
    dice = random.Random(7)
    for number in range(MESSAGES):
        is_text = dice.random() < 0.5
        if number in (400, 800):
            size = LARGE_BYTES
        else:
            size = dice.choice((0, 1, 125, 126, 127, dice.randrange(2000), dice.randrange(70_000)))
        if is_text:
            alphabet = 'aé中😀\x00\n"\\'
            text = "".join(dice.choices(alphabet, k=min(size, 1000)))
            yield (text * (size // max(len(text.encode()), 1) or 1)).encode(), True
        else:
            yield dice.randbytes(size), False


def node_with_ws() -> Path:
    """Where Node finds `ws`; installed once."""
    npm = require.command("npm", "npm")
    require.command("node", "nodejs")
    folder = STORE / f"ws-{WS_VERSION}"
    modules = folder / "node_modules"
    if not (modules / "ws").exists():
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--no-save", f"ws@{WS_VERSION}"],
            cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        if done.returncode:
            require.missing(f"ws {WS_VERSION} for Node", done.stderr[-300:])
    return modules


@pytest.mark.browser
def test_each_receives_what_the_upstream_sent(start: Start, exchange: Exchange, place: Path):
    """Six clients read while the exchange sends; the hash over all they got is that of the exchange's journal."""
    modules = node_with_ws()
    daemon = start(CONFIG.replace("$FIREHOSE", exchange.firehose))
    url = daemon.url(f"/raw/{TOPIC}")
    with ExitStack() as stack:
        commands = {
            name: [sys.executable, CLIENTS / f"with_{name}.py", url, str(MESSAGES)]
            for name in ("websockets", "websocket_client", "lomond", "autobahn")
        }
        commands["ws"] = ["node", CLIENTS / "with_ws.mjs", url, str(MESSAGES)]
        clients = {
            name: stack.enter_context(Program(command, place, environment(NODE_PATH=str(modules))))
            for name, command in commands.items()
        }
        page = stack.enter_context(chromium(bypass_csp=True))
        page.goto(f"http://127.0.0.1:{daemon.port}/topics")
        page.evaluate((CLIENTS / "in_browser.js").read_text(), [url, MESSAGES])
        for client in clients.values():
            client.says("^ready$", 20)

        send_all(exchange)
        expected = journal(exchange)
        received = {name: json.loads(client.says(r"^\{.*\}$", 40)[0]) for name, client in clients.items()}
        received["chromium"] = page.evaluate("window.tally")
        assert all(client.ends() == 0 for client in clients.values())

    assert received.pop("chromium") == {**expected, "code": 1000}
    assert received == dict.fromkeys(clients, expected)


def send_all(exchange: Exchange) -> None:
    """Has the exchange send every message, in order, over one HTTP connection."""
    control = http.client.HTTPConnection("127.0.0.1", exchange.where["control_port"], timeout=30)
    for payload, is_text in messages():
        control.request("POST", f"/raw?topic=firehose{'' if is_text else '&binary=1'}", payload)
        response = control.getresponse()
        answer = response.read()
        assert response.status == 200, answer
    control.close()


def journal(exchange: Exchange) -> dict[str, object]:
    """What the exchange says it sent, in the form of a client's report."""
    entries = exchange.ask("/journal?limit=100000")["entries"]
    lines = b"".join(tally.line(entry["sha256"], entry["is_text"]) for entry in entries)
    return {
        "messages": len(entries),
        "bytes": sum(entry["length"] for entry in entries),
        "sha256": hashlib.sha256(lines).hexdigest(),
    }
