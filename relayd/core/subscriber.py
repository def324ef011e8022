"""One browser connection as the hub sees it: where its bytes go, what it reads, and how far it has read.

A subscriber has no queue. Either it is CURRENT, a member of its cohort that takes every flush, or it is behind: then it
holds one position per topic and is served from the rings (core/lagging.py) until it has caught up.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from relayd.core import wire
from relayd.core.closecode import CLOSE_INTERNAL, CLOSE_SLOW, CloseCode
from relayd.core.mishap import DELIVERY
from relayd.core.publication import Encoding
from relayd.core.volley import NO_PORT

if TYPE_CHECKING:
    from relayd.core.ack_window import AckWindow
    from relayd.core.cohort import Cohort
    from relayd.core.lagging import Lagging
    from relayd.core.topics import Topic


# Answers, loss notices and states that a client has not read yet. Its own requests make nearly all of them, so one that
# asks and does not read is the one that meets this bound; it is closed as slow. One answer may come on top, however
# long: a good page's first words are all its topics, up to `limits.topics_per_client`, on a socket that is slow at
# first.
MAX_CONTROL_BYTES = 64 * 1024


SendNow = Callable[[bytes], int]
"""Bytes the kernel took; raises OSError (BlockingIOError where it takes none)."""

PutWay = Callable[[SendNow, int], None]
"""Takes the way to send that holds from now on: one by one, and the port in a volley (core/volley.py)."""


class Sink(Protocol):
    """Where a connection's bytes go. All calls return at once and none calls back into the hub, `pull` apart."""

    def bind(self, put: PutWay) -> None:
        """Give `put` the way to send, now and whenever it changes: the socket's own `send` and its port while nothing
        is buffered; one that takes nothing, and no port, while something is, or after the end."""
        ...

    def failed(self, error: OSError) -> None:
        """What that `send` raised. A full socket is no fault; anything else surfaces later as a lost connection."""
        ...

    def write(self, data: bytes) -> None:
        """Append to the buffer: the control lane, and the rest of a flush."""
        ...

    def buffered(self) -> int:
        """Bytes waiting in the buffer."""
        ...

    def drained_at(self) -> float:
        """When the buffer last became less, in monotonic seconds; 0.0 where it never did."""
        ...

    def pull(self, produce: Callable[[], None]) -> None:
        """Call `produce` whenever the buffer is empty ..."""
        ...

    def unpull(self) -> None:
        """... until here."""
        ...

    def pause(self) -> None:
        """Read nothing more of the client ..."""
        ...

    def resume(self) -> None:
        """... until here. Idempotent, both."""
        ...

    def close(self, close: CloseCode, retry_s: int | None = None) -> None:
        """Close frame, deadline, abort. A second call does nothing."""
        ...


class Pace(Enum):
    """How a subscriber stands to its cohort."""

    IDLE = "idle"
    """It reads no topic, so it is in no cohort."""
    CURRENT = "current"
    """It has all that its cohort has flushed, and takes the next flush."""
    LAGGING = "lagging"
    """Its socket did not take all; it goes on when its buffer is empty."""
    YIELDING = "yielding"
    """It could go on at once and lets others have their turn first."""
    WAITING = "waiting"
    """It has more than its cohort has flushed (it came from another one) and joins at the next flush."""
    HELD = "held"
    """It acknowledged too little (core/ack_window.py) and is sent nothing until it does."""
    GONE = "gone"
    """The connection is closed or lost."""


class Subscriber:
    """A connection's place in the hub. Made by a session; moved by the hub, the cohort and the lagging code alone."""

    __slots__ = (
        "cohort", "control_bytes", "encoding", "flush_number", "joined_bytes", "joined_messages", "lagging",
        "lost_messages", "pace", "port", "send_now", "sent_bytes", "sent_messages", "sink", "slot", "topics", "window",
    )  # fmt: skip

    def __init__(self, sink: Sink, encoding: Encoding) -> None:
        self.sink = sink
        self.send_now: SendNow = len
        """The call of the flush loop: whatever the sink says is the quickest at the moment."""
        self.port = NO_PORT
        """Its place in a volley; both are kept by the sink."""
        self.encoding = encoding
        self.topics: dict[Topic, float | None] = {}
        """What it reads, each with the rate in hertz it wants at most (None: as it comes)."""
        self.pace = Pace.IDLE
        self.cohort: Cohort | None = None
        sink.bind(self._put)
        self.slot = -1
        """Index in the cohort's members while CURRENT."""
        self.flush_number = 0
        """The last sliced flush it took, or joined after."""
        self.lagging: Lagging | None = None
        self.window: AckWindow | None = None
        """How far ahead of its acknowledgements it may be sent, where it asked for that."""
        self.control_bytes = 0
        """Bytes of the control lane since the buffer was last seen empty."""
        self.sent_messages = 0
        self.sent_bytes = 0
        self.lost_messages = 0
        """What it was told it lost, where that could be counted."""
        self.joined_messages = 0
        self.joined_bytes = 0
        """The cohort's totals when this member joined: what it got since is the difference, so no flush counts per
        member."""

    def _put(self, send_now: SendNow, port: int) -> None:
        self.send_now = send_now
        self.port = port
        if self.cohort is not None:
            self.cohort.port_changed()

    def send(self, data: bytes) -> int:
        """Bytes the kernel took of `data`; 0 while something is buffered. Never raises."""
        try:
            return self.send_now(data)
        except OSError as error:
            self.sink.failed(error)
            return 0

    def tell(self, *messages: bytes) -> None:
        """The control lane: messages (JSON) after what is buffered, before any further publication; never dropped, but
        bounded."""
        if not messages:
            return
        if not self.sink.buffered():
            self.control_bytes = 0
        elif self.control_bytes > MAX_CONTROL_BYTES:
            self.sink.close(CLOSE_SLOW)
            return
        data = b"".join([wire.dress(message, self.encoding) for message in messages])
        self.control_bytes += len(data)
        self.sink.write(data)

    def fault(self) -> None:
        """To be called while an exception on its behalf is handled: reported, and it goes; the others do not notice."""
        if self.cohort is not None:
            self.cohort.flusher.report(DELIVERY)
        self.give_up()

    def give_up(self) -> None:
        """An error in relayd on its behalf: close it with 1011, so that it comes back and asks for what it missed."""
        with suppress(Exception):  # one that cannot even be closed is found by its keepalive
            self.sink.close(CLOSE_INTERNAL)

    def totals(self) -> tuple[int, int]:
        """Messages (publications, and the notices among them) and bytes sent so far, control lane apart."""
        if self.pace is Pace.CURRENT and self.cohort is not None:
            messages, size = self.cohort.totals()
            return self.sent_messages + messages - self.joined_messages, self.sent_bytes + size - self.joined_bytes
        return self.sent_messages, self.sent_bytes
