"""What is logged, and how."""

from __future__ import annotations

from typing import Literal

from relayd.config.model.block import Block


class Log(Block):
    """Logs go to stderr: one line at open, one at close, nothing per message, never a secret or a query string."""

    format: Literal["text", "json"] = "text"
    """`text` for people, `json` for collectors; people come first."""
    level: Literal["debug", "info", "warn", "error", "critical"] = "info"
    """The least severe level that is written; `info` holds the open and close lines."""
    addresses: Literal["full", "truncated", "none"] = "full"
    """Client addresses: whole (what an operator needs against abuse), without their last part (IPv4 /24, IPv6 /48), or
    not at all."""
