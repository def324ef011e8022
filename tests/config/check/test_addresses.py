"""Addresses in URLs that would not be dialled."""

from __future__ import annotations

import pytest

from relayd.config.check.addresses import check_address


class CheckAddressTests:
    """What is known before any look-up."""

    @pytest.mark.parametrize("host", ["feed.example.com", "127.0.0.1", "::1", "192.0.2.1", "", "127.1", "0x7f.1"])
    def test_nothing_to_say(self, host):
        """Names, and texts that only a resolver makes an address of, are judged by where they lead."""
        assert check_address(host, (), "connect.allow_addresses") == ""

    @pytest.mark.parametrize("host", ["169.254.169.254", "fe80::1", "fe80::1%eth0", "0.0.0.0", "::ffff:169.254.1.1"])
    def test_refused(self, host):
        """With the setting that decides."""
        assert check_address(host, (), "auth.allow_addresses").endswith("; auth.allow_addresses does not name it")

    def test_allowed(self):
        """Named by its network."""
        assert check_address("169.254.7.7", ("169.254.7.0/24",), "connect.allow_addresses") == ""
