"""Tests of relayd.io.upstream_stream: event streams on real loopback sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.logger import formatEvent

from relayd.core.upstream.effects import DialRequest
from relayd.core.upstream.states import State
from relayd.io.upstream import UpstreamService
from relayd.io.upstream_plan import Transport, plan
from relayd.io.upstream_stream import request_head
from tests.io.test_upstream import UpstreamCase
from tests.support import certs
from tests.support.feed_server import RawFactory, RawProtocol

OPEN = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=UTF-8\r\n"
CHUNKED = OPEN + b"Transfer-Encoding: chunked\r\n\r\n"
PLAIN = OPEN + b"\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk; an empty one is the last."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class StreamCase(UpstreamCase):
    """A service that reads an event stream."""

    def serve(self, data: bytes, then: Callable[[RawProtocol], Any] | None = None) -> RawFactory:
        """A server that answers so."""

        def answer(protocol: RawProtocol) -> None:
            protocol.transport.write(data)
            if then is not None:
                then(protocol)

        return RawFactory(answer)

    def read(self, factory: RawFactory, **options: Any) -> UpstreamService:
        """Dial it."""
        url = f"http://127.0.0.1:{self.listen(factory)}/stream?key=s3cret"
        return self.dial(
            url, transport=Transport.SSE, unasked=True, talk={"unasked": True, **options.pop("talk", {})}, **options
        )

    async def why(self, data: bytes, **options: Any) -> str:
        """Why a stream that begins so has ended."""
        why = await self.loss_of(self.read(self.serve(data), **options))
        self.assertNotIn("s3cret", "".join(formatEvent(event) or "" for event in self.events))
        return why


class OpenTests(StreamCase):
    """What works."""

    async def test_events_become_messages(self) -> None:
        """In chunks cut anywhere, in the segment of the head and after it; what asks is a plain GET."""
        text = "\ufeffretry: 100\n\n: beat\n\ndata: a=1\r\n\r\nevent: x\nid: 7\ndata: a=2\n\ndata: a=h\u00e9\n\n"
        events = text.encode()
        factory = self.serve(CHUNKED + chunk(events[:20]))
        service = self.read(factory, headers={"Last-Event-ID": "6"})
        await self.until(lambda: service.session.state is State.SUBSCRIBING)
        for at in range(20, len(events)):
            factory.connections[0].transport.write(chunk(events[at : at + 1]))
        await self.until(lambda: "a=h\u00e9" in self.hub.heard)
        self.assertEqual(self.hub.read(), ["a pending", "a live", "a=1", "a=2", "a=h\u00e9"])
        host = f"127.0.0.1:{factory.connections[0].transport.getHost().port}"
        self.assertEqual(
            factory.connections[0].received.decode().split("\r\n"),
            [
                "GET /stream?key=s3cret HTTP/1.1",
                f"Host: {host}",
                "Accept: text/event-stream",
                "Accept-Encoding: identity",
                "Cache-Control: no-store",
                "User-Agent: relayd",
                "Last-Event-ID: 6",
                "",
                "",
            ],
        )
        await service.stopService()
        await self.until(lambda: not factory.connections)

    async def test_a_dead_link_is_noticed(self) -> None:
        """By TCP: nobody pings on an event stream."""
        factory = self.serve(PLAIN)
        service = self.read(factory)
        await self.until(lambda: service.session.state is State.SUBSCRIBING)
        handle = service._protocol.transport.getHandle()
        self.assertTrue(handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        self.assertEqual(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), 60)

    async def test_names_and_ids(self) -> None:
        """They reach the dialect as `sse.event` and `sse.id`, which stays until there is another."""
        seen: list[object] = []
        service = self.read(self.serve(PLAIN + b"data: a=1\n\nid: 1\nevent: e\ndata: a=2\n\ndata: a=3\n\n"))
        tell = service.session.message
        service.session.message = lambda *args: (seen.append(args[3]), tell(*args))[1]
        await self.until(lambda: "a=3" in self.hub.heard)
        self.assertEqual(seen, [{"event": "message"}, {"event": "e", "id": "1"}, {"event": "message", "id": "1"}])

    async def test_a_comment_is_a_sign_of_life(self) -> None:
        """And no data."""
        factory = self.serve(PLAIN + b"data: a=1\n\n")
        service = self.read(factory)
        await self.until(lambda: "a=1" in self.hub.heard)
        connection = service.session.connection
        assert connection is not None
        any_at, data_at = connection.watch._any_at, connection.data_at
        factory.connections[0].transport.write(b":\n")
        await self.until(lambda: connection.watch._any_at > any_at)
        self.assertEqual(connection.data_at, data_at)

    async def test_over_tls(self) -> None:
        """The certificate is checked as that of a WebSocket is."""
        factory = self.serve(PLAIN + b"data: a=1\n\n")
        url = f"https://localhost:{self.listen(factory, certs.good())}/"
        service = self.dial(url, transport=Transport.SSE, unasked=True, talk={"unasked": True})
        await self.until(lambda: "a=1" in self.hub.heard)
        inner = service._protocol.transport.transport.getHandle()
        self.assertEqual(inner.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), 60)
        stranger = self.serve(PLAIN)
        refused = self.dial(
            f"https://localhost:{self.listen(stranger, certs.wrong_host())}/", transport=Transport.SSE
        )
        self.assertEqual(await self.loss_of(refused), "tls: the certificate is not for localhost")
        self.assertTrue(all(not one.received for one in stranger.connections))


class EndTests(StreamCase):
    """How a stream ends."""

    async def test_the_last_chunk(self) -> None:
        """It is dialled anew, no sooner than `retry:` says."""
        data = CHUNKED + chunk(b"retry: 7000\ndata: a=1\n\ndata: half") + chunk(b"")
        self.assertEqual(await self.why(data), "broken: the stream ended")
        [_, line] = [event for event in self.events if event.get("log_namespace") == "upstream"]
        self.assertGreaterEqual(line["again_in_s"], 7.0)
        self.assertEqual(self.hub.read(), ["a pending", "a live", "a=1", "a reconnecting"])

    async def test_the_end_of_tcp(self) -> None:
        """With or without a goodbye."""
        for end in (lambda one: one.transport.loseConnection(), lambda one: one.transport.abortConnection()):
            factory = RawFactory(lambda protocol: protocol.transport.write(PLAIN))
            service = self.read(factory)
            await self.until(lambda service=service: service.session.state is State.SUBSCRIBING)
            end(factory.connections[0])
            self.assertIn("broken: ", await self.loss_of(service))

    async def test_too_long(self) -> None:
        """A line, and chunks that are none."""
        self.assertEqual(
            await self.why(PLAIN + b"data: " + b"x" * 3000, payload_most_bytes=1000),
            "protocol: a line is longer than 1000 bytes",
        )
        self.assertEqual(await self.why(CHUNKED + b"zz\r\n"), "protocol: the size of a chunk cannot be read")

    async def test_statuses(self) -> None:
        """429 with its Retry-After; 204 says do not come back, which is refused; a redirect is not followed."""
        for head, why, again in (
            ("429 Slow\r\nRetry-After: 77\r\nContent-Length: 4\r\n\r\nbusy", "http 429: Slow: busy", 77.0),
            ("204 No Content\r\n\r\n", "http 204: No Content", 300.0),
            ("302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "http 302: Found", None),
        ):
            self.events.clear()
            self.assertEqual(await self.why(f"HTTP/1.1 {head}".encode()), why)
            [line] = [event for event in self.events if event.get("log_namespace") == "upstream"]
            if again is not None:
                self.assertEqual(line["again_in_s"], again)

    async def test_other_answers(self) -> None:
        """200 with something else, packed, or in a frame that cannot be read."""
        for head, why in (
            (b"Content-Type: text/html\r\n", "the answer is text/html, not text/event-stream"),
            (b"", "the answer is of no type, not text/event-stream"),
            (b"Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\n", "the answer is packed (gzip), unasked"),
            (
                b"Content-Type: text/event-stream\r\nTransfer-Encoding: gzip\r\n",
                "the transfer encoding 'gzip' is not understood",
            ),
        ):
            self.assertEqual(await self.why(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n"), f"handshake: {why}")
        self.assertIn("handshake: the answer is no HTTP/1.1", await self.why(b"SSH-2.0-x\r\n"))

    async def test_ends_before_the_head(self) -> None:
        """A server that accepts and hangs up."""
        raw = RawFactory(lambda protocol: protocol.transport.loseConnection())
        self.assertEqual(await self.loss_of(self.read(raw)), "handshake: the connection ended in the handshake")

    async def test_no_answer(self) -> None:
        """It ends at the deadline."""
        raw = RawFactory(lambda protocol: None)
        service = self.read(raw, handshake_within_s=0.05)
        self.assertEqual(await self.loss_of(service), "deadline: the handshake took too long")
        await self.until(lambda: not raw.connections)

    async def test_a_page_that_never_ends(self) -> None:
        """Its beginning is told after a second at most."""
        head = b"HTTP/1.1 503 Service Unavailable\r\n\r\n<html>busy"
        self.assertEqual(await self.why(head), "http 503: Service Unavailable: <html>busy")

    async def test_nobody_wants_it_any_more(self) -> None:
        """Amid a burst: what comes behind is not read."""
        factory = self.serve(PLAIN + b"data: a=1\n\n" * 3)
        service = self.read(factory)
        stop = service.session.message

        def once(*args: Any) -> Any:
            effects = stop(*args)
            service._protocol.let_go()
            return effects

        service.session.message = once
        await self.until(lambda: "a=1" in self.hub.heard)
        await self.until(lambda: not factory.connections)
        self.assertEqual(self.hub.heard.count("a=1"), 1)


class RequestTests(UpstreamCase):
    """What is sent."""

    def test_hosts_and_own_headers(self) -> None:
        """The port only where it is not the usual one; what the file says comes before what we would say."""
        for url, host in (
            ("http://a.example/", "a.example"),
            ("http://a.example:8080/", "a.example:8080"),
            ("https://a.example/x", "a.example"),
            ("https://[::1]:444/", "[::1]:444"),
        ):
            head = request_head(plan(DialRequest(url), None, "relayd", Transport.SSE))
            self.assertIn(f"\r\nHost: {host}\r\n".encode(), head)
        request = DialRequest("http://a/", {"accept": "*/*", "Last-Event-ID": "\u00e9"})
        head = request_head(plan(request, None, "relayd", Transport.SSE))
        self.assertEqual(head.lower().count(b"accept:"), 1)
        self.assertIn("Last-Event-ID: \u00e9\r\n".encode(), head)

    def test_a_websocket_is_none(self) -> None:
        """Each transport has URLs of its own."""
        with self.assertRaisesRegex(ValueError, "connect.url is not of the form http://host/ or https://host/"):
            plan(DialRequest("wss://a/"), None, "relayd", Transport.SSE)
