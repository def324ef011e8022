"""`/relayd.js`: the client for pages, as it stands in relayd/web (docs/browser.md).

A page on another host may import it: it holds nothing but code that is public, so every origin is told that it may. A
browser keeps it for five minutes and then asks by its ETag, so that a new relayd is met by its own client soon.
"""

from __future__ import annotations

import gzip
from hashlib import sha256
from importlib.resources import files
from typing import Final

from twisted.web.http import CACHED
from twisted.web.server import Request

from relayd.io.web import JsonResource

NAME: Final = b"relayd.js"
#: Short enough that a page is not left with the client of an older relayd for long (guess).
MAX_AGE_S: Final = 300


class ClientScript(JsonResource):
    """The module, held in memory plain and compressed."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self._plain = (files("relayd") / "web" / "relayd.js").read_bytes()
        self._gzipped = gzip.compress(self._plain, mtime=0)
        self._digest = sha256(self._plain).hexdigest()[:20]

    def render_GET(self, request: Request) -> bytes:
        """The module, or 304 for whoever has it; compressed where the browser says that it can take it."""
        request.setHeader(b"cache-control", b"public, max-age=%d" % MAX_AGE_S)
        request.setHeader(b"vary", b"Accept-Encoding")
        request.setHeader(b"access-control-allow-origin", b"*")
        request.setHeader(b"cross-origin-resource-policy", b"cross-origin")
        compressed = takes_gzip(request.getHeader(b"accept-encoding") or b"")
        tag = f'"{self._digest}{"-gzip" if compressed else ""}"'
        if request.setETag(tag.encode("ascii")) is CACHED:
            return b""
        request.setHeader(b"content-type", b"text/javascript; charset=utf-8")
        if not compressed:
            return self._plain
        request.setHeader(b"content-encoding", b"gzip")
        return self._gzipped


def takes_gzip(accepted: bytes) -> bool:
    """Whether an Accept-Encoding header names gzip and does not forbid it (RFC 9110 12.5.3)."""
    for part in accepted.lower().split(b","):
        coding, _, weight = part.partition(b";")
        if coding.strip() == b"gzip":
            return weight.replace(b" ", b"").rstrip(b"0.") != b"q="
    return False
