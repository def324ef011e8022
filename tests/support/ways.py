"""Ways to send to many sockets at once, opened for a test."""

from __future__ import annotations

import socket
from typing import TypeAlias, TypeVar

from relayd.io.aio import AioWay
from relayd.io.uring import UringWay
from tests.support.require import missing

Pair: TypeAlias = tuple[socket.socket, socket.socket]
"""Connected: the near end, which is sent to, and the far one."""

W = TypeVar("W", AioWay, UringWay)


def opened(kind: type[W], depth: int = 4) -> W:
    """One of this kind. Hardened kernels and containers have no io_uring, so it is not promised."""
    way = kind(depth)
    try:
        way.open()
    except OSError as error:
        missing(way.name, f"{error}: another kernel, or a sandbox that allows it", promised=kind is AioWay)
    return way
