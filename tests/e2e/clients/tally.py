"""What a client received, in one line that can be compared: a hash over the kind and the hash of every message."""

from __future__ import annotations

import hashlib
import json


class Tally:
    """Counts messages until all are there.

    The line of a message is `t` or `b` (text or binary) and the SHA-256 of its payload; `sha256` is that of all lines.
    """

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.messages = 0
        self.bytes = 0
        self._lines = hashlib.sha256()

    def add(self, payload: bytes, is_text: bool) -> bool:
        """Adds a message; whether it was the last one."""
        self.messages += 1
        self.bytes += len(payload)
        self._lines.update(line(hashlib.sha256(payload).hexdigest(), is_text))
        return self.messages >= self.wanted

    @property
    def sha256(self) -> str:
        """The hash over all messages so far."""
        return self._lines.hexdigest()

    def report(self) -> None:
        """Prints what the test reads."""
        print(json.dumps({"messages": self.messages, "bytes": self.bytes, "sha256": self.sha256}), flush=True)


def line(payload_sha256: str, is_text: bool) -> bytes:
    """A message's line."""
    return f"{'t' if is_text else 'b'} {payload_sha256}\n".encode()


def ready() -> None:
    """Tells the test that the connection is open."""
    print("ready", flush=True)
