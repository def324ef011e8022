"""The opening handshake between the guard and what reads the frames: the head that the guard writes of a WebSocket it
lets in, what that head says, and the answer to it (RFC 6455 4.2).

The guard has judged every field before it writes this head, so reading it again is one look at one form, and not a
second judgement: a head of any other form is none of the guard's, and is not answered.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

#: RFC 6455 1.3: what the key is put together with, so that a server that knows nothing of WebSockets cannot answer.
_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CLEAN: Final = re.compile(
    r"GET (?P<path>/[^ ?]*)(?:\?(?P<query>[^ ]*))? HTTP/1\.1\r\n"
    r"Host: [^ \r\n]+\r\n"
    r"Upgrade: websocket\r\n"
    r"Connection: Upgrade\r\n"
    r"Sec-WebSocket-Key: (?P<key>[A-Za-z0-9+/]{22}==)\r\n"
    r"Sec-WebSocket-Version: 13\r\n"
    r"(?:Sec-WebSocket-Protocol: (?P<protocols>[^\r\n]+)\r\n)?"
    r"(?:Sec-WebSocket-Extensions: [-!#$%&'*+.^_`|~0-9A-Za-z;=,\" \t]+\r\n)?"
    r"\r\n"
)
_ANSWER: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
    b"%bSec-WebSocket-Accept: %b\r\n\r\n"
)


class Opening(NamedTuple):
    """What a clean head says: the path and the query as they were sent, the key, the subprotocols on offer."""

    path: str
    query: str
    key: str
    protocols: tuple[str, ...]


def write_clean(target: str, host: str, key: str, protocols: Sequence[str], deflate: Sequence[str]) -> bytes:
    """A head that holds what was judged and nothing else; `deflate` are the offers of permessage-deflate."""
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    ]
    if protocols:
        lines.append(f"Sec-WebSocket-Protocol: {', '.join(protocols)}")
    if deflate:
        lines.append(f"Sec-WebSocket-Extensions: {', '.join(deflate)}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def read_clean(head: bytes) -> Opening | None:
    """What a head of `write_clean` says; None for any other. Offers of extensions are passed over: none is agreed to,
    which RFC 6455 9.1 leaves to the server.
    """
    found = _CLEAN.fullmatch(head.decode("ascii", "replace"))
    if found is None:
        return None
    path, query, key, protocols = found.group("path", "query", "key", "protocols")
    return Opening(path, query or "", key, tuple(protocols.split(", ")) if protocols else ())


def answer(key: str, subprotocol: str | None) -> bytes:
    """The 101 that opens the WebSocket, without any extension."""
    chosen = b"" if subprotocol is None else b"Sec-WebSocket-Protocol: %b\r\n" % subprotocol.encode("ascii")
    proof = base64.b64encode(hashlib.sha1(key.encode("ascii") + _MAGIC, usedforsecurity=False).digest())
    return _ANSWER % (chosen, proof)
