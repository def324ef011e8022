"""Exclusive routes through the whole program: a bridge between real sockets."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol, wrapClientTLS
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.logger import globalLogPublisher

from relayd.core.auth.tokens import PREFIX, write_line
from relayd.io.listener import ListenerService
from tests.io.test_wayup import PublishingCase
from tests.support import certs
from tests.support.browser import BINARY, CLOSE, PING, TEXT, Browser
from tests.support.feed_server import server_tls
from tests.support.relay_rig import eventually

reactor: Any = global_reactor

CONFIG = """
listeners: [{endpoint: "tcp:0:interface=127.0.0.1", origins: [any]}]
upstreams:
  echo:
    connect:
      url: "ws://127.0.0.1:${env.PORT}/"
      query: {room: "${browser.query.room}", lang: "${browser.query.lang:-en}"}
routes:
  - {topic: echo, upstream: echo, exclusive: true, access: {publish: public}}
limits: {exclusive: 3}
"""


def data(browser: Browser) -> list[tuple[int, bytes]]:
    """What came over the bridge."""
    return [one for one in browser.frames if one[0] in (TEXT, BINARY)]


def close_of(browser: Browser) -> tuple[int, str] | None:
    """The close frame, if one came."""
    closes = [payload for opcode, payload in browser.frames if opcode == CLOSE]
    return (int.from_bytes(closes[0][:2], "big"), closes[0][2:].decode()) if closes else None


async def exchange(port: int, method: str, target: str, body: bytes | None) -> str:
    """One HTTP request; what had come of its answer when it named the route, or ended."""
    said = bytearray()
    ended: list[bool] = []

    class Asking(Protocol):
        def connectionMade(self) -> None:
            lines = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
            if body is not None:
                lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
            self.transport.write("\r\n".join([*lines, "", ""]).encode() + (body or b""))

        def dataReceived(self, data: bytes) -> None:
            said.extend(data)

        def connectionLost(self, reason: Any = None) -> None:
            ended.append(True)

    protocol = await connectProtocol(clientFromString(reactor, f"tcp:127.0.0.1:{port}"), Asking())
    await eventually(lambda: ended or b"exclusive" in said)
    protocol.transport.abortConnection()
    return said.decode()


class BridgeTests(PublishingCase):
    """Payload in, payload out, both ways."""

    config = CONFIG

    @property
    def counters(self) -> Any:
        return self.relay.bridges.bridges.counters

    async def cross(self, query: str = "?room=a") -> Browser:
        """A browser on the bridge."""
        return await self.browse(f"/raw/echo{query}")

    def test_both_ways(self) -> Deferred[None]:
        """Text as text, binary as binary, no JSON or JSON, in order; each browser by itself."""

        async def run() -> None:
            one, other = await self.cross(), await self.cross("?room=b&lang=de")
            sent = [(TEXT, b"hello"), (BINARY, b"\x00\xff"), (TEXT, b'{"a": 1.0}'), (TEXT, b""), (BINARY, b"x" * 70000)]
            for opcode, payload in sent[:4]:
                one.send(opcode, payload)
            other.send(TEXT, b"other")
            await one.until(lambda: len(data(one)) == 4)
            await other.until(lambda: data(other))
            assert data(one) == sent[:4]
            assert data(other) == [(TEXT, b"other")]
            asked = [request.params for request in self.echo.requests]
            assert sorted(asked, key=str) == [{"room": ["a"], "lang": ["en"]}, {"room": ["b"], "lang": ["de"]}]
            assert self.counters.open == 2

        return Deferred.fromCoroutine(run())

    def test_gone_with_the_browser(self) -> Deferred[None]:
        """In good order, and nothing is left."""

        async def run() -> None:
            browser = await self.cross()
            await eventually(lambda: self.echo.open)
            browser.send(CLOSE, (1000).to_bytes(2, "big"))
            await eventually(lambda: not self.echo.open)
            assert self.echo.closes == [1000]
            await eventually(lambda: self.counters.open == 0)

        return Deferred.fromCoroutine(run())

    def test_the_upstream_ends(self) -> Deferred[None]:
        """The browser learns how: done, or gone."""

        async def run() -> None:
            browser = await self.cross()
            await eventually(lambda: self.echo.open)
            self.echo.open[0].sendClose(1000)
            await browser.until(lambda: close_of(browser))
            assert close_of(browser) == (1000, "done")
            other = await self.cross()
            await eventually(lambda: len(self.echo.requests) == 2 and self.echo.open)
            self.echo.open[0].transport.abortConnection()
            await other.until(lambda: close_of(other))
            assert close_of(other) == (4011, "upstream")
            await eventually(lambda: self.counters.open == 0)
            assert self.counters.ended_by_upstream == 2

        return Deferred.fromCoroutine(run())

    def test_cannot_be_dialled(self) -> Deferred[None]:
        """Nobody there: come back. Refused by a status that means us: do not."""

        async def run() -> None:
            self.echo.refuse_with = 403
            browser = await self.cross()
            await browser.until(lambda: close_of(browser))
            assert close_of(browser) == (4503, "forbidden")
            self.port.stopListening()
            other = await self.cross()
            await other.until(lambda: close_of(other))
            assert close_of(other) == (4011, "upstream")
            await eventually(lambda: self.counters.open == 0)

        return Deferred.fromCoroutine(run())

    def test_bound(self) -> Deferred[None]:
        """One too many is told to come back; a place that frees is taken."""

        async def run() -> None:
            browsers = [await self.cross() for _ in range(3)]
            await eventually(lambda: len(self.echo.open) == 3)
            late = await self.cross()
            await late.until(lambda: close_of(late))
            assert close_of(late) == (1013, "overloaded")
            assert self.counters.refused == 1
            browsers[0].transport.abortConnection()
            await eventually(lambda: self.counters.open == 2)
            again = await self.cross()
            again.send(TEXT, b"1")
            await again.until(lambda: data(again))

        return Deferred.fromCoroutine(run())

    def test_what_the_browser_does_not_bring(self) -> Deferred[None]:
        """Refused before anything is dialled; hostile values too."""

        async def run() -> None:
            for query in ("", "?room=" + "x" * 8000 + "y" * 100, "?room=a%0d%0aX: y", "?room=%00"):
                browser = await self.cross(query)
                if not browser.head.startswith(b"HTTP/1.1 101"):
                    continue  # longer than the head may be
                await browser.until(lambda browser=browser: close_of(browser))
                assert close_of(browser) == (4501, "bad-request")
            assert self.echo.requests == []

        return Deferred.fromCoroutine(run())

    def test_elsewhere(self) -> Deferred[None]:
        """Its topics are in no hub: `/ws` and HTTP say where they are."""

        async def run() -> None:
            browser = await self.browse("/ws")
            for op, more in (("subscribe", {"topics": ["echo"]}), ("publish", {"topic": "echo", "data": 1})):
                browser.say(op=op, id=op, **more)
                await browser.until(lambda op=op: [one for one in browser.messages if one.get("id") == op])
                refused = next(one for one in browser.messages if one.get("id") == op)
                assert (refused["code"], refused["message"]) == (
                    "forbidden", "route echo is exclusive: open /raw/echo",
                )  # fmt: skip
            assert self.relay.hub.topics == {}

        return Deferred.fromCoroutine(run())

    def test_over_http(self) -> Deferred[None]:
        """An event stream, a poll and a publication are refused, each with the setting that decides."""

        async def run() -> None:
            [port] = [one.port.getHost().port for one in self.relay.listeners if isinstance(one, ListenerService)]
            asked = [
                ("GET", "/poll?topics=echo", None),
                ("POST", "/poll", b'{"topics":["echo"]}'),
                ("POST", "/topics/echo", b"1"),
                ("GET", "/topics/echo", None),
                ("GET", "/sse?topics=echo", None),
            ]
            for method, target, body in asked:
                text = await exchange(port, method, target, body)
                assert "forbidden" in text, (method, target, text)
                assert "route echo is exclusive: open /raw/echo" in text, (method, target, text)
            assert self.echo.requests == []
            assert self.relay.hub.topics == {}

        return Deferred.fromCoroutine(run())

    def test_upstream_that_does_not_read(self) -> Deferred[None]:
        """The browser is paused; nothing is lost, and what relayd holds is bounded."""

        async def run() -> None:
            self.echo.echoes = False
            browser = await self.cross()
            await eventually(lambda: self.echo.open)
            self.echo.listen_to(True)
            [line] = [one._line for one in self.bridges()]
            handle = line._upstream._protocol.transport.getHandle()
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            for index in range(50):
                browser.send(TEXT, f"{index:08}".encode() * 1000)
            await eventually(lambda: line.way.paused == 1)
            [client] = self.relay.clients.open.values()
            assert client._intake.is_held
            transport = line._upstream._protocol.transport
            assert len(transport.dataBuffer) + transport._tempDataLen < 300_000
            self.echo.listen_to(False)
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 128 << 10)
            await eventually(lambda: len(self.echo.heard) == 50)
            assert [payload[:8] for payload in self.echo.heard] == [f"{index:08}".encode() for index in range(50)]
            assert not client._intake.is_held

        return Deferred.fromCoroutine(run())

    def test_browser_faster_than_a_listener_may_be(self) -> Deferred[None]:
        """Half as much again as a client may send a second: it is not read for a while, and nothing is lost."""

        async def run() -> None:
            browser = await self.cross()
            payloads = [f"{index:010}".encode() * 1000 for index in range(40)]  # 400 KB at once
            for payload in payloads:
                browser.send(TEXT, payload)
            await eventually(lambda: self.relay.guards.rests > 0)
            [client] = self.relay.clients.open.values()
            await eventually(lambda: client._intake.is_held)
            await browser.until(lambda: len(data(browser)) == 40)
            assert [payload for _, payload in data(browser)] == payloads
            await eventually(lambda: not client._intake.is_held)
            assert close_of(browser) is None

        return Deferred.fromCoroutine(run())

    def test_browser_of_many_words(self) -> Deferred[None]:
        """More frames than a client may send a second: the last of them only waits."""

        async def run() -> None:
            browser = await self.cross()
            for index in range(350):  # more than a second's worth, in one read or two
                browser.send(TEXT, b"%d" % index)
            await eventually(lambda: self.relay.guards.rests > 0)
            browser.send(TEXT, b"last")
            await browser.until(lambda: len(data(browser)) == 351)
            assert [payload for _, payload in data(browser)] == [*(b"%d" % index for index in range(350)), b"last"]
            assert close_of(browser) is None

        return Deferred.fromCoroutine(run())

    def test_what_nobody_needs(self) -> Deferred[None]:
        """A flood of pings and a frame that is none close here as everywhere."""

        async def run() -> None:
            pinging, malformed = await self.cross(), await self.cross()
            for _ in range(60):
                pinging.send(PING)
            malformed.send(3, b"x")  # a reserved opcode
            await pinging.until(lambda: close_of(pinging))
            await malformed.until(lambda: close_of(malformed))
            assert close_of(pinging) == (1008, "policy")
            assert close_of(malformed) == (1002, "protocol")
            await eventually(lambda: self.counters.open == 0)

        return Deferred.fromCoroutine(run())

    def bridges(self) -> list[Any]:
        """Those of all clients."""
        return [client._session._bridge for client in self.relay.clients.open.values()]

    def test_browser_that_does_not_read(self) -> Deferred[None]:
        """The upstream is not read; when the browser reads again everything comes, in order and unchanged."""

        async def run() -> None:
            browser = await self.cross()
            await eventually(lambda: self.echo.open)
            [bridge] = self.bridges()
            await eventually(lambda: bridge.state_now.name == "OPEN")
            browser.transport.pauseProducing()
            upstream = self.echo.open[0]
            sent = hashlib.sha256()
            for index in range(400):
                payload = f"{index:010}".encode() * 2000  # 8 MB in all: more than both kernels hold
                sent.update(payload)
                upstream.sendMessage(payload, False)
            await eventually(lambda: self.counters.held >= 1)
            await eventually(lambda: bridge._is_held)
            sink = bridge._sink
            assert sink.buffered() < 64 * 1024 + 3 * 20_010
            protocol = bridge._line._upstream._protocol
            assert len(protocol.data) <= 64 * 1024 + 20_010  # one read, and what it found begun
            browser.transport.resumeProducing()
            await browser.until(lambda: len(data(browser)) == 400)
            got = hashlib.sha256()
            for _, payload in data(browser):
                got.update(payload)
            assert got.hexdigest() == sent.hexdigest()
            assert not bridge._is_held

        return Deferred.fromCoroutine(run())


class SubprotocolTests(PublishingCase):
    """In which language both ends speak."""

    config = CONFIG.replace(
        '      query: {room: "${browser.query.room}", lang: "${browser.query.lang:-en}"}\n',
        "      protocols: [v2, v1]\n",
    )

    async def cross(self, *offers: str) -> tuple[Browser, str | None, list[str]]:
        """A browser that offers these; what it was answered, and what the upstream was offered."""
        headers = (f"Sec-WebSocket-Protocol: {', '.join(offers)}",) if offers else ()
        browser = await self.browse("/raw/echo", *headers)
        await eventually(lambda: self.echo.requests)
        head = browser.head.decode().lower()
        assert head.startswith("http/1.1 101")
        answers = [line.split()[1] for line in head.split("\r\n") if line.startswith("sec-websocket-protocol:")]
        return browser, answers[0] if answers else None, self.echo.requests.pop().protocols

    def test_in_common(self) -> Deferred[None]:
        """The browser's first choice of what the file has; the upstream is offered that alone."""

        async def run() -> None:
            for offers, chosen in (("x", "v1", "v2"), "v1"), (("v2",), "v2"):
                browser, answer, offered = await self.cross(*offers)
                assert (answer, offered) == (chosen, [chosen])
                browser.send(TEXT, b"hello")
                await browser.until(lambda browser=browser: data(browser) == [(TEXT, b"hello")])

        return Deferred.fromCoroutine(run())

    def test_nothing_in_common(self) -> Deferred[None]:
        """No answer, and the upstream is offered what the file says, as without an offer."""

        async def run() -> None:
            for offers in ((), ("x", "y")):
                browser, answer, offered = await self.cross(*offers)
                assert (answer, offered) == (None, ["v2", "v1"])
                browser.send(TEXT, b"hello")
                await browser.until(lambda browser=browser: data(browser))

        return Deferred.fromCoroutine(run())

    def test_an_upstream_that_does_not_agree(self) -> Deferred[None]:
        """What the browser was told does not hold: closed, before anything was said."""

        async def run() -> None:
            self.echo.agrees = False
            browser, answer, offered = await self.cross("v1")
            assert (answer, offered) == ("v1", ["v1"])
            browser.send(TEXT, b"hello")
            await browser.until(lambda: close_of(browser))
            assert close_of(browser) == (4011, "upstream")
            assert self.echo.heard == []
            await eventually(lambda: self.relay.bridges.bridges.counters.open == 0 and not self.echo.open)

        return Deferred.fromCoroutine(run())


class ChurnTests(PublishingCase):
    """Two hundred browsers come and go."""

    config = CONFIG.replace("limits: {exclusive: 3}", "limits: {exclusive: 200}")

    def test_nothing_is_left(self) -> Deferred[None]:
        """No socket, no service, no timer."""

        async def run() -> None:
            counters = self.relay.bridges.bridges.counters
            calls = len(reactor.getDelayedCalls())
            for round_ in range(4):
                browsers = [await self.browse(f"/raw/echo?room={round_}") for _ in range(50)]
                for index, browser in enumerate(browsers):
                    if index % 3:
                        browser.send(TEXT, b"hi")
                for index, browser in enumerate(browsers):
                    if index % 3 == 1:
                        await browser.until(lambda browser=browser: data(browser))
                    browser.transport.abortConnection()
            await eventually(lambda: counters.open == 0 and not self.echo.open, 10)
            assert counters.opened == 200
            assert self.relay.bridges.lines._ending == set()
            await eventually(lambda: len(reactor.getDelayedCalls()) <= calls + 2)

        return Deferred.fromCoroutine(run())


class CredentialTests(PublishingCase):
    """The upstream hears who it is."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        file = Path(folder.name) / "tokens"
        self.secret = PREFIX + "A" * 43
        file.write_text(write_line(self.secret, "alice", {"tier": "gold"}) + "\n")
        self.config = (
            CONFIG.replace(
                '      query: {room: "${browser.query.room}", lang: "${browser.query.lang:-en}"}\n',
                '      headers: {Authorization: "Bearer ${browser.token}", X-Tier: "${browser.claims.tier}"}\n',
            )
            + f"auth: {{tokens: {file}, from: [header]}}\n"
        )
        super().setUp()

    def test_token_and_claims(self) -> Deferred[None]:
        """In the upstream's handshake, as the file says."""

        async def run() -> None:
            browser = await self.browse("/raw/echo", f"Authorization: Bearer {self.secret}")
            browser.send(TEXT, b"1")
            await browser.until(lambda: data(browser))
            [request] = self.echo.requests
            assert request.headers["authorization"] == f"Bearer {self.secret}"
            assert request.headers["x-tier"] == "gold"

        return Deferred.fromCoroutine(run())

    def test_stranger(self) -> Deferred[None]:
        """Has nothing to show, and the upstream hears nothing of it."""

        async def run() -> None:
            browser = await self.browse("/raw/echo")
            await browser.until(lambda: close_of(browser))
            assert close_of(browser) == (4503, "forbidden")
            assert self.echo.requests == []

        return Deferred.fromCoroutine(run())

    def test_never_in_the_log(self) -> Deferred[None]:
        """Neither the token nor what the upstream says of it, whether it lets us in or not."""

        async def run() -> None:
            events: list[str] = []

            def observe(event: Any) -> None:
                events.append(repr(event))

            globalLogPublisher.addObserver(observe)
            self.addCleanup(globalLogPublisher.removeObserver, observe)
            for status in (None, 403):
                self.echo.refuse_with = status
                browser = await self.browse("/raw/echo", f"Authorization: Bearer {self.secret}")
                browser.send(TEXT, b"1")
                await browser.until(lambda browser=browser: data(browser) or close_of(browser))
            assert events and not [event for event in events if self.secret in event]

        return Deferred.fromCoroutine(run())


class SecureTests(PublishingCase):
    """TLS on both sides, and an upstream where one logs in."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.secret = PREFIX + "A" * 43
        files = {
            "ca": certs.authority().pem,
            "cert": certs.good().pem,
            "key": certs.good().key_pem,
            "tokens": (write_line(self.secret, "alice", {}) + "\n").encode(),
        }
        for name, content in files.items():
            Path(folder.name, name).write_bytes(content)
        at = folder.name
        self.config = f"""
listeners:
  - {{endpoint: "tcp:0:interface=127.0.0.1", origins: [any], tls: {{cert: {at}/cert, key: {at}/key}}}}
auth: {{tokens: {at}/tokens, from: [header]}}
upstreams:
  echo:
    connect: {{url: "wss://localhost:${{env.PORT}}/", tls: {{ca: {at}/ca}}}}
    login: [{{send: {{op: auth, token: "${{browser.token}}"}}, expect: {{op: auth}}}}]
routes:
  - {{topic: echo, upstream: echo, exclusive: true, access: {{publish: public}}}}
"""
        super().setUp()

    def listen(self) -> Any:
        return reactor.listenSSL(0, self.echo, server_tls(certs.good()), interface="127.0.0.1")

    def endpoint(self, port: int) -> Any:
        roots = trustRootFromCertificates([Certificate.loadPEM(certs.authority().pem)])
        return wrapClientTLS(optionsForClientTLS("localhost", roots), super().endpoint(port))

    def test_logged_in_as_the_browser(self) -> Deferred[None]:
        """The login is the first thing that the upstream hears, with the browser's token, and its answer is not the
        browser's; what the browser said before that comes after it."""

        async def run() -> None:
            browser = await self.browse("/raw/echo", f"Authorization: Bearer {self.secret}")
            browser.send(TEXT, b"hello")
            browser.send(BINARY, b"\x00" * 30_000)
            await browser.until(lambda: len(data(browser)) == 2)
            assert data(browser) == [(TEXT, b"hello"), (BINARY, b"\x00" * 30_000)]
            login, *said = self.echo.heard
            assert json.loads(login) == {"op": "auth", "token": self.secret}
            assert said == [b"hello", b"\x00" * 30_000]

        return Deferred.fromCoroutine(run())
