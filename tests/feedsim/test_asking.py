"""How topics are asked for: what confirms them, how many go into one message, how fast."""

from __future__ import annotations

import json

from relayd.core.upstream.topics import Phase
from tests.feedsim.profile import Profile
from tests.feedsim.profiles.binance import Binance
from tests.feedsim.profiles.bitstamp import Bitstamp
from tests.feedsim.profiles.coinbase import Coinbase
from tests.feedsim.profiles.htx import Htx
from tests.feedsim.profiles.kabu import Kabu
from tests.feedsim.profiles.mempool import Mempool
from tests.feedsim.profiles.okx import Okx
from tests.feedsim.profiles.twelvedata import TwelveData
from tests.feedsim.rig import FeedCase, eventually, turn

COINS = [f"{name}usdt" for name in ("btc", "eth", "xrp", "ada", "sol")]


class AckTests(FeedCase):
    """What confirms a subscription before any data."""

    async def confirmed(self, profile: type[Profile]) -> None:
        rig = self.run_feed(profile)
        await rig.browse()
        await eventually(lambda: rig.session.topics.phases())

        def all_are() -> bool:
            return {phase for phase, _ in rig.session.topics.phases().values()} <= {Phase.CONFIRMED, Phase.LIVE}

        await eventually(all_are)
        await eventually(lambda: rig.session.counters.acks >= len(rig.feed.topics))
        self.assertEqual(rig.session.counters.unknown, 0)

    async def test_by_id(self) -> None:
        """The id of the request comes back."""
        await self.confirmed(Htx)

    async def test_by_fields(self) -> None:
        """The ack names the topic."""
        await self.confirmed(Okx)

    async def test_by_the_whole_list(self) -> None:
        """The ack states all that is subscribed."""
        await self.confirmed(Coinbase)

    async def test_by_a_list_of_those_that_were_taken(self) -> None:
        """Without an id of what was asked."""
        await self.confirmed(TwelveData)

    async def test_by_the_reply(self) -> None:
        """The reply to an HTTP request."""
        await self.confirmed(Kabu)


class MessageTests(FeedCase):
    """What goes into one message."""

    async def test_batch(self) -> None:
        """Members at most."""
        rig = self.run_feed(Binance, lambda text: text.replace("batch: 200", "batch: 2"))
        await rig.browse([f"binance/trade/{coin}" for coin in COINS])
        await rig.subscribed(*(f"{coin}@trade" for coin in COINS))
        self.assertEqual([len(json.loads(text)["params"]) for text in rig.journal.texts()], [2, 2, 1])

    async def test_bytes(self) -> None:
        """Length at most."""
        rig = self.run_feed(Okx, lambda text: text.replace("bytes: 65536", "bytes: 130"))
        await rig.browse([f"okx/tickers/{name}-USDT" for name in ("A", "B", "C", "D", "E")])
        await rig.subscribed(*(f"tickers {name}-USDT" for name in ("A", "B", "C", "D", "E")))
        lengths = [len(text) for text in rig.journal.texts()]
        self.assertGreater(len(lengths), 1)
        self.assertLessEqual(max(lengths), 130)


    async def test_whole(self) -> None:
        """One topic more is all of them again: the feed would end what it is not told."""
        rig = self.run_feed(Mempool)
        first = await rig.browse(["mempool/blocks"])
        await rig.subscribed("blocks")
        second = await rig.browse(["mempool/stats"])
        await rig.subscribed("blocks", "stats")
        for key in ("blocks", "stats"):
            rig.feed.publish(key)
        await rig.caught_up_with(first, "mempool/blocks")
        await rig.caught_up_with(second, "mempool/stats")


class PaceTests(FeedCase):
    """Rates that the feed counts itself."""

    async def test_connects(self) -> None:
        """An upstream that drops us at once is not dialled faster than its limit, however short the backoff."""
        quick = "    reconnect: {min: 1ms, max: 2ms}\nroutes:\n"
        rig = self.run_feed(Okx, lambda text: text.replace("routes:\n", quick, 1))
        rig.simulator.close_after(0.0)
        await rig.browse()
        await turn(2.5)
        self.assertGreaterEqual(len(rig.journal.connects), 5)
        self.assertEqual((rig.broken_limits(), rig.journal.offences), ([], []))

    async def test_subscribes(self) -> None:
        """`limits.subscribe` counts only what subscribes."""
        rig = self.run_feed(Okx, lambda text: text.replace("480/1h", "2/1s"))
        for name in "ABCDE":
            await rig.browse([f"okx/tickers/{name}-USDT"])
            await turn(0.02)
        await rig.subscribed(*(f"tickers {name}-USDT" for name in "ABCDE"))
        self.assertEqual(rig.broken_limits(), [])

    async def test_requests(self) -> None:
        """`limits.http` counts the steps before the connection too."""
        rig = self.run_feed(Kabu, lambda text: text.replace("http: 10/1s", "http: 3/1s"))
        for number in range(6):
            await rig.browse([f"kabu/1/900{number}"])
            await turn(0.05)
        await rig.subscribed(*(f"900{number}@1" for number in range(6)))
        self.assertEqual(rig.broken_limits(), [])


class AgeTests(FeedCase):
    """Connections that end by their age."""

    async def test_max_age(self) -> None:
        """A new one takes over, and what was wanted is subscribed there."""
        rig = self.run_feed(Bitstamp, lambda text: text.replace("max_age: 89d", "max_age: 400ms"))
        browser = await rig.browse()
        await rig.subscribed()
        for key in rig.feed.topics.values():
            rig.feed.publish(key)
        await eventually(lambda: len(rig.journal.connects) == 2)
        await eventually(lambda: len(rig.simulator.open[-1:]) == 1 and len(rig.simulator.open[-1].subscribed) == 2)
        for key in rig.feed.topics.values():
            rig.feed.publish(key)
        await rig.caught_up(browser)
        self.assertEqual(rig.unaccounted(browser), {})


class DataTests(FeedCase):
    """What is data, where acks carry the same fields."""

    async def test_when(self) -> None:
        """Only what matches is published."""
        rig = self.run_feed(
            Bitstamp, lambda text: text.replace('unless: {event: "bts:*"}', "when: {event: [trade, data]}")
        )
        browser = await rig.browse()
        await rig.subscribed()
        for key in rig.feed.topics.values():
            rig.feed.publish(key)
        await rig.caught_up(browser)
        self.assertEqual(rig.unaccounted(browser), {})
