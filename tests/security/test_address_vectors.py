"""Where a hostile name, URL or reply would lead an upstream: each is dialled, or refused, by the address it comes to.

A vector goes the whole way: the text is looked up as relayd looks names up (by the system's resolver where it is a
number in disguise, by a resolver of the attacker's where it is a name), and what comes out is connected to.
"""

# A vector is a line.
# ruff: noqa: E501

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from relayd.core.dial_rules import DialRules
from relayd.io.dialling import AddressRefused, DiallingReactor
from relayd.io.names import Names

#: What the attacker's names lead to.
REBOUND = {
    "metadata.attacker.example": ["169.254.169.254"],
    "mapped.attacker.example": ["::ffff:169.254.169.254"],
    "nat64.attacker.example": ["64:ff9b::a9fe:a9fe"],
    "every.attacker.example": ["169.254.169.254", "fd00:ec2::254", "fe80::1"],
    "nobody.attacker.example": ["0.0.0.0", "::"],
    "multicast.attacker.example": ["239.255.255.250"],
    "feed.example": ["192.0.2.7"],
    "six.feed.example": ["2001:db8::7"],
    "inside.example": ["10.1.2.3"],
}
REFUSED = {
    "EC2, Azure, Google, DigitalOcean": "169.254.169.254", "ECS task": "169.254.170.2", "pod identity": "169.254.170.23", "link-local, first": "169.254.0.0",
    "link-local, last": "169.254.255.255", "EC2 over IPv6": "fd00:ec2::254", "pod identity over IPv6": "fd00:ec2::23", "Google over IPv6": "fd20:ce::254", "Alibaba": "100.100.100.200",
    "Azure WireServer": "168.63.129.16", "Oracle": "192.0.0.192", "link-local IPv6": "fe80::a9fe:a9fe", "link-local IPv6, with its zone": "fe80::1%lo", "link-local IPv6, last": "febf::1",
    "mapped": "::ffff:169.254.169.254", "mapped, in hex": "::ffff:a9fe:a9fe", "mapped, written out": "0:0:0:0:0:ffff:a9fe:a9fe", "translated": "::ffff:0:a9fe:a9fe", "compatible": "::a9fe:a9fe",
    "NAT64": "64:ff9b::a9fe:a9fe", "NAT64, dotted": "64:ff9b::169.254.169.254", "local NAT64": "64:ff9b:1::a9fe:a9fe", "local NAT64, 48 bits": "64:ff9b:1:a9fe:a9:fe00::",
    "local NAT64, 56 bits": "64:ff9b:1:a9:fe:a9fe::", "local NAT64, 64 bits": "64:ff9b:1:0:a9:fea9:fe00::", "6to4": "2002:a9fe:a9fe::1", "Teredo server": "2001:0:a9fe:a9fe::1",
    "Teredo client": "2001:0:c000:201::5601:5601", "decimal": "2852039166", "hex": "0xa9fea9fe", "octal": "0251.0376.0251.0376", "two parts": "169.16689662", "mixed": "0xa9.254.0251.254",
    "this host": "0.0.0.0", "this host, short": "0", "this network": "0.1.2.3", "IPv6, none": "::", "mapped none": "::ffff:0.0.0.0", "multicast": "224.0.0.1", "SSDP": "239.255.255.250",
    "IPv6 multicast": "ff02::1", "broadcast": "255.255.255.255", "reserved": "240.0.0.1", "a name of the metadata service": "metadata.attacker.example", "a name, mapped": "mapped.attacker.example",
    "a name, NAT64": "nat64.attacker.example", "a name, all of them": "every.attacker.example", "a name of nobody": "nobody.attacker.example", "a name, multicast": "multicast.attacker.example",
}  # fmt: skip
DIALLED = {
    "a feed": "feed.example", "a feed over IPv6": "six.feed.example", "a feed within": "inside.example", "loopback": "127.0.0.1", "loopback IPv6": "::1", "loopback in disguise": "127.1",
    "private": "192.168.1.1", "unique local": "fd12:3456::1", "shared address space": "100.64.0.1", "beside link-local": "169.253.255.255", "beside link-local, above": "169.255.0.0",
    "NAT64 of a public address": "64:ff9b::192.0.2.1", "mapped loopback": "::ffff:127.0.0.1", "beside Alibaba": "100.100.100.201", "beside EC2": "fd00:ec3::254",
}  # fmt: skip


class AtOnce:
    """A reactor whose threads answer in the next turn, and whose connections are written down."""

    def __init__(self) -> None:
        self.memory = MemoryReactorClock()

    def callFromThread(self, call: Any, *arguments: Any) -> None:
        self.memory.callLater(0, call, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.memory, name)


def look_up(name: str, port: int, family: int, kind: int) -> list[Any]:
    """The attacker's resolver for names, the system's for numbers; nothing of it leaves this machine."""
    if name in REBOUND:
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, kind, 6, "", (one, 0)) for one in REBOUND[name]]
    return socket.getaddrinfo(name, port, family, kind, 0, socket.AI_NUMERICHOST)


def dial(host: str, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[Any]]:
    """The addresses that were connected to, and what came out where none was."""
    monkeypatch.setattr("relayd.io.names.Thread", _AtOnceThread)
    under = AtOnce()
    names = Names(under, look_up)
    endpoint = HostnameEndpoint(DiallingReactor(under, names, DialRules()), host, 80)
    failures: list[Any] = []
    connecting: Deferred[Any] = endpoint.connect(Factory.forProtocol(Protocol))
    connecting.addErrback(failures.append)
    under.memory.pump([0.3] * 5)
    connected = [client[0] for client in under.memory.tcpClients]
    connecting.cancel()
    return connected, failures


class _AtOnceThread:
    def __init__(self, target: Any, args: tuple[Any, ...], **_: object) -> None:
        self._run = lambda: target(*args)

    def start(self) -> None:
        self._run()


class AddressVectorTests:
    """Each vector."""

    def test_count(self) -> None:
        """As many as the plan asks for."""
        assert len(REFUSED) + len(DIALLED) >= 40

    @pytest.mark.parametrize("host", REFUSED.values(), ids=REFUSED)
    def test_refused(self, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """No socket is opened, and the reason names the setting."""
        connected, failures = dial(host, monkeypatch)
        assert connected == []
        [failure] = failures
        assert isinstance(failure, Failure) and failure.check(AddressRefused), failure
        assert "connect.allow_addresses does not name it" in str(failure.value)

    @pytest.mark.parametrize("host", DIALLED.values(), ids=DIALLED)
    def test_dialled(self, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its neighbours are."""
        connected, _ = dial(host, monkeypatch)
        assert len(connected) == 1
