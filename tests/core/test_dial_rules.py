"""Which addresses are dialled, and what is said of those that are not. More: tests/security/test_address_vectors.py."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.dial_rules import DialRules

RULES = DialRules()


class RefusalTests:
    """A sentence, or nothing."""

    @pytest.mark.parametrize(
        ("address", "why"),
        [
            ("169.254.169.254", "169.254.169.254 is a link-local address, where clouds keep their metadata"),
            ("fe80::1%eth0", "fe80::1 is a link-local address, where clouds keep their metadata"),
            (
                "::ffff:169.254.1.1",
                "::ffff:a9fe:101 is a link-local address, where clouds keep their metadata (169.254.1.1)",
            ),
            (
                "2001:0:a9fe:a9fe::5601:5601",
                "2001:0:a9fe:a9fe::5601:5601 is a link-local address, where clouds keep their metadata "
                "(169.254.169.254)",
            ),
            ("0.0.0.0", "0.0.0.0 is this host without a name, no address to dial"),
            ("239.1.1.1", "239.1.1.1 is a multicast address"),
        ],
    )
    def test_says_what_it_is(self, address, why):
        """And which setting decides."""
        assert RULES.refusal(address) == f"{why}; connect.allow_addresses does not name it"

    @pytest.mark.parametrize("text", ["feed.example", "", "127.1", "0x7f000001", "2130706433", "1.2.3.4:80", "[::1]"])
    def test_only_addresses(self, text):
        """Whatever would be looked up, or read in another way elsewhere, is none."""
        assert RULES.refusal(text) == f"{text!r} is not an address"

    def test_local_nat64_without_an_address(self):
        """Zeros where an address could stand say nothing."""
        assert RULES.refusal("64:ff9b:1::") != "" and RULES.refusal("64:ff9b:1::a00:1") == ""


class AllowedTests:
    """Networks that are named."""

    def test_by_network(self):
        """Also within another address; its neighbours are not."""
        rules = DialRules.parse(["169.254.7.0/24", "fe80::/10"], "auth.allow_addresses")
        assert [rules.refusal(one) for one in ("169.254.7.7", "::ffff:169.254.7.7", "fe80::5")] == [""] * 3
        assert rules.refusal("169.254.8.8").endswith("; auth.allow_addresses does not name it")

    def test_the_outer_address(self):
        """Naming a translator's network does not allow all that is behind it: what stands within must be named."""
        assert DialRules.parse(["::ffff:0:0/96"], "s").refusal("::ffff:169.254.7.7") != ""
        assert DialRules.parse(["2002::/16", "169.254.0.0/16"], "s").refusal("2002:a9fe:a9fe::1") == ""


class AnyAddressTests:
    """All that there are."""

    @given(st.ip_addresses())
    def test_never_raises(self, address):
        """Every address has an answer."""
        assert isinstance(RULES.refusal(str(address)), str)

    @given(st.ip_addresses(v=4), st.sampled_from(["::ffff:", "64:ff9b::", "64:ff9b:1::", "::ffff:0:"]))
    def test_embedded(self, address, prefix):
        """An IPv4 address is judged alike however it is written."""
        embedded = f"{prefix}{address}"
        assert bool(RULES.refusal(embedded)) == bool(RULES.refusal(str(address)))

    @given(st.integers(0, 0xFFFF))
    def test_link_local_in_every_prefix(self, low):
        """RFC 6052 2.2: where the four bytes stand for prefixes of 48, 56, 64 and 96 bits."""
        bits = int(IPv4Address("169.254.0.0")) | low
        base = int(ip_address("64:ff9b:1::"))
        for prefix in (48, 56, 64):
            joined = bits << (88 - prefix)  # of 120 bits: octet 8 is left out
            assert RULES.refusal(str(ip_address(base | joined >> 56 << 64 | joined & (1 << 56) - 1)))
        assert RULES.refusal(str(ip_address(base | bits)))
