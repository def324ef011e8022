"""Event streams (`transport: sse`) and their faults, by a simulated feed behind the whole program."""

from __future__ import annotations

from tests.feedsim.profiles.wikimedia import Wikimedia
from tests.feedsim.rig import FeedCase, eventually, turn
from tests.feedsim.test_faults import QUICK, edited

CHANGES, PAGES = "mediawiki.recentchange", "mediawiki.page-create"


class StreamTests(FeedCase):
    """Each of them, with the browser's bytes held against the journal."""

    async def read(self, *, cut_at: int = 0, end: str = "\n") -> None:
        """Four messages reach a browser, the last of them after a loss of the connection."""
        rig = self.run_feed(Wikimedia, edited(block=QUICK))
        rig.feed.cut_at, rig.feed.end = cut_at, end
        browser = await rig.browse()
        await rig.subscribed()
        for key in (CHANGES, PAGES):
            rig.feed.publish(key)
        rig.feed.publish(CHANGES)
        await rig.caught_up(browser)
        rig.simulator.cut()
        rig.feed.publish(PAGES)
        await rig.subscribed()
        await rig.caught_up(browser)
        self.assertEqual(rig.unaccounted(browser), {})
        self.assertEqual(rig.session.counters.unknown, 0)

    async def test_chunks_cut_inside_a_line(self) -> None:
        """And inside a character of more than one byte."""
        await self.read(cut_at=30)

    async def test_chunks_cut_between_the_ends_of_a_line(self) -> None:
        """CR in one, LF in the next."""
        await self.read(cut_at=len("event: message\r"), end="\r\n")

    async def test_lines_that_end_with_cr(self) -> None:
        """As very old systems wrote them."""
        await self.read(end="\r")

    async def test_too_many_connections(self) -> None:
        """429 with Retry-After: not dialled before that, and browsers are told."""
        rig = self.run_feed(Wikimedia, edited(block=QUICK))
        rig.simulator.refuse(429, b"Too Many Requests", Retry_After="1")
        browser = await rig.browse()
        await rig.subscribed()
        first, second = rig.journal.connects
        self.assertGreaterEqual(second.at - first.at, 1.0)
        refused = ("pending", "the upstream refused the connection")
        self.assertEqual(browser.states("wikimedia/" + CHANGES)[:1], [refused])

    async def test_a_pause_that_the_feed_asks_for(self) -> None:
        """`retry:` before the stream ends."""
        rig = self.run_feed(Wikimedia, edited(block=QUICK))
        await rig.browse()
        await rig.subscribed()
        [peer] = rig.simulator.open
        peer.chunk(b"retry: 600\n\n")
        peer.chunk(b"")
        await eventually(lambda: "the stream ended" in rig.session.why)
        await turn(0.4)
        self.assertEqual(len(rig.journal.connects), 1)
        await eventually(lambda: len(rig.journal.connects) == 2)

    async def test_comments_are_beats(self) -> None:
        """They keep `silence.any` quiet; without them it ends the connection."""
        rig = self.run_feed(Wikimedia, edited(block="    silence: {any: 400ms}\n" + QUICK))
        await rig.browse()
        await rig.subscribed()
        [peer] = rig.simulator.open
        for _ in range(8):
            await turn(0.1)
            peer.chunk(b":\n\n")
        self.assertEqual(len(rig.journal.connects), 1)
        await eventually(lambda: len(rig.journal.connects) == 2)
        self.assertIn("no frame for silence.any", rig.session.why)

    async def test_another_page(self) -> None:
        """200 with HTML is no stream."""
        rig = self.run_feed(Wikimedia, edited(block=QUICK))
        rig.simulator.handshakes.append(lambda peer: peer.reply(200, b"<html>", {"Content-Type": "text/html"}))
        browser = await rig.browse()
        await rig.subscribed()
        other = ("pending", "the upstream answers in another protocol")
        self.assertEqual(browser.states("wikimedia/" + CHANGES)[:1], [other])

    async def test_topics_change(self) -> None:
        """They stand in the URL: a new stream, from the id of the last event on."""
        rig = self.run_feed(Wikimedia, edited(("settle: 5s", "settle: 100ms"), block=QUICK))
        first = await rig.browse(["wikimedia/" + CHANGES])
        await rig.subscribed(CHANGES)
        rig.feed.publish(CHANGES)
        await rig.caught_up(first)
        await rig.browse(["wikimedia/" + PAGES])
        await rig.subscribed()
        self.assertIn("last-event-id", rig.journal.connects[-1].headers)
        rig.feed.publish(CHANGES)
        await rig.caught_up(first)
        self.assertEqual(rig.unaccounted(first), {})
