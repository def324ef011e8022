"""A page with relayd.js, its relayd, and a simulated exchange, in one process:

    python examples/price-board/run.py            then open http://127.0.0.1:8080/

The page is what a web server of yours would serve; relayd would stand beside it, under the same host.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Request

from relayd.app import build
from relayd.demo.service import build_demo

HERE = Path(__file__).parent
TYPES = {".html": b"text/html", ".js": b"text/javascript", ".css": b"text/css"}
#: The page loads from here and talks to here, and to nothing else.
POLICY = b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'"


class File(Resource):
    """One file of the page."""

    isLeaf = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self._path = HERE / name

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"content-type", TYPES[self._path.suffix] + b"; charset=utf-8")
        request.setHeader(b"content-security-policy", POLICY)
        request.setHeader(b"cache-control", b"no-cache")
        return self._path.read_bytes()


def main(reactor: Any, port: int) -> Deferred[None]:
    """Runs until it is told to stop."""
    demo = build_demo(port, 0, reactor)
    page = {b"": File("index.html"), b"board.js": File("board.js"), b"board.css": File("board.css")}
    whole = MultiService()
    demo.exchange.setServiceParent(whole)
    build(demo.config, reactor, time.monotonic, environ=demo.environ, extra=page).setServiceParent(whole)
    whole.privilegedStartService()
    whole.startService()
    reactor.addSystemEventTrigger("before", "shutdown", whole.stopService)
    print(f"Open http://127.0.0.1:{port}/   (Ctrl-C ends it)", flush=True)
    return Deferred()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="a price board with relayd.js")
    arguments.add_argument("--port", type=int, default=8080)
    task.react(main, (arguments.parse_args().port,))
