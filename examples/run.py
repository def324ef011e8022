"""An example: its page, its relayd and its feed, in one process.

    python examples/run.py price-board            then open http://127.0.0.1:8080/   (--port for another)

The page is what a web server of yours would serve; relayd would stand beside it, under the same host. A folder holds
the page's files; `relay.yaml`, or it is the demo's, with its simulated exchange; and `feed.py`, where the example has a
feed of its own.
"""

from __future__ import annotations

import argparse
import runpy
import time
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Request

from relayd.app import build
from relayd.config.load import load
from relayd.demo.service import build_demo
from relayd.io.endpoints import ListenError

EXAMPLES = Path(__file__).parent
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/index.html"))
TYPES = {".html": b"text/html", ".js": b"text/javascript", ".css": b"text/css"}
#: The page loads from here and talks to here, and to nothing else.
POLICY = (
    b"default-src 'none'; script-src 'self'; img-src data:; style-src 'self'; connect-src 'self' ws: wss:; "
    b"base-uri 'none'"
)


class File(Resource):
    """One file of the page."""

    isLeaf = True

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"content-type", TYPES[self._path.suffix] + b"; charset=utf-8")
        request.setHeader(b"content-security-policy", POLICY)
        request.setHeader(b"cache-control", b"no-cache")
        return self._path.read_bytes()


def page_of(folder: Path) -> dict[bytes, Resource]:
    """The resources of a page by the first segment of their path; `b""` is the page itself."""
    paths = [EXAMPLES / "look.css", *(path for path in folder.iterdir() if path.suffix in TYPES)]
    return {path.name.encode(): File(path) for path in paths} | {b"": File(folder / "index.html")}


def main(reactor: Any, name: str, port: int) -> Deferred[None]:
    """Runs until it is told to stop."""
    whole = MultiService()
    folder = EXAMPLES / name
    if (folder / "relay.yaml").exists():
        environ = {}
        if (folder / "feed.py").exists():
            service, feed_port = runpy.run_path(str(folder / "feed.py"))["make_feed"](reactor)
            service.setServiceParent(whole)
            environ["FEED_PORT"] = str(feed_port)
        config = load(folder / "relay.yaml", environ)
        [listener] = config.listeners
        listener = listener.model_copy(update={"endpoint": f"tcp:{port}:interface=127.0.0.1"})
        config = config.model_copy(update={"listeners": (listener,)})
    else:
        demo = build_demo(port, 0, reactor)
        demo.exchange.setServiceParent(whole)
        config, environ = demo.config, dict(demo.environ)
    build(config, reactor, time.monotonic, environ=environ, extra=page_of(folder)).setServiceParent(whole)
    try:
        whole.privilegedStartService()
        whole.startService()
    except ListenError as error:
        raise SystemExit(f"{error}\nAnother port: --port 8090, or make example-{name} PORT=8090") from None
    reactor.addSystemEventTrigger("before", "shutdown", whole.stopService)
    print(f"Open http://127.0.0.1:{port}/   (Ctrl-C ends it)", flush=True)
    return Deferred()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="an example: its page, its relayd and its feed")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    task.react(main, (arguments.name, arguments.port))
