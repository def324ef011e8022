"""Long-polling over real connections, through the guard."""

from __future__ import annotations

from relayd.core.guard import GuardSettings
from relayd.core.origin import OriginPolicy
from tests.support.door import DoorRig
from tests.support.http_case import HttpTestCase
from tests.support.relay_rig import eventually

PAGE = "https://app.example.com"


class PollTests(HttpTestCase):
    """As `curl` would ask."""

    async def test_both_ways_of_asking(self) -> None:
        """The same answer."""
        relay = self.relay()
        relay.publish("t/a", b'{"n": 1}')
        posted = await self.post(relay, "/poll", {"topics": ["t/a"]})
        got = await self.ask(relay, "/poll?topics=t/a")
        assert posted.status == got.status == 200
        assert posted.json == got.json
        assert b'"data":{"n": 1}' in posted.body
        assert b"Cache-Control: no-store" in posted.head

    async def test_waits(self) -> None:
        """Answered when something comes, and counted meanwhile."""
        relay = self.relay()
        browser = await self.begin(relay, "/poll", body={"topics": ["t/a"], "since": {"t/a": "e1:0"}}, method="POST")
        await eventually(lambda: relay.hub.counters.polls_waiting)
        assert relay.guards.admission.connections == 1
        relay.publish("t/a", b"1")
        answer = await self.answer(browser)
        assert answer.json["messages"][-1]["data"] == 1
        assert answer.json["topics"]["t/a"]["position"] == "e1:1"
        assert f"Content-Length: {len(answer.body)}".lower().encode() in answer.head.lower()

    async def test_nothing_comes(self) -> None:
        """An empty answer after the wait."""
        answer = await self.ask(self.relay(), "/poll?topics=t/a&wait=100ms")
        assert (answer.status, answer.json["messages"]) == (200, [])

    async def test_a_client_that_goes(self) -> None:
        """Nobody reads its topics any more."""
        relay = self.relay()
        browser = await self.begin(relay, "/poll", body={"topics": ["t/a"]}, method="POST")
        await eventually(lambda: relay.hub.counters.polls_waiting)
        browser.transport.abortConnection()
        await eventually(lambda: not relay.hub.counters.polls_waiting)
        assert not relay.hub.topic("t/a").readers

    async def test_refused(self) -> None:
        """With a text of ours."""
        relay = self.relay()
        for body, status, code in (
            (b"{", 400, "bad_request"),
            ({"topics": ["u/a"]}, 404, "unknown_topic"),
        ):
            answer = await self.post(relay, "/poll", body)
            assert (answer.status, answer.json["code"]) == (status, code)
        assert (await self.ask(relay, "/poll")).status == 400
        assert (await self.ask(relay, "/poll?topics=t/a", method="HEAD")).status == 200

    async def test_pages_of_other_origins(self) -> None:
        """Those that are named may ask; JSON needs a preflight."""
        relay = self.relay(settings=GuardSettings(origins=OriginPolicy.parse([PAGE])))
        preflight = await self.ask(relay, "/poll", f"Origin: {PAGE}", method="OPTIONS")
        assert preflight.status == 204
        assert b"Access-Control-Allow-Methods: GET, POST\r\n" in preflight.head
        assert b"Access-Control-Allow-Headers: Authorization, Content-Type\r\n" in preflight.head
        refused = await self.post(relay, "/poll", {"topics": ["t/a"]}, "Origin: https://evil.example")
        assert refused.status == 403
        answer = await self.post(relay, "/poll", {"topics": ["t/a"], "wait_s": 0}, f"Origin: {PAGE}")
        assert f"Access-Control-Allow-Origin: {PAGE}".encode() in answer.head

    async def test_a_token_that_nobody_asked_for(self) -> None:
        """A page with a token may read a listener without `auth`: the preflight lets it pass, the token is ignored."""
        relay = self.relay(settings=GuardSettings(origins=OriginPolicy.parse([PAGE])))
        asked = {"topics": ["t/a"], "wait_s": 0}
        answer = await self.post(relay, "/poll", asked, f"Origin: {PAGE}", "Authorization: Bearer any")
        assert answer.status == 200
        assert b"Access-Control-Allow-Credentials" not in answer.head

    async def test_auth(self) -> None:
        """As on any request; the verdict may come late, or after the client has gone."""
        doors = DoorRig()
        relay = self.relay(door=doors.door)
        bad = await self.post(relay, "/poll", {"topics": ["t/a"], "wait_s": 0}, "Authorization: Bearer bad")
        assert bad.status == 401
        good = await self.post(relay, "/poll", {"topics": ["t/a"], "wait_s": 0}, "Authorization: Bearer alice")
        assert good.status == 200
        doors.authority.later = True
        alice, asked = "Authorization: Bearer alice", {"topics": ["t/a"]}
        browser = await self.begin(relay, "/poll", alice, body=asked, method="POST")
        await eventually(lambda: doors.authority.waiting)
        doors.authority.answer(doors.authority.verdict("alice"))
        await eventually(lambda: relay.hub.counters.polls_waiting)
        relay.publish("t/a")
        assert (await self.answer(browser)).status == 200
