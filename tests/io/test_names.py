"""Tests of relayd.io.names: a name that hangs holds up nobody else."""

from __future__ import annotations

import socket
import threading
from typing import Any

from twisted.internet import reactor as real_reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IHostnameResolver, IResolutionReceiver
from twisted.internet.protocol import Factory
from twisted.trial.unittest import TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from relayd.core.dial_rules import DialRules
from relayd.io import names as io_names
from relayd.io.dialling import DiallingReactor
from relayd.io.names import Names

reactor: Any = real_reactor


@implementer(IResolutionReceiver)
class Receiver:
    """Collects addresses."""

    def __init__(self) -> None:
        self.addresses: list[Any] = []
        self.complete: Deferred[list[Any]] = Deferred()
        self.completions = 0

    def resolutionBegan(self, resolutionInProgress: Any) -> None:
        self.resolution = resolutionInProgress

    def addressResolved(self, address: Any) -> None:
        self.addresses.append(address)

    def resolutionComplete(self) -> None:
        self.completions += 1
        if not self.complete.called:
            self.complete.callback(self.addresses)


class NamesTests(TestCase):
    """Looking up by the system's resolver, in threads."""

    timeout = 10

    def setUp(self) -> None:
        self.asked: list[str] = []
        self.hold = threading.Event()
        self.addCleanup(self.hold.set)

    def lookup(self, name: str, port: int, family: int, kind: int) -> list[Any]:
        self.asked.append(name)
        if name.startswith("slow"):
            self.hold.wait(5)
        if name.startswith("no"):
            raise socket.gaierror("unknown")
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 0, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0)),
        ]

    def names(self, within_s: float = 5.0) -> Names:
        return Names(reactor, self.lookup, within_s)

    def ask(self, names: Names, name: str) -> Receiver:
        receiver = Receiver()
        names.resolveHostName(receiver, name, 443)
        return receiver

    async def test_addresses(self) -> None:
        """Both kinds, with the port, in the resolver's order."""
        found = await self.ask(self.names(), "feed.example").complete
        self.assertEqual(found, [IPv6Address("TCP", "2001:db8::1", 443), IPv4Address("TCP", "192.0.2.1", 443)])

    async def test_literals(self) -> None:
        """What is an address already is looked up nowhere."""
        names = self.names()
        self.assertEqual(await self.ask(names, "192.0.2.7").complete, [IPv4Address("TCP", "192.0.2.7", 443)])
        self.assertEqual(await self.ask(names, "2001:db8::7").complete, [IPv6Address("TCP", "2001:db8::7", 443)])
        self.assertEqual(self.asked, [])

    async def test_unknown(self) -> None:
        """No addresses."""
        self.assertEqual(await self.ask(self.names(), "no.example").complete, [])

    async def test_a_name_that_hangs(self) -> None:
        """Its waiters are let go in time, others are looked up meanwhile, and it never has a second thread."""
        names = self.names(within_s=0.05)
        first, second = self.ask(names, "slow.example"), self.ask(names, "slow.example")
        self.assertEqual(len(await self.ask(names, "feed.example").complete), 2)
        self.assertEqual((await first.complete, await second.complete), ([], []))
        self.assertTrue(names.hangs("slow.example"))
        third = self.ask(names, "slow.example")
        self.hold.set()
        self.assertEqual(len(await third.complete), 2)
        self.assertFalse(names.hangs("slow.example"))
        self.assertEqual(self.asked.count("slow.example"), 1)
        self.assertEqual((first.completions, first.addresses), (1, []))

    async def test_cancelled(self) -> None:
        """Who no longer waits is told once, and hears nothing later."""
        names = self.names()
        receiver = self.ask(names, "slow.example")
        receiver.resolution.cancel()
        self.assertEqual(await receiver.complete, [])
        last = self.ask(names, "slow.example")
        self.hold.set()
        await last.complete
        self.assertEqual(receiver.completions, 1)

    async def test_in_an_endpoint(self) -> None:
        """HostnameEndpoint uses it, and a deadline that passed is a failed look-up."""
        endpoint = HostnameEndpoint(
            DiallingReactor(reactor, self.names(within_s=0.01), DialRules()), "slow.example", 443
        )
        with self.assertRaises(DNSLookupError):
            await endpoint.connect(Factory())

    async def test_too_many_at_once(self) -> None:
        """Beyond the bound a name is unknown at once; who asks for one that is in question waits with the others."""
        self.patch(io_names, "LOOKUPS_MOST", 2)
        names = self.names()
        first, second = self.ask(names, "slow1.example"), self.ask(names, "slow2.example")
        self.assertEqual(await self.ask(names, "feed.example").complete, [])
        again = self.ask(names, "slow1.example")
        self.hold.set()
        for waiting in (first, second, again):
            self.assertEqual(len(await waiting.complete), 2)
        self.assertNotIn("feed.example", self.asked)
        self.assertEqual(len(await self.ask(names, "feed.example").complete), 2)

    def test_interfaces(self) -> None:
        """What Twisted asks for is there."""
        verifyObject(IHostnameResolver, self.names())
