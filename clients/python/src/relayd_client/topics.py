"""Topics and patterns (docs/protocol.md, "Topics")."""

from __future__ import annotations

import re
from collections.abc import Callable

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:@-")


def topic(*values: object) -> str:
    """One topic of these values, each escaped to one segment: `topic("kraken", "BTC/USD")` is `kraken/BTC~2FUSD`.

    Raises:
        ValueError: there is no value, or an empty one.
    """
    if not values:
        raise ValueError("a topic has at least one value")
    return "/".join(_segment(str(value)) for value in values)


def _segment(text: str) -> str:
    if not text:
        raise ValueError("an empty value cannot be a segment of a topic")
    # What is nothing but dots would be resolved away in a URL.
    plain = frozenset() if not text.strip(".") else _PLAIN
    return "".join(chr(byte) if byte in plain else f"~{byte:02X}" for byte in text.encode())


def matcher(text: str) -> Callable[[str], bool]:
    """Whether a topic is the one named, or met by the pattern: `*` is one segment, a trailing `**` the rest."""
    if "*" not in text:
        return text.__eq__
    parts = ("[^/]+" if part == "*" else ".+" if part == "**" else re.escape(part) for part in text.split("/"))
    met = re.compile("/".join(parts)).fullmatch
    return lambda name: met(name) is not None
