"""Host names of upstreams, looked up with a deadline.

Twisted looks names up in a pool of ten threads without any deadline: ten names that hang keep every other upstream from
being dialled. Here each name in question has a thread of its own, never two, and nobody waits longer than `WITHIN_S`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from threading import Thread
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer

WITHIN_S = 5.0
"""A resolver that has not answered by then has two servers that do not answer."""

LOOKUPS_MOST = 1_000
"""Names in question at once, each with its thread; beyond, a name is as one that nobody knows (guess: ten times the
upstreams of a large relay; a thread that waits for an answer holds 100 KB)."""

Found = tuple[type[IPv4Address] | type[IPv6Address], str]
"""A kind of address, and the address."""


@implementer(IHostResolution)
class _Waiter:
    """Somebody who waits for a name."""

    def __init__(self, name: str, receiver: IResolutionReceiver, port: int) -> None:
        self.name = name
        self._receiver: IResolutionReceiver | None = receiver
        self._port = port
        self.deadline: Any = None

    def answer(self, found: Sequence[Found]) -> None:
        """Hand the addresses on, once."""
        if self.deadline is not None and self.deadline.active():
            self.deadline.cancel()
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            for kind, host in found:
                receiver.addressResolved(kind("TCP", host, self._port))
            receiver.resolutionComplete()

    def cancel(self) -> None:
        self.answer(())


@implementer(IHostnameResolver)
class Names:
    """Looks names up by the system's resolver (hosts file, search domains and all)."""

    def __init__(
        self, reactor: Any, lookup: Callable[..., Any] = socket.getaddrinfo, within_s: float = WITHIN_S
    ) -> None:
        self._reactor = reactor
        self._lookup = lookup
        self._within_s = within_s
        self._waiting: dict[str, list[_Waiter]] = {}

    def hangs(self, name: str) -> bool:
        """Whether the system has not answered yet."""
        return name in self._waiting

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        waiter = _Waiter(hostName, resolutionReceiver, portNumber)
        resolutionReceiver.resolutionBegan(waiter)
        if isIPAddress(hostName):
            waiter.answer([(IPv4Address, hostName)])
        elif isIPv6Address(hostName):
            waiter.answer([(IPv6Address, hostName)])
        elif hostName not in self._waiting and len(self._waiting) >= LOOKUPS_MOST:
            waiter.answer(())
        else:
            waiter.deadline = self._reactor.callLater(self._within_s, waiter.answer, ())
            waiting = self._waiting.get(hostName)
            if waiting is None:
                waiting = self._waiting[hostName] = []
                # A daemon: a resolver that hangs must not keep the process from ending.
                Thread(target=self._look_up, args=(hostName,), name=f"dns {hostName}", daemon=True).start()
            waiting.append(waiter)
        return waiter

    def _look_up(self, name: str) -> None:
        found: list[Found] = []
        try:
            for family, _, _, _, address in self._lookup(name, 0, socket.AF_UNSPEC, socket.SOCK_STREAM):
                kind = IPv6Address if family == socket.AF_INET6 else IPv4Address
                found.append((kind, str(address[0])))
        except (OSError, UnicodeError):
            pass
        finally:
            self._reactor.callFromThread(self._found, name, found)

    def _found(self, name: str, found: Sequence[Found]) -> None:
        for waiter in self._waiting.pop(name):
            waiter.answer(found)
