"""Whether bytes are text: UTF-8 (RFC 3629), which is what a WebSocket's text message and a JSON text must be."""

from __future__ import annotations


def is_utf8(payload: bytes) -> bool:
    """Whether all of it is valid UTF-8. Nearly always it is ASCII, which is seen without making a string."""
    if payload.isascii():
        return True
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
