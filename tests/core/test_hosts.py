"""What a Host header may say where nothing else is asked."""

from __future__ import annotations

import pytest

from relayd.core.hosts import names_no_dns


class HostTests:
    """Only what cannot be made to lead elsewhere."""

    @pytest.mark.parametrize(
        "host",
        ["127.0.0.1", "127.0.0.1:8081", "127.8.9.10", "localhost", "LocalHost:1", "[::1]", "[::1]:8081", "192.0.2.7"],
    )
    def test_here(self, host: str) -> None:
        """Addresses and the one name that browsers never look up."""
        assert names_no_dns(host)

    @pytest.mark.parametrize(
        "host",
        [
            "evil.example:8081",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "localhost.",
            "127.1",
            "0x7f000001",
            "127.0.0.1:8081:1",
            "127.0.0.1:",
            "::1",
            "[evil.example]",
            "[::1",
            "[:::]",
            "[fe80::1%eth0]",
            "user@127.0.0.1",
            "127.0.0.1/",
            " 127.0.0.1",
            "127.0.0.1\n",
            "\u0661\u0662\u0667.0.0.1",
            "",
        ],
    )
    def test_elsewhere(self, host: str) -> None:
        """A name can lead anywhere at any time; what is no host at all is no better."""
        assert not names_no_dns(host)
