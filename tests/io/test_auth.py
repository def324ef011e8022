"""Who may come in, as browsers meet it: real connections, real files, and a real server of the user's behind."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.logger import globalLogPublisher
from twisted.web.client import Agent, readBody
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from relayd.app import Relay as Program
from relayd.app import build
from relayd.config.load import loads
from relayd.config.model import Auth
from relayd.core.auth.access import Access, Anyone, Claim, Literal, OfField
from relayd.core.auth.credentials import Places
from relayd.core.auth.door import Door
from relayd.core.auth.tokens import write_line
from relayd.core.guard import GuardSettings
from relayd.core.origin import OriginPolicy
from relayd.io.auth import LOOK_EVERY_S, AuthService
from relayd.io.guard import SWEEP_EVERY_S
from relayd.io.listener import ListenerService
from tests.support.browser import Browser, handshake
from tests.support.http_case import Answer, HttpTestCase
from tests.support.hub_rig import route
from tests.support.relay_rig import Relay, eventually, reactor, turn
from tests.support.signing import jwk, jwks, sign

PUBLIC = route("t/$name")
MINE = route("user/$name/$box", access=Access((Claim("sub", (OfField("name"),)),)))
STAFF = route("staff/$name", access=Access((Claim("role", (Literal("operator"),)),)))
CLOSED = route("closed/$name", access=Access(Anyone.NOBODY))
PAGE = "Origin: https://app.example"
SETTINGS = GuardSettings(origins=OriginPolicy.parse(["https://app.example"]))


class UserServer(Resource):
    """Somebody's own server: `/auth` is the webhook, `/jwks` a key set."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[dict[str, str]] = []
        self.bodies: list[Any] = []
        self.status = 200
        self.answer: bytes | None = b'{"sub": "alice", "role": "operator"}'
        self.keys = b""
        self.fetched = 0

    def render_POST(self, request: Any) -> Any:
        """The webhook; None as an answer never comes."""
        headers = {
            name.decode().lower(): values[0].decode() for name, values in request.requestHeaders.getAllRawHeaders()
        }
        self.asked.append(headers)
        self.bodies.append(json.loads(request.content.read()))
        if self.answer is None:
            request.notifyFinish().addErrback(lambda _: None)
            return NOT_DONE_YET
        request.setResponseCode(self.status)
        return self.answer

    def render_GET(self, request: Any) -> bytes:
        """The key set."""
        self.fetched += 1
        request.setResponseCode(self.status)
        return self.keys


class AuthTestCase(HttpTestCase):
    """A relay with a door."""

    def setUp(self) -> None:
        self.server = UserServer()
        port = reactor.listenTCP(0, Site(self.server), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{port.getHost().port}"
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.now = 1000.0

    def keep(self, name: str, data: str | bytes) -> str:
        """A file."""
        path = self.folder / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return str(path)

    def guarded(self, *routes: Any, **auth: Any) -> Relay:
        """A relay behind that `auth` block."""
        block = Auth.model_validate(auth)
        routes = routes or (PUBLIC, MINE, STAFF, CLOSED)
        self.judges = AuthService(block, reactor, lambda: self.now, time.time, user_agent="relayd/test")
        self.judges.startService()
        self.addCleanup(self.judges.stopService)
        self.door = Door(
            self.judges.verifiers,
            Places.parse(block.from_),
            within_s=block.within_s,
            strangers_welcome=any(one.access.subscribe is Anyone.PUBLIC for one in routes),
            monotonic=lambda: self.now,
            wall=time.time,
            random=lambda: 0.5,
        )
        return self.relay(*routes, settings=SETTINGS, door=self.door)

    def tokens(self, *names: str, **claims: Any) -> str:
        """A file in which the token of each is `TOKEN-name`."""
        return self.keep("tokens", "".join(write_line(f"TOKEN-{name}", name, claims) + "\n" for name in names))

    async def op(self, browser: Any, op: str) -> dict[str, Any]:
        """The newest message of that kind, when there is one."""
        await browser.until(lambda: any(one.get("op") == op for one in browser.messages))
        return [one for one in browser.messages if one.get("op") == op][-1]

    async def closed(self, browser: Any) -> tuple[int, str]:
        """How the connection was closed."""
        await browser.until(lambda: browser.close)
        return browser.close


class PlacesTests(AuthTestCase):
    """Where a token may stand."""

    async def test_header(self) -> None:
        """`Authorization: Bearer`."""
        relay = self.guarded(tokens=self.tokens("alice"))
        browser = await relay.browse("/ws?topics=user/alice/in,user/bob/in", "Authorization: Bearer TOKEN-alice")
        assert list((await self.op(browser, "subscribed"))["topics"]) == ["user/alice/in"]
        error = await self.op(browser, "error")
        assert (error["code"], error["topic"]) == ("forbidden", "user/bob/in")
        assert "user/bob/in" not in relay.hub.topics

    async def test_message(self) -> None:
        """The first message, where a browser can set no header."""
        relay = self.guarded(tokens=self.tokens("alice"))
        browser = await relay.browse("/ws")
        browser.say(op="subscribe", id=1, topics=["user/alice/in"])
        assert (await self.op(browser, "error"))["code"] == "unauthorized"
        browser.say(op="auth", id=2, token="TOKEN-alice")
        assert await self.op(browser, "authorized") == {"op": "authorized", "id": 2, "subject": "alice"}
        browser.say(op="subscribe", id=3, topics=["user/alice/in"])
        await browser.until(lambda: browser.messages[-1].get("id") == 3)
        assert list(browser.messages[-1]["topics"]) == ["user/alice/in"]

    async def test_cookie(self) -> None:
        """Only where the page was checked: no Origin, no credential."""
        relay = self.guarded(tokens=self.tokens("alice"), **{"from": ["cookie:sid"]})
        for headers, code in (([PAGE], None), ([], "unauthorized")):
            browser = await relay.browse("/ws?topics=user/alice/in", "Cookie: a=b; sid=TOKEN-alice", *headers)
            await self.op(browser, "subscribed")
            errors = [one["code"] for one in browser.messages if one.get("op") == "error"]
            assert errors == ([] if code is None else [code])

    async def test_query(self) -> None:
        """Only if listed."""
        for places, seen in ((["query:token"], True), (["header"], False)):
            relay = self.guarded(tokens=self.tokens("alice"), **{"from": places})
            browser = await relay.browse("/ws?token=TOKEN-alice&topics=user/alice/in")
            answer = await self.op(browser, "subscribed")
            assert bool(answer["topics"]) is seen

    async def test_message_not_listed(self) -> None:
        """`auth` is then no operation."""
        relay = self.guarded(tokens=self.tokens("alice"), **{"from": ["header"]})
        browser = await relay.browse("/ws")
        browser.say(op="auth", id=1, token="TOKEN-alice")
        assert (await self.op(browser, "error"))["code"] == "unknown_op"


class EndTests(AuthTestCase):
    """How connections are sent away."""

    async def test_bad_token(self) -> None:
        """Accepted, then closed: a script sees no status of a handshake."""
        relay = self.guarded(tokens=self.tokens("alice"))
        browser = await relay.browse("/ws", "Authorization: Bearer WRONG")
        assert await self.closed(browser) == (4500, "bad-token")
        assert browser.head.startswith(b"HTTP/1.1 101")
        browser = await relay.browse("/ws")
        browser.say(op="auth", token="WRONG")
        assert await self.closed(browser) == (4500, "bad-token")
        assert self.door.counters.denied["unknown"] == 2

    async def test_within(self) -> None:
        """Where nothing is public a stranger has so much time, and one that is known has no deadline."""
        relay = self.guarded(MINE, tokens=self.tokens("alice"), within="10s")
        late = await relay.browse("/ws")
        known = await relay.browse("/ws", "Authorization: Bearer TOKEN-alice")
        await self.op(late, "welcome")
        await self.op(known, "welcome")
        self.door.tick(self.now + 9)
        self.door.tick(self.now + 11)
        assert await self.closed(late) == (4502, "no-auth")
        known.say(op="ping", id=1)
        await self.op(known, "pong")
        assert self.door.expected == 0

    async def test_expiry(self) -> None:
        """With grace and a moment of its own; a new token in time goes on."""
        keys = self.keep("jwks", jwks(jwk("ES256")))
        relay = self.guarded(jwt={"jwks": keys, "algorithms": ["ES256"]})
        browser = await relay.browse("/ws", f"Authorization: Bearer {sign(exp=time.time() + 100)}")
        await self.op(browser, "welcome")
        browser.say(op="auth", id=1, token=sign(exp=int(time.time()) + 1000))
        assert (await self.op(browser, "authorized"))["expires_ms"] > time.time() * 1000
        self.door.tick(self.now + 200)
        browser.say(op="ping")
        await self.op(browser, "pong")
        self.door.tick(self.now + 1000 + 10 + 15 + 2)
        assert await self.closed(browser) == (4005, "token-expired")
        assert self.door.counters.expired == 1

    async def test_raw(self) -> None:
        """One topic, or 4503."""
        relay = self.guarded(tokens=self.tokens("alice", "bob"))
        for headers in ([], ["Authorization: Bearer TOKEN-bob"]):
            browser = await relay.browse("/raw/user/alice/in", *headers)
            assert await self.closed(browser) == (4503, "forbidden")
        browser = await relay.browse("/raw/user/alice/in", "Authorization: Bearer TOKEN-alice")
        relay.publish("user/alice/in", b"hello")
        await browser.until(lambda: (1, b"hello") in browser.frames)

    async def test_other_rights(self) -> None:
        """A new token with less: what it may not have ends; what a pattern now means comes."""
        relay = self.guarded(tokens=self.tokens("alice", "bob"))
        relay.publish("user/bob/in")
        browser = await relay.browse("/ws?topics=user/alice/in,user/*/in", "Authorization: Bearer TOKEN-alice")
        await self.op(browser, "subscribed")
        browser.say(op="auth", id=1, token="TOKEN-bob")
        await self.op(browser, "authorized")
        await browser.until(lambda: browser.messages[-1].get("topic") == "user/bob/in")
        error = await self.op(browser, "error")
        assert (error["code"], error["topic"]) == ("forbidden", "user/alice/in")
        assert relay.demand.wanted_topics == []


class HttpTests(AuthTestCase):
    """The same over HTTP, with its own words."""

    async def get(self, relay: Relay, target: str, *headers: str) -> Answer:
        return await self.ask(relay, target, *headers)

    async def test_statuses(self) -> None:
        """401 asks for a token, 403 does not."""
        relay = self.guarded(tokens=self.tokens("alice"))
        relay.publish("user/alice/in", b"5")
        relay.publish("t/a", b"6")
        stranger = await self.get(relay, "/topics/user/alice/in")
        assert (stranger.status, stranger.headers["www-authenticate"]) == (401, "bearer")
        alice = "Authorization: Bearer TOKEN-alice"
        answer = await self.get(relay, "/topics/user/alice/in", alice)
        assert answer.json["snapshot"][0]["data"] == 5
        assert answer.headers["cache-control"] == "private, no-cache"
        assert (await self.get(relay, "/topics/user/bob/in", alice)).status == 403
        assert (await self.get(relay, "/topics/closed/x", alice)).status == 403
        assert (await self.get(relay, "/topics/t/a")).status == 200
        bad = await self.get(relay, "/topics/t/a", "Authorization: Bearer WRONG")
        assert (bad.status, bad.json["code"]) == (401, "unauthorized")

    async def test_list(self) -> None:
        """Only what one may have."""
        relay = self.guarded(tokens=self.tokens("alice"))
        for name in ("user/alice/in", "user/bob/in", "t/a"):
            relay.publish(name)
        stranger = await self.get(relay, "/topics")
        assert [one["topic"] for one in stranger.json["topics"]] == ["t/a"]
        alice = await self.get(relay, "/topics", "Authorization: Bearer TOKEN-alice")
        assert [one["topic"] for one in alice.json["topics"]] == ["t/a", "user/alice/in"]

    async def test_cookie(self) -> None:
        """From a page that is named, or from relayd's own."""
        relay = self.guarded(tokens=self.tokens("alice"), **{"from": ["cookie:sid"]})
        relay.publish("user/alice/in", b"5")
        cookie = "Cookie: sid=TOKEN-alice"
        page = await self.get(relay, "/topics/user/alice/in", cookie, PAGE)
        assert (page.status, page.headers["access-control-allow-credentials"]) == (200, "true")
        assert (await self.get(relay, "/topics/user/alice/in", cookie)).status == 401
        assert (await self.get(relay, "/topics/user/alice/in", cookie, "Sec-Fetch-Site: same-origin")).status == 401
        relay.site.resource.children[b"topics"]._origins = OriginPolicy()
        assert (await self.get(relay, "/topics/user/alice/in", cookie, "Sec-Fetch-Site: same-origin")).status == 200


class WebhookTests(AuthTestCase):
    """The user's own server."""

    async def test_cookie(self) -> None:
        """One question for one cookie, with what the browser sent and nothing it made up."""
        relay = self.guarded(webhook={"url": f"{self.url}/auth"})
        for _ in range(3):
            browser = await relay.browse("/ws?topics=staff/x", PAGE, "Cookie: sid=1", "X-User: root", "User-Agent: UA")
            assert (await self.op(browser, "subscribed"))["topics"]
        [asked] = self.server.asked
        assert (asked["cookie"], asked["origin"], asked["user-agent"]) == ("sid=1", "https://app.example", "UA")
        assert "x-user" not in asked
        assert self.server.bodies == [{"path": "/ws", "client": "127.0.0.1"}]

    async def test_what_waits(self) -> None:
        """What is said meanwhile is answered then, in order."""
        relay = self.guarded(webhook={"url": f"{self.url}/auth"})
        browser = await relay.browse("/ws", PAGE, "Cookie: sid=1")
        for number in range(5):
            browser.say(op="ping", id=number)
        await browser.until(lambda: len(browser.messages) == 6)
        assert [one.get("id") for one in browser.messages] == [None, 0, 1, 2, 3, 4]

    async def test_no(self) -> None:
        """401 and 403 are final; 204 is a stranger."""
        relay = self.guarded(webhook={"url": f"{self.url}/auth"})
        self.server.status = 403
        assert await self.closed(await relay.browse("/ws", "Authorization: Basic eDp5")) == (4500, "bad-token")
        self.server.status, self.server.answer = 204, b""
        browser = await relay.browse("/ws?topics=staff/x,t/a", "Authorization: Basic eDp6")
        assert list((await self.op(browser, "subscribed"))["topics"]) == ["t/a"]

    async def test_nothing_to_ask(self) -> None:
        """Without cookie and Authorization nobody is asked about."""
        relay = self.guarded(webhook={"url": f"{self.url}/auth"})
        await self.op(await relay.browse("/ws", PAGE), "welcome")
        assert self.server.asked == []

    async def test_token_in_a_message(self) -> None:
        """The server sees it as a header would show it; a line break in it is no token."""
        relay = self.guarded(webhook={"url": f"{self.url}/auth"})
        browser = await relay.browse("/ws")
        browser.say(op="auth", id=1, token="abc")
        assert (await self.op(browser, "authorized"))["subject"] == "alice"
        assert self.server.asked[0]["authorization"] == "Bearer abc"
        browser.say(op="auth", id=2, token="abc\r\nX-User: root")
        assert await self.closed(browser) == (4500, "bad-token")
        assert len(self.server.asked) == 1

    async def test_failures(self) -> None:
        """A server that fails is no yes and no no; it is asked again."""
        relay = self.guarded(webhook={"url": f"{self.url}/auth"})
        self.server.status = 500
        browser = await relay.browse("/ws", "Authorization: Basic eDp5")
        assert await self.closed(browser) == (1013, "overloaded; retry=5")
        assert (await self.ask(relay, "/topics", "Authorization: Basic eDp5")).status == 503
        self.server.status = 200
        browser = await relay.browse("/ws?topics=staff/x", "Authorization: Basic eDp5")
        assert (await self.op(browser, "subscribed"))["topics"]
        assert len(self.server.asked) == 3

    async def test_timeout(self) -> None:
        """A server that hangs, with the milder way out."""
        relay = self.guarded(webhook={"url": f"{self.url}/auth", "timeout": "100ms", "on_failure": "anonymous"})
        self.server.answer = None
        browser = await relay.browse("/ws?topics=staff/x,t/a", "Authorization: Basic eDp5")
        assert list((await self.op(browser, "subscribed"))["topics"]) == ["t/a"]

    async def test_gone_meanwhile(self) -> None:
        """Nobody waits for the answer any more."""
        relay = self.guarded(webhook={"url": f"{self.url}/auth", "timeout": "300ms"})
        self.server.answer = None
        browser = await relay.browse("/ws", "Authorization: Basic eDp5")
        request = await self.begin(relay, "/topics", "Authorization: Basic eDp6")
        await eventually(lambda: len(self.server.asked) == 2)
        browser.transport.abortConnection()
        request.transport.abortConnection()
        webhook = self.judges.verifiers.webhook
        assert webhook is not None
        await eventually(lambda: webhook.failures == 2)
        assert relay.clients.counters.errors == 0

    async def test_late_http(self) -> None:
        """A request waits for its verdict."""
        relay = self.guarded(webhook={"url": f"{self.url}/auth"})
        relay.publish("staff/x", b"7")
        answer = await self.ask(relay, "/topics/staff/x", "Authorization: Basic eDp5")
        assert answer.json["snapshot"][0]["data"] == 7

    async def test_late_failure(self) -> None:
        """What goes wrong after the verdict is a 500, and that request's alone."""
        relay = self.guarded(webhook={"url": f"{self.url}/auth"})

        def fail(*_: object) -> bytes:
            raise RuntimeError("a fault of ours")

        relay.site.resource.children[b"topics"]._serve = fail
        assert (await self.ask(relay, "/topics", "Authorization: Basic eDp5")).status == 500
        assert (await self.ask(relay, "/topics", "Authorization: Basic eDp5")).status == 500
        assert len(self.flushLoggedErrors(RuntimeError)) == 2


class KeysTests(AuthTestCase):
    """Key sets that change."""

    async def test_fetched(self) -> None:
        """At the start; again for a key that is new, and not for every made-up one."""
        self.server.keys = jwks(jwk("ES256", "a"))
        relay = self.guarded(jwt={"jwks": f"{self.url}/jwks", "algorithms": ["ES256"]})
        await eventually(lambda: self.server.fetched == 1)
        exp = time.time() + 1000
        good = sign(exp=exp, header={"kid": "a"})
        assert (await self.ask(relay, "/topics", f"Authorization: Bearer {good}")).status == 200
        new = sign(exp=exp, which=1, header={"kid": "b"})
        assert (await self.ask(relay, "/topics", f"Authorization: Bearer {new}")).status == 503
        assert self.server.fetched == 1  # the last fetch was a moment ago
        self.server.keys = jwks(jwk("ES256", "a"), jwk("ES256", "b", 1))
        self.now += 31
        assert (await self.ask(relay, "/topics", f"Authorization: Bearer {new}")).status == 200
        assert self.server.fetched == 2

    async def test_cannot_be_fetched(self) -> None:
        """Nobody can say: 1013, and asked again; keys that are there go on."""
        self.server.status = 500
        relay = self.guarded(jwt={"jwks": f"{self.url}/jwks", "algorithms": ["ES256"]})
        good = f"Authorization: Bearer {sign(exp=time.time() + 1000)}"
        assert await self.closed(await relay.browse("/ws", good)) == (1013, "overloaded; retry=5")
        self.server.status, self.server.keys = 200, jwks(jwk("ES256"))
        self.now += 31
        await self.op(await relay.browse("/ws", good), "welcome")
        self.server.status = 500
        self.now += 601
        self.judges.tick(self.now)
        await eventually(lambda: self.server.fetched == 3)
        await self.op(await relay.browse("/ws", good), "welcome")

    async def test_files(self) -> None:
        """Read anew when they change; a broken one changes nothing."""
        relay = self.guarded(
            tokens=self.tokens("alice"),
            jwt={"jwks": self.keep("jwks", jwks(jwk("ES256", "a"))), "algorithms": ["ES256"]},
        )
        bob = "Authorization: Bearer TOKEN-bob"
        assert (await self.ask(relay, "/topics", bob)).status == 401
        self.tokens("alice", "bob")
        self.keep("jwks", "{}")
        self.now += LOOK_EVERY_S
        assert self.judges.next_deadline() <= self.now
        self.judges.tick(self.now)
        assert (await self.ask(relay, "/topics", bob)).status == 200
        (self.folder / "tokens").unlink()
        self.judges.tick(self.now)
        self.keep("tokens", "x" * 10)
        self.judges.tick(self.now)
        assert (await self.ask(relay, "/topics", bob)).status == 200
        good = sign(exp=time.time() + 1000, header={"kid": "a"})
        assert (await self.ask(relay, "/topics", f"Authorization: Bearer {good}")).status == 200
        self.keep("jwks", b" " * (5 << 20))
        self.judges.tick(self.now)
        assert (await self.ask(relay, "/topics", f"Authorization: Bearer {good}")).status == 200


class WholeTests(AuthTestCase):
    """From the file on: the whole program."""

    def start(self, auth: str) -> Any:
        """A relay of a file, and a way to reach it."""
        text = f"""
listeners: [{{endpoint: "tcp:0:interface=127.0.0.1", origins: ["https://app.example"]}}]
upstreams: {{feed: {{connect: {{url: "ws://127.0.0.1:1/"}}, topic: {{at: {{name: who}}}}}}}}
routes:
  - {{topic: user/$name, upstream: feed, access: {{subscribe: {{sub: $name}}}}}}
auth: {auth}
admin: {{endpoint: "tcp:0:interface=127.0.0.1"}}
"""
        program = build(loads(text, "relay.yaml", {}), reactor, time.monotonic, environ={})
        assert isinstance(program, Program)
        program.privilegedStartService()
        program.startService()
        self.addCleanup(turn, 2 * SWEEP_EVERY_S)  # the guard looks once more whether anybody is left
        self.addCleanup(program.stopService)
        ports = [one.port.getHost().port for one in program.listeners if isinstance(one, ListenerService) and one.port]
        return program, ports

    async def test_program(self) -> None:
        """Cookie, header, message and query; what was counted; and no secret in any line of the log."""
        events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        tokens = self.tokens("alice", role="personal-data")
        places = '[header, "cookie:sid", "query:token", message]'
        program, (port, admin) = self.start(f"{{tokens: {tokens}, from: {places}, within: 1s}}")
        place = f"tcp:127.0.0.1:{port}"
        asked = [
            ("/ws?topics=user/alice", "Authorization: Bearer TOKEN-alice"),
            ("/ws?topics=user/alice", "Cookie: sid=TOKEN-alice", PAGE),
            ("/ws?topics=user/alice&token=TOKEN-alice",),
            ("/raw/user/alice?token=TOKEN-alice",),
            ("/ws?token=TOKEN-mallory",),
            ("/ws",),
        ]
        browsers = []
        for target, *headers in asked:
            browser = await connectProtocol(clientFromString(reactor, place), Browser())
            self.addCleanup(browser.transport.abortConnection)
            browser.transport.write(handshake(target, *headers))
            browsers.append(browser)
        for browser in browsers[:3]:
            assert list((await self.op(browser, "subscribed"))["topics"]) == ["user/alice"]
        program.hub.publish(program.hub.topic("user/alice"), b"5", True)
        await browsers[3].until(lambda: (1, b"5") in browsers[3].frames)
        assert await self.closed(browsers[4]) == (4500, "bad-token")
        assert await self.closed(browsers[5]) == (4502, "no-auth")
        metrics = await readBody(await Agent(reactor).request(b"GET", b"http://127.0.0.1:%d/metrics" % admin))
        assert b"relayd_auth_accepted_total 4.0" in metrics
        assert b'relayd_auth_denied_total{why="unknown"} 1.0' in metrics
        assert b"relayd_auth_no_auth_total 1.0" in metrics
        assert any(event.get("log_format") == "client closed" for event in events)
        told = repr(events)
        assert "TOKEN" not in told and "personal-data" not in told
