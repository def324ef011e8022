"""Several connections, and changes of connection without a gap: the browser has what the feed's journal holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from tests.feedsim.journal import LOST
from tests.feedsim.profiles.binance import Binance
from tests.feedsim.profiles.bitfinex import Bitfinex
from tests.feedsim.profiles.bitstamp import Bitstamp
from tests.feedsim.profiles.jetstream import Jetstream
from tests.feedsim.profiles.okx import Okx
from tests.feedsim.rig import FeedCase, Rig, Watcher, eventually, turn
from tests.feedsim.test_faults import QUICK, edited

BITSTAMP_DRAINS = '- {when: {event: "bts:request_reconnect"}, do: drain'


class TakeoverCase(FeedCase):
    """A feed that goes on talking while its connection changes."""

    async def talks_until(self, rig: Rig, condition: Callable[[], Any], *keys: str) -> None:
        """A message of each key every few milliseconds, until the condition holds and some time longer."""
        more = 5
        for _ in range(2000):
            for key in keys or tuple(rig.feed.topics.values()):
                rig.feed.publish(key)
            await turn(0.002)
            more -= bool(condition())
            if more < 0:
                return
        raise AssertionError("it did not come true")

    async def check(self, rig: Rig, watcher: Watcher) -> None:
        """Byte for byte, and without a mark."""
        await rig.caught_up(watcher)
        self.assertEqual(rig.unaccounted(watcher), {})
        lost = [topic for topic in rig.journal.told if LOST in watcher.received(topic)]
        self.assertEqual(lost, [])
        self.assertEqual(rig.journal.offences, [])

    def renewed(self, rig: Rig, connects: int = 2) -> Callable[[], bool]:
        """Whether the newest of so many connections is the only one."""
        return lambda: len(rig.journal.connects) == connects and [peer.number for peer in rig.simulator.open] == [
            connects
        ]


class DrainTests(TakeoverCase):
    """The feed says that it will end the connection."""

    async def test_binance(self) -> None:
        """`!serverShutdown`: trades are joined by their bytes, the book at its snapshot."""
        rig = self.run_feed(Binance, edited(("status: {429", "min: 50ms, max: 200ms, status: {429")))
        watcher = await rig.browse(["binance/trade/ethusdt", "binance/aggTrade/btcusdt"])
        keys = ("ethusdt@trade", "btcusdt@aggTrade")
        await rig.subscribed(*keys)
        rig.feed.publish(keys[0])
        rig.feed.shut_down()
        await self.talks_until(rig, self.renewed(rig), *keys)
        await self.check(rig, watcher)
        self.assertEqual((rig.fleet.moved, rig.broken_limits()), (2, []))

    async def test_okx(self) -> None:
        """The notice of 60 s; the book is joined at its snapshot."""
        rig = self.run_feed(Okx, edited(block=QUICK))
        watcher = await rig.browse()
        await rig.subscribed()
        rig.feed.publish("tickers BTC-USDT")
        rig.feed.publish("books BTC-USDT")
        rig.feed.publish("trades ETH-USDT")
        await rig.caught_up(watcher)
        rig.feed.give_notice()
        await self.talks_until(rig, self.renewed(rig), "tickers BTC-USDT", "trades ETH-USDT")
        await self.check(rig, watcher)
        self.assertEqual(rig.fleet.moved, 3)

    async def test_to_another_address(self) -> None:
        """The message says where the next connection goes."""
        rig = self.run_feed(Bitstamp, edited((BITSTAMP_DRAINS, f"{BITSTAMP_DRAINS}, url: data.url"), block=QUICK))
        watcher = await rig.browse()
        await rig.subscribed()
        for peer in rig.simulator.open:
            peer.say({"event": "bts:request_reconnect", "data": {"url": f"ws://{rig.simulator.host}/next?id=7"}})
        await self.talks_until(rig, self.renewed(rig))
        await self.check(rig, watcher)
        self.assertEqual([one.target for one in rig.journal.connects], ["/", "/next?id=7"])

    async def test_by_age(self) -> None:
        """`connect.max_age`."""
        rig = self.run_feed(Bitstamp, edited(("max_age: 89d", "max_age: 600ms")))
        watcher = await rig.browse()
        await rig.subscribed()
        await self.talks_until(rig, self.renewed(rig))
        await self.check(rig, watcher)

    async def test_the_new_one_fails_at_first(self) -> None:
        """The old one goes on until it succeeds."""
        rig = self.run_feed(Bitstamp, edited(block=QUICK))
        watcher = await rig.browse()
        await rig.subscribed()
        rig.simulator.refuse(503)
        rig.simulator.refuse(503)
        rig.feed.ask_to_reconnect()
        await self.talks_until(rig, self.renewed(rig, 4))
        await self.check(rig, watcher)

    async def test_the_old_one_is_cut_first(self) -> None:
        """An ordinary loss: what is missing is marked."""
        rig = self.run_feed(Bitstamp, edited(block=QUICK))
        watcher = await rig.browse()
        await rig.subscribed()
        for key in rig.feed.topics.values():
            rig.feed.publish(key)
        await rig.caught_up(watcher)
        for _ in range(200):
            rig.simulator.refuse(503)
        rig.feed.ask_to_reconnect()
        await eventually(lambda: len(rig.journal.connects) > 1)
        rig.simulator.cut()
        rig.simulator.handshakes.clear()
        for key in rig.feed.topics.values():
            rig.feed.publish(key)
        await rig.subscribed()
        for key in rig.feed.topics.values():
            rig.feed.publish(key)
        await rig.caught_up(watcher)
        self.assertEqual(rig.unaccounted(watcher), {})
        self.assertTrue(all(LOST in watcher.received(topic) for topic in rig.feed.topics))


class UrlTests(TakeoverCase):
    """Topics that stand in the URL."""

    async def test_one_topic_more(self) -> None:
        """A new connection with both, and the first goes on meanwhile; what both bring is published once."""
        rig = self.run_feed(Jetstream, edited(("settle: 5s", "settle: 50ms")))
        post, like = rig.feed.topics
        first = await rig.browse([post])
        await rig.subscribed(rig.feed.topics[post])
        await self.talks_until(rig, lambda: True, rig.feed.topics[post])
        watcher = await rig.browse([like])
        await self.talks_until(rig, self.renewed(rig), rig.feed.topics[post])
        rig.feed.publish(rig.feed.topics[like])
        await rig.caught_up_with(first, post)
        await rig.caught_up_with(watcher, like)
        self.assertNotIn(LOST, first.received(post))
        self.assertEqual(rig.journal.offences, [])
        sent = [one.payload for one in rig.journal.told[post]]
        self.assertEqual(first.received(post), sent)
        self.assertEqual(rig.fleet.moved, 1)


class CursorTests(TakeoverCase):
    """A feed that is resumed from a point, whose connection changes: nothing comes twice, and nothing is missing."""

    QUICK_JETSTREAM = (("settle: 5s", "settle: 50ms"), ("reconnect: {", "reconnect: {min: 50ms, max: 200ms, "))

    async def test_by_age(self) -> None:
        """`connect.max_age`: the new connection replays what both know."""
        query = "query: {wantedCollections"
        rig = self.run_feed(Jetstream, edited(*self.QUICK_JETSTREAM, (query, "max_age: 600ms\n      " + query)))
        watcher = await rig.browse()
        await rig.subscribed()
        await self.talks_until(rig, self.renewed(rig))
        await self.check(rig, watcher)
        self.assertEqual(rig.fleet.moved, 2)

    async def test_the_old_one_is_cut_first(self) -> None:
        """While the new one is refused, the old one goes on, and is lost: the new one begins where that ended."""
        rig = self.run_feed(Jetstream, edited(*self.QUICK_JETSTREAM))
        post, like = rig.feed.topics
        key = rig.feed.topics[post]
        first = await rig.browse([post])
        await rig.subscribed(key)
        rig.feed.publish(key)
        await rig.caught_up_with(first, post)
        for _ in range(200):
            rig.simulator.refuse(503)
        await rig.browse([like])
        await eventually(lambda: len(rig.journal.connects) > 1)
        for _ in range(3):
            rig.feed.publish(key)
        await rig.caught_up_with(first, post)
        rig.simulator.cut()
        rig.feed.publish(key)
        rig.simulator.handshakes.clear()
        await rig.subscribed()
        rig.feed.publish(key)
        await rig.caught_up_with(first, post)
        self.assertEqual(first.received(post), [one.payload for one in rig.journal.told[post]])
        self.assertEqual([state for state, _ in first.states(post)][-2:], ["reconnecting", "live"])


class ManyTopicsTests(TakeoverCase):
    """More topics than one connection holds."""

    NAMES: ClassVar = [f"tAA{first}{second}SD" for first in "ABCDEF" for second in "ABCDEFGHIJ"]

    async def test_sixty_over_three(self) -> None:
        """25 channels a connection: three are opened, each channel is on one; they go when nobody listens any more."""
        rig = self.run_feed(Bitfinex, lambda text: text.replace("allow:", "linger: 50ms\n    allow:"))
        rig.feed.topic_of |= {f"trades {name}": f"bitfinex/trades/{name}" for name in self.NAMES}
        topics = [f"bitfinex/trades/{name}" for name in self.NAMES]
        keys = [f"trades {name}" for name in self.NAMES]
        stays = await rig.browse(topics[:5])
        goes = await rig.browse(topics[5:])
        await rig.subscribed(*keys)
        self.assertEqual(sorted(len(peer.subscribed) for peer in rig.simulator.open), [10, 25, 25])
        for key in keys:
            rig.feed.publish(key)
        for watcher, mine in ((stays, topics[:5]), (goes, topics[5:])):
            for topic in mine:
                await rig.caught_up_with(watcher, topic)
                self.assertEqual(watcher.received(topic), [one.payload for one in rig.journal.told[topic]])
        self.assertEqual([len(link.session.topics) for link in rig.fleet.links], [25, 25, 10])
        self.assertEqual(rig.fleet.counters.connected, 3)
        goes.browser.transport.abortConnection()
        await eventually(lambda: len(rig.simulator.open) == 1)
        await eventually(lambda: len(list(rig.fleet.all)) == 1)
        rig.feed.publish(keys[0])
        await rig.caught_up_with(stays, topics[0])
        self.assertNotIn(LOST, stays.received(topics[0]))
        self.assertEqual(len(rig.journal.connects), 3)
        self.assertEqual(rig.journal.offences, [])

    async def test_as_many_as_are_allowed(self) -> None:
        """`limits.connections: 2`: what does not fit fails with the reason, and comes in when a place frees."""
        rig = self.run_feed(
            Bitfinex,
            lambda text: text.replace("{topics: 25, ", "{topics: 25, connections: 2, ").replace(
                "allow:", "linger: 50ms\n    allow:"
            ),
        )
        topics = [f"bitfinex/trades/{name}" for name in self.NAMES[:51]]
        goes = await rig.browse(topics[:1])
        await rig.subscribed(f"trades {self.NAMES[0]}")
        stays = await rig.browse(topics[1:])
        await eventually(lambda: stays.states(topics[-1]))
        self.assertEqual(stays.states(topics[-1]), [("failed", "limits.topics of upstream bitfinex is reached (25)")])
        self.assertEqual(len(rig.simulator.open), 2)
        goes.browser.transport.abortConnection()
        await rig.subscribed(f"trades {self.NAMES[50]}")
        self.assertEqual(stays.states(topics[-1])[-1], ("pending", ""))
        self.assertEqual(len(rig.journal.connects), 2)

    async def test_while_one_takes_over(self) -> None:
        """The last slot is held by a takeover: what is asked for meanwhile is pending, and comes when it is over."""
        rig = self.run_feed(Bitstamp, edited(block=QUICK + "    limits: {topics: 1, connections: 2}\n"))
        one, other = list(rig.feed.topics)[:2]
        key = rig.feed.topics[one]
        stays = await rig.browse([one])
        await rig.subscribed(key)
        rig.feed.publish(key)
        await rig.caught_up_with(stays, one)
        for _ in range(200):
            rig.simulator.refuse(503)
        rig.feed.ask_to_reconnect()
        await eventually(lambda: len(rig.journal.connects) > 1)
        waits = await rig.browse([other])
        rig.feed.publish(key)
        await rig.caught_up_with(stays, one)
        self.assertEqual([state for state, _ in waits.states(other) if state != "pending"], [])
        self.assertEqual(rig.fleet.counters.topics_waiting, 1)
        rig.simulator.handshakes.clear()
        await self.talks_until(rig, lambda: len(rig.simulator.open) == 2 and rig.fleet.moved == 1, key)
        await rig.subscribed(key, rig.feed.topics[other])
        rig.feed.publish(rig.feed.topics[other])
        await rig.caught_up_with(waits, other)
        self.assertNotIn(LOST, stays.received(one))
