"""relayd.js in Chromium against a real relayd: cut off twenty times, then held against the exchange's journal."""

from __future__ import annotations

import base64
import http.client
import json
from typing import Any

import pytest

from tests.demo.test_page import Wire
from tests.support.chromium import chromium
from tests.support.daemon import Exchange, Start
from tests.support.waiting import eventually

CUTS = 20
BEFORE, DURING = 20, 40  # messages right before each cut, some of them on their way, and from then on
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
    deliver: {{mode: queue, history: $HISTORY}}
"""
# Waits are cut at 100 ms, of which the jitter is real: after twenty cuts in a row they would be a minute.
PAGE = """
async (topic) => {
  const { connect } = await import("/relayd.js");
  const { WebSocket, fetch, document, performance, location, clearTimeout, addEventListener } = globalThis;
  const world = { WebSocket, fetch, document, performance, location, clearTimeout, addEventListener, Math,
    setTimeout: (call, ms) => setTimeout(call, Math.min(ms, 100)) };
  const relay = connect("/ws", { world });
  const seen = (window.seen = { got: [], opened: 0, resumed: [], topic: "", errors: [] });
  relay.on("state", ({ state }) => (seen.opened += state === "open"));
  relay.on("error", (error) => seen.errors.push(error));
  const all = relay.subscribe(topic, ({ offset, data }) => seen.got.push([offset, data.n]));
  all.on("lost", ({ after, next, count, why }) => seen.got.push({ after, next, count, why }));
  all.on("resumed", ({ recovered }) => seen.resumed.push(recovered));
  all.on("state", ({ state }) => (seen.topic = state));
}
"""


class Sender:
    """Has the exchange send numbered messages, over one HTTP connection."""

    def __init__(self, exchange: Exchange) -> None:
        self._control = http.client.HTTPConnection("127.0.0.1", exchange.where["control_port"], timeout=30)
        self.sent = 0

    def send(self, count: int) -> None:
        for _ in range(count):
            self._control.request("POST", "/raw?topic=firehose", json.dumps({"n": self.sent}))
            response = self._control.getresponse()
            answer = response.read()
            assert response.status == 200, answer
            self.sent += 1


def lived(start: Start, exchange: Exchange, history: str) -> tuple[dict[str, Any], list[int]]:
    """What the page saw, and what the journal holds, of twenty cuts."""
    daemon = start(CONFIG.replace("$FIREHOSE", exchange.firehose).replace("$HISTORY", history))
    eventually(lambda: exchange.ask("/status")["connections"], "relayd dials the exchange", 10)
    wire = Wire(daemon.port)
    sender = Sender(exchange)
    try:
        with chromium(bypass_csp=True) as page:
            page.goto(f"http://127.0.0.1:{wire.port}/topics")
            page.evaluate(PAGE, TOPIC)
            page.wait_for_function("seen.topic !== ''")
            for cut in range(1, CUTS + 1):
                sender.send(BEFORE)
                wire.cut()
                sender.send(DURING)
                page.wait_for_function(f"seen.opened > {cut} && seen.resumed.length >= {cut}")
            sender.send(1)
            page.wait_for_function(f"seen.got.at(-1)[1] === {sender.sent - 1}")
            seen = page.evaluate("seen")
    finally:
        wire.close()
    entries = exchange.ask("/journal?limit=100000&payloads=1")["entries"]
    return seen, [json.loads(base64.b64decode(entry["payload"]))["n"] for entry in entries]


@pytest.mark.browser
def test_with_history_for_every_outage(start: Start, exchange: Exchange) -> None:
    """Nothing lost, nothing twice, nothing out of order."""
    seen, journal = lived(start, exchange, "5000/5m/64MiB")
    assert len(journal) == CUTS * (BEFORE + DURING) + 1
    assert [message[1] for message in seen["got"]] == journal
    assert seen["resumed"] == [True] * CUTS
    assert seen["errors"] == []


@pytest.mark.browser
def test_with_less_history_than_an_outage(start: Start, exchange: Exchange) -> None:
    """What is missing is announced in its place, and the counts add up to the journal."""
    seen, journal = lived(start, exchange, "10/5m/1MiB")
    notices = [item for item in seen["got"] if isinstance(item, dict)]
    given = [item[1] for item in seen["got"] if not isinstance(item, dict)]
    assert notices
    assert sum(notice["count"] for notice in notices) == len(journal) - len(given)
    position = 0
    for item in seen["got"]:
        if isinstance(item, dict):
            assert (item["after"], item["count"]) == (position, item["next"] - position - 1)
            position = item["next"] - 1
        else:
            position += 1
            assert item == [position, journal[position - 1]]
    assert False in seen["resumed"]
    assert seen["errors"] == []
