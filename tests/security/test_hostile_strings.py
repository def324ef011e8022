"""What strangers send, in every place that a log line, an answer or an error may come from: no control byte, no secret.

HOSTILE says how many strings; `make security` asks for 100,000.
"""

# A vector is a line.
# ruff: noqa: E501

from __future__ import annotations

import io
import json
import os
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.logger import Logger, globalLogPublisher
from twisted.web.resource import Resource
from twisted.web.server import Site

from relayd.core.admission import AdmissionLimits
from relayd.core.guard import GuardCounters, GuardSettings
from relayd.core.upstream.effects import Loss, LossKind, printable
from relayd.io import logs
from relayd.io.guard import GuardFactory
from relayd.io.upstream import LINES
from tests.support.hub_rig import Rig, frames, route, say
from tests.support.relay_yaml import problems
from tests.support.wire import connect

COUNT = int(os.environ.get("HOSTILE", "1500"))
SECRET = "s3cr3t-7f1c9a"
PIECES = [
    "\r\n", "\n", "\r", "\x1b[31m", "\x1b]0;x\x07", "\0", "\x7f", "\x9b31m", "\x85", "\u2028", "\u2029", "\u202e", "\u2066", "\u200b", "\ufeff", "\ud800", "\udcff", "\U0010ffff",
    "{log_source}", "{secret}", "{shown()}", "{0}", "{}", "}{", "%s", "%(secret)s", "$SECRET", "${env.SECRET}", "<script>", '"', "'", "\\", "\\n", "\t", "\x08\x08", " ", "ä", "💥", "a", "/", "?", "#", "%0d%0a",
    "2026-11-27T00:00:00Z ERROR relayd: ", '{"level":"error"}', "a" * 300, "x/y",
]  # fmt: skip
#: So many take minutes beside other work; each takes 1 ms.
pytestmark = pytest.mark.timeout(120 + COUNT / 20)
#: C0 without the line feed that ends a line, DEL, C1, line and paragraph separators, what turns the direction of text,
#: and half characters.
_FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def strings(count: int, seed: int = 7) -> Iterator[str]:
    """So many, the same in each run."""
    rng = random.Random(seed)
    for _ in range(count):
        pieces = rng.choices(PIECES, k=rng.randrange(1, 7))
        if rng.random() < 0.3:
            pieces.append("".join(map(chr, (rng.randrange(0x250) for _ in range(rng.randrange(1, 12))))))
        yield "".join(pieces)


class Stranger:
    """Everything that may be said of somebody, in one log."""

    def __init__(self, form: str) -> None:
        self.stream = io.StringIO()
        self.clock = Clock()
        # Every line is written: what is told once a minute would hide the others.
        self.observer = logs.observer(self.stream, self.clock.seconds, format=form)
        self.log = Logger("relayd.io.upstream", observer=self.observer)
        self.guards = GuardFactory(
            websocket=lambda head: pytest.fail("nobody comes in"),
            site=Site(Resource(), reactor=self.clock),
            settings=GuardSettings(admission=AdmissionLimits(connections=10, handshakes=10**9)),
            reactor=self.clock,
            monotonic=self.clock.seconds,
            counters=GuardCounters(),
            show_address=str,
        )
        self.rig = Rig(route("t/$n"))
        self.answers: list[bytes] = []

    def send(self, text: str) -> None:
        """The same text in each place where a stranger can put one."""
        self.clock.advance(61)  # what is told at most once a minute is told again
        self._knock(text)
        loss = Loss(LossKind.CLOSED, code=1008, text=printable(text))
        self.log.warn(LINES["close"], upstream="feed", why=str(loss), again_in_s=1.0)
        self.log.warn(LINES["fail"], upstream="feed", text=text)
        self.log.error("something failed", why=ValueError(text), path=text, origin=text.encode("utf-8", "replace"))

    def _knock(self, text: str) -> None:
        raw = text.encode("utf-8", "surrogatepass")
        for head in (
            b"GET /ws?token=%b HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: %b\r\nCookie: sid=%b\r\nAuthorization: Bearer %b\r\n\r\n"
            % (SECRET.encode(), raw, SECRET.encode(), SECRET.encode()),
            b"GET /%b?k=%b HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://evil.example\r\n\r\n" % (raw, SECRET.encode()),
            raw + b"\r\n\r\n",
        ):
            guard = self.guards.buildProtocol(IPv4Address("TCP", "127.0.0.1", 50000))
            transport = connect(guard)
            guard.dataReceived(head)
            self.answers.append(bytes(transport.written))
            guard.connectionLost()


@pytest.fixture
def published() -> Iterator[list[Any]]:
    """What goes to the log of the process meanwhile."""
    observers: list[Any] = []
    yield observers
    for observer in observers:
        globalLogPublisher.removeObserver(observer)


class HostileTests:
    """Each string in each place."""

    @pytest.mark.parametrize("form", ["text", "json"])
    def test_log(self, form: str, published: list[Any]) -> None:
        """Every line is one line, and is printable; what a request holds to say who it is stands in none."""
        stranger = Stranger(form)
        globalLogPublisher.addObserver(stranger.observer)
        published.append(stranger.observer)
        for text in strings(COUNT // 2):
            stranger.send(text)
        written = stranger.stream.getvalue()
        assert written.count("\n") >= COUNT, "hardly anything was logged"
        found = _FORBIDDEN.search(written)
        assert found is None, repr(written[max(0, found.start() - 100) : found.end() + 20])
        assert SECRET not in written
        for answer in stranger.answers:
            assert SECRET.encode() not in answer
            assert b"evil" not in answer and not re.search(rb"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\xff]", answer)

    def test_answers(self) -> None:
        """What a browser sends comes back as JSON, if at all, and to nobody else."""
        rig = Rig(route("t/$n"))
        session, sink = rig.open()
        for number, text in enumerate(strings(min(COUNT, 20_000), seed=8)):
            if number % 20 == 0:
                session.lost()
                session, sink = rig.open()
            say(session, op="subscribe", id=text, topics=[text.encode("utf-8", "replace").decode()])
            for _, said in frames(sink.taken):
                assert not re.search(rb"[\x00-\x1f]", said) and isinstance(json.loads(said), dict)
        assert not rig.hub.topics or all(name.isascii() and name.isprintable() for name in rig.hub.topics)

    def test_errors_of_a_file(self) -> None:
        """One printable line for each, whatever the file holds."""
        for text in strings(min(COUNT // 10, 2_000), seed=9):
            for problem in problems(f"upstreams: {text}\nroutes: [{text}]\n{text}: 1\n", SECRET=SECRET):
                assert _FORBIDDEN.search(problem) is None and "\n" not in problem, repr(problem)
                assert SECRET not in problem
