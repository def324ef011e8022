"""The shell around the session, on real sockets: websockets' own server on loopback, played by the test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from relayd_client import Closed, Connection, Refused, codes, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.utils import accept_key

Play = Callable[["Peer"], Awaitable[None]]


class Peer:
    """The server's end of one connection: welcomes, subscribes whoever asks, and keeps what it heard."""

    def __init__(self, socket: ServerConnection, number: int) -> None:
        self.socket = socket
        self.number = number
        self.heard: list[dict[str, Any]] = []

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def hear(self) -> dict[str, Any]:
        message = json.loads(await self.socket.recv())
        self.heard.append(message)
        return message

    async def open(self) -> None:
        await self.say(op="welcome", relayd="1", session="s", ping_every_s=25, time_ms=0)

    async def subscribed(self, offset: int = 0) -> None:
        asked = await self.hear()
        assert asked["op"] == "subscribe", asked
        topics = {topic: {"position": f"e:{offset}", "state": "live"} for topic in asked["topics"]}
        await self.say(op="subscribed", id=asked["id"], topics=topics)


class Server:
    """Plays each connection, and knows what went wrong in a play."""

    def __init__(self) -> None:
        self.url = ""
        self.peers: list[Peer] = []
        self.faults: list[BaseException] = []


@asynccontextmanager
async def playing(play: Play, **options: Any) -> AsyncIterator[Server]:
    """A server for one test, which must end without a fault of its own and without anything left."""
    server = Server()

    async def handle(socket: ServerConnection) -> None:
        peer = Peer(socket, len(server.peers))
        server.peers.append(peer)
        try:
            await play(peer)
            await socket.wait_closed()
        except ConnectionClosed:
            pass
        except BaseException as fault:
            server.faults.append(fault)
            raise

    async with asyncio.timeout(20), serve(handle, "127.0.0.1", 0, **options) as listening:
        port = listening.sockets[0].getsockname()[1]
        server.url = f"ws://127.0.0.1:{port}/ws"
        before = asyncio.all_tasks()
        yield server
        assert server.faults == []
        left = [task for task in asyncio.all_tasks() - before if "relayd-client" in task.get_name()]
        assert left == []


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real jitter, of 50 ms."""
    monkeypatch.setattr(codes, "CEILING_MAX_S", 0.05)


async def numbers(peer: Peer) -> None:
    """A subscription, then three publications and a close with a code of its own."""
    await peer.open()
    await peer.subscribed()
    for offset in (1, 2, 3):
        await peer.say(topic="t", offset=offset, data=offset)


def test_reads() -> None:
    """By loop, until it is left; the socket is closed with 1000."""

    async def run() -> None:
        async with playing(numbers) as server:
            async with connect(server.url) as relay:
                with relay.subscribe("t") as reading:
                    assert [(await anext(reading)).data for _ in range(3)] == [1, 2, 3]
                assert relay.state == "open"
            assert relay.state == "closed"
            await server.peers[0].socket.wait_closed()
            assert server.peers[0].socket.close_code == 1000

    asyncio.run(run())


def test_comes_back_and_resumes() -> None:
    """After a close that says so, from where it stood."""

    async def play(peer: Peer) -> None:
        await peer.open()
        if peer.number == 0:
            await peer.subscribed()
            await peer.say(topic="t", offset=1, data=1)
            await peer.socket.close(1012, "restart")
        else:
            await peer.subscribed(1)
            await peer.say(topic="t", offset=2, data=2)

    async def run() -> None:
        async with playing(play) as server, connect(server.url) as relay:
            states: list[tuple[str, int | None]] = []
            relay.on("state", lambda state: states.append((state.state, state.code)))
            reading = relay.subscribe("t")
            assert [(await anext(reading)).data for _ in range(2)] == [1, 2]
            assert states == [("open", None), ("waiting", 1012), ("connecting", None), ("open", None)]
            assert server.peers[1].heard[0]["since"] == {"t": "e:1"}

    asyncio.run(run())


def test_a_final_code_ends_the_loop() -> None:
    """With the code; further connections are not tried."""

    async def play(peer: Peer) -> None:
        await peer.open()
        await peer.subscribed()
        await peer.socket.close(4503, "forbidden")

    async def run() -> None:
        async with playing(play) as server, connect(server.url) as relay:
            with pytest.raises(Closed, match="4503 forbidden"):
                async for _ in relay.subscribe("t"):
                    pass
            with pytest.raises(Closed, match="4503"):
                await relay.ready()
            assert (relay.state, len(server.peers)) == ("closed", 1)

    asyncio.run(run())


def test_a_refused_handshake_is_told() -> None:
    """With its status and what it said; Retry-After is obeyed."""
    asked = 0

    def refuse(socket: ServerConnection, request: Request) -> Response | None:
        nonlocal asked
        asked += 1
        if asked > 1:
            return None
        response = socket.respond(503, "limits.handshakes is reached\n")
        response.headers["Retry-After"] = "1"
        return response

    async def run() -> None:
        async with playing(numbers, process_request=refuse) as server:
            began = asyncio.get_running_loop().time()
            relay = connect(server.url)
            reasons: list[str] = []
            async with relay:
                relay.on("state", lambda state: reasons.append(state.reason))
                await relay.ready()
                assert reasons[0] == "HTTP 503 limits.handshakes is reached"
                assert asyncio.get_running_loop().time() - began >= 1.0

    asyncio.run(run())


def test_nobody_listens() -> None:
    """Told, tried again, and closed at once when asked to."""

    async def run() -> None:
        states: list[str] = []
        relay = connect("ws://127.0.0.1:1/ws")
        async with asyncio.timeout(10), relay:
            relay.on("state", lambda state: states.append(state.state))
            while states.count("waiting") < 3:
                await asyncio.sleep(0.01)
        assert relay.state == "closed"

    asyncio.run(run())


def test_cancelled_reads_lose_nothing() -> None:
    """A loop under a timeout that strikes again and again gets every message once."""

    async def play(peer: Peer) -> None:
        await peer.open()
        await peer.subscribed()
        for offset in range(1, 51):
            await peer.say(topic="t", offset=offset, data=offset)
            await asyncio.sleep(0.002)

    async def run() -> None:
        async with playing(play) as server, connect(server.url) as relay:
            reading = relay.subscribe("t")
            got: list[int] = []
            while len(got) < 50:
                try:
                    async with asyncio.timeout(0.003):
                        async for message in reading:
                            got.append(message.data)
                except TimeoutError:
                    pass
            assert got == list(range(1, 51))

    asyncio.run(run())


def test_a_task_group_that_fails_leaves_nothing() -> None:
    """One reader's error cancels the others, the connection is closed, the error is what comes out."""

    async def play(peer: Peer) -> None:
        await peer.open()
        await peer.subscribed()
        await peer.say(topic="a", offset=1, data=1)

    async def run() -> None:
        async with playing(play) as server:

            async def read(relay: Connection, topic: str) -> None:
                with relay.subscribe(topic) as reading:
                    async for _ in reading:
                        raise RuntimeError("a reader's own")

            with pytest.raises(ExceptionGroup) as caught:
                async with connect(server.url) as relay, asyncio.TaskGroup() as group:
                    group.create_task(read(relay, "a"))
                    group.create_task(read(relay, "b"))
            assert [str(error) for error in caught.value.exceptions] == ["a reader's own"]
            assert relay.state == "closed"

    asyncio.run(run())


@pytest.mark.parametrize("turns", range(0, 40, 3))
def test_cancelled_anywhere(turns: int) -> None:
    """After any number of turns of the event loop nothing of the connection is left."""

    async def run() -> None:
        async with playing(numbers) as server:

            async def use() -> None:
                async with connect(server.url) as relay:
                    async for _ in relay.subscribe("t"):
                        pass

            task = asyncio.create_task(use())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    asyncio.run(run())


def test_a_slow_loop_drops_and_says_so() -> None:
    """It holds `buffer` at most; every offset is given or counted."""

    async def play(peer: Peer) -> None:
        await peer.open()
        await peer.subscribed()
        for offset in range(1, 501):
            await peer.say(topic="t", offset=offset, data=offset)
        await peer.socket.close(1000, "done")

    async def run() -> None:
        async with playing(play) as server, connect(server.url) as relay:
            reading = relay.subscribe("t", buffer=10)
            accounted = given = 0
            async for message in reading:
                given += 1
                assert message.missed is not None
                accounted += message.missed + 1
                assert accounted == message.offset
                if given == 1:
                    while relay.state != "closed":
                        await asyncio.sleep(0.01)
            assert (accounted, reading.dropped, given) == (500, 489, 11)

    asyncio.run(run())


def test_a_quick_loop_drops_nothing() -> None:
    """Though all came in one go, and its buffer is small."""

    async def play(peer: Peer) -> None:
        await peer.open()
        await peer.subscribed()
        for offset in range(1, 2_001):
            await peer.say(topic="t", offset=offset, data=0)

    async def run() -> None:
        async with playing(play) as server, connect(server.url) as relay:
            reading = relay.subscribe("t", buffer=5)
            assert [(await anext(reading)).offset for _ in range(2_000)] == list(range(1, 2_001))

    asyncio.run(run())


def test_a_callback_that_fails() -> None:
    """Is reported, and gets the next one."""

    async def run() -> None:
        reported: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
        async with playing(numbers) as server, connect(server.url) as relay:
            got: list[int] = []

            def fail(message: Any) -> None:
                got.append(message.data)
                raise ValueError(message.data)

            relay.subscribe("t", fail)
            while len(got) < 3:
                await asyncio.sleep(0.01)
        assert [str(error) for error in reported] == ["1", "2", "3"]

    asyncio.run(run())


def test_publishes() -> None:
    """A position, a refusal, and what a lost connection means."""

    async def play(peer: Peer) -> None:
        await peer.open()
        for answer in (
            {"op": "published", "position": "e:5"},
            {"op": "error", "code": "forbidden", "message": "access.publish", "topic": "t"},
        ):
            asked = await peer.hear()
            assert (asked["op"], asked["topic"], asked["data"]) == ("publish", "t", {"a": "é"})
            await peer.say(**answer, id=asked["id"])
        await peer.hear()
        peer.socket.transport.abort()

    async def run() -> None:
        async with playing(play) as server, connect(server.url) as relay:
            assert await relay.publish("t", {"a": "é"}) == "e:5"  # while it connects: it waits for that
            for code in ("forbidden", "disconnected"):
                with pytest.raises(Refused) as refused:
                    await relay.publish("t", {"a": "é"})
                assert refused.value.code == code
            with pytest.raises(TypeError):
                await relay.ready()
                await relay.publish("t", object())

    asyncio.run(run())


@pytest.mark.parametrize("is_async", [False, True])
def test_tokens(is_async: bool) -> None:
    """From a function of either kind, for each connection; its error is told and tried again."""
    calls = 0

    def plain() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("logins are down")
        return f"token {calls}"

    async def later() -> str:
        await asyncio.sleep(0)
        return plain()

    async def play(peer: Peer) -> None:
        await peer.open()
        asked = await peer.hear()
        await peer.say(op="authorized", id=asked["id"], subject="a")

    async def run() -> None:
        async with playing(play) as server, connect(server.url, token=later if is_async else plain) as relay:
            errors: list[Refused] = []
            relay.on("error", errors.append)
            await relay.ready()
            assert server.peers[0].heard == [{"op": "auth", "id": 1, "token": "token 2"}]
            assert [error.message for error in errors] == ["OSError: logins are down"]

    asyncio.run(run())


def test_a_server_that_closes_and_stays() -> None:
    """Its end of the connection is not waited for."""
    came = 0

    async def serve_raw(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        came += 1
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(line[19:] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key:"))
        lines = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
        accept = f"Sec-WebSocket-Accept: {accept_key(key)}"
        close_1012 = bytes((0x88, 2, 0x03, 0xF4))
        writer.write("\r\n".join([*lines, accept, "", ""]).encode() + close_1012)
        with suppress(ConnectionError):
            while await reader.read(100):
                pass
        writer.close()

    async def run() -> None:
        async with asyncio.timeout(20), await asyncio.start_server(serve_raw, "127.0.0.1", 0) as listening:
            url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/ws"
            async with connect(url) as relay:
                seen: list[int | None] = []
                relay.on("state", lambda state: seen.append(state.code))
                while came < 2:
                    await asyncio.sleep(0.01)
                assert 1012 in seen

    asyncio.run(run())


def test_pings_are_heard() -> None:
    """A quiet topic is no silence: relayd's pings say that it is there."""

    async def play(peer: Peer) -> None:
        await peer.open()
        while True:
            await peer.socket.ping()
            await asyncio.sleep(0.05)

    async def run() -> None:
        async with playing(play) as server, connect(server.url) as relay:
            await relay.ready()
            session = relay._running
            session._heard_at = before = 0.0
            while session._heard_at == before:
                await asyncio.sleep(0.01)

    asyncio.run(run())


def test_too_large() -> None:
    """Closed for good, with the name of the setting."""

    async def play(peer: Peer) -> None:
        await peer.open()
        await peer.subscribed()
        await peer.say(topic="t", offset=1, data="x" * 5_000)

    async def run() -> None:
        async with playing(play) as server, connect(server.url, max_message_bytes=2_000) as relay:
            with pytest.raises(Closed, match="1009 over max_message_bytes"):
                await anext(relay.subscribe("t"))

    asyncio.run(run())


def test_no_redirects() -> None:
    """A token is for the server that was named."""

    def redirect(socket: ServerConnection, request: Request) -> Response:
        response = socket.respond(302, "elsewhere\n")
        response.headers["Location"] = "ws://127.0.0.1:1/"
        return response

    async def run() -> None:
        async with playing(numbers, process_request=redirect) as server:
            reasons: list[str] = []
            async with connect(server.url) as relay:
                relay.on("state", lambda state: reasons.append(state.reason))
                while not reasons:
                    await asyncio.sleep(0.01)
            assert reasons[0].startswith("HTTP 302")

    asyncio.run(run())


def test_wrong_use() -> None:
    """Each error says what to do instead."""

    async def run() -> None:
        with pytest.raises(ValueError, match="wss://relay"):
            connect("http://127.0.0.1/ws")
        relay = connect("ws://127.0.0.1:1/ws")
        with pytest.raises(RuntimeError, match="async with"):
            relay.subscribe("t")
        async with relay:

            async def callback(message: Any) -> None: ...

            with pytest.raises(TypeError, match="async def"):
                relay.subscribe("t", callback)
            with pytest.raises(TypeError, match="not both"):
                aiter(relay.subscribe("t", print))
            with pytest.raises(ValueError, match="window"):
                relay.subscribe("t", window=0)
            with pytest.raises(ValueError, match="events"):
                relay.on("stat", print)
        with pytest.raises(RuntimeError, match="once"):
            await relay.__aenter__()

    asyncio.run(run())
