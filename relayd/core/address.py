"""Whose request is it: the address behind trusted proxies, and the key under which connections of one visitor are
counted.

Anybody can send `X-Forwarded-For`, so only what trusted proxies wrote counts. Each proxy appends the address it
saw, so the list is read from the right: entries that are trusted proxies themselves are passed over, and the first
that is not is the client. Counting a fixed number of entries, or reading from the left, lets the client choose its
address.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

#: One customer of an access provider holds a /64, so a client counts by it (RFC 6177).
_IPV6_CLIENT_BITS: Final = 64
#: A proxy chain is short; more entries than these are an attempt to make relayd work (guess).
FORWARDED_ENTRIES_MAX: Final = 32

Address: TypeAlias = IPv4Address | IPv6Address


class TrustedProxyError(ValueError):
    """An entry of `trusted_proxies` that is neither an address, nor a network, nor `unix`; `str()` says so."""


#: Addresses that are remembered: each is asked for some times a connection, and a reconnecting office has one (guess).
_remembered = lru_cache(maxsize=4096)


@_remembered
def parse_address(text: str) -> Address | None:
    """The address that `text` is, with an IPv4 address mapped into IPv6 as IPv4, or None. A zone (`%eth0`) is left
    out.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@_remembered
def canonical(text: str) -> str:
    """The address that `text` is, as `parse_address` has it, in its one form; what is none stays as it is."""
    return str(parse_address(text) or text)


@_remembered
def client_key(client: str) -> str | None:
    """Under what a client's connections are counted: an IPv4 address, an IPv6 /64, or None for what has no address
    (a unix socket).
    """
    address = parse_address(client)
    if address is None:
        return None
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address) >> _IPV6_CLIENT_BITS << _IPV6_CLIENT_BITS, _IPV6_CLIENT_BITS)))


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The compiled `trusted_proxies` of one listener. Made by `parse`."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    unix: bool = False

    @classmethod
    def parse(cls, entries: Iterable[str]) -> TrustedProxies:
        """Compile addresses, networks (`10.0.0.0/8`, `fd00::/8`) and the word `unix` (whoever reaches the unix socket).

        Raises TrustedProxyError for the first entry that is none of them, such as a network with host bits set.
        """
        networks: list[IPv4Network | IPv6Network] = []
        unix = False
        for entry in entries:
            if entry == "unix":
                unix = True
                continue
            try:
                networks.append(ip_network(entry))
            except ValueError as error:
                raise TrustedProxyError(
                    f"{entry!r} is not a trusted proxy: expected an address, a network such as 10.0.0.0/8, or unix "
                    f"({error})"
                ) from None
        return cls(tuple(networks), unix)

    def __bool__(self) -> bool:
        return self.unix or bool(self.networks)

    def trusts(self, peer: str) -> bool:
        """Whether `peer` is a trusted proxy; the empty text is the other end of a unix socket."""
        if not peer:
            return self.unix
        if not self.networks:
            return False
        address = parse_address(peer)
        return address is not None and any(address in network for network in self.networks)

    def client(self, peer: str, forwarded: Sequence[str]) -> str:
        """The client's address: `peer`, or where that is a trusted proxy, the rightmost entry of `forwarded` that
        is none.

        `forwarded` holds the elements of all `X-Forwarded-For` lines in order, each an address with or without a
        port. At an element that is no address the walk ends at the last trusted hop, because nothing left of it was
        written by a proxy that is trusted.
        """
        client = peer
        for element in reversed(forwarded[-FORWARDED_ENTRIES_MAX:]):
            if not self.trusts(client):
                break
            address = parse_address(_without_port(element))
            if address is None:
                break
            client = str(address)
        return client


def _without_port(element: str) -> str:
    """`192.0.2.1:443` and `[2001:db8::1]:443` are written by some proxies (Azure, IIS); quotes by none that follow
    the de facto form.
    """
    if element.startswith("["):
        return element[1:].partition("]")[0]
    return element.partition(":")[0] if element.count(":") == 1 else element
