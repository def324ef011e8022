"""The Python client, from its own wheel, against a real relayd behind a network that fails: held against the journal.

`make client-chaos` does the same with fifty reconnects.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.chaos import Chaos, Toxic
from tests.support.client_wheel import client_installation
from tests.support.daemon import Exchange, Sender, Start, environment
from tests.support.process import Program
from tests.support.waiting import eventually
from tests.support.wheel import ROOT

RECONNECTS = int(os.environ.get("RECONNECTS", "6"))
BEFORE, DURING = 20, 40  # messages right before each fault, some of them on their way, and from then on
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


@dataclass
class Seen:
    """What the client printed, and what the journal holds."""

    journal: list[int]
    items: list[list[Any]] = field(default_factory=list)
    resumed: list[bool] = field(default_factory=list)
    missed: list[int | None] = field(default_factory=list)
    opened: int = 0

    @property
    def given(self) -> list[list[Any]]:
        return [item for item in self.items if item[0] == "got"]

    @property
    def lost(self) -> list[list[Any]]:
        return [item for item in self.items if item[0] == "lost"]

    def figure(self, what: str) -> str:
        numbers = [n for _, _, n in self.given]
        back = sum(one > other for one, other in itertools.pairwise(numbers))
        return (
            f"{what}: {self.opened - 1} reconnects, {len(self.journal)} sent, {len(numbers)} given, "
            f"{sum(item[3] for item in self.lost)} announced as lost, "
            f"{len(numbers) - len(set(numbers))} twice, {back} out of order"
        )


FAULTS = ("cut", "reset", "down", "within")


def break_it(chaos: Chaos, sender: Sender, number: int) -> None:
    """One fault: an end, a reset, a refused connection, or an end within a frame."""
    match FAULTS[number % len(FAULTS)]:
        case "cut":
            chaos.cut()
            sender.send(DURING)
        case "reset":
            chaos.reset()
            sender.send(DURING)
        case "down":
            with chaos.down():
                sender.send(DURING)
        case "within":
            accepted = chaos.accepted
            chaos.toxic(down=Toxic(limit_bytes=1 + 37 * number))
            sender.send(DURING)
            eventually(lambda: chaos.accepted > accepted, "the connection was cut within a frame", 10)
            chaos.toxic()


def lived(start: Start, exchange: Exchange, history: str, how: str) -> Seen:
    """One client's life of so many reconnects."""
    daemon = start(CONFIG.replace("$FIREHOSE", exchange.firehose).replace("$HISTORY", history))
    eventually(lambda: exchange.ask("/status")["connections"], "relayd dials the exchange", 10)
    python = client_installation().python
    script = ROOT / "tests/e2e/clients/with_relayd_client.py"
    with ExitStack() as stack:
        chaos = stack.enter_context(Chaos(daemon.port))
        url = f"ws://127.0.0.1:{chaos.port}/ws"
        client = stack.enter_context(Program([python, script, url, TOPIC, how], ROOT, environment()))
        client.says(r'^\["topic"', 20)
        sender = Sender(exchange)
        for number in range(RECONNECTS):
            delays = Toxic(latency_s=0.005 * (number % 3), jitter_s=0.003, slice_bytes=(0, 11, 300)[number % 3])
            chaos.toxic(down=delays, up=Toxic(slice_bytes=(0, 1)[number % 2]))
            sender.send(BEFORE)
            before = client.output.count('["resumed"')
            break_it(chaos, sender, number)
            chaos.toxic(down=delays)
            eventually(
                lambda before=before: client.output.count('["resumed"') > before, f"it is back after fault {number}", 20
            )
        sender.say("end")
        assert client.ends(20) == 0, client.output
        lines = [json.loads(line) for line in client.output.splitlines()]
    entries = exchange.ask("/journal?limit=100000&payloads=1")["entries"]
    sent = [json.loads(base64.b64decode(entry["payload"])) for entry in entries]
    assert [line for line in lines if line[0] == "error"] == []
    assert lines[-1] == ["done", "closed"]
    return Seen(
        journal=[data["n"] for data in sent if data != "end"],
        items=[line for line in lines if line[0] in ("got", "lost")],
        resumed=[line[1] for line in lines if line[0] == "resumed"],
        missed=[line[1] for line in lines if line[0] == "missed"],
        opened=sum(line[0] == "open" for line in lines),
    )


@pytest.mark.parametrize("how", ["callback", "loop"])
def test_with_history_for_every_outage(start: Start, exchange: Exchange, how: str) -> None:
    """Nothing lost, nothing twice, nothing out of order."""
    seen = lived(start, exchange, "5000/5m/64MiB", how)
    print(seen.figure(f"history larger than an outage, {how}"))
    assert len(seen.journal) == RECONNECTS * (BEFORE + DURING)
    assert [item[2] for item in seen.given] == seen.journal
    assert (seen.lost, seen.missed) == ([], [])
    assert seen.opened > RECONNECTS and all(seen.resumed)


def test_with_less_history_than_an_outage(start: Start, exchange: Exchange) -> None:
    """What is missing is announced in its place, and the counts add up to the journal."""
    seen = lived(start, exchange, "10/5m/1MiB", "callback")
    print(seen.figure("history smaller than an outage"))
    assert seen.lost
    assert sum(item[3] for item in seen.lost) == len(seen.journal) - len(seen.given)
    position = 0
    for item in seen.items:
        if item[0] == "lost":
            assert item[1] == position and item[3] == item[2] - position - 1
            position = item[2] - 1
        else:
            position += 1
            assert item[1:] == [position, seen.journal[position - 1]]
    assert False in seen.resumed
