"""WebSocket frames as a server sends them (RFC 6455 5.2)."""

from __future__ import annotations


def take_frames(data: bytearray) -> list[tuple[int, bytes]]:
    """Whole unmasked frames at the head of `data`, which are removed from it."""
    found = []
    while len(data) >= 2:
        assert not data[1] & 0x80, "a server's frame is masked"
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        if len(data) < start + size:
            break
        found.append((data[0] & 0x0F, bytes(data[start : start + size])))
        del data[: start + size]
    return found
