"""Publishing over real connections, as an application server does it."""

from __future__ import annotations

import json
from dataclasses import replace

from relayd.core.address import TrustedProxies
from relayd.core.auth.access import Access, Anyone, Claim, Literal
from relayd.core.auth.credentials import Places
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
        answer = await self.post(relay, "/topics/t/a", {"n": 1}, JSON)
        assert (answer.status, answer.json) == (200, {"topic": "t/a", "position": "e1:1"})
        await browser.until(lambda: "data" in browser.messages[-1])
        assert browser.messages[-1]["data"] == {"n": 1}

    async def test_batch(self) -> None:
        """Results in order; a batch may be longer than a message."""
        relay = self.relay(local())
        items = [{"topic": "t/a", "text": "x" * 50_000} for _ in range(10)]
        answer = await self.post(relay, "/topics", {"publications": items}, JSON)
        assert answer.status == 200
        assert [result["position"] for result in answer.json["results"]] == [f"e1:{n}" for n in range(1, 11)]

    async def test_again_with_its_key(self) -> None:
        """The same answer; the header stands once."""
        relay = self.relay(local())
        first = await self.post(relay, "/topics/t/a", {"n": 1}, JSON, "Idempotency-Key: k1")
        again = await self.post(relay, "/topics/t/a", {"n": 1}, JSON, "Idempotency-Key: k1")
        assert first.json == again.json
        conflict = await self.post(relay, "/topics/t/a", {"n": 2}, JSON, "Idempotency-Key: k1")
        assert conflict.status == 409
        twice = await self.post(relay, "/topics/t/a", {"n": 1}, JSON, "Idempotency-Key: k2", "Idempotency-Key: k3")
        assert twice.status == 400
        assert relay.hub.counters.publications == 1

    async def test_too_large(self) -> None:
        """Told from the head alone, while the body is still to come."""
        relay = self.relay(local())
        for target, length, setting in (
            ("/topics/t/a", 64 * 1024 + 1, "limits.message"),
            ("/topics", 1024 * 1024 + 1, "16 times limits.message"),
        ):
            browser = await self.begin(relay, target, JSON, f"Content-Length: {length}", method="POST")
            await browser.until(lambda browser=browser: browser.head is not None and b"}" in browser.data)
            assert browser.head.startswith(b"HTTP/1.1 413")
            assert setting in json.loads(browser.data)["message"]

    async def test_bodies_together(self) -> None:
        """Their sum is bounded: 503 and when to come back; a body that is whole or gone makes room."""
        self.patch(guard_connection, "BODIES_BYTES", 1000)
        relay = self.relay(local())
        slow = await self.begin(relay, "/topics/t/a", JSON, "Content-Length: 900", method="POST")
        await eventually(lambda: relay.guards.bodies_bytes == 900)
        full = await self.post(relay, "/topics/t/a", b"1" * 200, JSON)
        assert (full.status, b"Retry-After: 5" in full.head) == (503, True)
        slow.transport.abortConnection()
        await eventually(lambda: not relay.guards.bodies_bytes)
        assert (await self.post(relay, "/topics/t/a", b"1" * 200, JSON)).status == 200
        assert relay.guards.bodies_bytes == 0

    async def test_who_may(self) -> None:
        """A token and `access.publish` decide; the message names it."""
        doors = DoorRig()
        doors.authority.verdicts[""] = None
        doors.authority.verdicts["server"] = Identity("server", {"role": "staff"})
        relay = self.relay(local(Access(publish=(Claim("role", (Literal("staff"),)),))), door=doors.door)
        stranger = await self.post(relay, "/topics/t/a", {"n": 1}, JSON)
        assert (stranger.status, b"WWW-Authenticate: Bearer" in stranger.head) == (401, True)
        alice = await self.post(relay, "/topics/t/a", {"n": 1}, JSON, "Authorization: Bearer alice")
        assert (alice.status, "access.publish" in alice.json["message"]) == (403, True)
        server = await self.post(relay, "/topics/t/a", {"n": 1}, JSON, "Authorization: Bearer server")
        assert server.status == 200

    async def test_pages(self) -> None:
        """Of origins that are named, after a preflight; of others not."""
        relay = self.relay(local(), settings=GuardSettings(origins=OriginPolicy.parse([PAGE])))
        preflight = await self.ask(relay, "/topics/t/a", f"Origin: {PAGE}", method="OPTIONS")
        assert b"Access-Control-Allow-Methods: GET, POST\r\n" in preflight.head
        assert b"Headers: Authorization, If-None-Match, Content-Type, Idempotency-Key\r\n" in preflight.head
        assert (await self.post(relay, "/topics/t/a", {"n": 1}, JSON, f"Origin: {PAGE}")).status == 200
        assert (await self.post(relay, "/topics/t/a", {"n": 1}, JSON, "Origin: https://evil.example")).status == 403
        assert relay.hub.counters.publications == 1

    async def test_a_page_that_acts_with_its_visitors_cookie(self) -> None:
        """A browser sends the cookie along whoever asks: it counts where the page was checked, and nothing else gets
        through, also not as a form that needs no preflight."""
        doors = DoorRig(places=Places((("cookie", "sid"),)))
        doors.authority.verdicts |= {"": None, "staff": Identity("staff", {"role": "staff"})}
        route_ = local(Access(publish=(Claim("role", (Literal("staff"),)),)))
        relay = self.relay(route_, door=doors.door, settings=GuardSettings(origins=OriginPolicy.parse([PAGE, "same"])))
        cookie, form = "Cookie: sid=staff", "Content-Type: text/plain"
        for headers, status in (
            ((), 401),
            (("Sec-Fetch-Site: cross-site",), 401),
            (("Sec-Fetch-Site: same-site",), 401),
            (("Origin: https://evil.example",), 403),
            (("Origin: null",), 403),
            (("Origin: https://evil.example", "Sec-Fetch-Site: same-origin"), 403),
            ((f"Origin: {PAGE}.evil.example",), 403),
            ((f"Origin: {PAGE}",), 200),
            (("Sec-Fetch-Site: same-origin",), 200),
        ):
            for target, body, kind in (
                ("/topics/t/a", b"1", form),
                ("/topics", {"publications": [{"topic": "t/a", "data": 1}]}, JSON),
            ):
                before = relay.hub.counters.publications
                answer = await self.post(relay, target, body, kind, cookie, *headers)
                if status == 401 and target == "/topics":
                    assert answer.json["results"][0]["error"]["code"] == "unauthorized", (headers, answer)
                else:
                    assert answer.status == status, (headers, target, answer)
                assert relay.hub.counters.publications - before == (status == 200), (headers, target)

    async def test_strangers_of_one_network(self) -> None:
        """`limits.publish` counts a customer's IPv6 /64 as one, by the address that a trusted proxy tells."""
        settings = GuardSettings(trusted_proxies=TrustedProxies.parse(["127.0.0.1"]))
        relay = self.relay(local(), settings=settings)
        relay.hub.limits = replace(relay.hub.limits, publications=2, publications_per_s=60.0)

        async def post(client: str) -> int:
            return (await self.post(relay, "/topics/t/a", b"1", JSON, f"X-Forwarded-For: {client}")).status

        assert [await post(f"2001:db8:0:1::{number}") for number in range(1, 4)] == [200, 200, 429]
        assert await post("2001:db8:0:2::1") == 200
        assert await post("192.0.2.1, 2001:db8:0:1::9") == 429  # the left one is what the client wrote

    async def test_never_waits_for_readers(self) -> None:
        """A browser that reads nothing delays no answer."""
        relay = self.relay(local())
        browser = await relay.browse("/ws?topics=t/a")
        browser.transport.pauseProducing()
        for _ in range(40):
            assert (await self.post(relay, "/topics/t/a", b"x" * 60_000, "Content-Type: text/plain")).status == 200
        browser.transport.resumeProducing()
