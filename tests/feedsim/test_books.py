"""Feeds of deltas: what a browser needs to build the state, whenever it comes."""

from __future__ import annotations

import json
from typing import Any

from tests.feedsim.journal import LOST
from tests.feedsim.profiles.binance import Binance
from tests.feedsim.profiles.bitfinex import Bitfinex
from tests.feedsim.profiles.coinbase import Coinbase
from tests.feedsim.profiles.kraken import Kraken
from tests.feedsim.profiles.okx import Okx
from tests.feedsim.rig import FeedCase, Rig, Watcher, eventually, turn
from tests.feedsim.test_faults import edited

KEY, TOPIC = "btcusdt@depth", "binance/book/btcusdt"


def faults_of(received: list[bytes | None], deltas: list[bytes]) -> list[str]:
    """What is wrong with a book: it begins with a snapshot; deltas follow it and each other by their numbers, and are
    the bytes that were sent. After a loss deltas mean nothing until the next snapshot."""
    problems: list[str] = []
    last: int | None = None
    snapshots, lost, fresh = 0, False, False
    for raw in received:
        if raw is LOST:
            last, lost = None, True
            continue
        message: dict[str, Any] = json.loads(raw)
        if "lastUpdateId" in message:
            last, snapshots, lost, fresh = message["lastUpdateId"], snapshots + 1, False, True
            continue
        if raw not in deltas:
            problems.append(f"not as it was sent: {raw[:80]!r}")
        if lost:
            continue
        if last is None:
            problems.append(f"a delta without a snapshot: {raw[:80]!r}")
        elif not (message["U"] <= last + 1 <= message["u"] if fresh else message["U"] == last + 1):
            problems.append(f"{message['U']} does not follow {last}")
        last, fresh = message["u"], False
    return problems if snapshots and not lost else ["no snapshot"]


class FetchedSnapshotTests(FeedCase):
    """A snapshot by HTTP, while the deltas go on."""

    async def fed(self, lag: int) -> tuple[Rig, Watcher]:
        rig = self.run_feed(Binance)
        rig.simulator.reply_after_s = 0.05
        rig.feed.snapshot_lag = lag
        browser = await rig.browse([TOPIC])
        await rig.subscribed(KEY)
        for _ in range(6):
            rig.feed.publish(KEY)
            await turn(0.02)
        return rig, browser

    async def built(self, rig: Rig, browser: Watcher) -> None:
        """The book stands, and has the last delta."""
        rig.feed.publish(KEY)
        last = rig.journal.told[TOPIC][-1].payload
        await eventually(lambda: last in browser.received(TOPIC))
        deltas = [one.payload for one in rig.journal.told[TOPIC]]
        self.assertEqual(faults_of(browser.received(TOPIC), deltas), [])

    async def test_inside_the_deltas(self) -> None:
        """Those that it holds are left out, the others follow."""
        rig, browser = await self.fed(5)
        await self.built(rig, browser)

    async def test_behind_the_deltas(self) -> None:
        """It holds all that waited."""
        rig, browser = await self.fed(0)
        await self.built(rig, browser)

    async def test_older_than_the_deltas(self) -> None:
        """It is asked for again, until it fits."""
        rig, browser = await self.fed(200)
        await eventually(lambda: len(rig.journal.requests) >= 1)
        rig.feed.snapshot_lag = 0
        await eventually(lambda: any(one is not LOST for one in browser.received(TOPIC)))
        await self.built(rig, browser)
        self.assertGreaterEqual(len(rig.journal.requests), 2)

    async def test_a_missing_delta(self) -> None:
        """The mark, then a new snapshot."""
        rig, browser = await self.fed(0)
        await self.built(rig, browser)
        rig.feed.publish(KEY, lose=True)
        rig.feed.publish(KEY)
        await eventually(lambda: len(rig.journal.requests) == 2)
        await turn(0.1)
        await self.built(rig, browser)
        self.assertIn(LOST, browser.received(TOPIC))

    async def test_a_snapshot_that_does_not_come(self) -> None:
        """An error is asked again; deltas are not published without it."""
        rig = self.run_feed(Binance)
        rig.simulator.replies.append((500, b"oops", {}))
        browser = await rig.browse([TOPIC])
        await rig.subscribed(KEY)
        rig.feed.publish(KEY)
        await eventually(lambda: browser.received(TOPIC))
        await self.built(rig, browser)

    async def test_the_second_browser(self) -> None:
        """It gets a snapshot and what follows, without a hole."""
        rig, browser = await self.fed(0)
        await self.built(rig, browser)
        second = await rig.browse([TOPIC])
        await self.built(rig, second)


class SecondBrowserTests(FeedCase):
    """The snapshot came once, to the first browser; the second one gets it too, and every delta since."""

    async def joined(self, rig: Rig, topic: str, key: str) -> None:
        first = await rig.browse([topic])
        await rig.subscribed(key)
        for _ in range(20):
            rig.feed.publish(key)
        await rig.caught_up(first)
        second = await rig.browse([topic])
        rig.feed.publish(key)
        await rig.caught_up(second)
        self.assertEqual(second.received(topic), first.received(topic))
        self.assertEqual(rig.unaccounted(second), {})
        self.assertEqual(len(second.received(topic)), 22)

    async def test_okx(self) -> None:
        """Links."""
        await self.joined(self.run_feed(Okx), "okx/books/BTC-USDT", "books BTC-USDT")

    async def test_kraken(self) -> None:
        """No numbers."""
        await self.joined(self.run_feed(Kraken), "kraken/book/BTC~2FUSD", "book BTC/USD")

    async def test_bitfinex(self) -> None:
        """Snapshots known by their shape."""
        await self.joined(self.run_feed(Bitfinex), "bitfinex/book/tETHUSD", "book tETHUSD")

    async def test_coinbase(self) -> None:
        """A type of its own."""
        await self.joined(self.run_feed(Coinbase), "coinbase/level2/ETH-USD", "level2 ETH-USD")


class RefreshedSnapshotTests(FeedCase):
    """More deltas than are retained: the snapshot that they stand on is gone, and a fresh one is asked for."""

    TOPIC, KEY = "okx/books/BTC-USDT", "books BTC-USDT"

    def faults(self, received: list[bytes | None]) -> list[str]:
        """What is wrong with a book: there is a snapshot, and each delta follows what stands before it. Before the
        first snapshot, and after a loss until the next one, deltas mean nothing."""
        problems: list[str] = []
        last: int | None = None
        for raw in received:
            if raw is LOST:
                last = None
                continue
            message: dict[str, Any] = json.loads(raw)
            [row] = message["data"]
            if message["action"] == "snapshot":
                last = row["seqId"]
            elif last is not None:
                if row["prevSeqId"] != last:
                    problems.append(f"{row['prevSeqId']} does not follow {last}")
                last = row["seqId"]
        return problems if last is not None else [*problems, "no snapshot"]

    async def test_who_joins_during_the_refresh(self) -> None:
        """One browser has it from the beginning, the second makes it be asked for, the third comes meanwhile: no hole
        and no delta twice, for any of them."""
        inst = "inst: [BTC-USDT, ETH-USDT]}"
        rig = self.run_feed(Okx, edited((inst, f"{inst}\n    deliver: {{history: 5/2m/8MiB}}")))
        first = await rig.browse([self.TOPIC])
        await rig.subscribed(self.KEY)
        for _ in range(20):
            rig.feed.publish(self.KEY)
        await rig.caught_up(first)
        rig.simulator.acks = "held"
        asked = len(rig.journal.texts())
        second = await rig.browse([self.TOPIC])
        rig.feed.publish(self.KEY)
        await eventually(lambda: len(rig.journal.texts()) > asked)
        third = await rig.browse([self.TOPIC])
        rig.simulator.release_acks()
        rig.simulator.acks = "at once"
        await rig.subscribed(self.KEY)
        for _ in range(3):
            rig.feed.publish(self.KEY)
        newest = rig.journal.told[self.TOPIC][-1].payload
        for watcher in (first, second, third):
            await eventually(lambda watcher=watcher: newest in watcher.received(self.TOPIC))
            received = [one for one in watcher.received(self.TOPIC) if one is not LOST]
            self.assertEqual(len(received), len(set(received)))
            self.assertEqual(self.faults(watcher.received(self.TOPIC)), [])
        self.assertEqual(rig.relay.hub.counters.snapshots_refreshed, 1)
        self.assertEqual(sum('"unsubscribe"' in text for text in rig.journal.texts()), 1)
