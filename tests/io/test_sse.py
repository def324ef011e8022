"""Event streams over real connections, through the guard."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from relayd.core.admission import AdmissionLimits
from relayd.core.auth.credentials import Places
from relayd.core.closecode import CLOSE_RESTART, CLOSE_SLOW
from relayd.core.guard import GuardSettings
from relayd.core.heartbeat import LOOK_EVERY_S
from relayd.core.origin import OriginPolicy
from relayd.core.publication import RETAINED_OVERHEAD_BYTES
from relayd.core.routes import Route
from relayd.core.subscriber import Pace
from relayd.io.clients import DEAF_CLOSE_WITHIN_S
from tests.support.door import DoorRig
from tests.support.hub_rig import Event, delivery, events, route
from tests.support.relay_rig import Relay, eventually, turn

PAGE = "https://app.example.com"


class StreamTestCase(TestCase):
    """A relay, and a way to ask it for streams."""

    def relay(self, *routes: Route, **kwargs: Any) -> Relay:
        relay = Relay(*routes, **kwargs)
        relay.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(relay.close()))
        return relay

    async def begin(self, relay: Relay, target: str, *headers: str, method: str = "GET", version: str = "1.1") -> Any:
        """A connection whose request has been answered, by a head at least."""
        browser = await relay.dial()
        lines = [f"{method} {target} HTTP/{version}", "Host: relay.example", *headers, "", ""]
        browser.transport.write("\r\n".join(lines).encode())
        await browser.until(lambda: browser.head is not None)
        browser.events = []
        return browser

    async def until(self, browser: Any, count: int) -> list[Event]:
        """So many events in all."""

        def look() -> bool:
            browser.events += events(browser.data)
            return len(browser.events) >= count

        await browser.until(look)
        found: list[Event] = browser.events
        return found


def status(browser: Any) -> int:
    """Of its response."""
    return int(browser.head.split()[1])


class StreamTests(StreamTestCase):
    """What an EventSource sees."""

    async def test_from_the_first_event_to_the_last(self) -> None:
        """Head, retry, welcome, snapshot, live data; then the client goes and nothing is left of it."""
        relay = self.relay()
        relay.publish("t/a", b"1")
        browser = await self.begin(relay, "/sse?topics=t/a")
        assert b"Content-Type: text/event-stream; charset=utf-8\r\n" in browser.head
        assert b"X-Accel-Buffering: no\r\n" in browser.head
        assert b"ontent-Length" not in browser.head
        retry, welcome, _, snapshot = await self.until(browser, 4)
        assert retry.retry_ms == 2000
        assert json.loads(welcome.text)["session"] in relay.clients.open
        assert snapshot.id == "e.1"
        relay.publish("t/a", b"2")
        assert (await self.until(browser, 5))[-1] == Event('{"topic":"t/a","offset":2,"data":2}', id="e.2")
        assert relay.clients.counters.streams_open == relay.guards.counters.streams == 1
        assert relay.guards.admission.connections == 1
        browser.transport.loseConnection()
        await eventually(lambda: not relay.clients.open)
        assert relay.clients.counters.streams_open == relay.guards.admission.connections == 0
        assert relay.clients.counters.closed["client"] == 1
        assert not relay.hub.topic("t/a").readers
        assert len(relay.clients.heartbeats) == 0

    async def test_http_1_0(self) -> None:
        """As nginx asks if nobody has told it otherwise."""
        relay = self.relay()
        browser = await self.begin(relay, "/sse?topics=t/a", version="1.0")
        await self.until(browser, 3)

    async def test_last_event_id(self) -> None:
        """The header, which an EventSource sends by itself, or the query, for a new one."""
        relay = self.relay()
        relay.hub.topic("t/a")
        for number in range(4):
            relay.publish("t/a", b"%d" % number)
        by_header, by_query = "Last-Event-ID: e.2", "/sse?topics=t/a&last_event_id=e.2"
        for target, header in (("/sse?topics=t/a", by_header), (by_query, "X: y")):
            browser = await self.begin(relay, target, header)
            got = await self.until(browser, 5)
            assert [event.id for event in got[-2:]] == ["e.3", "e.4"]

    async def test_refused(self) -> None:
        """With the status, the reason, and an end."""
        relay = self.relay()
        for target, expected, code in (
            ("/sse", 400, "bad_request"),
            ("/sse?topics=u/a", 404, "unknown_topic"),
            ("/sse?topics=t/a&max_hz=0", 400, "bad_request"),
        ):
            browser = await self.begin(relay, target)
            await browser.until(lambda browser=browser: browser.lost)
            assert (status(browser), json.loads(browser.data)["code"]) == (expected, code)
        assert relay.clients.counters.streams_refused == 1

    async def test_other_methods(self) -> None:
        """HEAD says what GET would; OPTIONS lets the pages in that the listener names; POST is no way to read."""
        relay = self.relay(settings=GuardSettings(origins=OriginPolicy.parse([PAGE])))
        head = await self.begin(relay, "/sse?topics=t/a", method="HEAD")
        assert (status(head), b"text/event-stream" in head.head) == (200, True)
        options = await self.begin(relay, "/sse", f"Origin: {PAGE}", method="OPTIONS")
        assert status(options) == 204
        assert f"Access-Control-Allow-Origin: {PAGE}".encode() in options.head
        assert b"Access-Control-Allow-Headers: Authorization, Last-Event-ID" in options.head
        post = await self.begin(relay, "/sse?topics=t/a", "Content-Length: 0", method="POST")
        assert status(post) == 405
        stranger = await self.begin(relay, "/sse", "Origin: https://evil.example", method="OPTIONS")
        assert status(stranger) == 403

    async def test_origins(self) -> None:
        """A page that is named may read, with its cookies; another may not."""
        relay = self.relay(settings=GuardSettings(origins=OriginPolicy.parse([PAGE])))
        browser = await self.begin(relay, "/sse?topics=t/a", f"Origin: {PAGE}")
        assert f"Access-Control-Allow-Origin: {PAGE}\r\n".encode() in browser.head
        assert b"Access-Control-Allow-Credentials: true\r\n" in browser.head
        other = await self.begin(relay, "/sse?topics=t/a", "Origin: https://evil.example")
        assert status(other) == 403
        wrong = await self.begin(relay, "/sse?topics=u/a", f"Origin: {PAGE}")
        assert (status(wrong), f"Allow-Origin: {PAGE}".encode() in wrong.head) == (404, True)

    async def test_full_house(self) -> None:
        """Told in a stream, since an EventSource takes a 503 for the end."""
        relay = self.relay(settings=GuardSettings(admission=AdmissionLimits(connections=1)))
        await self.begin(relay, "/sse?topics=t/a")
        browser = await self.begin(relay, "/sse?topics=t/a", "Origin: http://relay.example")
        await browser.until(lambda: browser.lost)
        _, event = events(browser.data)
        assert (status(browser), event.name) == (200, "close")
        assert json.loads(event.text)["code"] == 1013
        assert 5_000 <= event.retry_ms <= 30_000
        assert b"Access-Control-Allow-Origin: http://relay.example" in browser.head

    async def test_what_the_client_says_is_nothing(self) -> None:
        """Read and thrown away."""
        relay = self.relay()
        browser = await self.begin(relay, "/sse?topics=t/a")
        browser.transport.write(b"GET /topics HTTP/1.1\r\n\r\n" * 1000)
        await turn()
        relay.publish("t/a")
        await self.until(browser, 5)

    async def test_an_exception_is_this_streams_alone(self) -> None:
        """Counted, and the stream ends."""
        relay = self.relay()
        browser = await self.begin(relay, "/sse?topics=t/a")
        await self.until(browser, 3)
        [stream] = relay.clients.open.values()
        stream.guarded(lambda: 1 / 0)
        self.flushLoggedErrors(ZeroDivisionError)
        await browser.until(lambda: browser.lost)
        assert json.loads(events(browser.data)[-1].text)["name"] == "internal"
        assert relay.clients.counters.errors == 1

class LifeTests(StreamTestCase):
    """Time, and the end."""

    async def test_comments_in_silence(self) -> None:
        """By the sweep over all clients."""
        now = [100.0]
        relay = self.relay(monotonic=lambda: now[0])
        browser = await self.begin(relay, "/sse?topics=t/a")
        await self.until(browser, 3)
        for _ in range(2):
            now[0] += LOOK_EVERY_S
            relay.clients.tick(now[0])
        await browser.until(lambda: browser.data == b":\n\n")

    async def test_drain(self) -> None:
        """1012 with when to come back, and the connection is gone."""
        relay = self.relay()
        browser = await self.begin(relay, "/sse?topics=t/a")
        await self.until(browser, 3)
        relay.clients.close_all(CLOSE_RESTART, 3)
        relay.clients.close_all(CLOSE_RESTART, 3)
        await browser.until(lambda: browser.lost)
        [event] = events(browser.data)
        assert json.loads(event.text) == {"code": 1012, "name": "restart", "retry_s": 3}
        await eventually(lambda: relay.clients.counters.closed["restart"] == 1)

    async def test_who_does_not_hang_up_is_aborted(self) -> None:
        """2 s after the end."""
        now = [100.0]
        relay = self.relay(monotonic=lambda: now[0])
        browser = await self.begin(relay, "/sse?topics=t/a")
        browser.transport.pauseProducing()
        relay.clients.close_all(CLOSE_RESTART)
        await turn()
        now[0] += 2.0
        relay.clients.tick(now[0])
        await eventually(lambda: not relay.clients.open)
        browser.transport.resumeProducing()

    async def test_who_takes_nothing_is_not_waited_for(self) -> None:
        """Closed for being slow, with something before the end: half a second, since it would not hear of it."""
        now = [100.0]
        relay = self.relay(route("t/$name"), monotonic=lambda: now[0])
        browser = await self.begin(relay, "/sse?topics=t/a")
        await self.until(browser, 3)
        browser.transport.pauseProducing()
        [stream] = relay.clients.open.values()
        while stream._session.subscriber.pace is not Pace.LAGGING:
            relay.publish("t/a", b'"%b"' % (b"x" * 60_000))
            await turn()
        stream.close(CLOSE_SLOW)
        now[0] += DEAF_CLOSE_WITHIN_S
        relay.clients.tick(now[0])
        await eventually(lambda: not relay.clients.open)
        assert relay.clients.counters.aborted == 1

    async def test_a_reader_that_does_not_read(self) -> None:
        """Holds the rest of one flush and a place in the ring, whatever is published; when it reads it gets all."""
        relay = self.relay(route("t/$name", delivery(history_count=10_000, history_bytes=64 << 20)))
        browser = await self.begin(relay, "/sse?topics=t/a")
        await self.until(browser, 3)
        browser.transport.pauseProducing()
        [stream] = relay.clients.open.values()
        subscriber, sink = stream._session.subscriber, stream._sink
        count, size = 0, 20_000
        while subscriber.pace is not Pace.LAGGING:
            relay.publish("t/a", b'"%b"' % (b"x" * size))
            count += 1
            await turn()
            assert count < 2_000
        held = sink.buffered()
        for _ in range(200):
            relay.publish("t/a", b'"%b"' % (b"x" * size))
            await turn()
        assert sink.buffered() <= held <= 64 * 1024 + size + RETAINED_OVERHEAD_BYTES
        browser.transport.resumeProducing()
        got = await self.until(browser, 4 + count + 200)
        assert [json.loads(event.text)["offset"] for event in got if event.id] == list(range(1, count + 201))


class AuthTests(StreamTestCase):
    """Who asks."""

    async def test_by_token(self) -> None:
        """401 for one that is bad; the stream ends with the token that is good."""
        doors = DoorRig(places=Places((("header", ""), ("query", "token"))))
        relay = self.relay(door=doors.door)
        bad = await self.begin(relay, "/sse?topics=t/a", "Authorization: Bearer bad")
        await bad.until(lambda: bad.lost)
        assert (status(bad), json.loads(bad.data)["code"]) == (401, "unauthorized")
        assert b"WWW-Authenticate: Bearer" in bad.head
        good = await self.begin(relay, "/sse?topics=t/a&token=alice")
        await self.until(good, 3)
        [stream] = relay.clients.open.values()
        stream._session._visitor.overdue()
        await good.until(lambda: good.lost)
        assert json.loads(events(good.data)[-1].text)["name"] == "token-expired"
        assert [shown.token for shown in doors.authority.seen] == ["bad", "alice"]

    async def test_cookies_count_for_own_pages(self) -> None:
        """Within one origin an EventSource sends no Origin, but Sec-Fetch-Site."""
        doors = DoorRig(places=Places((("cookie", "sid"),)))
        relay = self.relay(door=doors.door, settings=GuardSettings(origins=OriginPolicy.parse([PAGE, "same"])))
        await self.begin(relay, "/sse?topics=t/a", "Cookie: sid=alice", "Sec-Fetch-Site: same-origin")
        await self.begin(relay, "/sse?topics=t/a", "Cookie: sid=alice", f"Origin: {PAGE}")
        assert [shown.token for shown in doors.authority.seen] == ["alice", "alice"]
        await self.begin(relay, "/sse?topics=t/a", "Cookie: sid=alice")
        assert len(doors.authority.seen) == 2
