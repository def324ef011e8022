"""The topics over HTTP, asked as `curl` would ask: through the guard, over real connections."""

from __future__ import annotations

from typing import Any

from twisted.web.resource import Resource
from twisted.web.static import Data

from relayd.core.guard import GuardSettings
from relayd.core.origin import OriginPolicy
from relayd.io import http, web
from relayd.io.http import build_site
from tests.support.http_case import HttpTestCase
from tests.support.hub_rig import delivery, route
from tests.support.relay_rig import eventually, reactor, turn


class ListTests(HttpTestCase):
    """GET /topics."""

    async def test_what_exists(self) -> None:
        """Name, state and position of each topic, sorted."""
        relay = self.relay()
        relay.publish("t/b")
        relay.hub.topic("t/a")
        answer = await self.ask(relay, "/topics")
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        pending, live = answer.json["topics"]
        assert (pending["topic"], pending["state"]) == ("t/a", "pending")
        assert (live["topic"], live["state"], live["position"]) == ("t/b", "live", relay.hub.topic("t/b").position)
        assert "more" not in answer.json

    async def test_match(self) -> None:
        """Only those that the pattern means; a bad pattern is refused without being quoted."""
        relay = self.relay(route("t/$name"), route("u/$name"))
        for name in ("t/a", "t/b", "u/a"):
            relay.publish(name)
        answer = await self.ask(relay, "/topics?match=t/*")
        assert [topic["topic"] for topic in answer.json["topics"]] == ["t/a", "t/b"]
        refused = await self.ask(relay, "/topics?match=**/a%3Cscript%3E")
        assert (refused.status, refused.json["code"]) == (400, "bad_request")
        assert b"script" not in refused.body

    async def test_more(self) -> None:
        """An answer is bounded and says so."""
        self.patch(http, "LISTED_MAX", 2)
        relay = self.relay()
        for name in ("t/a", "t/b", "t/c"):
            relay.publish(name)
        answer = await self.ask(relay, "/topics/")
        assert (len(answer.json["topics"]), answer.json["more"]) == (2, True)


class TopicTests(HttpTestCase):
    """GET /topics/<topic>."""

    async def test_the_newest(self) -> None:
        """The newest publication in the shape it has on /ws, its payload's own bytes; the ETag is the position."""
        relay = self.relay()
        relay.publish("t/a", b'{"price": 1}')
        relay.publish("t/a", b'{"price":  2}')
        topic = relay.hub.topic("t/a")
        answer = await self.ask(relay, "/topics/t/a")
        assert answer.status == 200
        assert answer.headers["etag"] == f'"{topic.position}"'
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.body == (
            b'{"topic":"t/a","position":"%b","state":"live","snapshot":'
            b'[{"topic":"t/a","offset":%d,"snapshot":true,"data":{"price":  2}}]}'
            % (topic.position.encode(), topic.ring.end - 1)
        )
        assert topic.readers == 0

    async def test_snapshot_and_deltas(self) -> None:
        """Where a snapshot has deltas behind it, all of them, the first flagged."""
        relay = self.relay(route("t/$name", delivery(deltas=True)))
        relay.publish("t/a", b'"old"')
        relay.publish("t/a", b'"book"', snapshot=True)
        for number in range(3):
            relay.publish("t/a", b"%d" % number)
        answer = await self.ask(relay, "/topics/t/a")
        assert [entry["data"] for entry in answer.json["snapshot"]] == ["book", 0, 1, 2]
        assert [entry.get("snapshot") for entry in answer.json["snapshot"]] == [True, None, None, None]

    async def test_not_modified(self) -> None:
        """Whoever has that position gets 304 and no body; after news 200 again."""
        relay = self.relay()
        relay.publish("t/a")
        etag = (await self.ask(relay, "/topics/t/a")).headers["etag"]
        unchanged = await self.ask(relay, "/topics/t/a", f"If-None-Match: {etag}")
        assert (unchanged.status, unchanged.body) == (304, b"")
        relay.publish("t/a", b"2")
        assert (await self.ask(relay, "/topics/t/a", f"If-None-Match: {etag}")).status == 200

    async def test_head(self) -> None:
        """HEAD is GET without the body."""
        relay = self.relay()
        relay.publish("t/a")
        answer = await self.ask(relay, "/topics/t/a", method="HEAD")
        whole = await self.ask(relay, "/topics/t/a")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-length"] == str(len(whole.body))

    async def test_waits_for_the_first_data(self) -> None:
        """It counts as demand, and answers as soon as there is something."""
        relay = self.relay()
        browser = await self.begin(relay, "/topics/t/a?wait=10s")
        await eventually(lambda: relay.demand.wanted_topics == ["t/a"])
        relay.publish("t/a", b"1")
        relay.publish("t/a", b"2")
        answer = await self.answer(browser)
        assert (answer.status, answer.json["snapshot"][0]["data"]) == (200, 2)
        assert relay.demand.wanted_topics == []

    async def test_waits_in_vain(self) -> None:
        """504 when the time is up; demand and waiter are gone."""
        relay = self.relay()
        answer = await self.ask(relay, "/topics/t/a?wait=20ms")
        assert (answer.status, answer.json["code"]) == (504, "unavailable")
        assert relay.demand.wanted_topics == []
        assert relay.hub.topic("t/a").waiters == []

    async def test_does_not_wait(self) -> None:
        """`wait=0s` asks and goes."""
        relay = self.relay()
        assert (await self.ask(relay, "/topics/t/a?wait=0s")).status == 504

    async def test_goes_away_while_waiting(self) -> None:
        """A client that hangs up leaves nothing behind."""
        relay = self.relay()
        browser = await self.begin(relay, "/topics/t/a?wait=30s")
        await eventually(lambda: relay.demand.wanted_topics)
        browser.transport.abortConnection()
        await eventually(lambda: not relay.demand.wanted_topics)
        assert relay.hub.topic("t/a").waiters == []

    async def test_too_many_wait(self) -> None:
        """503 with a hint; those who wait already are answered."""
        self.patch(http, "WAITING_MAX", 2)
        relay = self.relay()
        waiting = [await self.begin(relay, "/topics/t/a?wait=30s") for _ in range(2)]
        await eventually(lambda: len(relay.hub.topic("t/a").waiters) == 2)
        refused = await self.ask(relay, "/topics/t/a?wait=30s")
        assert (refused.status, refused.headers["retry-after"]) == (503, "5")
        relay.publish("t/a")
        assert [(await self.answer(browser)).status for browser in waiting] == [200, 200]

    async def test_bad_wait(self) -> None:
        """What is no duration, or too long a one."""
        relay = self.relay()
        for wait in ("31s", "5", "soon", "-1s", "1e1s", "999999ms"):
            answer = await self.ask(relay, f"/topics/t/a?wait={wait}")
            assert (answer.status, answer.json["code"]) == (400, "bad_request"), wait

    async def test_topics_that_are_not_to_be_had(self) -> None:
        """The protocol's codes, as statuses."""
        relay = self.relay()
        unknown = await self.ask(relay, "/topics/other/a")
        assert (unknown.status, unknown.json["code"]) == (404, "unknown_topic")
        malformed = await self.ask(relay, "/topics/t/%3Cscript%3E")
        assert malformed.status == 400
        assert b"<script" not in malformed.body


class OriginTests(HttpTestCase):
    """CORS, by the listener's origins."""

    def policy(self) -> GuardSettings:
        return GuardSettings(origins=OriginPolicy.parse(["same", "https://app.example.com"]))

    async def test_allowed(self) -> None:
        """A page of the list may read, and see the ETag."""
        relay = self.relay(settings=self.policy())
        relay.publish("t/a")
        answer = await self.ask(relay, "/topics/t/a", "Origin: https://app.example.com")
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
        assert answer.headers["access-control-expose-headers"] == "etag"
        assert answer.headers["vary"] == "origin"

    async def test_refused(self) -> None:
        """A page of another does not even create demand; the refusal names the setting."""
        relay = self.relay(settings=self.policy())
        answer = await self.ask(relay, "/topics/t/a", "Origin: https://evil.example")
        assert (answer.status, answer.json["code"]) == (403, "forbidden")
        assert "origins" in answer.json["message"]
        assert "access-control-allow-origin" not in answer.headers
        assert relay.hub.topics == {}

    async def test_preflight(self) -> None:
        """A browser asks first when it polls with If-None-Match."""
        relay = self.relay(settings=self.policy())
        answer = await self.ask(
            relay,
            "/topics/t/a",
            "Origin: https://app.example.com",
            "Access-Control-Request-Method: GET",
            method="OPTIONS",
        )
        assert answer.status == 204
        assert answer.headers["access-control-allow-methods"] == "get, post"
        allowed = answer.headers["access-control-allow-headers"]
        assert allowed == "authorization, if-none-match, content-type, idempotency-key"


class SiteTests(HttpTestCase):
    """Everything around the topics."""

    async def test_everything_else_is_404(self) -> None:
        """In JSON, strict, silent about the software."""
        relay = self.relay()
        for target in ("/", "/nothing", "/topicsx", "/%2e%2e/etc/passwd"):
            answer = await self.ask(relay, target)
            assert (answer.status, answer.json["code"]) == (404, "unknown_path"), target
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-security-policy"].startswith("default-src 'none'")
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert "server" not in answer.headers

    async def test_methods(self) -> None:
        """A script is not posted to."""
        relay = self.relay()
        answer = await self.ask(relay, "/relayd.js", "Content-Length: 0", method="POST")
        assert (answer.status, answer.json["code"]) == (405, "bad_request")
        assert "allow" in answer.headers

    async def test_prefix(self) -> None:
        """Everything lies under the listener's prefix, and nothing beside it."""
        relay = self.relay(settings=GuardSettings(prefix="/live/feed"))
        relay.publish("t/a")
        assert (await self.ask(relay, "/live/feed/topics/t/a")).status == 200
        for target in ("/topics/t/a", "/live", "/live/feed", "/live/feed/x"):
            assert (await self.ask(relay, target)).status == 404

    async def test_extra(self) -> None:
        """A page at `/` and files beside it keep their own headers."""
        page = Data(b"<h1>hello</h1>", "text/html")
        files = Resource()
        files.putChild(b"a.js", Data(b"1", "text/javascript"))
        relay = self.relay()
        site = build_site(relay.hub, OriginPolicy(), reactor, extra={b"": page, b"static": files})
        relay.guards.site.resource = site.resource
        assert (await self.ask(relay, "/")).body == b"<h1>hello</h1>"
        assert (await self.ask(relay, "/static/a.js")).headers["content-type"] == "text/javascript"

    async def test_an_exception(self) -> None:
        """500 in fixed words; the traceback stands in the log alone."""

        class Broken(web.JsonResource):
            isLeaf = True

            def render_GET(self, request: Any) -> bytes:
                raise RuntimeError("secret detail")

        relay = self.relay()
        counted = []
        relay.guards.site.resource.putChild(b"broken", Broken())
        relay.guards.site._on_error = lambda: counted.append(1)
        answer = await self.ask(relay, "/broken")
        assert (answer.status, answer.json["code"]) == (500, "internal")
        assert b"secret" not in answer.body
        assert counted == [1]
        assert len(self.flushLoggedErrors(RuntimeError)) == 1

    async def test_an_exception_in_the_middle(self) -> None:
        """What has begun cannot be taken back: the connection ends."""

        class Broken(web.JsonResource):
            isLeaf = True

            def render_GET(self, request: Any) -> bytes:
                request.write(b"half")
                raise RuntimeError("secret detail")

        relay = self.relay()
        relay.guards.site.resource.putChild(b"broken", Broken())
        browser = await self.begin(relay, "/broken")
        await browser.until(lambda: browser.lost)
        assert b"secret" not in bytes(browser.data)
        self.flushLoggedErrors(RuntimeError)

    async def test_a_client_that_does_not_take_its_answer(self) -> None:
        """It is dropped in the end."""
        self.patch(web, "TAKE_WITHIN_S", 0.1)
        self.patch(web, "_SWEEP_S", 0.05)
        relay = self.relay(route("t/$name", delivery(history_bytes=64 << 20)))
        relay.publish("t/a", b"x" * (16 << 20))
        browser = await relay.dial()
        browser.transport.pauseProducing()
        browser.transport.write(b"GET /topics/t/a HTTP/1.1\r\nHost: x\r\n\r\n")
        await eventually(lambda: relay.guards.counters.http_requests == 1)
        await turn(0.4)
        browser.transport.resumeProducing()
        await browser.until(lambda: browser.lost)
        assert len(browser.data) < 16 << 20

    async def test_requests_are_not_logged(self) -> None:
        """A query may hold a token."""
        from twisted.logger import globalLogPublisher

        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        relay = self.relay()
        await self.ask(relay, "/topics?token=secret")
        assert "secret" not in repr(events)
