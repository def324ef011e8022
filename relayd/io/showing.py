"""What the guard alone has seen of a handshake, handed on beside the clean head that Autobahn reads: who it is, and
what an upstream of its own wants of it. The clean head holds neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

from twisted.internet.interfaces import IAddress, IProtocolFactory
from zope.interface import implementer

from relayd.core.auth.credentials import Credential
from relayd.core.bridge import Brought
from relayd.core.meter import MeterLimits


class Building(Protocol):
    """A factory whose protocols are told what was shown."""

    def buildProtocol(self, addr: IAddress | None, shown: Credential, brought: Brought) -> Any: ...


@implementer(IProtocolFactory)
class ShowingFactory:
    """The factory of one connection, with the limits of what its client may send."""

    def __init__(self, factory: Building, shown: Credential, brought: Brought, meter_limits: MeterLimits) -> None:
        self.meter_limits = meter_limits
        self._factory = factory
        self._shown = shown
        self._brought = brought

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self._factory.buildProtocol(addr, self._shown, self._brought)

    def doStart(self) -> None:
        """The listener starts the guard's factory alone."""

    def doStop(self) -> None:
        """As `doStart`."""


def read_query(query: str, names: frozenset[str]) -> Mapping[str, str]:
    """The arguments of these names, the first of each."""
    if not names:
        return {}
    pairs = parse_qsl(query, keep_blank_values=True)
    return {name: value for name, value in reversed(pairs) if name in names}
