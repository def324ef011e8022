"""Event streams, long-polling and publishing by curl where HTTP is not plain TCP: over TLS, and over a unix socket."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import certs
from tests.support.daemon import Start
from tests.support.hub_rig import events
from tests.support.ports import free_port
from tests.support.process import Program
from tests.support.require import command
from tests.support.waiting import eventually

CONFIG = """\
listeners:
  - endpoint: "tcp:TLS_PORT:interface=127.0.0.1"
    tls: {cert: cert.pem, key: key.pem}
  - endpoint: unix:relayd.sock:mode=600
  - endpoint: tcp:$PORT:interface=127.0.0.1
routes:
  - topic: log/$name
    allow: {name: [a, b]}
    access: {publish: public}
    deliver: {mode: queue, history: 1000/5m/8MiB}
"""
Curl = Callable[..., list[str]]


@pytest.fixture(params=["tls", "unix"])
def curl(request: pytest.FixtureRequest, start: Start, place: Path) -> Curl:
    """The arguments of curl for a path of a relayd that is there."""
    port = free_port()
    for name, content in (("cert", certs.good().pem), ("key", certs.good().key_pem), ("ca", certs.authority().pem)):
        (place / f"{name}.pem").write_bytes(content)
    start(CONFIG.replace("TLS_PORT", str(port)))
    program = [command("curl", "curl"), "--silent", "--show-error", "--no-buffer", "--max-time", "30"]
    way = {
        "tls": (["--cacert", str(place / "ca.pem")], f"https://localhost:{port}"),
        "unix": (["--unix-socket", str(place / "relayd.sock")], "http://relay.example"),
    }
    options, base = way[request.param]
    return lambda path, *more: [*program, *options, *more, base + path]


def call(args: list[str]) -> Any:
    """What a request is answered, as JSON."""
    done = subprocess.run(args, capture_output=True, timeout=30, check=True)
    return json.loads(done.stdout)


def publish(curl: Curl, name: str, value: object) -> str:
    """Its position."""
    headers = ("-H", "Content-Type: application/json", "-d", json.dumps(value))
    return str(call(curl(f"/topics/log/{name}", *headers))["position"])


def test_event_stream(curl: Curl, place: Path) -> None:
    """Each event when it is published; a second stream goes on where the first one ended."""
    with Program(curl("/sse?topics=log/a"), cwd=place) as stream:
        stream.says('"op":"subscribed"')
        for number in range(3):
            publish(curl, "a", number)
            stream.says(f'"data":{number}}}')
        got = events(bytearray(stream.output.encode()))
    assert [json.loads(event.text)["data"] for event in got if '"offset"' in event.text] == [0, 1, 2]
    last = next(event.id for event in reversed(got) if event.id is not None)
    publish(curl, "a", 3)
    with Program(curl("/sse?topics=log/a", "-H", f"Last-Event-ID: {last}"), cwd=place) as stream:
        stream.says('"recovered":true')
        stream.says('"data":3}')
        assert '"data":2}' not in stream.output


def test_long_polling(curl: Curl, place: Path) -> None:
    """A poll waits until there is something, and the next one goes on from its position."""
    position = publish(curl, "b", 0)
    ask = json.dumps({"topics": ["log/b"], "since": {"log/b": position}, "wait_s": 20})
    with Program(curl("/poll", "-H", "Content-Type: application/json", "-d", ask), cwd=place) as poll:
        with pytest.raises(AssertionError, match="it waits: not within"):
            eventually(lambda: poll.output or poll.returncode is not None, "it waits", 0.5)
        publish(curl, "b", 1)
        assert poll.ends() == 0
        answer = json.loads(poll.output)
    assert [message["data"] for message in answer["messages"]] == [1]
    publish(curl, "b", 2)
    position = answer["topics"]["log/b"]["position"]
    again = call(curl("/poll?topics=log/b&since=" + "%7B%22log/b%22:%22" + position + "%22%7D"))
    assert [message["data"] for message in again["messages"]] == [2]
