"""One connection under guard: which of its bytes go where. The whole picture is in relayd/io/guard.py."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IAddress, IHalfCloseableDescriptor
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from relayd.core.closecode import CLOSE_INTERNAL, CLOSE_POLICY, CloseCode
from relayd.core.guard import Handshake, Plain, Stream, judge
from relayd.core.head import HeadParser, RequestHead
from relayd.core.keepalive import PONG_BYTES
from relayd.core.meter import FrameMeter
from relayd.core.refusal import INTERNAL, REQUEST_TIMEOUT, TOO_MANY_BODIES, HttpRefusal
from relayd.core.sse import render_refusal
from relayd.io.certificates import peer_of
from relayd.io.mishaps import safely
from relayd.io.proxied import address_of, host_of
from relayd.io.transport import DirectTransport, find_direct

if TYPE_CHECKING:
    from relayd.io.guard import GuardFactory

#: A message may come in so many reads before small ones are gathered: what stands behind keeps an object for each read,
#: 50 bytes for a byte. Until then it sees every byte at once and can find bad UTF-8 early (ordinary clients need two).
READS_PASSED_ON: Final = 64
#: Reads beyond are gathered to portions of this size, or to the end of their frame (guess: 64 objects for 64 KiB).
GATHER_BYTES: Final = 1024
#: Bodies of requests that are under way on one listener, together (guess: a thousand usual ones).
BODIES_BYTES: Final = 64 * 1024 * 1024

log = Logger()


class GuardState(Enum):
    """Where a connection stands. In HEAD and WAITING it is pending: it has a deadline and gives way if too many are."""

    HEAD = auto()
    WAITING = auto()  # with a good handshake, for its turn (core/repeaters.py); pending still, and not read
    PLAIN = auto()
    WEBSOCKET = auto()
    STREAM = auto()  # the client has said all it has to say
    SILENCE = auto()  # an answer or a close frame is on its way out: what still comes is read and thrown away
    LOST = auto()


class Guard(Protocol):
    """One connection."""

    transport: Any

    def __init__(self, factory: GuardFactory, addr: IAddress | None) -> None:
        self.factory: GuardFactory = factory
        self.state = GuardState.HEAD
        self.peer = self.client = host_of(addr)  # where the connection comes from; later who asks, behind proxies
        self.admitted = False
        self.meter: FrameMeter | None = None
        self._addr = addr
        self._head: HeadParser | None = HeadParser(factory.settings.head)
        self._behind: Any = None  # the protocol that has the connection now
        self._body_left_bytes = self._body_bytes = 0
        self._stall: StallWatch | None = None
        self._gathered = b""  # small reads that wait for more, after the first of a message; or what came while WAITING
        self._held: tuple[RequestHead, Handshake] | None = None  # while WAITING
        self._has_spoken = False

    def connectionMade(self) -> None:
        """Wait for the head, with a deadline."""
        safely(self.factory.count_error, self.transport.abortConnection, self.factory.expect, self)

    def dataReceived(self, data: bytes) -> None:
        """Pass the bytes to whom they are for. An exception from there ends this connection and touches no other."""
        self._has_spoken = True
        try:
            _INPUTS[self.state](self, data)
        except Exception:
            self._fail()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the connection and tell the protocol behind; comes exactly once."""
        self.state = GuardState.LOST
        self._head = self._held = self.meter = None
        self._release_body()
        self.factory.forget(self)
        behind, self._behind = self._behind, None
        if behind is not None:
            safely(self.factory.count_error, _done, behind.connectionLost, reason)

    # What each state does with bytes.

    def _request_head(self, data: bytes) -> None:
        assert self._head is not None
        answer = self._head.feed(data)
        if isinstance(answer, HttpRefusal):
            self.refuse(answer)
        elif answer is not None:
            self._hand_over(answer, self._head.rest)

    def _hand_over(self, head: RequestHead, rest: bytes) -> None:
        factory, settings = self.factory, self.factory.settings
        self.client = settings.trusted_proxies.client(self.peer, head.items("x-forwarded-for"))
        head = head._replace(client=self.client, peer=peer_of(self.transport))
        purpose = judge(head, settings)
        if isinstance(purpose, HttpRefusal):
            self._turn_away(head, purpose)
            return
        if isinstance(purpose, Plain) and purpose.body_bytes + factory.bodies_bytes > BODIES_BYTES:
            self._turn_away(head, TOO_MANY_BODIES)
            return
        if isinstance(purpose, Handshake) and (opens_at := factory.opens_at(self.client)) is not None:
            self._wait(head, purpose, rest, opens_at)
        else:
            self._let_in(head, purpose, rest)

    def _wait(self, head: RequestHead, purpose: Handshake, rest: bytes, opens_at: float) -> None:
        self.state = GuardState.WAITING
        self._head, self._held, self._gathered = None, (head, purpose), rest
        self.transport.pauseProducing()
        self.factory.wait(self, opens_at)

    def _keep(self, data: bytes) -> None:
        """Came with the handshake; TLS has up to a record of it (16 KiB) when reading ends."""
        self._gathered += data

    def come_in(self) -> None:
        """The wait is over."""
        if self._held is None:
            return  # lost meanwhile, or given up
        (head, purpose), rest = self._held, self._gathered
        self._held, self._gathered = None, b""
        self.transport.resumeProducing()
        try:
            self._let_in(head, purpose, rest)
        except Exception:
            self._fail()

    def _let_in(self, head: RequestHead, purpose: Handshake | Stream | Plain, rest: bytes) -> None:
        factory, settings = self.factory, self.factory.settings
        refusal = factory.admission.admit(self.client, factory.monotonic(), handshake=not isinstance(purpose, Plain))
        if refusal is not None:
            self._turn_away(head, refusal, purpose)
            return
        self.admitted = True
        target = self._target(head, purpose)
        if isinstance(target, HttpRefusal):
            self._turn_away(head, target, purpose)
            return
        self._head = None
        self._behind = target.buildProtocol(address_of(self.client, self._addr))
        if isinstance(purpose, Plain):
            self.state = GuardState.PLAIN
            self._body_left_bytes = self._body_bytes = purpose.body_bytes
            factory.bodies_bytes += purpose.body_bytes
            self._stall = StallWatch(self.transport, settings.stalled_after_s)
            factory.counters.http_requests += 1
            factory.answering(self)
        elif isinstance(purpose, Stream):
            self.state = GuardState.STREAM
            factory.counters.streams += 1
        else:
            self.state = GuardState.WEBSOCKET
            factory.counters.handshakes += 1
            self.meter = FrameMeter(getattr(target, "meter_limits", settings.meter))
        if not self._body_left_bytes:
            factory.settle(self)
        self._behind.makeConnection(self.transport)
        if not isinstance(purpose, Stream):
            self._behind.dataReceived(purpose.clean)
        if rest:
            _INPUTS[self.state](self, rest)

    def _target(self, head: RequestHead, purpose: Handshake | Stream | Plain) -> Any:
        """Whose protocol gets the connection, or why nobody's does."""
        if isinstance(purpose, Handshake):
            return self.factory.websocket(head)
        return self.factory.stream(head, purpose) if isinstance(purpose, Stream) else self.factory.site

    def _body(self, data: bytes) -> None:
        body = data[: self._body_left_bytes]
        if body:
            self._body_left_bytes -= len(body)
            if not self._body_left_bytes:
                self._release_body()
                self.factory.settle(self)
            self._behind.dataReceived(body)

    def _release_body(self) -> None:
        """The body is whole, or will never be."""
        self.factory.bodies_bytes -= self._body_bytes
        self._body_bytes = 0

    def _frames(self, data: bytes) -> None:
        meter = self.meter
        assert meter is not None
        now = self.factory.monotonic()
        if len(data) == PONG_BYTES and meter.is_between_messages and self._behind.answered(data, now):
            return
        breach = meter.feed(data, now, self._behind.unread_s(now))
        self.factory.watch(self, meter.open_since is not None)
        if breach is not None:
            if sound := self._gathered + data[: breach.at]:
                self._behind.dataReceived(sound)
            self._breach(breach.close, breach.label)
            return
        if meter.rest_s:
            self._behind.rest(True)
            self.factory.rest(self, now + meter.rest_s)
        if self._gathered:
            data, self._gathered = self._gathered + data, b""
        if meter.reads_in_message > READS_PASSED_ON and meter.is_inside_frame and len(data) < GATHER_BYTES:
            self._gathered = data
        else:
            self._behind.dataReceived(data)

    def _nothing(self, data: bytes) -> None:
        """Read and forget: hanging up on unread bytes would reset the connection and take the answer with it."""

    # Ends.

    def _turn_away(self, head: RequestHead, refusal: HttpRefusal, purpose: object = None) -> None:
        """Refuse who asked in good form, with a line for the operator: scripts see nothing of the answer to a
        WebSocket.
        """
        fields = {"origin": head.get("origin")} if head.get("origin") is not None else {}
        log.warn("request refused", why=refusal.label, path=head.path, **fields, **self.factory.shown(self.client))
        self.refuse(refusal, purpose)

    def refuse(self, refusal: HttpRefusal, purpose: object = None) -> None:
        """Answer with a refusal, and leave the client a moment to take it."""
        factory = self.factory
        _count(factory.counters.refused, refusal.label)
        self.state = GuardState.SILENCE
        self._head = self._held = None
        factory.settle(self)
        factory.linger(self)
        self.transport.write(
            render_refusal(refusal, purpose.cors) if isinstance(purpose, Stream) else refusal.render()
        )
        # Over TCP only our half is closed, so that the peer has read the answer when it closes its own.
        has_halves = IHalfCloseableDescriptor.providedBy(self.transport)
        hang_up = self.transport.loseWriteConnection if has_halves else self.transport.loseConnection
        hang_up()

    def request_overdue(self) -> None:
        """The request did not come in time: say so, unless nothing came at all (browsers connect ahead of need)."""
        if self._has_spoken:
            self.refuse(REQUEST_TIMEOUT)
        else:
            self.drop()

    def cut_short(self) -> None:
        """As `request_overdue`, where thousands are: no answer, and the descriptor is free at once."""
        if self._has_spoken:
            _count(self.factory.counters.refused, REQUEST_TIMEOUT.label)
        self.drop()

    def is_stalled(self, now: float) -> bool:
        """Whether the client has taken nothing of its answer for too long."""
        return self._stall is not None and self._stall.is_stalled(now)

    def is_message_overdue(self, now: float) -> bool:
        """Whether a message has been under way for too long."""
        return self.meter is not None and self.meter.overdue(now, self._behind.unread_s(now))

    def message_overdue(self) -> None:
        """A message was under way for too long."""
        self._breach(CLOSE_POLICY, "open_message_s")

    def go_on(self) -> None:
        """The rest of a client that said too much is over."""
        self._behind.rest(False)

    def drop(self) -> None:
        """End the connection without a word."""
        self.state = GuardState.SILENCE
        self._head = self._held = self._stall = None
        self.factory.settle(self)
        self.transport.abortConnection()

    def _breach(self, close: CloseCode, label: str) -> None:
        if self.state is not GuardState.WEBSOCKET:
            return  # what stood before the breach made the protocol behind hang up by itself
        self.state = GuardState.SILENCE
        self.factory.watch(self, False)
        _count(self.factory.counters.breaches, label)
        log.warn("client went over a limit", limit=label, **self.factory.shown(self.client))
        self._behind.breach(close)

    def _fail(self) -> None:
        """Something behind raised: count it, log it, and end this connection in the way its client understands best."""
        self.factory.counters.errors += 1
        log.failure("a connection failed and was closed")
        state = self.state
        if state in (GuardState.HEAD, GuardState.WAITING):
            self.refuse(INTERNAL)
        elif state is GuardState.WEBSOCKET:
            self.state = GuardState.SILENCE
            self.factory.watch(self, False)
            try:
                self._behind.breach(CLOSE_INTERNAL)
            except Exception:
                log.failure("and could not be closed in order")
                self.transport.abortConnection()
        elif state is not GuardState.LOST:
            self.drop()


class StallWatch:
    """Looks now and then whether a client takes what is written to it. Never stalled where no direct transport is."""

    def __init__(self, transport: Any, stalled_after_s: float) -> None:
        try:
            self._direct: DirectTransport | None = find_direct(transport)
        except TypeError:
            self._direct = None
        self._stalled_after_s = stalled_after_s
        self._drained_bytes = 0
        self._since: float | None = None

    def is_stalled(self, now: float) -> bool:
        """Whether something is buffered, and nothing of it was taken since a look `stalled_after_s` ago or longer."""
        direct = self._direct
        if direct is None or not direct.buffered_bytes:
            self._since = None
            return False
        if self._since is None or direct.drained_bytes != self._drained_bytes:
            self._drained_bytes = direct.drained_bytes
            self._since = now
        return now - self._since >= self._stalled_after_s


_INPUTS: Final[dict[GuardState, Callable[[Guard, bytes], None]]] = {
    GuardState.HEAD: Guard._request_head,
    GuardState.WAITING: Guard._keep,
    GuardState.PLAIN: Guard._body,
    GuardState.WEBSOCKET: Guard._frames,
    GuardState.STREAM: Guard._nothing,
    GuardState.SILENCE: Guard._nothing,
    GuardState.LOST: Guard._nothing,
}


def _done() -> None:
    """A connection that is lost needs no abort."""


def _count(table: dict[str, int], label: str) -> None:
    table[label] = table.get(label, 0) + 1
