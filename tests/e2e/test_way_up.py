"""What browsers and servers say, to a relayd from its wheel: a local route from three sides, and bridges to an upstream
that wants to know each user by itself."""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import Server, ServerConnection, serve

from tests.support.daemon import Daemon, Start, environment
from tests.support.waiting import eventually
from tests.support.wheel import Installation

CONFIG = """\
listeners:
  - endpoint: tcp:$PORT:interface=127.0.0.1
auth: {tokens: tokens, from: [header, message]}
upstreams:
  assistant:
    connect:
      url: "ws://127.0.0.1:${env.UPSTREAM}/"
      headers: {Authorization: "Bearer ${browser.token}"}
      query: {tenant: "${browser.claims.tenant}", lang: "${browser.query.lang:-en}"}
      protocols: [chat.v2, chat.v1]
routes:
  - topic: chat/$room
    allow: {room: {regex: "[a-z]{1,20}"}}
    access: {publish: {role: member}}
  - topic: assistant
    upstream: assistant
    exclusive: true
    access: {subscribe: {role: member}, publish: {role: member}}
"""


class Assistant:
    """An upstream of its own: says who it takes the other end for, then echoes."""

    def __init__(self) -> None:
        self.open: list[ServerConnection] = []
        self.server: Server = serve(self._meet, "127.0.0.1", 0, subprotocols=["chat.v1"])
        self.port = self.server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def _meet(self, connection: ServerConnection) -> None:
        self.open.append(connection)
        request = connection.request
        assert request is not None
        who = {"authorization": request.headers.get("Authorization"), "path": request.path}
        connection.send(json.dumps({**who, "protocol": connection.subprotocol}))
        for message in connection:
            connection.send(message)
        self.open.remove(connection)

    def stop(self) -> None:
        """Hang up on everybody."""
        self.server.shutdown()
        self._thread.join(10)


@pytest.fixture
def assistant() -> Iterator[Assistant]:
    """One that listens."""
    server = Assistant()
    yield server
    server.stop()


@pytest.fixture
def tokens(relayd: Installation, place: Path) -> dict[str, str]:
    """By `relayd token`: two members and one who is none."""
    found = {}
    with (place / "tokens").open("w") as lines:
        for name, role, tenant in (("alice", "member", "acme"), ("bob", "member", "globex"), ("eve", "guest", "acme")):
            claims = ("--claim", f"role={role}", "--claim", f"tenant={tenant}")
            done = subprocess.run(
                [relayd.script("relayd"), "token", name, *claims],
                cwd=place, env=environment(), capture_output=True, text=True, check=True,
            )  # fmt: skip
            lines.write(done.stdout)
            found[name] = next(word for word in done.stderr.split() if word.startswith("rt_"))
    return found


@pytest.fixture
def daemon(start: Start, tokens: dict[str, str], assistant: Assistant) -> Daemon:
    """A relayd with both kinds of route."""
    return start(CONFIG, UPSTREAM=str(assistant.port))


def post(daemon: Daemon, path: str, token: str | None, body: object) -> tuple[int, Any]:
    """Status and answer."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(f"http://127.0.0.1:{daemon.port}{path}", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def cross(daemon: Daemon, token: str | None, query: str = "", **how: Any) -> ClientConnection:
    """A bridge, as far as the listener is concerned."""
    headers = Headers({"Authorization": f"Bearer {token}"} if token else {})
    return connect(daemon.url(f"/raw/assistant{query}"), additional_headers=headers, compression=None, **how)


def ask(browser: ClientConnection, **command: Any) -> dict[str, Any]:
    """The answer to a command."""
    browser.send(json.dumps(command))
    while (answer := json.loads(browser.recv(20))).get("id") != command["id"]:
        pass
    return dict(answer)


def test_a_local_route(daemon: Daemon, tokens: dict[str, str]) -> None:
    """A page, a server with one, a server with many: whoever reads gets all of it in one order. Who may not is told."""
    with connect(daemon.url("/ws?topics=chat/lobby"), compression=None) as reader, connect(daemon.url("/ws")) as page:
        assert ask(page, op="publish", id=1, topic="chat/lobby", data=0)["code"] == "unauthorized"
        assert ask(page, op="auth", id=2, token=tokens["alice"])["subject"] == "alice"
        said = ask(page, op="publish", id=3, topic="chat/lobby", data={"from": "page"})
        assert said["op"] == "published"
        epoch = said["position"].rpartition(":")[0]
        status, answer = post(daemon, "/topics/chat/lobby", tokens["bob"], {"from": "server"})
        assert (status, answer["position"]) == (200, f"{epoch}:2")
        many = [("chat/lobby", {"data": 3}), ("chat/NONE", {"data": 0}), ("chat/lobby", {"text": "4"})]
        batch = {"publications": [{"topic": name, **what} for name, what in many]}
        status, answer = post(daemon, "/topics", tokens["bob"], batch)
        assert status == 200
        assert [one.get("position") for one in answer["results"]] == [f"{epoch}:3", None, f"{epoch}:4"]
        assert answer["results"][1]["error"]["code"] == "forbidden"
        assert post(daemon, "/topics/chat/lobby", None, 1)[0] == 401
        assert post(daemon, "/topics/chat/lobby", tokens["eve"], 1)[0] == 403
        got = []
        while len(got) < 4:
            message = json.loads(reader.recv(20))
            if "op" not in message:
                got.append((message["offset"], message["data"]))
        assert got == [(1, {"from": "page"}), (2, {"from": "server"}), (3, 3), (4, 4)]


def test_bridges(daemon: Daemon, tokens: dict[str, str], assistant: Assistant) -> None:
    """Each user is somebody else there; both frame types come back; whoever goes takes the upstream's end along."""
    with cross(daemon, tokens["alice"], "?lang=de") as alice, cross(daemon, tokens["bob"]) as bob:
        for browser, token, path in (
            (alice, tokens["alice"], "/?tenant=acme&lang=de"),
            (bob, tokens["bob"], "/?tenant=globex&lang=en"),
        ):
            who = json.loads(browser.recv(20))
            assert (who["authorization"], who["path"]) == (f"Bearer {token}", path)
        for browser, name in ((alice, "alice"), (bob, "bob")):
            browser.send(name)
            browser.send(name.encode() * 10_000)
        for browser, name in ((alice, "alice"), (bob, "bob")):
            assert browser.recv(20) == name
            assert browser.recv(20) == name.encode() * 10_000
        assert len(assistant.open) == 2
    eventually(lambda: not assistant.open, "the upstream's ends are gone")
    assert not any(token in daemon.output for token in tokens.values())


def test_a_subprotocol(daemon: Daemon, tokens: dict[str, str]) -> None:
    """The page, relayd and the upstream speak the same."""
    with cross(daemon, tokens["alice"], subprotocols=["x", "chat.v1"]) as browser:
        assert browser.subprotocol == "chat.v1"
        assert json.loads(browser.recv(20))["protocol"] == "chat.v1"


def test_who_may_not_cross(daemon: Daemon, tokens: dict[str, str], assistant: Assistant) -> None:
    """The upstream hears of nobody who shows nothing, or the wrong thing."""
    for token, code in ((None, 4503), (tokens["eve"], 4503), ("rt_" + "A" * 43, 4500)):
        with cross(daemon, token) as browser, pytest.raises(ConnectionClosedError) as closed:
            browser.recv(20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code
    assert not assistant.open


def test_elsewhere(daemon: Daemon, tokens: dict[str, str], assistant: Assistant) -> None:
    """On `/ws` an exclusive topic is refused in words that name where it is, with the query as with an op."""
    said = "route assistant is exclusive: open /raw/assistant"
    headers = Headers({"Authorization": f"Bearer {tokens['alice']}"})
    with connect(daemon.url("/ws?topics=assistant,chat/lobby"), additional_headers=headers) as browser:
        refused = [json.loads(browser.recv(20)) for _ in range(3)]
        assert [(one["op"], one.get("code"), one.get("message")) for one in refused] == [
            ("welcome", None, None), ("error", "forbidden", said), ("subscribed", None, None),
        ]  # fmt: skip
        assert list(refused[2]["topics"]) == ["chat/lobby"]
        for op, more in (("subscribe", {"topics": ["assistant"]}), ("publish", {"topic": "assistant", "data": 1})):
            answer = ask(browser, op=op, id=op, **more)
            assert (answer["code"], answer["message"]) == ("forbidden", said)
    assert post(daemon, "/topics/assistant", tokens["alice"], 1) == (403, {"code": "forbidden", "message": said})
    assert not assistant.open
