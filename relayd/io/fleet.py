"""The sockets of one upstream, over all its links: each has an UpstreamService while the fleet knows of it."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults

from relayd.core.demand import Demand
from relayd.core.feed.publish import Upward
from relayd.core.upstream.fleet import Fleet
from relayd.core.upstream.link import Link
from relayd.core.upstream.session import UpstreamSession
from relayd.core.upstream.speaking import away
from relayd.core.upstream.states import State
from relayd.core.wayup import WayUp
from relayd.io.ticker import Ticker
from relayd.io.upstream import UpstreamService


class FleetService(Service):
    """One upstream. The hub speaks to `demand`; runs from startService until the Deferred of stopService fires."""

    def __init__(
        self,
        fleet: Fleet[Any],
        ticker: Ticker,
        monotonic: Callable[[], float],
        serve: Callable[[UpstreamSession[Any], WayUp | None], UpstreamService],
    ) -> None:
        """`serve` makes the sockets of a session, and gives what clients publish that way."""
        self.setName(f"upstream {fleet.name}")
        self.fleet = fleet
        self.demand: Demand[Any] = Demand(fleet, monotonic=monotonic, wake=ticker.wake)
        self.way = WayUp(self._speak, lambda place: ticker.report(place))
        self._ticker = ticker
        self._serve = serve
        self._services: dict[Link[Any], UpstreamService] = {}
        self._ending: set[Deferred[None]] = set()

    def startService(self) -> None:
        super().startService()
        self._ticker.add(self)
        self._meet()

    def stopService(self) -> Deferred[Any]:
        """Says goodbye on every connection; fires when all have ended, two seconds later at most."""
        super().stopService()
        self._ticker.remove(self)
        for link in list(self._services):
            self._part(link)
        return gatherResults(list(self._ending))

    def next_deadline(self) -> float:
        """For the ticker, which may ask once more after the end."""
        if not self.running:
            return inf
        if self._services.keys() != set(self.fleet.present):
            return -inf
        return min(self.fleet.next_deadline(), self.demand.next_deadline())

    def tick(self, now: float) -> None:
        """For the ticker."""
        self.demand.tick(now)
        self.fleet.tick(now)
        self._meet()

    def _speak(self, upward: Upward) -> None:
        """A client publishes. Raises TopicRefused."""
        service = self.main
        if service is None:
            raise away(State.STOPPED, inf, 0.0)
        service.speak(upward)

    @property
    def certificate_ends_at(self) -> float | None:
        """When the first certificate ends that the upstream shows, in wall seconds; None = it has shown none."""
        shown = [service.certificate_ends_at for service in self._services.values()]
        return min((one for one in shown if one is not None), default=None)

    @property
    def main(self) -> UpstreamService | None:
        """The sockets of the session that stands for the upstream; None = it is not running."""
        session = self.fleet.main
        return next((one for one in self._services.values() if one.session is session), None)

    def _meet(self) -> None:
        """Links come and go."""
        links = list(self.fleet.all)
        for link in list(self._services):
            if link not in links:
                self._part(link)
        for link in links:
            if link not in self._services:
                self._services[link] = service = self._serve(link.session, self.way if link.main else None)
                service.startService()

    def _part(self, link: Link[Any]) -> None:
        ended = self._services.pop(link).stopService()
        self._ending.add(ended)
        ended.addCallback(lambda _: self._ending.discard(ended))
