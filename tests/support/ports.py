"""Ports of loopback that nothing listens on."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port that was free a moment ago; the kernel does not give the same one again soon."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
