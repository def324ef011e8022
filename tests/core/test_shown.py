"""Addresses in the log."""

from __future__ import annotations

from typing import Literal

import pytest

from relayd.core.shown import shown_address


class ShownAddressTests:
    """`log.addresses`."""

    @pytest.mark.parametrize(
        ("address", "how", "shown"),
        [
            ("203.0.113.77", "full", "203.0.113.77"),
            ("203.0.113.77", "truncated", "203.0.113.0"),
            ("203.0.113.77", "none", "-"),
            ("2001:db8:1:2:3::4", "full", "2001:db8:1:2:3::4"),
            ("2001:db8:1:2:3::4", "truncated", "2001:db8:1::"),
            ("", "full", "-"),
            ("/run/x.sock", "truncated", "-"),
        ],
    )
    def test_table(self, address: str, how: Literal["full", "truncated", "none"], shown: str) -> None:
        """Whole, without the person, or not at all."""
        assert shown_address(address, how) == shown
