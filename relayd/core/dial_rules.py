"""Which addresses relayd dials: an address is judged when it is connected to, after every look-up.

A name is no protection: whoever owns it makes it point where they like, and elsewhere a moment later (DNS rebinding).
So what counts is the address that a socket is opened to. Refused is what no feed lives at: link-local addresses and
those of cloud metadata services, which hand out keys to whoever asks from the machine; multicast, broadcast and
reserved ones; and addresses that hold one of these within. Loopback and private networks have many feeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = "IPv4Address | IPv6Address"
Network: TypeAlias = "IPv4Network | IPv6Network"

_METADATA: Final = "where clouds keep their metadata"
#: The first row that holds an address says what it is.
_REFUSED: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(network), what)
    for network, what in (
        ("169.254.0.0/16", f"a link-local address, {_METADATA}"),  # RFC 3927; 169.254.169.254 and .170.2 of most clouds
        ("fe80::/10", f"a link-local address, {_METADATA}"),  # RFC 4291 2.5.6
        (
            "fd00:ec2::/32",
            f"an address of a cloud, {_METADATA}",
        ),  # EC2: 254 metadata, 253 DNS, 23 the identities of pods
        ("fd20:ce::254/128", f"an address of a cloud, {_METADATA}"),  # Google Compute Engine
        ("100.100.100.200/32", f"an address of a cloud, {_METADATA}"),  # Alibaba Cloud
        ("168.63.129.16/32", f"an address of a cloud, {_METADATA}"),  # Azure's WireServer
        ("192.0.0.192/32", f"an address of a cloud, {_METADATA}"),  # Oracle Cloud, the older one
        ("0.0.0.0/8", "this host without a name, no address to dial"),  # RFC 1122 3.2.1.3; Linux takes it for loopback
        ("::/128", "this host without a name, no address to dial"),
        ("224.0.0.0/4", "a multicast address"),
        ("ff00::/8", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),  # RFC 1112 4, broadcast included
    )
)
#: IPv6 networks that hold an IPv4 address, and by how many bits it stands left of the end.
_EMBEDDING: Final = (
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped, RFC 4291 2.5.5.2
    (IPv6Network("::ffff:0:0:0/96"), 0),  # IPv4-translated, RFC 2765
    (IPv6Network("::/96"), 0),  # IPv4-compatible, RFC 4291 2.5.5.1
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64, RFC 6052
    (IPv6Network("64:ff9b:1::/96"), 0),  # local NAT64, RFC 8215, with a prefix of 96 bits
    (IPv6Network("2002::/16"), 80),  # 6to4, RFC 3056
)
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")
_TEREDO: Final = IPv6Network("2001::/32")


@dataclass(frozen=True, slots=True)
class DialRules:
    """`allowed`: networks that may be dialled all the same; `setting`: where they stand in the file."""

    allowed: tuple[Network, ...] = ()
    setting: str = "connect.allow_addresses"

    @classmethod
    def parse(cls, networks: Iterable[str], setting: str) -> DialRules:
        """Of the texts of the file, which are checked."""
        return cls(tuple(map(ip_network, networks)), setting)

    def refusal(self, text: str) -> str:
        """Why this address is not dialled, in a sentence; empty where it may be. A name is refused: it would be looked
        up again, and nobody would see what comes out."""
        try:
            address = ip_address(text.partition("%")[0])  # the zone of a link-local address says nothing of where it is
        except ValueError:
            return f"{text[:100]!r} is not an address"
        for one in (address, *_within(address)):
            what = None if self._allows(one) else _kind(one)
            if what is not None:
                within = f" ({one})" if one != address else ""
                return f"{address} is {what}{within}; {self.setting} does not name it"
        return ""

    def _allows(self, address: Address) -> bool:
        return any(address in network for network in self.allowed)


def _kind(address: Address) -> str | None:
    return next((what for network, what in _REFUSED if address in network), None)


def _within(address: Address) -> Iterator[Address]:
    """The IPv4 addresses that a translator or a tunnel makes of an IPv6 address."""
    if isinstance(address, IPv4Address) or int(address) <= 1:
        return
    bits = int(address)
    for network, left in _EMBEDDING:
        if address in network:
            yield IPv4Address(bits >> left & 0xFFFF_FFFF)
    if address in _TEREDO:  # RFC 4380 4: the server, and the client with every bit turned over
        yield IPv4Address(bits >> 64 & 0xFFFF_FFFF)
        yield IPv4Address(~bits & 0xFFFF_FFFF)
    elif address in _LOCAL_NAT64:
        # RFC 6052 2.2: prefixes of 48, 56 and 64 bits leave octet 8 out. Nobody knows which is used here, and where
        # another is, these read zeros.
        left, right = bits >> 64, bits & 0x00FF_FFFF_FFFF_FFFF
        joined = left << 56 | right
        yield from (IPv4Address(joined >> at & 0xFFFF_FFFF) for at in (40, 32, 24) if joined >> at & 0xFF00_0000)

DEFAULT: Final = DialRules()
"""Nothing is allowed beyond what everybody may dial."""
