"""A user's own servers that fail, in the ways in which servers do, over real connections: whoever is asked about comes
in as `on_failure` says, keys that are there go on, and nothing but a 200 from the server itself is ever a yes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.web.server import Site

from relayd.core.auth.keyring import MIN_INTERVAL_S, REFRESH_S
from relayd.io import upstream_http
from tests.io.test_auth import AuthTestCase, UserServer
from tests.support.relay_rig import Relay, eventually, reactor
from tests.support.signing import jwk, jwks, sign

YES = b'{"sub": "mallory", "role": "operator"}'
#: So long a request may take here, in place of 10 s.
WITHIN_S = 1.0


def answer(status: str, body: bytes, *headers: str) -> bytes:
    """A response."""
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]).encode() + body


class FaultySpeaker(Protocol):
    """One connection to the server below, which answers whatever it is asked."""

    factory: FaultyServer
    transport: Any

    def __init__(self) -> None:
        self._drip: LoopingCall | None = None
        self._heard = b""

    def dataReceived(self, data: bytes) -> None:
        """A request, by its head; once."""
        self._heard += data
        if b"\r\n\r\n" in self._heard and self._drip is None:
            self._drip = LoopingCall(self.transport.write, b" ")
            self.factory.asked += 1
            self.factory.fault(self)

    def drip(self) -> None:
        """A byte now and then, for ever."""
        assert self._drip is not None
        self._drip.start(0.02)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Nobody listens."""
        if self._drip is not None and self._drip.running:
            self._drip.stop()


class FaultyServer(Factory):
    """A server with one fault."""

    protocol = FaultySpeaker
    noisy = False

    def __init__(self, fault: Callable[[FaultySpeaker], None]) -> None:
        self.fault = fault
        self.asked = 0


def says(data: bytes, *, ends: bool = False) -> Callable[[FaultySpeaker], None]:
    """The fault of a server that says this, and hangs up."""

    def fault(speaker: FaultySpeaker) -> None:
        speaker.transport.write(data)
        if ends:
            speaker.transport.loseConnection()

    return fault


def drips(head: bytes) -> Callable[[FaultySpeaker], None]:
    """The fault of a server that says this, and then a byte now and then."""

    def fault(speaker: FaultySpeaker) -> None:
        speaker.transport.write(head)
        speaker.drip()

    return fault


#: What a server can do in place of an answer; of each, why it is no yes.
FAULTS: dict[str, Callable[[FaultySpeaker], None]] = {
    "a status of 500, whatever the body says": says(answer("500 Oops", YES)),
    "a status of 201": says(answer("201 Created", YES)),
    "a body that is no JSON": says(answer("200 OK", b"<html>sub: mallory</html>")),
    "a body that is half JSON": says(answer("200 OK", YES[:-1])),
    "a body that is no object": says(answer("200 OK", b'["mallory"]')),
    "an empty body": says(answer("200 OK", b"")),
    "a body without end": drips(b"HTTP/1.1 200 OK\r\n\r\n" + YES),
    "a head without end": drips(b"HTTP/1.1 200 OK\r\nX: "),
    "nothing": says(b""),
    "an end before the answer": says(b"", ends=True),
    "an end in the middle": says(answer("200 OK", YES)[:-5], ends=True),
    "what is no HTTP": says(b"\x15\x03\x01\x00\x02\x02\x28\r\n\r\n", ends=True),
    "a body that is too long": says(answer("200 OK", b'{"sub":"mallory","x":"' + b"x" * (5 << 20) + b'"}')),
}


class FailureTestCase(AuthTestCase):
    """Servers with faults, and one that a redirect leads to."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(upstream_http, "WITHIN_S", WITHIN_S)
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def faulty(self, fault: Callable[[FaultySpeaker], None]) -> FaultyServer:
        """A server with that fault; its address is in `url`."""
        server = FaultyServer(fault)
        port = reactor.listenTCP(0, server, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{port.getHost().port}"
        return server

    def warnings(self, start: str) -> list[dict[str, Any]]:
        """Lines of the log that begin so."""
        return [event for event in self.events if str(event.get("log_format", "")).startswith(start)]


class WebhookFailureTests(FailureTestCase):
    """Nobody is let in by a fault, and nobody's answer is remembered."""

    async def refused(self, relay: Relay) -> None:
        """A browser is sent away to come back, a request gets a 503."""
        browser = await relay.browse("/ws?topics=staff/x", "Authorization: Bearer SECRET")
        assert await self.closed(browser) == (1013, "overloaded; retry=5")
        assert not any(one.get("op") == "subscribed" for one in browser.messages)
        assert (await self.ask(relay, "/topics/staff/x", "Authorization: Bearer SECRET")).status == 503

    async def test_faults(self) -> None:
        """Each way to fail: 1013 and 503, asked anew each time, one line with the reason and without the token."""
        for name, fault in FAULTS.items():
            server = self.faulty(fault)
            self.events.clear()
            relay = self.guarded(webhook={"url": f"{self.url}/auth", "timeout": "300ms"})
            await self.refused(relay)
            webhook = self.judges.verifiers.webhook
            assert webhook is not None
            assert (server.asked, webhook.failures) == (2, 2), name
            (line,) = self.warnings("auth.webhook fails")
            assert line["why"], name
            assert "SECRET" not in repr(self.events) and "mallory" not in repr(self.events), name
            assert relay.clients.counters.errors == 0

    async def test_faults_with_the_milder_way_out(self) -> None:
        """A stranger: what is public, and nothing that the broken answer claims."""
        for name, fault in FAULTS.items():
            self.faulty(fault)
            block = {"url": f"{self.url}/auth", "timeout": "300ms", "on_failure": "anonymous"}
            relay = self.guarded(webhook=block)
            browser = await relay.browse("/ws?topics=staff/x,user/mallory/in,t/a", "Authorization: Bearer SECRET")
            assert list((await self.op(browser, "subscribed"))["topics"]) == ["t/a"], name

    async def test_refused_connection(self) -> None:
        """Nobody listens there; when somebody does again, the next question is answered, and the log says so."""
        port = reactor.listenTCP(0, Site(self.server), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        relay = self.guarded(webhook={"url": f"http://127.0.0.1:{number}/auth", "timeout": "2s"})
        await self.refused(relay)
        (line,) = self.warnings("auth.webhook fails")
        assert "refused" in str(line["why"]).lower()
        port = reactor.listenTCP(number, Site(self.server), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        browser = await relay.browse("/ws?topics=staff/x", "Authorization: Bearer SECRET")
        assert (await self.op(browser, "subscribed"))["topics"]
        assert len(self.warnings("auth.webhook answers again")) == 1

    async def test_redirects(self) -> None:
        """Not followed, whichever: where it leads nobody comes, and the credentials stay here."""
        for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"):
            elsewhere = UserServer()
            port = reactor.listenTCP(0, Site(elsewhere), interface="127.0.0.1")
            self.addCleanup(port.stopListening)
            target = f"Location: http://127.0.0.1:{port.getHost().port}/auth"
            server = self.faulty(says(answer(status, YES, target)))
            relay = self.guarded(webhook={"url": f"{self.url}/auth", "timeout": "2s"})
            await self.refused(relay)
            assert server.asked == 2
            assert (elsewhere.asked, elsewhere.fetched) == ([], 0)

    async def test_slow_answers_hold_up_nobody_else(self) -> None:
        """Who has no credentials comes in while another's question hangs."""
        server = self.faulty(FAULTS["a body without end"])
        relay = self.guarded(webhook={"url": f"{self.url}/auth", "timeout": "300ms"})
        waits = await relay.browse("/ws", "Authorization: Bearer SECRET")
        await eventually(lambda: server.asked == 1)
        await self.op(await relay.browse("/ws?topics=t/a"), "subscribed")
        assert await self.closed(waits) == (1013, "overloaded; retry=5")


class KeysFailureTests(FailureTestCase):
    """The key set that cannot be fetched anew."""

    def bearer(self, kid: str, which: int) -> str:
        """A good token of one of two keys."""
        return f"Authorization: Bearer {sign(exp=time.time() + 1000, which=which, header={'kid': kid})}"

    async def test_refresh(self) -> None:
        """Each way to fail: the key that is there goes on, a token of a key that may be newer is told to come back (it
        is not bad), one line says why; and half a minute later the set counts that can be fetched again."""
        faults = {
            **FAULTS,
            "no key set": says(answer("200 OK", b'{"keys": 5}')),
            "a key set without a key": says(answer("200 OK", b'{"keys": []}')),
            "a shared secret": says(answer("200 OK", jwks(jwk("HS256", "c")))),
            "a redirect": says(answer("302 Found", jwks(jwk("ES256", "b", 1)), f"Location: {self.url}/jwks")),
        }
        old, new = self.bearer("a", 0), self.bearer("b", 1)
        for name, fault in faults.items():
            server = self.faulty(says(answer("200 OK", jwks(jwk("ES256", "a")))))
            self.events.clear()
            relay = self.guarded(jwt={"jwks": f"{self.url}/jwks", "algorithms": ["ES256"]})
            await eventually(lambda server=server: server.asked == 1)
            assert (await self.ask(relay, "/topics", old)).status == 200, name
            server.fault = fault
            self.now += REFRESH_S + 1
            self.judges.tick(self.now)
            await eventually(lambda: len(self.warnings("auth.jwt.jwks cannot be fetched")) == 1)
            assert (await self.ask(relay, "/topics", old)).status == 200, name
            assert (await self.ask(relay, "/topics", new)).status == 503, name
            assert (server.asked, self.server.fetched) == (2, 0), name
            assert self.warnings("auth.jwt.jwks cannot be fetched")[0]["why"], name
            server.fault = says(answer("200 OK", jwks(jwk("ES256", "a"), jwk("ES256", "b", 1))))
            self.now += MIN_INTERVAL_S + 1
            assert (await self.ask(relay, "/topics", new)).status == 200, name
            assert (await self.ask(relay, "/topics", old)).status == 200, name

    async def test_first_fetch(self) -> None:
        """Without any keys nobody can be judged, and nobody is let in: 1013, and 503."""
        for name in ("a status of 500, whatever the body says", "a body without end", "an end before the answer"):
            self.faulty(FAULTS[name])
            relay = self.guarded(jwt={"jwks": f"{self.url}/jwks", "algorithms": ["ES256"]})
            browser = await relay.browse("/ws?topics=staff/x", self.bearer("a", 0))
            assert await self.closed(browser) == (1013, "overloaded; retry=5"), name
            assert (await self.ask(relay, "/topics", self.bearer("a", 0))).status == 503, name
