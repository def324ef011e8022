"""Bytes in portions, as a network may deliver them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise


def portions_of(data: bytes, size: int) -> list[bytes]:
    """The bytes in pieces of `size`, the last one perhaps shorter."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def cut(data: bytes, at: Sequence[int]) -> Iterator[bytes]:
    """The bytes cut at these indices (ascending); pieces may be empty."""
    for start, end in pairwise([0, *at, len(data)]):
        yield data[start:end]
