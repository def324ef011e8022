"""The graceful stop on real sockets: who is closed when, and that it ends."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import TestCase

from relayd.core.drain import Drain, DrainSettings, Stage
from relayd.io.drain import Draining
from tests.support.relay_rig import Relay, eventually


class DrainingTests(TestCase):
    """A relay whose time the test moves."""

    def setUp(self) -> None:
        self.now = 100.0
        self.relay = Relay(monotonic=lambda: self.now)
        self.relay.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.relay.close()))
        self.doors: list[str] = []
        self.others = 0

    def draining(self, **settings: float) -> Draining:
        return Draining(
            Drain(DrainSettings(**settings)),
            self.relay.clients,
            lambda: self.now,
            close_doors=self.close_doors,
            others=lambda: self.others,
        )

    def close_doors(self) -> Any:
        self.doors.append("closed")

    def tick(self, draining: Draining, seconds: float = 0.1) -> None:
        self.now += seconds
        if draining.next_deadline() <= self.now:
            draining.tick(self.now)

    async def test_a_few_at_a_time(self) -> None:
        """At the pace, who came first goes first; the doors are closed once."""
        browsers = [await self.relay.browse("/ws") for _ in range(25)]
        draining = self.draining(over_s=10.0)
        gone = draining.run()
        await eventually(lambda: sum(browser.lost is not None for browser in browsers) == 10)
        assert all(browser.lost is not None for browser in browsers[:10])
        self.tick(draining)
        self.tick(draining)
        await eventually(lambda: all(browser.lost is not None for browser in browsers))
        await eventually(lambda: not self.relay.clients.open)
        assert not gone.called
        self.tick(draining)
        await gone
        assert draining.drain.stage is Stage.GONE
        assert self.doors == ["closed"]

    async def test_requests_are_waited_for(self) -> None:
        """Not longer than anybody else."""
        self.others = 1
        draining = self.draining(over_s=1.0)
        gone = draining.run()
        for _ in range(29):
            self.tick(draining)
        assert not gone.called
        self.tick(draining, 0.5)
        await gone

    async def test_hurry(self) -> None:
        """Before the stop nothing; then everybody at once."""
        browsers = [await self.relay.browse("/ws") for _ in range(25)]
        draining = self.draining(notice_s=60.0)
        draining.hurry()
        gone = draining.run()
        assert self.doors == []
        draining.hurry()
        await eventually(lambda: all(browser.lost is not None for browser in browsers))
        await eventually(lambda: not self.relay.clients.open)
        self.tick(draining)
        await gone
        self.tick(draining, 60)

    async def test_a_door_that_does_not_close(self) -> None:
        """Is logged, and holds nobody up."""
        self.close_doors = lambda: fail(OSError("no"))
        await self.relay.browse("/ws")
        draining = self.draining(over_s=0.0)
        gone = draining.run()
        self.tick(draining, 3.0)
        await gone
        assert len(self.flushLoggedErrors(OSError)) == 1
