"""A subscription as a program holds it: its listeners, its loop, its end."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self, overload

from relayd_client.events import Guard
from relayd_client.messages import Lost, Publication, Refused, Resumed, TopicState
from relayd_client.reader import Reader, Wish


class Subscription(Reader):
    """One subscription: called back, or iterated over.

    `with relay.subscribe("t") as prices: async for price in prices: ...` unsubscribes at the end of the block. A loop
    that is cancelled loses nothing: what it did not take is there for the next one.
    """

    def __init__(
        self,
        text: str,
        callback: Callable[[Publication], object] | None,
        wish: Wish,
        buffer: int,
        guard: Guard,
        leave: Callable[[Subscription], None],
        taken: Callable[[], None],
    ) -> None:
        super().__init__(text, callback, wish, buffer, guard)
        self._leave = leave
        self._told_taken = taken
        self._something = asyncio.Event()
        self.wake = self._something.set

    @overload
    def on(self, kind: Literal["state"], listener: Callable[[TopicState], object]) -> Callable[[], None]: ...
    @overload
    def on(self, kind: Literal["lost"], listener: Callable[[Lost], object]) -> Callable[[], None]: ...
    @overload
    def on(self, kind: Literal["resumed"], listener: Callable[[Resumed], object]) -> Callable[[], None]: ...
    @overload
    def on(self, kind: Literal["error"], listener: Callable[[Refused], object]) -> Callable[[], None]: ...
    def on(self, kind: str, listener: Callable[..., object]) -> Callable[[], None]:
        """Calls `listener` on each such event; the function returned ends it."""
        if kind not in ("state", "lost", "resumed", "error"):
            raise ValueError(f"{kind}: a subscription has the events state, lost, resumed and error")
        return self.listen(kind, plain(listener))

    def unsubscribe(self) -> None:
        """Ends it. What waits can still be taken. Idempotent."""
        self._leave(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.unsubscribe()

    def __aiter__(self) -> Self:
        if self.has_callback:
            raise TypeError("a subscription has a callback or is iterated over, not both")
        return self

    async def __anext__(self) -> Publication:
        """The next publication.

        Raises:
            Refused: relayd refused the topic.
            Closed: relayd closed the connection for good.
        """
        while True:
            publication = self.take()
            if self.wish.window:
                self._told_taken()
            if publication is not None:
                return publication
            if self.ended:
                error, self.error = self.error, None
                raise error or StopAsyncIteration
            self._something.clear()
            await self._something.wait()


def plain(function: Callable[..., object]) -> Callable[..., object]:
    """The function, if it can be called without being awaited.

    Raises:
        TypeError: it is a coroutine function.
    """
    if inspect.iscoroutinefunction(function):
        raise TypeError("a callback is no `async def`: iterate over the subscription, or put what comes into a queue")
    return function
