"""One WebSocket: from dialling to its end, told to whoever dialled."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import Frame, Opcode
from websockets.protocol import Event

from relayd_client.codes import ABNORMAL
from relayd_client.version import VERSION

#: The close handshake; then the connection is aborted. As long as relayd waits itself.
CLOSE_WITHIN_S: Final = 2.0
#: Messages that wait for a server that does not read; beyond, it is given up.
OUTBOX_MAX: Final = 10_000
#: A day: what relayd itself would send at most as a hint.
RETRY_AFTER_S_MAX: Final = 86_400
#: Of the body of a refused handshake, which names the setting that decided.
BODY_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Address:
    """Where and how to dial.

    Args:
        url: `ws://` or `wss://`.
        headers: of the handshake, such as Authorization.
        tls: for `wss://`; None for the system's certificates.
        max_message_bytes: the largest message that is taken.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    max_message_bytes: int = 64 << 20


class Ends(Protocol):
    """Who dialled."""

    def link_up(self, link: Link) -> None:
        """It is open."""

    def link_heard(self, link: Link) -> None:
        """A frame came, of whatever kind."""

    def link_received(self, link: Link, message: str | bytes) -> bool:
        """A message. Whether others should be let run before the next one."""

    def link_down(self, link: Link, code: int, reason: str, hint_s: float) -> None:
        """It has ended, or never came about."""


class _Socket(ClientConnection):
    """Tells of pings too, and does not wait for ever for the end of a connection that was closed."""

    heard: Callable[[], object] = staticmethod(lambda: None)

    def process_event(self, event: Event) -> None:
        super().process_event(event)
        if isinstance(event, Frame):
            if event.opcode is Opcode.CLOSE:
                self.loop.call_later(CLOSE_WITHIN_S, self.transport.abort)
            self.heard()


class _Straight(connect):
    """Follows no redirects: a token is for the server that was named."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class Link:
    """A WebSocket, dialled at once, in a task of its own."""

    def __init__(self, address: Address, ends: Ends) -> None:
        self._address = address
        self._ends = ends
        self._outbox: deque[str] = deque()
        self._has_something = asyncio.Event()
        self._hung_up = False
        self._socket: ClientConnection | None = None
        self.task = asyncio.get_running_loop().create_task(self._live(), name="relayd-client link")

    def send(self, text: str) -> None:
        """Queues a message; what is queued leaves in order."""
        if len(self._outbox) >= OUTBOX_MAX:
            self._down(ABNORMAL, "the server does not read")
            return
        self._outbox.append(text)
        self._has_something.set()

    def hang_up(self) -> None:
        """Closes it in the background, within two seconds. What it says is not told any more."""
        if not self._hung_up:
            self._hung_up = True
            self.task.cancel()

    def abort(self) -> None:
        """Ends it now."""
        self._hung_up = True
        self.task.cancel()
        if self._socket is not None:
            self._socket.transport.abort()

    def _down(self, code: int, reason: str, hint_s: float = 0.0) -> None:
        if not self._hung_up:
            self._ends.link_down(self, code, reason, hint_s)

    async def _live(self) -> None:
        try:
            await self._dial()
        except InvalidStatus as refused:
            body = refused.response.body or b""
            said = " ".join(body[:BODY_CHARS].decode("utf-8", "replace").split())
            hint_s = _retry_after_s(refused.response.headers)
            self._down(ABNORMAL, f"HTTP {refused.response.status_code} {said}".rstrip(), hint_s)
        except (OSError, InvalidHandshake, InvalidURI, TimeoutError, EOFError) as fault:
            self._down(ABNORMAL, f"{type(fault).__name__}: {fault}")
        except ConnectionClosed as closed:
            self._down(*_close_of(closed))

    async def _dial(self) -> None:
        address = self._address
        options: dict[str, Any] = {} if address.tls is None else {"ssl": address.tls}
        socket = await _Straight(
            address.url,
            additional_headers=dict(address.headers),
            user_agent_header=f"relayd-client/{VERSION}",
            compression=None,  # relayd offers none
            open_timeout=None,  # the session has its own clock,
            ping_interval=None,  # and its own heartbeat; relayd's pings are answered by websockets
            close_timeout=CLOSE_WITHIN_S,
            max_size=address.max_message_bytes,
            create_connection=_Socket,
            **options,
        )
        assert isinstance(socket, _Socket)
        self._socket = socket
        socket.heard = lambda: self._ends.link_heard(self)
        writing = asyncio.get_running_loop().create_task(self._write(socket), name="relayd-client writer")
        try:
            self._ends.link_up(self)
            while True:
                if self._ends.link_received(self, await socket.recv()):
                    await asyncio.sleep(0)
        finally:
            writing.cancel()
            await self._close(socket)

    async def _write(self, socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):  # reading says so
            while True:
                while self._outbox:
                    # Taken first: it is written before this waits, and must not be said twice.
                    await socket.send(self._outbox.popleft())
                self._has_something.clear()
                await self._has_something.wait()

    async def _close(self, socket: ClientConnection) -> None:
        """What is queued still leaves."""
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                with suppress(ConnectionClosed):
                    while self._outbox:
                        await socket.send(self._outbox.popleft())
                await socket.close()
        except TimeoutError:
            pass
        finally:
            socket.transport.abort()


def _close_of(closed: ConnectionClosed) -> tuple[int, str]:
    """Code and reason, as the server gave them; or what was wrong with what it sent."""
    if closed.rcvd is not None:
        return closed.rcvd.code, closed.rcvd.reason
    if closed.sent is not None and closed.sent.code == 1009:
        return 1009, f"over max_message_bytes: {closed.sent.reason}"
    if closed.sent is not None:
        return ABNORMAL, f"{closed.sent.code} {closed.sent.reason}".rstrip()
    return ABNORMAL, ""


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """The header Retry-After in its form of seconds; 0 without."""
    text = headers.get("Retry-After", "")
    return float(min(int(text), RETRY_AFTER_S_MAX)) if text.isascii() and text.isdecimal() and len(text) < 7 else 0.0


