"""How much of a client's address stands in the log: `log.addresses`."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Literal

# What is left of an address when it is truncated: the network of a household or an office, not the person in it.
KEPT_BITS_V4 = 24
KEPT_BITS_V6 = 48


@lru_cache(maxsize=4096)  # asked for each connection; the same visitors come back
def shown_address(address: str, how: Literal["full", "truncated", "none"]) -> str:
    """The address as the log may have it. What is no IP address (a unix socket has none) is shown as `-`."""
    if how == "none":
        return "-"
    try:
        parsed = ip_address(address)
    except ValueError:
        return "-"
    if how == "full":
        return str(parsed)
    kept = KEPT_BITS_V4 if parsed.version == 4 else KEPT_BITS_V6
    return str(ip_network((parsed, kept), strict=False).network_address)
