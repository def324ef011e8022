"""The admin listener's gate, over real connections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, readBody
from twisted.web.http_headers import Headers
from twisted.web.server import Site

from relayd.core.auth.tokens import write_line
from relayd.io.gate import AdminGate, LocalGate, behind
from relayd.io.web import JsonResource, answer_json

reactor: Any = global_reactor
TOKEN = "rt_" + "a" * 43


class Leaf(JsonResource):
    """Says that it was reached."""

    def render_GET(self, request: Any) -> bytes:
        return answer_json(request, {"reached": request.path.decode()})


class GateTests(TestCase):
    """What is behind it, and what is not."""

    def setUp(self) -> None:
        self.file = Path(self.mktemp())
        self.file.write_text(write_line(TOKEN, "prometheus", {}))
        self.now = 0.0
        self.gate = AdminGate(str(self.file), lambda: self.now)
        root, below = JsonResource(), Leaf()
        below.putChild(b"deeper", Leaf())
        root.putChild(b"open", Leaf())
        root.putChild(b"behind", behind(self.gate, below))
        port = reactor.listenTCP(0, Site(root), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{port.getHost().port}"

    async def ask(self, path: str, *shown: str) -> tuple[int, bytes, Any]:
        """Status, body, headers."""
        headers = Headers({"Authorization": list(shown)} if shown else {})
        response = await Agent(reactor).request(b"GET", (self.url + path).encode(), headers)
        return response.code, await readBody(response), response.headers

    async def test_admitted(self) -> None:
        """Everything below, too."""
        for path in ("/behind", "/behind/deeper"):
            self.assertEqual((await self.ask(path, f"Bearer {TOKEN}"))[:2], (200, b'{"reached":"%s"}' % path.encode()))
        self.assertEqual((await self.ask("/open"))[0], 200)
        self.assertEqual((await self.ask("/behind/none", f"Bearer {TOKEN}"))[0], 404)

    async def test_refused(self) -> None:
        """The same answer for whatever stands there, or does not, with what is asked for."""
        answers = [
            await self.ask(path, *shown)
            for path in ("/behind", "/behind/deeper", "/behind/none")
            for shown in ((), (f"Bearer {TOKEN}x",), (f"Bearer {TOKEN}", f"Bearer {TOKEN}"))
        ]
        self.assertEqual({(status, body) for status, body, _ in answers}, {answers[0][:2]})
        status, body, headers = answers[0]
        self.assertEqual((status, headers.getRawHeaders("www-authenticate")), (401, [_CHALLENGE]))
        self.assertIn(b'"unauthorized"', body)

    async def test_the_file_changes(self) -> None:
        """At the next look: a token that is gone no longer counts. A file that cannot be read changes nothing."""
        self.gate.tick(0.0)
        self.assertEqual(self.gate.next_deadline(), 5.0)
        self.file.write_text("nonsense\n")
        self.gate.tick(5.0)
        self.assertEqual((await self.ask("/behind", f"Bearer {TOKEN}"))[0], 200)
        self.file.write_text("# nobody\n")
        self.gate.tick(10.0)
        self.assertEqual((await self.ask("/behind", f"Bearer {TOKEN}"))[0], 401)


_CHALLENGE = 'Basic realm="relayd", charset="UTF-8", Bearer'


class LocalGateTests(TestCase):
    """Without a login, on this machine alone."""

    async def test_names(self) -> None:
        """Addresses and localhost are served, also below; other names are told what to do; no Host is no browser."""
        root, below = JsonResource(), Leaf()
        below.putChild(b"deeper", Leaf())
        root.putChild(b"behind", behind(LocalGate(), below))
        port = reactor.listenTCP(0, Site(root), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        at = port.getHost().port
        for host in (f"127.0.0.1:{at}", f"localhost:{at}", "[::1]", None):
            for path in ("/behind", "/behind/deeper"):
                self.assertEqual((await raw_get(at, path, host))[0], 200, (host, path))
        for host in (f"rebound.example:{at}", "localhost.evil.example", ""):
            for path in ("/behind", "/behind/deeper", "/behind/none"):
                status, body = await raw_get(at, path, host)
                self.assertEqual(status, 421, (host, path))
                self.assertIn(b"ask by 127.0.0.1 or localhost, or set admin.tokens, or admin.open: true", body)

    async def test_two_hosts(self) -> None:
        """One good one does not help another."""
        root = JsonResource()
        root.putChild(b"behind", behind(LocalGate(), Leaf()))
        port = reactor.listenTCP(0, Site(root), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        status, _ = await raw_get(port.getHost().port, "/behind", "127.0.0.1", "Host: rebound.example")
        self.assertEqual(status, 421)


async def raw_get(port: int, path: str, host: str | None, *more: str) -> tuple[int, bytes]:
    """Status and body of a request with just these headers."""

    class Asking(Protocol):
        said = b""

        def connectionMade(self) -> None:
            version = "1.0" if host is None else "1.1"
            lines = [f"GET {path} HTTP/{version}", *(() if host is None else (f"Host: {host}",)), *more]
            self.transport.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())

        def dataReceived(self, data: bytes) -> None:
            self.said += data

        def connectionLost(self, reason: Any = None) -> None:
            ended.callback(self.said)

    ended: Deferred[bytes] = Deferred()
    await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), Asking())
    head, _, body = (await ended).partition(b"\r\n\r\n")
    return int(head.split()[1]), body
