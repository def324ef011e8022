"""The Python client and a real relayd: publishing, binary frames by reference, an acknowledgement window."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Any

import pytest
from relayd_client import Refused, connect

from tests.support.daemon import Exchange, Start
from tests.support.waiting import eventually

CONFIG = """\
listeners:
  - endpoint: tcp:$PORT:interface=127.0.0.1
upstreams:
  firehose:
    connect: {url: "$FIREHOSE"}
    topic: {}
routes:
  - topic: raw/all
    upstream: firehose
    deliver: {mode: queue, history: 5000/5m/64MiB}
  - topic: chat/$room
    allow: {room: any}
    access: {publish: public}
    deliver: {mode: queue, history: 5000/5m/64MiB}
limits: {publish: 100000/1s}
"""
MESSAGES = 250


@pytest.fixture
def url(start: Start, exchange: Exchange) -> str:
    """Of `/ws` of a relayd whose feed is there."""
    daemon = start(CONFIG.replace("$FIREHOSE", exchange.firehose))
    eventually(lambda: exchange.ask("/status")["connections"], "relayd dials the exchange", 10)
    return daemon.url("/ws")


def run(play: Coroutine[Any, Any, None]) -> None:
    """With an end."""

    async def within() -> None:
        async with asyncio.timeout(60):
            await play

    asyncio.run(within())


def test_publishes(url: str) -> None:
    """What one publishes another reads, at the position that was told; a refusal names its setting."""

    async def play() -> None:
        async with connect(url) as one, connect(url) as other:
            reading = other.subscribe("chat/kitchen")
            await asyncio.gather(one.ready(), other.ready())
            positions = [await one.publish("chat/kitchen", {"n": number, "text": "é"}) for number in range(50)]
            for number, position in enumerate(positions):
                message = await anext(reading)
                assert message.data == {"n": number, "text": "é"}
                assert position.rpartition(":")[2] == str(message.offset)
            with pytest.raises(Refused, match=r"access\.publish") as refused:
                await one.publish("raw/all", 1)
            assert refused.value.code == "forbidden"

    run(play())


def test_binary_by_reference(url: str, exchange: Exchange) -> None:
    """Bytes are bytes: of every length, beside text, and the same as by base64."""
    payloads = [b"", b"\0", bytes(range(256)) * 300, os.urandom(3 << 20)]

    async def play() -> None:
        async with connect(url) as relay, connect(url) as plain:
            reading, reference = relay.subscribe("raw/all", binary=True), plain.subscribe("raw/all")
            states: list[str] = []
            for one in (reading, reference):
                one.on("state", lambda state: states.append(state.state))
            while len(states) < 2:
                await asyncio.sleep(0.01)
            for payload in payloads:
                await asyncio.to_thread(exchange.tell, "/raw?topic=firehose&binary=1", payload)
            await asyncio.to_thread(exchange.tell, "/raw?topic=firehose", b'{"n":1}')
            for one in (reading, reference):
                got = [await anext(one) for _ in range(len(payloads) + 1)]
                assert [message.binary for message in got] == [*payloads, None]
                assert got[-1].data == {"n": 1}
                assert [message.offset for message in got] == list(range(1, len(got) + 1))

    run(play())


def test_a_window_holds_relayd_back(url: str) -> None:
    """A loop that does not read yet: relayd waits with what is beyond the window, and then everything comes.

    The buffer is one too small for all of it; when the loop goes on, relayd sends what it kept in one go.
    """

    async def play() -> None:
        async with connect(url) as publisher, connect(url) as relay:
            reading = relay.subscribe("chat/slow", window=20, buffer=MESSAGES - 2)
            await asyncio.gather(publisher.ready(), relay.ready())
            first = asyncio.create_task(anext(reading))
            for number in range(MESSAGES):
                await publisher.publish("chat/slow", number)
                await asyncio.sleep(0.006)  # a connection may send 200 frames a second
            got = [(await first).data]
            while len(got) < MESSAGES:
                message = await anext(reading)
                assert message.missed == 0
                got.append(message.data)
                await asyncio.sleep(0.002)
            assert got == list(range(MESSAGES))
            assert reading.dropped == 0

    run(play())
