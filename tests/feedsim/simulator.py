"""One fake server for every simulated feed: HTTP and WebSocket on one port of loopback, a journal, and faults."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall

from tests.feedsim.journal import Connect, Heard, Journal, Requested
from tests.feedsim.peer import PING, PONG, TEXT, Peer
from tests.feedsim.profile import Profile

Handshake = Callable[[Peer], Any]
"""What is done with one handshake in place of the answer."""

KINDS = {TEXT: "text", PING: "ping", PONG: "pong"}


class Simulator(Factory):
    """Listens from `start` to `stop`. Faults are set by its methods and attributes, at any time."""

    noisy = False

    def __init__(self, profile: type[Profile], reactor: Any) -> None:
        self.reactor = reactor
        self.journal = Journal()
        self.connections: set[Peer] = set()
        self.open: list[Peer] = []
        """The WebSockets, oldest first."""
        self.profile = profile(self)
        self.handshakes: deque[Handshake] = deque()
        """What is done with the next handshakes; empty = they are answered."""
        self.replies: deque[tuple[int, bytes, dict[str, str]]] = deque()
        """How the next HTTP requests are answered; empty = by the profile."""
        self.reply_after_s = 0.0
        """How long every answer of the profile to an HTTP request takes."""
        self.always: Handshake | None = None
        """What is done with every handshake that nothing else is said for."""
        self.one_at_a_time = False
        """A second connection throws the first one out."""
        self.acks = "at once"
        """`at once`, `twice`, `never`, or `held` until `release_acks`."""
        self._held: list[tuple[Peer, object, bool]] = []
        self._hang_ups: list[Any] = []
        self._port: Any = None
        self._beats = LoopingCall(self._beat)
        self._beats.clock = reactor

    def buildProtocol(self, address: Any) -> Peer:
        return Peer(self)

    # -- its life

    def start(self) -> None:
        """Listen on a port of the system's choice."""
        self._port = self.reactor.listenTCP(0, self, interface="127.0.0.1")
        if self.profile.beat_every_s is not None:
            self._beats.start(self.profile.beat_every_s, now=False)

    async def stop(self) -> None:
        """Hang up and listen no more."""
        if self._beats.running:
            self._beats.stop()
        for peer in list(self.connections):
            peer.transport.abortConnection()
        await self._port.stopListening()
        for hang_up in self._hang_ups:
            if hang_up.active():
                hang_up.cancel()

    @property
    def host(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self._port.getHost().port}"

    # -- what its connections tell

    def handshake(self, peer: Peer) -> None:
        """A WebSocket request came."""
        peer.number = len(self.journal.connects) + 1
        self.journal.connects.append(Connect(time.monotonic(), peer.number, peer.target, peer.headers))
        if self.profile.most_connects is not None:
            count, span_s = self.profile.most_connects
            if self.journal.most_connects_in(span_s) > count:
                self.journal.offences.append("too many connects")
                peer.reply(429, b"")
                return
        if self.handshakes or self.always is not None:
            act = self.handshakes.popleft() if self.handshakes else self.always
            assert act is not None
            act(peer)
            return
        refused = self.profile.admits(peer)
        if refused is not None:
            peer.reply(*refused)
        else:
            self.accept(peer)

    def accept(self, peer: Peer, then: bytes = b"") -> None:
        """Answer a handshake well."""
        peer.accept(then, self.profile.protocol)
        if self.one_at_a_time:
            for other in list(self.open):
                other.close(4000, "kicked by a newer connection")
        self.open.append(peer)
        self.profile.opened(peer)

    def closed(self, peer: Peer) -> None:
        """A WebSocket has ended."""
        if peer in self.open:
            self.open.remove(peer)

    def heard(self, peer: Peer, opcode: int, payload: bytes) -> None:
        """A frame came."""
        kind = KINDS.get(opcode)
        if kind is None:
            return
        text = payload.decode()
        self.journal.heard.append(Heard(time.monotonic(), peer.number, kind, text))
        if self.profile.check_rate(peer) and kind == "text":
            self.profile.heard(peer, text)

    def request(self, peer: Peer, body: bytes) -> None:
        """An HTTP request came."""
        path = urlsplit(peer.target).path
        self.journal.requests.append(Requested(time.monotonic(), peer.method, path, peer.headers, body))
        if self.replies:
            peer.reply(*self.replies.popleft())
            return
        if self.reply_after_s:
            self.reactor.callLater(self.reply_after_s, self._reply, peer, path, body)
        else:
            self._reply(peer, path, body)

    def _reply(self, peer: Peer, path: str, body: bytes) -> None:
        status, answer = self.profile.request(peer.method, path, peer.headers, body)
        if peer.transport is not None:
            peer.reply(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _beat(self) -> None:
        for peer in list(self.open):
            self.profile.beat(peer)

    # -- faults

    def ack(self, peer: Peer, message: object, *, binary: bool = False) -> None:
        """An acknowledgement of the profile, as `acks` wants it."""
        if self.acks == "held":
            self._held.append((peer, message, binary))
        elif self.acks != "never":
            for _ in range(2 if self.acks == "twice" else 1):
                peer.say(message, binary=binary)

    def release_acks(self, *, backwards: bool = False) -> None:
        """Say what was held."""
        held, self._held, self.acks = self._held, [], "at once"
        for peer, message, binary in reversed(held) if backwards else held:
            peer.say(message, binary=binary)

    def cut(self) -> None:
        """RST on every connection."""
        for peer in list(self.open):
            peer.reset()

    def close(self, code: int, reason: str = "") -> None:
        """A close frame on every connection."""
        for peer in list(self.open):
            peer.close(code, reason)

    def refuse(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer the next handshake with this status; `Retry_After` is Retry-After."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.handshakes.append(lambda peer: peer.reply(status, body, named))

    def never_answer(self) -> None:
        """Leave the next handshake hanging."""
        self.handshakes.append(lambda peer: None)

    def close_after(self, delay_s: float) -> None:
        """Accept every handshake, and drop the connection so much later."""

        def act(peer: Peer) -> None:
            self.accept(peer)
            self._hang_ups.append(self.reactor.callLater(delay_s, lambda: peer.is_open and peer.reset()))

        self.always = act

    def go_silent(self, *, pongs: bool) -> None:
        """Open, and not a word more on the connections there are; with or without answers to pings."""
        for peer in self.open:
            peer.mute = True
            peer.answers_pings = pongs

    def ping(self, payload: bytes = b"") -> None:
        """Ping every connection."""
        for peer in self.open:
            peer.raw(PING, payload)

    def stop_reading(self) -> None:
        """What is sent to us stays where it is."""
        for peer in self.open:
            peer.transport.pauseProducing()
