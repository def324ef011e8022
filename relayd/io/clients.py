"""All open WebSockets and event streams of this process, whichever listener they came in by: their signs of life, and
the deadlines at their end.

No connection has a timer of its own. `tick`, called with monotonic seconds as often as `every_s` says, sends the pings
and comments that are due, closes who did not answer, aborts who did not hang up, and sends pongs that had to wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.logger import Logger

from relayd.core import wire
from relayd.core.closecode import CLOSE_SLOW, CloseCode
from relayd.core.counters import ListenerCounters
from relayd.core.heartbeat import Heartbeats
from relayd.core.keepalive import QUIET_STEP_S, STEP_S, Beat, PingSweep
from relayd.core.repeaters import Repeaters
from relayd.core.turns import Turns
from relayd.core.volley import Volley, offer
from relayd.io.mishaps import safely

if TYPE_CHECKING:
    from relayd.core.subscriber import Subscriber
    from relayd.io.downstream import DownstreamProtocol
    from relayd.io.sink import TransportSink
    from relayd.io.sse import EventStream

log = Logger()

#: How long a client has to answer a close frame and hang up (docs/protocol.md).
CLOSE_WITHIN_S: Final = 2.0
#: The same for who is closed because it takes nothing, and has not taken what stands before its close: so it is gone
#: within 2 s of its `slow_after`, one second of the calendar of stalls included.
DEAF_CLOSE_WITHIN_S: Final = 0.5


class Client(Protocol):
    """An open connection, whatever it speaks."""

    transport: Any

    def close(self, close: CloseCode, retry_s: int | None = None) -> None:
        """End it, saying why."""
        ...

    def abort_if_not_lost(self) -> None:
        """Its time to hang up is over."""
        ...


class Clients:
    """The open connections, and those that are closing. Pings go out by the `volley`, if there is one."""

    def __init__(
        self,
        counters: ListenerCounters,
        monotonic: Callable[[], float],
        next_turn: Callable[[Callable[[], None]], object],
        volley: Volley | None = None,
    ) -> None:
        """`next_turn` calls in the next turn of the reactor."""
        self._volley = volley
        self.counters = counters
        self.monotonic = monotonic
        self.turns = Turns(monotonic, next_turn)
        self.repeaters = Repeaters(monotonic, counters)
        self.sweep: PingSweep[DownstreamProtocol] = PingSweep(counters, monotonic())
        self.heartbeats: Heartbeats[EventStream] = Heartbeats()
        self.open: dict[str, Client] = {}
        """By session id."""
        self._closing: deque[tuple[float, Client]] = deque()  # (abort at, who), ascending
        self._deaf: deque[tuple[float, Client]] = deque()  # those of them that take nothing
        self._pongs: dict[DownstreamProtocol, bytes] = {}

    def tick(self, now: float) -> None:
        """What is due at `now`."""
        beat = self.sweep.tick(now)
        if beat.ping or beat.again:
            self._ping(wire.frame(wire.PING, beat.payload), beat)
        for client in beat.dead:
            self._safely(client, client.no_pong)
        for stream in self.heartbeats.tick(now):
            self._safely(stream, stream.beat)
        for closing in (self._closing, self._deaf):
            while closing and closing[0][0] <= now:
                ending = closing.popleft()[1]
                self._safely(ending, ending.abort_if_not_lost)
        for client, payload in list(self._pongs.items()):
            self._safely(client, self._pong, client, payload)

    def every_s(self, now: float) -> float:
        """How often `tick` is to be called as it stands now: seldom while it has nothing to do in between. What comes
        meanwhile may wait so long: the shortest deadline, of who is deaf, is no shorter.
        """
        if self._closing or self._deaf or self._pongs:
            return STEP_S
        return QUIET_STEP_S if self.sweep.is_quiet and self.heartbeats.is_quiet(now + STEP_S) else STEP_S

    def _ping(self, frame: bytes, beat: Beat[DownstreamProtocol]) -> None:
        """Whose socket can be part of a volley is asked in it, everybody else alone."""
        ready: dict[Subscriber, DownstreamProtocol] = {}
        for client in beat.ping:
            if client.subscriber.port:
                ready[client.subscriber] = client
            else:
                self._safely(client, client.ping, frame)
        for member, taken in offer(list(ready), frame, self._volley):
            self._safely(ready[member], ready[member].ping, frame[taken:])
        for client in beat.again:
            self._safely(client, client.ping_again, frame)

    def _pong(self, client: DownstreamProtocol, payload: bytes) -> None:
        if client.pong(payload):
            self._pongs.pop(client, None)

    def _safely(self, client: Client, call: Callable[..., object], *args: Any) -> None:
        """On behalf of one of many: an exception is counted, logged, and ends that one alone."""
        safely(self._count_error, client.transport.abortConnection, call, *args)

    def _count_error(self) -> None:
        self.counters.errors += 1
        log.failure("looking after a client failed, and it is closed")

    def expect_end(self, client: Client, cause: str | None, sink: TransportSink | None) -> None:
        """A close was sent or answered: abort the connection if it is not lost in time. `cause`: why we closed it."""
        if cause == CLOSE_SLOW.name and sink is not None and sink.busy:
            self._deaf.append((self.monotonic() + DEAF_CLOSE_WITHIN_S, client))
        else:
            self._closing.append((self.monotonic() + CLOSE_WITHIN_S, client))

    def pong_later(self, client: DownstreamProtocol, payload: bytes) -> None:
        """Answer only the newest ping, once the client reads again (RFC 6455 5.5.3): a flood must not pile up pongs."""
        self._pongs[client] = payload

    def forget(self, client: DownstreamProtocol) -> None:
        """The connection is lost."""
        self._pongs.pop(client, None)
        if client.session_id is not None:
            self.open.pop(client.session_id, None)

    def close_all(self, close: CloseCode, retry_s: int | None = None) -> None:
        """Close every client that is open, all at once."""
        for client in list(self.open.values()):
            self.close(client, close, retry_s)

    def close(self, client: Client, close: CloseCode, retry_s: int | None = None) -> None:
        """Close one of many."""
        self._safely(client, client.close, close, retry_s)

    def abort_all(self) -> None:
        """Drop every connection that is left, without a word."""
        for client in list(self.open.values()):
            self._safely(client, client.abort_if_not_lost)
