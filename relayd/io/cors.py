"""Which pages may read an answer: the listener's `origins`, as headers that browsers obey (Fetch standard, CORS)."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.web.server import Request

from relayd.core.origin import OriginPolicy
from relayd.core.refusal import HttpRefusal


@dataclass(frozen=True, slots=True)
class Cors:
    """What one listener says to pages of other origins.

    Args:
        origins: the listener's.
        secure: whether the listener speaks TLS itself.
        credentials: whether cookies mean anything here.
    """

    origins: OriginPolicy
    secure: bool
    credentials: bool

    def admit(self, request: Request, *, exposed: bytes = b"") -> HttpRefusal | None:
        """Let the page read the answer and the headers named, or say why not."""
        origin = request.getHeader(b"origin")
        if origin is None:
            return None  # a page's own requests carry none, and `require_origin` is about WebSockets
        text = origin.decode("latin-1")
        host = (request.getHeader(b"host") or b"").decode("latin-1")
        refusal = self.origins.refuse(text, host, secure=self.secure)
        if refusal is None:
            request.setHeader(b"access-control-allow-origin", origin)
            request.setHeader(b"vary", b"Origin")
            if exposed:
                request.setHeader(b"access-control-expose-headers", exposed)
            if self.credentials and self.origins.vouches(text, host, secure=self.secure):
                request.setHeader(b"access-control-allow-credentials", b"true")
        return refusal

    def preflight(self, request: Request, methods: bytes, headers: bytes) -> bytes:
        """The answer to OPTIONS: what a page may send.

        `Authorization` is among it with or without `auth`: a client with a token must not fail where none is needed.
        """
        request.setResponseCode(204)
        request.setHeader(b"access-control-allow-methods", methods)
        request.setHeader(b"access-control-allow-headers", b"Authorization, " + headers)
        request.setHeader(b"access-control-max-age", b"600")
        return b""
