"""relayd.js in Chromium against a real relayd: cut off and reset again and again, then held against the exchange's
journal; by WebSocket, and through an nginx that blocks WebSockets, and through one that blocks streams as well.

CUTS says how often (`make client-cuts`: 50 times).
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, TimeoutError

from tests.support.chaos import Chaos, Toxic
from tests.support.chromium import chromium
from tests.support.daemon import Daemon, Exchange, Sender, Start, metric
from tests.support.nginx import proxies
from tests.support.ports import free_port
from tests.support.script import busy
from tests.support.waiting import eventually

CUTS = int(os.environ.get("CUTS", "6"))
SEEN, BUSY = 5, 600  # messages before a script runs, and while it does
WINDOW, FILLING = 50, 60  # messages
BEFORE, DURING = 20, 40  # messages right before each cut, some of them on their way, and from then on
LONG, SHORT = "raw/long", "raw/short"  # topics, by what their history holds of an outage
WAYS = ["websocket", "sse", "poll"]
CONFIG = f"""\
listeners:
  - endpoint: tcp:$PORT:interface=127.0.0.1
upstreams:
  first:
    connect: {{url: "$FIREHOSE"}}
    topic: {{}}
  second:
    connect: {{url: "$FIREHOSE"}}
    topic: {{}}
routes:
  - topic: {LONG}
    upstream: first
    deliver: {{mode: queue, history: 50000/1h/64MiB}}
  - topic: {SHORT}
    upstream: second
    deliver: {{mode: queue, history: 10/1h/1MiB}}
"""
# Whoever waits is told that the network is back, so that a run does not wait longer each time.
PAGE = """
async (topics) => {
  const { connect } = await import("/relayd.js");
  const relay = connect("/ws");
  window.seen = { opened: [], errors: [], topics: {}, states: [] };
  relay.on("state", ({ state, transport, code, reason, retryMs }) => {
    seen.states = [...seen.states.slice(-9), [performance.now(), state, transport, code, reason, retryMs]];
    if (state === "open") seen.opened.push(transport);
    if (state === "waiting") setTimeout(() => dispatchEvent(new Event("online")), 0);
  });
  relay.on("error", (error) => seen.errors.push(error));
  for (const topic of topics) {
    const its = (seen.topics[topic] = { got: [], resumed: [], state: "" });
    const all = relay.subscribe(topic, ({ offset, data }) => its.got.push([offset, data.n]));
    all.on("lost", ({ after, next, count, why }) => its.got.push({ after, next, count, why }));
    all.on("resumed", ({ recovered }) => its.resumed.push(recovered));
    all.on("state", ({ state }) => (its.state = state));
  }
}
"""


def surf(browser: Browser, port: int) -> Page:
    """A page of relayd's origin, as seen at that port, that reads both topics."""
    page = browser.new_context(bypass_csp=True).new_page()
    page.goto(f"http://127.0.0.1:{port}/topics")
    page.evaluate(PAGE, [LONG, SHORT])
    page.wait_for_function("Object.values(seen.topics).every(({state}) => state !== '')", timeout=60_000)
    return page


def holds(page: Page, condition: str) -> None:
    """Waits until it does, and fails with what the page has seen of late."""
    try:
        page.wait_for_function(condition, timeout=60_000)
    except TimeoutError:
        seen = page.evaluate("seen")
        for its in seen["topics"].values():
            its["got"], its["resumed"] = its["got"][-5:], len(its["resumed"])
        pytest.fail(f"{condition} does not hold: {seen | {'opened': len(seen['opened'])}}")


def up_to_date(pages: list[Page], sender: Sender) -> None:
    """Waits until each has what was sent last."""
    for page in pages:
        holds(page, f"Object.values(seen.topics).every(({{got}}) => got.at(-1)?.[1] === {sender.sent - 1})")


def newest(daemon: Daemon) -> int:
    """The number of the newest message that the relay has of the short topic."""
    status, answer = daemon.get(f"/topics/{SHORT}")
    assert status == 200, answer
    return int(answer["snapshot"][-1]["data"]["n"])


def nothing_missing(seen: dict[str, Any], journal: list[int]) -> None:
    """All, once, in order."""
    assert [item[1] for item in seen["got"]] == journal
    assert set(seen["resumed"]) == {True}


def all_announced(seen: dict[str, Any], journal: list[int]) -> int:
    """What is missing is announced in its place, and the counts add up to the journal. Says how many."""
    position = missing = 0
    for item in seen["got"]:
        if isinstance(item, dict):
            assert (item["after"], item["count"]) == (position, item["next"] - position - 1)
            position = item["next"] - 1
            missing += item["count"]
        else:
            position += 1
            assert item == [position, journal[position - 1]]
    given = sum(not isinstance(item, dict) for item in seen["got"])
    assert missing == len(journal) - given
    assert False in seen["resumed"]
    return missing


@pytest.mark.browser
@pytest.mark.timeout(120 + 20 * CUTS)
def test_cut_off_again_and_again(start: Start, exchange: Exchange, place: Path) -> None:
    """With history for every outage: 0 lost, 0 twice, 0 out of order. With less: told, in its place, with its count."""
    daemon = start(CONFIG.replace("$FIREHOSE", exchange.firehose))
    eventually(lambda: exchange.ask("/status")["connections"] == 2, "relayd dials the exchange twice", 20)
    sender = Sender(exchange)
    with (
        Chaos(daemon.port) as chaos,
        proxies(place, chaos.port, ["/ws"], ["/ws", "/sse"]) as ports,
        chromium() as tab,
    ):
        chaos.toxic(down=Toxic(latency_s=0.005, jitter_s=0.02, slice_bytes=700))
        browser = tab.context.browser
        assert browser is not None
        pages = [surf(browser, port) for port in (chaos.port, *ports)]
        for cut in range(1, CUTS + 1):
            sender.send(BEFORE)
            chaos.reset() if cut % 2 else chaos.cut()
            sender.send(DURING)
            up_to_date(pages, sender)
        sender.send(1)
        up_to_date(pages, sender)
        everything = [page.evaluate("seen") for page in pages]
    entries = exchange.ask("/journal?limit=100000&payloads=1")["entries"]
    journal = sorted({json.loads(base64.b64decode(entry["payload"]))["n"] for entry in entries})
    assert journal == list(range(CUTS * (BEFORE + DURING) + 1))
    for way, seen in zip(WAYS, everything, strict=True):
        assert set(seen["opened"]) == {way}
        # Each cut ends a connection that lasts. Between two polls there is none, and how many cuts come then is chance.
        assert len(seen["opened"]) == CUTS + 1 if way != "poll" else 1 < len(seen["opened"]) <= CUTS + 1
        assert seen["errors"] == []
        nothing_missing(seen["topics"][LONG], journal)
        announced = all_announced(seen["topics"][SHORT], journal)
        print(
            f"{way}: {CUTS} cuts, {len(journal)} messages: 0 lost, 0 twice, 0 out of order; "
            f"with a history of 10, {announced} lost and all {announced} announced"
        )


@pytest.mark.browser
def test_a_page_that_is_busy(start: Start, exchange: Exchange) -> None:
    """What comes while a script runs is bounded by the window; without one, the browser hides all of it."""
    admin = free_port()
    config = f'{CONFIG}admin: {{endpoint: "tcp:{admin}:interface=127.0.0.1"}}\n'
    daemon = start(config.replace("$FIREHOSE", exchange.firehose))
    eventually(lambda: exchange.ask("/status")["connections"] == 2, "relayd dials the exchange twice", 20)
    sender = Sender(exchange)
    with chromium() as tab:
        browser = tab.context.browser
        assert browser is not None
        pages = []
        for window in (WINDOW, 0):
            page = browser.new_context(bypass_csp=True).new_page()
            pages.append(page)
            page.goto(f"http://127.0.0.1:{daemon.port}/topics")
            page.evaluate(PAGE.replace("data.n]))", f"data.n]), {{ window: {window} }})"), [SHORT])
            page.wait_for_function("Object.values(seen.topics).every(({state}) => state !== '')")
            sender.send(SEEN)
            up_to_date([page], sender)
            with busy(page):
                if window:
                    # relayd looks each tenth of a second: what it brings until then depends on the machine.
                    sender.send(FILLING)
                    eventually(lambda: metric(admin, "hub_windows_full_total") == 1, "relayd holds the page")
                sender.send(BUSY)
                eventually(lambda: newest(daemon) == sender.sent - 1, "relayd has what came meanwhile")
            up_to_date([page], sender)
        bounded, hidden = (page.evaluate("seen.topics")[SHORT] for page in pages)
    assert not [item for item in hidden["got"] if isinstance(item, dict)]
    assert len(hidden["got"]) >= BUSY
    [notice] = [item for item in bounded["got"] if isinstance(item, dict)][:1]
    held_at = bounded["got"].index(notice)
    print(f"busy while {BUSY} came: {held_at} on their way with a window of {WINDOW}, {BUSY} without")
    assert notice["why"] == "slow"
    assert WINDOW < held_at <= SEEN + FILLING
