"""A browser's WebSocket: Autobahn reads what it sends, the session in `core` decides, the sink writes.

Autobahn is used for reading alone: it checks frames and UTF-8, puts messages together and answers a close. All its
timers are off (they run on a reactor of its own choosing), it drops nobody without a close frame, and it neither pings
nor writes messages. The handshake was judged by the guard and is answered without Autobahn (relayd/io/frame_reader.py).

After a close frame nothing of what the client still sends is read as a message. Its answer is waited for, so that a
client that behaves is let go at once; everybody else is aborted 2 s later (relayd/io/clients.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote

from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from relayd.core import wire
from relayd.core.auth.credentials import Credential
from relayd.core.auth.door import Visitor
from relayd.core.bridge import NOTHING_BROUGHT, Brought
from relayd.core.closecode import (
    BY_CODE,
    CLOSE_BAD_REQUEST,
    CLOSE_BAD_UTF8,
    CLOSE_BINARY,
    CLOSE_INTERNAL,
    CLOSE_NO_PONG,
    CLOSE_POLICY,
    CLOSE_PROTOCOL,
    CLOSE_TOO_BIG,
    CloseCode,
    reason,
)
from relayd.core.counters import CLOSED_BY_CLIENT, CLOSED_BY_LOSS
from relayd.core.downstream import DownstreamSession
from relayd.core.handshake import Opening
from relayd.core.intake import Hold, Intake
from relayd.core.keepalive import Pulse
from relayd.core.refusal import HttpRefusal
from relayd.core.subscriber import Subscriber
from relayd.core.turns import Turns
from relayd.io.mishaps import for_certain, safely
from relayd.io.sink import TransportSink
from relayd.io.turn_reader import TurnReader

if TYPE_CHECKING:
    from relayd.io.downstream_factory import DownstreamFactory

SUBPROTOCOL: Final = "relayd.v1"

#: What is still read after a close was sent, until the client's own close: what was on its way, and a message (guess).
READ_AFTER_CLOSE_BYTES: Final = 64 * 1024

#: Closes for what a client did to excess, or what no browser does: its address is remembered (core/repeaters.py).
ABUSE: Final = (CLOSE_PROTOCOL, CLOSE_BINARY, CLOSE_BAD_UTF8, CLOSE_POLICY, CLOSE_TOO_BIG, CLOSE_BAD_REQUEST)
#: Who has said so much more by such a close floods, and will not hear of it: nothing more is read of it (guess: a page
#: that writes its third wrong request has not written more than some others behind it).
UNREAD_AT_CLOSE_BYTES: Final = 4 * 1024

#: For a handshake that the guard would not have let in: fixed text, without a byte of it.
_BAD_HANDSHAKE: Final = "this is not a WebSocket handshake that is served here (RFC 6455 4.2)"

NOTHING_SHOWN: Final = Credential()

Answered = Callable[[bytes, float], bool]
"""Says of a portion that begins where a frame can begin, and of the time, whether it was a pong and no more, done with.
"""

log = Logger()


def _never(_portion: bytes, _now: float) -> bool:
    return False


def raw_topic_of(path: str) -> str | None:
    """The topic of a path such as `/raw/price/BTC`, without the listener's prefix; None if it is no such path."""
    return unquote(path.removeprefix("/raw/")) if path.startswith("/raw/") and path != "/raw/" else None


class NotServed(Exception):
    """A handshake that has slipped through the guard, and the HTTP status that answers it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class DownstreamProtocol(TurnReader):
    """One connection of a browser, from the clean head that the guard hands over to its loss."""

    factory: DownstreamFactory
    address: str | None = None
    """Under what connections of one client are counted (core/address.client_key)."""

    # How every connection begins. What has become otherwise is its own, which is little while it is idle.
    session_id: str | None = None  # None until open
    subscriber: Subscriber  # from the opening on
    answered: Answered = staticmethod(_never)
    _session: DownstreamSession | None = None
    _sink: TransportSink | None = None
    _pulse: Pulse[DownstreamProtocol] | None = None
    _path = ""
    _raw_topic: str | None = None
    _topics: Sequence[str] = ()
    _opened_at = 0.0
    _read_after_close_bytes = 0
    _drained_at_ping = 0
    _ending = False
    _gone = False
    _intake: Intake | None = None  # None until there is a reason not to read
    _cause: str | None = None  # why we closed

    def __init__(self, client: str, shown: Credential, brought: Brought = NOTHING_BROUGHT) -> None:
        super().__init__()
        self._brought = brought
        self.client = client  # the address, as the log may show it
        self._shown = shown

    # -- the handshake -------------------------------------------------------------------------------------------------

    def choose(self, opening: Opening) -> str | None:
        try:
            return self._connect(opening)
        except NotServed:
            raise
        except Exception:
            self._count_failure()
            raise

    def _connect(self, opening: Opening) -> str | None:
        path = self._path = opening.path.removeprefix(self.factory.prefix)
        self._raw_topic = raw_topic_of(path)
        if self._raw_topic is not None:
            return self._brought.subprotocol
        if path != "/ws":
            raise NotServed(404)
        if opening.query:
            asked = parse_qs(opening.query).get("topics", ())
            self._topics = [topic for part in asked for topic in part.split(",") if topic]
        if not opening.protocols:
            return None
        if SUBPROTOCOL not in opening.protocols:
            raise NotServed(400)
        return SUBPROTOCOL

    def refuse(self, fault: Exception | None) -> None:
        status = 400 if fault is None else fault.status if isinstance(fault, NotServed) else 500
        self.sendData(HttpRefusal(status, "bad_request", "handshake", _BAD_HANDSHAKE).render())

    def onOpen(self) -> None:
        self.guarded(self._open)

    def _open(self) -> None:
        clients = self.factory.clients
        self._opened_at = clients.monotonic()
        self.session_id = self.factory.new_id()
        self._sink = TransportSink(self, self.transport)
        clients.open[self.session_id] = self
        clients.counters.opened += 1
        clients.counters.open += 1
        more: dict[str, Any] = {"brought": self._brought} if self._brought is not NOTHING_BROUGHT else {}
        if closed_before := clients.repeaters.times(self.address):
            more["closed_before"] = closed_before
            self.comes_last = True
            clients.counters.repeaters += 1
        log.info("client opened", id=self.session_id, client=self.client, path=self._path)
        door, shown, self._shown = self.factory.door, self._shown, NOTHING_SHOWN
        visitor = None if door is None else Visitor(door, self._sink.close, shown, self.guarded)
        self._session = self.factory.make_session(
            self._sink,
            raw_topic=self._raw_topic,
            session_id=self.session_id,
            visitor=visitor,
            **more,
        )
        self.subscriber = self._session.subscriber
        self._pulse = clients.sweep.join(self)
        self.answered = partial(clients.sweep.answered, self._pulse)
        self._session.opened(self._topics)

    # -- what the browser sends ----------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        if self._failed:
            return  # nobody knows where Autobahn stands; the deadline after the close ends this
        if self._ending:
            self._read_after_close_bytes += len(data)
            if self._read_after_close_bytes > READ_AFTER_CLOSE_BYTES:
                self.transport.pauseProducing()
                return
        self.guarded(self.read, data)

    def find_turns(self) -> Turns:
        return self.factory.clients.turns

    def rest_for_turn(self, resting: bool) -> None:
        self._hold(Hold.TURN, resting)

    def turn_is_over(self) -> None:
        self.factory.clients.counters.turns_over += 1

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self._ending or self._session is None:
            return
        counters = self.factory.clients.counters
        counters.received_messages += 1
        counters.received_bytes += len(payload)
        self.guarded(self._session.binary if isBinary else self._session.text, payload)

    def onMessageFrameEnd(self) -> None:
        self._heard()
        super().onMessageFrameEnd()

    def onPing(self, payload: bytes) -> None:
        self._heard()
        if not self.pong(payload):
            self.factory.clients.pong_later(self, payload)

    def onPong(self, payload: bytes) -> None:
        if self._pulse is not None:
            self.factory.clients.sweep.pong(self._pulse, payload, self.factory.clients.monotonic())

    def _heard(self) -> None:
        if self._pulse is not None:
            self.factory.clients.sweep.heard(self._pulse)

    # -- pings and pongs -----------------------------------------------------------------------------------------------

    def ping(self, frame: bytes) -> None:
        """Send a ping frame that the sweep made, or what its socket has not taken of it."""
        if self._sink is not None and not self._sink.busy:
            self._sink.write(frame)  # behind what waits it would say nothing; that this drains is the sign of life

    def ping_again(self, frame: bytes) -> None:
        """The first had no answer. From here on it counts what the client takes of what waits for it."""
        if self._sink is not None:
            self._drained_at_ping = self._sink.drained_bytes
        self.ping(frame)

    def no_pong(self) -> None:
        """Two pings had no answer. A client that reads what stands before them is not gone, only slow."""
        if self._intake is not None and self._intake.is_held:
            return  # its pong may have come: nobody reads it
        if self._sink is not None and self._sink.drained_bytes == self._drained_at_ping:
            self.close(CLOSE_NO_PONG)

    def pong(self, payload: bytes) -> bool:
        """Answer a ping, or say False when that must wait for the client to read."""
        if self._sink is not None and self._sink.is_open:
            if self._sink.busy:
                return False
            self._sink.write(wire.frame(wire.PONG, payload))
        return True

    def pause_reading(self, paused: bool) -> None:
        """Stop reading, or go on; what it sends meanwhile waits in its own kernel. Idempotent."""
        self._hold(Hold.SESSION, paused)

    def rest(self, resting: bool) -> None:
        """As `pause_reading`, for the guard: it said more than it may for now."""
        self._hold(Hold.METER, resting)

    def _hold(self, why: Hold, held: bool) -> None:
        if not self._ending:
            if self._intake is None:
                self._intake = Intake(self.transport.pauseProducing, self.transport.resumeProducing)
            self._intake.hold(why, held, self.factory.clients.monotonic())

    def unread_s(self, now: float) -> float:
        """For how long in all it was not read."""
        return 0.0 if self._intake is None else self._intake.unread_s(now)

    # -- the end -------------------------------------------------------------------------------------------------------

    def close(self, close: CloseCode, retry_s: int | None = None) -> None:
        """Close this client; does nothing once it is closing."""
        self.close_with(close, reason(close, retry_s))

    def breach(self, close: CloseCode) -> None:
        """The guard has seen a fault and passes on no more bytes; what waits for its turn is not read either."""
        self.close(close)
        self._read_no_more()

    def _read_no_more(self) -> None:
        self.forget_rest()
        self.transport.pauseProducing()

    def close_with(self, close: CloseCode, text: str) -> None:
        """Send the close frame, with the deadline for the client's answer."""
        if self.state == self.STATE_OPEN:
            self._cause = close.name
            super().sendCloseFrame(close.code, text.encode("ascii"))
            self._end()
            if close in ABUSE:
                self.factory.clients.repeaters.closed(self.address)
                if len(self.data) > UNREAD_AT_CLOSE_BYTES:
                    self._read_no_more()

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        # By this way go the faults that Autobahn finds, with texts that quote the client, and answers to its close.
        if not isReply and code is not None and code in BY_CODE:
            self.close(BY_CODE[code])
        else:
            super().sendCloseFrame(code, reasonUtf8, isReply)
            self._end()

    def dropConnection(self, abort: bool = False) -> None:
        # After a whole close handshake Autobahn would reset the connection, which may take the close frame with it.
        super().dropConnection(abort and not self.wasClean)
        self._end()

    def _end(self) -> None:
        if self._ending:
            return
        self._ending = True
        if not self._gone and self._intake is not None:
            self._intake.release(self.factory.clients.monotonic())
        self.factory.clients.expect_end(self, self._cause, self._sink)
        if self._sink is not None:
            self._sink.end()
        if self._pulse is not None:
            self.factory.clients.sweep.leave(self._pulse)

    def abort_if_not_lost(self) -> None:
        """The deadline after a close."""
        if not self._gone:
            self.factory.clients.counters.aborted += 1
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._gone = True
        self.guarded(self._end)
        clients = self.factory.clients
        clients.forget(self)
        self.guarded(super().connectionLost, reason)
        session, self._session = self._session, None
        if session is not None:
            self.guarded(for_certain, session.lost)
        if self.session_id is not None:
            cause = self._cause or (CLOSED_BY_CLIENT if self.wasClean else CLOSED_BY_LOSS)
            clients.counters.open -= 1
            clients.counters.closed[cause] += 1
            self.guarded(self._log_close, cause, session)
        self._let_go()

    def _let_go(self) -> None:
        """Of all that holds this protocol, so that counting references is enough to free them: what the collector has
        to find, it finds by a look at everything there is (relayd/app/collector.py)."""
        self._sink = self._pulse = None
        for name in ("answered", "subscriber"):
            vars(self).pop(name, None)

    def _log_close(self, cause: str, session: DownstreamSession | None) -> None:
        fields: dict[str, object] = {"seconds": round(self.factory.clients.monotonic() - self._opened_at, 3)}
        if session is not None:
            fields["sent"], fields["sent_bytes"] = session.subscriber.totals()
            fields["lost"] = session.subscriber.lost_messages
            fields["received"] = session.counters.received_messages
            fields["errors"] = session.counters.errors
        if self._pulse is not None and self._pulse.rtt_s is not None:
            fields["rtt_ms"] = round(self._pulse.rtt_s * 1000, 1)
        code = self.localCloseCode if self._cause else self.remoteCloseCode
        log.info("client closed", id=self.session_id, client=self.client, reason=cause, code=code, **fields)

    def guarded(self, call: Callable[..., None], *args: Any) -> None:
        """Call; an exception becomes a count, a line in the log and a close with 1011, and is this client's alone."""
        try:
            call(*args)
        except Exception:
            self._count_failure()
            if self._gone:
                return
            if self.state == self.STATE_OPEN and not self._ending:
                safely(self._count_failure, self.transport.abortConnection, self.close, CLOSE_INTERNAL)
            else:
                safely(self._count_failure, self.transport.abortConnection, self._end)
                self.transport.abortConnection()

    def _count_failure(self) -> None:
        """While an exception is handled."""
        self.factory.clients.counters.errors += 1
        log.failure("a client failed in relayd and is closed", id=self.session_id)
