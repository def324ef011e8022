"""Whose request it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.address import (
    FORWARDED_ENTRIES_MAX,
    TrustedProxies,
    TrustedProxyError,
    canonical,
    client_key,
    parse_address,
)

PROXIES = TrustedProxies.parse(["10.0.0.0/8", "fd00::/8", "192.0.2.7"])


class ClientTests:
    """Walking X-Forwarded-For from the right."""

    @pytest.mark.parametrize(
        ("peer", "forwarded", "client"),
        [
            ("203.0.113.9", [], "203.0.113.9"),
            ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # not a proxy: what it says does not count
            ("10.0.0.1", [], "10.0.0.1"),
            ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", ["1.1.1.1", "198.51.100.1"], "198.51.100.1"),  # 1.1.1.1 is what the client wrote itself
            ("10.0.0.1", ["198.51.100.1", "10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", ["198.51.100.1", "192.0.2.7", "10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", ["10.0.0.3", "10.0.0.2"], "10.0.0.3"),  # nobody but proxies: the furthest
            ("10.0.0.1", ["198.51.100.1:55555"], "198.51.100.1"),
            ("10.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
            ("10.0.0.1", ["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
            ("10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),  # a proxy over a dual-stack socket
            ("fd00::1", ["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", ["198.51.100.1", "unknown"], "10.0.0.1"),  # the trusted hop says nothing usable
            ("10.0.0.1", ["198.51.100.1", "unknown", "10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", ["<script>"], "10.0.0.1"),
            ("10.0.0.1", [""], "10.0.0.1"),
            ("", ["198.51.100.1"], ""),  # a unix socket that is not trusted
        ],
    )
    def test_client(self, peer: str, forwarded: list[str], client: str) -> None:
        """The rightmost address that is no trusted proxy."""
        assert PROXIES.client(peer, forwarded) == client

    def test_a_unix_socket_can_be_trusted(self) -> None:
        """By the word unix."""
        proxies = TrustedProxies.parse(["unix"])
        assert proxies.client("", ["198.51.100.1"]) == "198.51.100.1"
        assert not proxies.trusts("10.0.0.1")

    def test_the_walk_is_bounded(self) -> None:
        """An endless list of proxies is looked at from the right, so far and no further."""
        chain = ["198.51.100.1"] + ["10.0.0.2"] * FORWARDED_ENTRIES_MAX
        assert PROXIES.client("10.0.0.1", chain) == "10.0.0.2"

    def test_nobody_is_trusted_by_default(self) -> None:
        """No entries: the peer it is."""
        assert TrustedProxies().client("10.0.0.1", ["198.51.100.1"]) == "10.0.0.1"
        assert not TrustedProxies()
        assert PROXIES
        assert TrustedProxies(unix=True)

    @given(st.lists(st.one_of(st.ip_addresses().map(str), st.text(max_size=20))))
    def test_what_a_client_writes_never_matters(self, written: list[str]) -> None:
        """Whatever stands left of what the proxy appended."""
        assert PROXIES.client("10.0.0.1", [*written, "198.51.100.1"]) == "198.51.100.1"

    @pytest.mark.parametrize("entry", ["", "10.0.0.1/8", "example.com", "10.0.0.0/33", "all"])
    def test_entries_are_networks(self, entry: str) -> None:
        """A name, or a network with host bits, is an error that names the entry."""
        with pytest.raises(TrustedProxyError, match="expected an address, a network") as caught:
            TrustedProxies.parse(["10.0.0.0/8", entry])
        assert repr(entry) in str(caught.value)


class ClientKeyTests:
    """What counts as one visitor."""

    @pytest.mark.parametrize(
        ("client", "key"),
        [
            ("198.51.100.1", "198.51.100.1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("", None),
            ("somebody", None),
        ],
    )
    def test_key(self, client: str, key: str | None) -> None:
        """An IPv4 address, an IPv6 /64, or nothing."""
        assert client_key(client) == key

    @given(st.text())
    def test_no_text_raises(self, text: str) -> None:
        """Addresses come from outside."""
        assert (parse_address(text) is None) == (client_key(text) is None)


@pytest.mark.parametrize(
    ("text", "one_form"),
    [("192.0.2.7",) * 2, ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:DB8::0:1", "2001:db8::1"), ("",) * 2, ("x",) * 2],
)
def test_one_form(text: str, one_form: str) -> None:
    """What is no address stays as it is."""
    assert canonical(text) == one_form
