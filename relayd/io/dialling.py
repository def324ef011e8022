"""The reactor as upstreams see it: with names that have a deadline, and with no way to an address that is not dialled.

`connectTCP` judges what a socket is about to be opened to. Endpoints and HTTP agents come by here with each address
that a look-up gave, whatever the name was and whatever it was a moment ago, so there is nothing between the judgement
and the connect. Relative to a check of names this costs nothing and cannot be rebound.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IHostnameResolver, IReactorPluggableNameResolver
from zope.interface import implementer

from relayd.core.dial_rules import DialRules
from relayd.core.upstream.effects import Loss, LossKind, printable
from relayd.io.names import WITHIN_S


class AddressRefused(ConnectError):
    """An address that is not dialled; `str()` says why and which setting decides."""

    def __init__(self, why: str) -> None:
        super().__init__(string=why)
        self._why = why

    def __str__(self) -> str:
        return self._why


def unreached(error: BaseException | None, host: str, port: int, *, hangs: bool) -> Loss:
    """Why a dial came to nothing, with the place that was dialled; `hangs`: the name has no answer yet."""
    if isinstance(error, DNSLookupError):
        if hangs:
            return Loss(LossKind.DNS, text=f"looking up the name {host} takes longer than {WITHIN_S:g} s")
        return Loss(LossKind.DNS, text=f"the name {host} is not known")
    number = getattr(error, "osError", None)
    why = os.strerror(number) if isinstance(number, int) else printable(str(error))
    return Loss(LossKind.CONNECT, text=f"{host}:{port}: {why}")


@implementer(IReactorPluggableNameResolver)
class DiallingReactor:
    """A reactor with these names in place of its own, and these rules before every connection."""

    def __init__(self, reactor: Any, names: IHostnameResolver, rules: DialRules) -> None:
        self._reactor = reactor
        self._rules = rules
        self.nameResolver = names

    def connectTCP(self, host: str, port: int, *arguments: Any, **settings: Any) -> Any:
        """As Twisted's, with an address. Raises AddressRefused."""
        if why := self._rules.refusal(host):
            raise AddressRefused(why)
        return self._reactor.connectTCP(host, port, *arguments, **settings)

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        previous, self.nameResolver = self.nameResolver, resolver
        return previous

    def __getattr__(self, name: str) -> Any:
        if name.startswith("connect"):
            raise AttributeError(f"{name}: relayd dials by TCP alone, where the address is judged")
        return getattr(self._reactor, name)
