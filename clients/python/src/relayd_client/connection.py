"""The connection of an asyncio program: a session of `session.py`, with a socket, a clock and dice."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
import ssl
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Final, Literal, Self, overload

from relayd_client.link import Address, Link
from relayd_client.messages import Closed, ConnectionState, Publication, Refused, RelayError
from relayd_client.reader import BUFFER, Wish
from relayd_client.session import AskToken, Dial, HangUp, Send, Session
from relayd_client.states import Phase, State
from relayd_client.subscription import Subscription, plain

Token = str | Callable[[], str | Awaitable[str]]

#: Publications that wait for their answer at once; more of them wait their turn.
IN_FLIGHT: Final = 64

_log = logging.getLogger("relayd_client")


def connect(
    url: str,
    *,
    token: Token | None = None,
    headers: Mapping[str, str] | None = None,
    ssl: ssl.SSLContext | None = None,
    max_message_bytes: int = 64 << 20,
) -> Connection:
    """A connection that comes back by itself and resumes where each topic stood: `async with connect(url) as relay:`.

    Args:
        url: of `/ws`, such as `wss://relay.example/ws`.
        token: shown first of all on each connection. A function (plain or async) is called each time, and again
            before the token ends.
        headers: of the handshake, such as Authorization.
        ssl: for a certificate authority of your own.
        max_message_bytes: the largest message that is taken; a larger one closes the connection for good (1009).

    Raises:
        ValueError: the URL is none.
    """
    if not url.startswith(("ws://", "wss://")):
        raise ValueError(f"{url!r}: expected ws:// or wss://, such as wss://relay.example/ws")
    return Connection(Address(url, headers or {}, ssl, max_message_bytes), token)


class Connection:
    """What `connect` gives. Everything about it runs in the event loop in which its block was entered."""

    def __init__(self, address: Address, token: Token | None) -> None:
        self._address = address
        self._token = token
        self._session: Session | None = None
        self._link: Link | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_soon = False
        self._in_flight = asyncio.Semaphore(IN_FLIGHT)
        self._open = asyncio.Event()

    # -- what a program uses ------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """`connecting`, `open`, `waiting` or `closed`."""
        return self._running.phase.state

    @overload
    def on(self, kind: Literal["state"], listener: Callable[[ConnectionState], object]) -> Callable[[], None]: ...
    @overload
    def on(self, kind: Literal["error"], listener: Callable[[Refused], object]) -> Callable[[], None]: ...
    def on(self, kind: str, listener: Callable[..., object]) -> Callable[[], None]:
        """Calls `listener` on each such event; the function returned ends it."""
        if kind not in ("state", "error"):
            raise ValueError(f"{kind}: a connection has the events state and error")
        return self._running.listen(kind, plain(listener))

    def subscribe(
        self,
        topic: str,
        callback: Callable[[Publication], object] | None = None,
        *,
        max_hz: float | None = None,
        buffer: int = BUFFER,
        binary: bool = False,
        window: int | None = None,
    ) -> Subscription:
        """Subscribes to a topic or pattern, for a callback or for `async for`.

        Args:
            topic: as `topic()` makes it, or a pattern: `*` is one segment, a trailing `**` the rest.
            callback: called with each publication in the event loop; it must return soon.
            max_hz: at most so many publications a second and topic, the newest; no effect on topics of deltas.
            buffer: publications that wait for the loop; beyond, the oldest are dropped and counted (`missed`).
            binary: have binary payloads sent as such, which takes a quarter less than base64. You get bytes either way.
            window: relayd sends at most so many publications of a topic (1 to 65,535) ahead of what you have processed,
                and then goes on by the mode of the route.

        Raises:
            ValueError: a number is out of its bounds.
            TypeError: the callback is a coroutine function.
        """
        session = self._running
        wish = Wish(float("inf") if max_hz is None else max_hz, binary, 0 if window is None else window)
        if window == 0:
            raise ValueError("window: 0, expected 1 to 65535 publications")
        called = None if callback is None else plain(callback)
        reader = Subscription(topic, called, wish, buffer, self._guarded, self._left, self._soon)
        session.subscribe(reader)
        self._soon()
        return reader

    async def publish(self, topic: str, data: object) -> str:
        """Publishes one JSON value. Its position `epoch:offset`, or "" where it was handed to a feed.

        While the connection is being opened it waits for that attempt, never for another: what is late may be wrong.
        At most 64 wait, for that or for their answer; a further call waits its turn.

        Raises:
            Refused: by relayd (`forbidden`, `unavailable`, `too_large`, `rate_limited`, `bad_request`), or here:
                `unavailable` where there is no connection or it could not be opened, `disconnected` if it was lost
                before the answer.
            TypeError, ValueError: the data is no JSON.
        """
        async with self._in_flight:
            answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

            def answered(result: str | RelayError) -> None:
                if answer.done():
                    return
                if isinstance(result, str):
                    answer.set_result(result)
                else:
                    answer.set_exception(result)

            session = self._running
            request = session.publish(topic, data, answered)
            self._apply()
            try:
                return await answer
            finally:
                session.publishing.abandon(request)

    async def ready(self) -> None:
        """Waits until the connection is open (again).

        Raises:
            Closed: it is closed for good.
        """
        while (phase := self._running.phase) is not Phase.OPEN:
            if phase is Phase.CLOSED:
                raise Closed(self._closed.code or 1006, self._closed.reason)
            self._open.clear()
            await self._open.wait()

    def authorize(self, token: str) -> None:
        """Shows a fresh token on the open connection."""
        self._running.authorize(token)
        self._soon()

    def pace(self, max_hz: float | None) -> None:
        """One limit over all topics without deltas, in publications a second; None ends it."""
        self._running.pace(max_hz)
        self._soon()

    async def close(self) -> None:
        """For good. Returns when nothing of it is left, after two seconds at most. Idempotent."""
        session = self._session
        if session is None:
            return
        session.close()
        self._apply()
        try:
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            for task in self._tasks:  # only where this wait was cancelled
                task.cancel()

    async def __aenter__(self) -> Self:
        if self._session is not None:
            raise RuntimeError("a connection is entered once: connect() makes another one")
        loop = asyncio.get_running_loop()
        self._session = session = Session(
            monotonic=loop.time,
            random=random.random,
            guard=self._guarded,
            asks_token=self._token is not None,
            renews=callable(self._token),
        )
        self._closed = ConnectionState("closed")
        session.listen("state", self._changed)
        session.listen("error", lambda refusal: _log.warning("relayd: %s", refusal))
        session.start()
        self._apply()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    # -- what happens -------------------------------------------------------------------------------------------------

    @property
    def _running(self) -> Session:
        if self._session is None:
            raise RuntimeError("a connection lives in its block: async with connect(url) as relay")
        return self._session

    def _changed(self, state: ConnectionState) -> None:
        self._closed = state
        self._open.set()

    def _guarded(self, call: Callable[..., object], *values: object) -> None:
        """What a callback raises is reported as asyncio reports errors of callbacks, and goes no further."""
        try:
            call(*values)
        except Exception as error:
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"relayd_client: {call!r} failed", "exception": error}
            )

    def _left(self, reader: Subscription) -> None:
        self._running.unsubscribe(reader)
        self._soon()

    def link_up(self, link: Link) -> None:
        """The WebSocket is open."""
        if link is self._link:
            self._running.up()
            self._apply()

    def link_heard(self, link: Link) -> None:
        """A frame came, such as a ping."""
        if link is self._link:
            self._running.heard()

    def link_received(self, link: Link, message: str | bytes) -> bool:
        """A message came."""
        if link is not self._link:
            return False
        pressed = self._running.received(message)
        self._apply()
        return pressed

    def link_down(self, link: Link, code: int, reason: str, hint_s: float) -> None:
        """The WebSocket is gone."""
        if link is self._link:
            self._running.lost(code, reason, hint_s)
            self._apply()

    # -- effects ------------------------------------------------------------------------------------------------------

    def _soon(self) -> None:
        """From the user's code, which may be in the midst of a message: after it."""
        if not self._is_soon:
            self._is_soon = True
            asyncio.get_running_loop().call_soon(self._apply)

    def _apply(self) -> None:
        """Carries out what the session wants done, and sets its alarm."""
        self._is_soon = False
        session = self._running
        session.settle()
        while session.effects:
            effects, session.effects = session.effects, []
            for effect in effects:
                match effect:
                    case Send(text):
                        if self._link is not None:
                            self._link.send(text)
                    case Dial():
                        self._link = Link(self._address, self)
                        self._keep(self._link.task)
                    case HangUp():
                        link, self._link = self._link, None
                        if link is not None:
                            link.hang_up()
                    case AskToken():
                        self._keep(asyncio.get_running_loop().create_task(self._ask_token()))
        self._set_alarm(session.due)

    def _set_alarm(self, due: float | None) -> None:
        timer = self._timer
        if timer is not None:
            if due is not None and timer.when() == due and not timer.cancelled():
                return
            timer.cancel()
        self._timer = None if due is None else asyncio.get_running_loop().call_at(due, self._alarm)

    def _alarm(self) -> None:
        self._timer = None
        self._running.tick()
        self._apply()

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask_token(self) -> None:
        assert self._token is not None
        session = self._running
        try:
            given = self._token() if callable(self._token) else self._token
            token = await given if inspect.isawaitable(given) else given
            if not isinstance(token, str) or not token:
                raise TypeError("the token function gave no text")
        except Exception as error:
            session.no_token(f"{type(error).__name__}: {error}")
        else:
            session.token(token)
        self._apply()
