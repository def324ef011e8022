"""The floor of the simulated exchange: who is connected, who hears what, and what can be made to go wrong.

The floor knows no socket. A connection is anything with `send`, `close` and `abort`; time comes from a Twisted clock
(for waking up), a monotonic and a wall clock (for what is written down). With one seed, one `task.Clock` and the same
calls it says the same bytes.

Products take turns: six steps in TURN_S * 6, so that a page of prices ripples and does not throb.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from relayd.demo import messages
from relayd.demo.journal import Journal
from relayd.demo.market import Market, Step
from relayd.demo.subscriptions import Refused, Subscriptions

_log = Logger()

#: The time of the market between two steps of a product; level2 of the real feed comes in batches of 50 ms.
STEP_S: Final = 0.1
#: One `heartbeat` a second and product (source: the feed's documentation).
BEAT_S: Final = 1.0
#: A connection that has not subscribed by then is closed (source: the feed's documentation).
FIRST_SUBSCRIBE_S: Final = 5.0
#: Requests that a mute exchange keeps unanswered for one connection; one more and it is aborted (guess).
HELD_MAX: Final = 64
#: Trades in one `burst`: at some 30 us each they hold the reactor for 0.3 s (guess).
BURST_MAX: Final = 10_000
#: How long a price set by hand stands before the market moves on.
HOLD_S: Final = 2.0
#: The topic of the endpoint that pushes unasked.
FIREHOSE: Final = "firehose"


class Connection(Protocol):
    """One WebSocket connection as the floor sees it."""

    def send(self, payload: bytes, is_text: bool) -> None:
        """Write one message; never raises, never calls back."""
    def close(self, code: int, reason: str) -> None:
        """Close with a close frame."""
    def abort(self) -> None:
        """Cut the connection."""


@dataclass(slots=True, eq=False)
class Client:
    """A connection on the floor: its number, its subscriptions and, while the exchange is mute, what it asked."""

    number: int
    connection: Connection
    subscriptions: Subscriptions
    held: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class Counters:
    """What happened since the start, for tests and for the page."""

    connections: int = 0
    requests: int = 0
    refused_requests: int = 0
    late_first_subscribes: int = 0
    held_overflows: int = 0
    muted_frames: int = 0
    slow_readers: int = 0


class Floor:
    """The exchange without its sockets. `start` and `stop` frame its life; the rest may be called in between."""

    def __init__(
        self, clock: IReactorTime, market: Market, *, monotonic: Callable[[], float], wall: Callable[[], float],
        journal: Journal | None = None,
    ) -> None:
        self.market = market
        self.journal = Journal() if journal is None else journal
        self.counters = Counters()
        self.muted = False
        self.refusing: int | None = None
        """The HTTP status that new connections get in place of a WebSocket; None lets them in."""
        self._monotonic = monotonic
        self._wall = wall
        self._clients: dict[Connection, Client] = {}
        self._newcomers: dict[Connection, float] = {}
        self._listeners: dict[str, dict[Connection, Client]] = {}
        self._held_until: dict[str, float] = {}
        self._order = list(market.listings)
        self._turn = 0
        self._loops = (
            (LoopingCall(self._take_turn), STEP_S / len(self._order)),
            (LoopingCall(self._beat), BEAT_S),
        )
        for loop, _ in self._loops:
            loop.clock = clock

    def start(self) -> None:
        """Open the market: products begin to take their turns."""
        for loop, interval_s in self._loops:
            loop.start(interval_s, now=False).addErrback(_stopped)

    def stop(self) -> None:
        """Close the market and cut every connection."""
        for loop, _ in self._loops:
            if loop.running:
                loop.stop()
        self.drop()

    # Connections

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._clients)

    def opened(self, connection: Connection, firehose: bool = False) -> None:
        """A connection is open: on the feed, or on the endpoint that pushes unasked."""
        self.counters.connections += 1
        client = Client(self.counters.connections, connection, Subscriptions(self.market.listings))
        self._clients[connection] = client
        if firehose:
            self._listeners.setdefault(FIREHOSE, {})[connection] = client
        else:
            self._newcomers[connection] = self._monotonic() + FIRST_SUBSCRIBE_S

    def closed(self, connection: Connection) -> None:
        """A connection is gone; calling this twice is fine."""
        if self._clients.pop(connection, None) is None:
            return
        self._newcomers.pop(connection, None)
        for topic in [topic for topic, listeners in self._listeners.items() if connection in listeners]:
            self._unlisten(topic, connection)

    def received(self, connection: Connection, payload: bytes) -> None:
        """A client asks for something; a mute exchange answers when it speaks again."""
        client = self._clients.get(connection)
        if client is None:
            return
        self.counters.requests += 1
        if not self.muted:
            self._answer(client, payload)
        elif len(client.held) < HELD_MAX:
            client.held.append(payload)
        else:
            self.counters.held_overflows += 1
            connection.abort()

    def _answer(self, client: Client, payload: bytes) -> None:
        answer = client.subscriptions.request(payload)
        if isinstance(answer, Refused):
            self.counters.refused_requests += 1
            self._send(client, "error", messages.error(answer.message, answer.reason))
            return
        self._newcomers.pop(client.connection, None)
        for channel, product in answer.removed:
            self._unlisten(f"{channel}/{product}", client.connection)
        self._send(client, "subscriptions", messages.subscriptions(client.subscriptions.channels))
        for channel, product in answer.added:
            topic = f"{channel}/{product}"
            self._listeners.setdefault(topic, {})[client.connection] = client
            first = self._first_message(channel, product)
            if first is not None:
                self._send(client, topic, first)

    def _first_message(self, channel: str, product: str) -> bytes | None:
        """What a new subscription begins with: the state of the market, where the channel has one."""
        listing = self.market.listings.get(product)
        if listing is None:
            return None
        match channel:
            case "ticker":
                return messages.ticker(listing, self._wall())
            case "matches":
                return messages.match(listing, listing.last, self._wall(), "last_match")
            case "level2":
                return messages.snapshot(listing, self._wall())
        return None

    def _unlisten(self, topic: str, connection: Connection) -> None:
        listeners = self._listeners[topic]
        del listeners[connection]
        if not listeners:
            del self._listeners[topic]

    # Speaking

    def _take_turn(self) -> None:
        """One step of the next product, and a look at the newcomers. A mute market stands still."""
        if self.muted:
            return
        product = self._order[self._turn]
        self._turn = (self._turn + 1) % len(self._order)
        now = self._monotonic()
        if now >= self._held_until.get(product, 0.0):
            self._publish(product, self.market.step(product, STEP_S))
        for connection in [connection for connection, until in self._newcomers.items() if now >= until]:
            del self._newcomers[connection]
            self.counters.late_first_subscribes += 1
            connection.close(1008, f"no subscribe message within {FIRST_SUBSCRIBE_S:.0f} s")

    def _beat(self) -> None:
        if self.muted:
            return
        for product, listing in self.market.listings.items():
            if f"heartbeat/{product}" in self._listeners:
                self._tell(f"heartbeat/{product}", messages.heartbeat(listing, self._wall()))

    def _publish(self, product: str, step: Step) -> None:
        """Tell what a step did to whoever listens; a message that nobody hears is not made."""
        listing, wall_s, listeners = self.market.listings[product], self._wall(), self._listeners
        if step.trades and f"matches/{product}" in listeners:
            for trade in step.trades:
                self._tell(f"matches/{product}", messages.match(listing, trade, wall_s))
        if step.changes and f"level2/{product}" in listeners:
            self._tell(f"level2/{product}", messages.l2update(listing, step, wall_s))
        if step.trades and f"ticker/{product}" in listeners:
            self._tell(f"ticker/{product}", messages.ticker(listing, wall_s))

    def _tell(self, topic: str, payload: bytes, is_text: bool = True) -> int:
        listeners = list(self._listeners.get(topic, {}).values())
        for client in listeners:
            self._send(client, topic, payload, is_text)
        return len(listeners)

    def _send(self, client: Client, topic: str, payload: bytes, is_text: bool = True) -> None:
        if self.muted:
            self.counters.muted_frames += 1
            return
        self.journal.record(client.number, topic, payload, is_text, self._monotonic())
        client.connection.send(payload, is_text)

    # What can be made to go wrong, and what a test can ask for

    def mute(self) -> None:
        """Fall silent on open connections: no data, no beat, no answer; the market stands still meanwhile.

        New connections are accepted and not answered either. WebSocket pings are: they are what fools a watchdog.
        """
        self.muted = True

    def unmute(self) -> None:
        """Speak again, and first answer what was asked meanwhile."""
        self.muted = False
        for client in list(self._clients.values()):
            held, client.held = client.held, []
            for payload in held:
                self._answer(client, payload)

    def drop(self) -> int:
        """Cut all connections without a close frame; returns how many."""
        clients = list(self._clients)
        for connection in clients:
            self.closed(connection)
            connection.abort()
        return len(clients)

    def refuse(self, status: int | None) -> None:
        """Answer new connections with this HTTP status (400 to 599) until called with None."""
        if status is not None and not 400 <= status <= 599:
            raise ValueError(f"status: expected 400 to 599, got {status}")
        self.refusing = status

    def skip(self, product: str) -> None:
        """Lose one trade of a product: the next one shows a hole in `trade_id`. Raises KeyError for an unknown one."""
        self.market.skip(product)

    def set_price(self, product: str, price: str | int | float, hold_s: float = HOLD_S) -> None:
        """Trade at exactly this price and stay there for `hold_s` seconds. Raises KeyError, ValueError.

        So does `burst` while the exchange is mute: the levels that change would be missing from the feed for good.
        """
        self._refuse_if_mute()
        step = self.market.set_price(product, price)
        self._held_until[product] = self._monotonic() + hold_s
        self._publish(product, step)

    def burst(self, count: int, product: str | None = None) -> None:
        """`count` trades at once, of one product or of all in turn; each brings its own match, ticker and update."""
        if not 1 <= count <= BURST_MAX:
            raise ValueError(f"count: expected 1 to {BURST_MAX}, got {count}")
        if product is not None and product not in self.market.listings:
            raise KeyError(product)
        self._refuse_if_mute()
        for index in range(count):
            name = self._order[index % len(self._order)] if product is None else product
            self._publish(name, self.market.trade(name))

    def _refuse_if_mute(self) -> None:
        if self.muted:
            raise ValueError("the exchange is mute and its market stands still: unmute it first")

    def send_raw(self, topic: str, payload: bytes, is_text: bool = True) -> int:
        """Send a payload exactly as given to whoever listens to `raw/NAME`, `firehose` or any `channel/product`.

        Returns how many connections that were; 0 while the exchange is mute.
        """
        return 0 if self.muted else self._tell(topic, payload, is_text)


def _stopped(failure: Failure) -> None:
    """A turn that fails is a defect and ends the market: say so at once."""
    _log.failure("the simulated market has stopped", failure=failure)
