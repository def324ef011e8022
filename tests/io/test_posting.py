"""Publishing over real connections, as an application server does it."""

from __future__ import annotations

import json

from relayd.core.auth.access import Access, Anyone, Claim, Literal
from relayd.core.auth.verdict import Identity
from relayd.core.guard import GuardSettings
from relayd.core.origin import OriginPolicy
from relayd.core.routes import Route
from relayd.io import guard_connection
from tests.support.door import DoorRig
from tests.support.http_case import HttpTestCase
from tests.support.hub_rig import route
from tests.support.relay_rig import eventually

PAGE = "https://app.example.com"
JSON = "Content-Type: application/json"


def local(access: Access | None = None) -> Route:
    """A route on which clients publish."""
    return route("t/$name", upstream=None, access=access or Access(publish=Anyone.PUBLIC))


class PostTests(HttpTestCase):
    """POST /topics."""

    async def test_one(self) -> None:
        """200 with the position; readers have it."""
        relay = self.relay(local())
        browser = await relay.browse("/ws?topics=t/a")
        answer = await self.ask(relay, "/topics/t/a", {"n": 1}, JSON)
        assert (answer.status, answer.json) == (200, {"topic": "t/a", "position": "e1:1"})
        await browser.until(lambda: "data" in browser.messages[-1])
        assert browser.messages[-1]["data"] == {"n": 1}

    async def test_batch(self) -> None:
        """Results in order; a batch may be longer than a message."""
        relay = self.relay(local())
        items = [{"topic": "t/a", "text": "x" * 50_000} for _ in range(10)]
        answer = await self.ask(relay, "/topics", {"publications": items}, JSON)
        assert answer.status == 200
        assert [result["position"] for result in answer.json["results"]] == [f"e1:{n}" for n in range(1, 11)]

    async def test_again_with_its_key(self) -> None:
        """The same answer; the header stands once."""
        relay = self.relay(local())
        first = await self.ask(relay, "/topics/t/a", {"n": 1}, JSON, "Idempotency-Key: k1")
        again = await self.ask(relay, "/topics/t/a", {"n": 1}, JSON, "Idempotency-Key: k1")
        assert first.json == again.json
        conflict = await self.ask(relay, "/topics/t/a", {"n": 2}, JSON, "Idempotency-Key: k1")
        assert conflict.status == 409
        twice = await self.ask(relay, "/topics/t/a", {"n": 1}, JSON, "Idempotency-Key: k2", "Idempotency-Key: k3")
        assert twice.status == 400
        assert relay.hub.counters.publications == 1

    async def test_too_large(self) -> None:
        """Told from the head alone, while the body is still to come."""
        relay = self.relay(local())
        for target, length, setting in (
            ("/topics/t/a", 64 * 1024 + 1, "limits.message"),
            ("/topics", 1024 * 1024 + 1, "16 times limits.message"),
        ):
            browser = await self.begin(relay, target, None, JSON, f"Content-Length: {length}")
            await browser.until(lambda browser=browser: browser.head is not None and b"}" in browser.data)
            assert browser.head.startswith(b"HTTP/1.1 413")
            assert setting in json.loads(browser.data)["message"]

    async def test_bodies_together(self) -> None:
        """Their sum is bounded: 503 and when to come back; a body that is whole or gone makes room."""
        self.patch(guard_connection, "BODIES_BYTES", 1000)
        relay = self.relay(local())
        slow = await self.begin(relay, "/topics/t/a", None, JSON, "Content-Length: 900")
        await eventually(lambda: relay.guards.bodies_bytes == 900)
        full = await self.ask(relay, "/topics/t/a", b"1" * 200, JSON)
        assert (full.status, b"Retry-After: 5" in full.head) == (503, True)
        slow.transport.abortConnection()
        await eventually(lambda: not relay.guards.bodies_bytes)
        assert (await self.ask(relay, "/topics/t/a", b"1" * 200, JSON)).status == 200
        assert relay.guards.bodies_bytes == 0

    async def test_who_may(self) -> None:
        """A token and `access.publish` decide; the message names it."""
        doors = DoorRig()
        doors.authority.verdicts[""] = None
        doors.authority.verdicts["server"] = Identity("server", {"role": "staff"})
        relay = self.relay(local(Access(publish=(Claim("role", (Literal("staff"),)),))), door=doors.door)
        stranger = await self.ask(relay, "/topics/t/a", {"n": 1}, JSON)
        assert (stranger.status, b"WWW-Authenticate: Bearer" in stranger.head) == (401, True)
        alice = await self.ask(relay, "/topics/t/a", {"n": 1}, JSON, "Authorization: Bearer alice")
        assert (alice.status, "access.publish" in alice.json["message"]) == (403, True)
        server = await self.ask(relay, "/topics/t/a", {"n": 1}, JSON, "Authorization: Bearer server")
        assert server.status == 200

    async def test_pages(self) -> None:
        """Of origins that are named, after a preflight; of others not."""
        relay = self.relay(local(), settings=GuardSettings(origins=OriginPolicy.parse([PAGE])))
        preflight = await self.ask(relay, "/topics/t/a", None, f"Origin: {PAGE}", method="OPTIONS")
        assert b"Access-Control-Allow-Methods: GET, POST\r\n" in preflight.head
        assert b"Headers: Authorization, If-None-Match, Content-Type, Idempotency-Key\r\n" in preflight.head
        assert (await self.ask(relay, "/topics/t/a", {"n": 1}, JSON, f"Origin: {PAGE}")).status == 200
        assert (await self.ask(relay, "/topics/t/a", {"n": 1}, JSON, "Origin: https://evil.example")).status == 403
        assert relay.hub.counters.publications == 1

    async def test_never_waits_for_readers(self) -> None:
        """A browser that reads nothing delays no answer."""
        relay = self.relay(local())
        browser = await relay.browse("/ws?topics=t/a")
        browser.transport.pauseProducing()
        for _ in range(40):
            assert (await self.ask(relay, "/topics/t/a", b"x" * 60_000, "Content-Type: text/plain")).status == 200
        browser.transport.resumeProducing()
