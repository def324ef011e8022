"""What the demo adds to relayd's own port: the page at `/`, and below `/demo/` its parts and its buttons."""

from __future__ import annotations

import re
from hashlib import sha256
from importlib.resources import files
from typing import Final

from twisted.web.http import CACHED
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from relayd.demo.control import Control
from relayd.demo.floor import Floor

_TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
#: What the page's buttons may do; a price by hand and raw payloads are for tests.
BUTTONS: Final = frozenset({"status", "mute", "unmute", "drop", "skip"})
_HOST: Final = re.compile(rb"[A-Za-z0-9.:\[\]-]{1,255}")


class Part(Resource):
    """One file of the page, held in memory; a browser that has it already gets 304."""

    isLeaf = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self._body = (files("relayd.demo") / "page" / name).read_bytes()
        self._type = f"{_TYPES[name[name.rindex('.'):]]}; charset=utf-8".encode()
        self._etag = b'"' + sha256(self._body).hexdigest()[:20].encode() + b'"'

    def render_GET(self, request: Request) -> bytes:
        """The file, with a policy that lets the page load from here, talk to here, and nothing else."""
        request.setHeader(b"content-type", self._type)
        request.setHeader(b"cache-control", b"no-cache")
        request.setHeader(b"content-security-policy", _policy(request.getHeader(b"host")))
        request.setHeader(b"cross-origin-opener-policy", b"same-origin")
        request.setHeader(b"referrer-policy", b"no-referrer")
        request.setHeader(b"x-content-type-options", b"nosniff")
        if request.setETag(self._etag) is CACHED:
            return b""
        return self._body


def _policy(host: bytes | None) -> bytes:
    """Content-Security-Policy. 'self' covers no WebSocket in some browsers, so this host is named."""
    sockets = b" ws://%b wss://%b" % (host, host) if host is not None and _HOST.fullmatch(host) else b""
    return (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'%b; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'" % sockets
    )


class Parts(Resource):
    """`/demo/`: the files of the page by name; every other name is a button's."""

    def __init__(self, floor: Floor) -> None:
        super().__init__()
        for entry in (files("relayd.demo") / "page").iterdir():
            if entry.name.endswith(tuple(_TYPES)):
                self.putChild(entry.name.encode(), Part(entry.name))
        self._floor = floor

    def getChild(self, path: bytes, request: Request) -> IResource:
        """Whatever is no file; the name goes back to the path, since Control reads it from there."""
        assert request.postpath is not None and request.prepath is not None
        request.postpath.insert(0, request.prepath.pop())
        return Control(self._floor, BUTTONS)


def extra_resources(floor: Floor) -> dict[bytes, IResource]:
    """The page and its parts by their first path segment; `b""` is `/`."""
    return {b"": Part("index.html"), b"demo": Parts(floor)}
