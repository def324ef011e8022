"""Which Host headers name this machine whatever DNS says (RFC 9110 7.2).

A page may reach a listener on loopback under a name of its own that suddenly leads there (DNS rebinding). The browser
then takes both for one origin, and the page may read the answer; only the Host header shows the name. An address and
`localhost` cannot be made to lead elsewhere.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::[0-9]{1,5})?")


def names_no_dns(host: str) -> bool:
    """Whether a Host header is an address or `localhost`, with or without a port. Never raises, whatever the text."""
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    bracketed, plain = match.groups()
    try:
        if bracketed is not None:
            IPv6Address(bracketed)
        elif plain.lower() != "localhost":
            IPv4Address(plain)
    except AddressValueError:
        return False
    return True
