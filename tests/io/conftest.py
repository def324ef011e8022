"""What tests of the shell share."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.support.ways import Pair


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Ten pairs of connected sockets, the near ends non-blocking."""
    made = [socket.socketpair() for _ in range(10)]
    for near, _ in made:
        near.setblocking(False)
    yield made
    for pair in made:
        for end in pair:
            end.close()
