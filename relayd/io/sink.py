"""Where the bytes for one browser go: the `Sink` that `core` writes to, on a Twisted transport.

The direct transport below does the work, whether it is the connection's own or lies under TLS. All calls are dead once
the connection ends: nothing may follow a close frame (RFC 6455 5.5.1), and Autobahn does not look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

from relayd.core.closecode import CloseCode
from relayd.core.subscriber import PutWay
from relayd.core.volley import NO_PORT
from relayd.io.transport import DirectServer, find_direct

if TYPE_CHECKING:
    import socket


class Connection(Protocol):
    """Whose sink it is."""

    def close(self, close: CloseCode, retry_s: int | None = None) -> None:
        """End it, saying why."""
        ...

    def pause_reading(self, paused: bool) -> None:
        """Stop reading what it says, or go on. Idempotent."""
        ...

    def guarded(self, call: Callable[..., None], *args: Any) -> None:
        """Call, and keep an exception to this connection."""
        ...


@implementer(IPullProducer)
class TransportSink:
    """The sink of one open WebSocket or event stream.

    What it binds takes nothing after the end. Behind TLS it takes all or nothing, since what the TLS layer has
    encrypted cannot be taken back.
    """

    __slots__ = ("_direct", "_produce", "_protocol", "_transport", "is_open")

    def __init__(self, protocol: Connection, transport: Any) -> None:
        self._protocol = protocol
        self._transport = transport
        self._direct = find_direct(transport)
        self._produce: Callable[[], None] | None = None
        self.is_open = True

    def bind(self, put: PutWay) -> None:
        """Give `put` the quickest way to send, now and whenever it changes."""
        if self._direct is self._transport:
            self._direct.bind(put)
        else:
            put(self._send_whole, NO_PORT)

    def failed(self, error: OSError) -> None:
        """What that raised."""
        self._direct.failed(error)

    def _send_whole(self, data: bytes) -> int:
        if not self.is_open or self._direct.busy:
            return 0
        self._transport.write(data)
        return len(data)

    def write(self, data: bytes) -> None:
        """Append to the buffer, or send at once when it is empty."""
        if self.is_open:
            self._transport.write(data)

    def buffered(self) -> int:
        """Bytes in the buffer. Behind TLS: of ciphertext, without what waits for the next turn of the reactor."""
        return self._direct.buffered_bytes

    @property
    def busy(self) -> bool:
        """Whether something waits in the buffer."""
        return self._direct.busy

    @property
    def socket(self) -> socket.socket | None:
        """The TCP socket below; None where there is another or none."""
        return self._direct.socket if isinstance(self._direct, DirectServer) else None

    @property
    def drained_bytes(self) -> int:
        """Bytes the kernel took from the buffer so far: while this grows the client reads."""
        return self._direct.drained_bytes

    def drained_at(self) -> float:
        """When the kernel last took something from the buffer, in monotonic seconds."""
        return self._direct.drained_at

    def pull(self, produce: Callable[[], None]) -> None:
        """Call `produce` on a later turn of the reactor, at each empty buffer, until `unpull`."""
        if not self.is_open:
            return
        registered = self._produce is not None
        self._produce = None
        if not registered:
            self._direct.registerProducer(self, False)  # asks at once, which is too early
        self._produce = produce

    def unpull(self) -> None:
        """The end of `pull`; idempotent."""
        if self._produce is not None:
            self._produce = None
            self._direct.unregisterProducer()

    def pause(self) -> None:
        """Read nothing more of the client; it is not asked for pongs meanwhile."""
        if self.is_open:
            self._protocol.pause_reading(True)

    def resume(self) -> None:
        """Read again."""
        if self.is_open:
            self._protocol.pause_reading(False)

    def close(self, close: CloseCode, retry_s: int | None = None) -> None:
        """Say why, deadline, abort. A second call does nothing."""
        self._protocol.close(close, retry_s)

    def end(self) -> None:
        """The connection ends: from here on all calls are dead."""
        self.unpull()
        self.is_open = False
        self._direct.end_direct()

    def resumeProducing(self) -> None:
        if self._produce is None:
            return
        self._protocol.guarded(self._produce)
        if self._produce is not None and self._direct.connected:
            self._direct.startWriting()  # it may have sent directly, and must be asked again all the same

    def stopProducing(self) -> None:
        self._produce = None
