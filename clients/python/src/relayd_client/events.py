"""Listeners of a connection or a subscription."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Calls a function of the user's; what it raises is the user's affair and disturbs nobody else.
Guard = Callable[..., None]


class Events:
    """Functions to call, by the kind of event."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._listeners: dict[str, dict[Callable[[Any], object], None]] = {}

    def listen(self, kind: str, listener: Callable[[Any], object]) -> Callable[[], None]:
        """Adds one; the function returned takes it away again."""
        listeners = self._listeners.setdefault(kind, {})
        listeners[listener] = None
        return lambda: listeners.pop(listener, None) and None

    def tell(self, kind: str, event: object) -> None:
        """Calls all of this kind."""
        for listener in list(self._listeners.get(kind, ())):
            self._guard(listener, event)
