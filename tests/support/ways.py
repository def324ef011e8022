"""Ways to send to many sockets at once, opened for a test."""

from __future__ import annotations

from typing import TypeVar

from relayd.io.aio import AioWay
from relayd.io.uring import UringWay
from tests.support.require import missing

W = TypeVar("W", AioWay, UringWay)


def opened(kind: type[W], depth: int = 4) -> W:
    """One of this kind. Hardened kernels and containers have no io_uring, so it is not promised."""
    way = kind(depth)
    try:
        way.open()
    except OSError as error:
        missing(way.name, f"{error}: another kernel, or a sandbox that allows it", promised=kind is AioWay)
    return way
