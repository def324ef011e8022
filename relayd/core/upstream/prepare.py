"""The HTTP steps before a connection (`connect.before`): a token, or the address to dial.

They are made anew at every dial, inside its backoff, because a token that is fetched once is the token that has
expired. What a step with `keep` saved is kept until the upstream refuses us: some void the old token with each new one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from relayd.core.feed.connect import HttpStep, placeholder
from relayd.core.feed.decode import JSON, decode_value
from relayd.core.feed.errors import Refused, Unset
from relayd.core.feed.login import saved
from relayd.core.feed.outcome import HttpRequest
from relayd.core.feed.path import Scope
from relayd.core.upstream.effects import DialImpossible, Loss, LossKind, printable


class Values(Protocol):
    """Where the placeholders of a step find their values: `core/feed/voice.py`."""

    def values(self, names: frozenset[str]) -> dict[str, object]: ...


class Preparation:
    """The steps of one upstream. `begin`, then `replied` for each answer, until it returns no further request."""

    def __init__(
        self,
        steps: tuple[HttpStep, ...],
        speak: Callable[[Mapping[str, object]], Values],
        kept: dict[int, Mapping[str, object]] | None = None,
    ) -> None:
        """`speak` makes the placeholders' values of a dial from what was saved so far; `kept` is what the connections
        of one upstream share of it, by the number of the step."""
        self._steps = steps
        self._speak = speak
        self._kept: dict[int, Mapping[str, object]] = {} if kept is None else kept
        self._at = 0
        self.saved: dict[str, object] = {}
        """What the steps of the present dial have saved."""

    @property
    def within_s(self) -> float:
        """How long the present step may take, in seconds."""
        return self._steps[self._at].within_s

    def begin(self) -> HttpRequest | None:
        """A dial begins. Returns the first request; None = everything is kept. Raises DialImpossible."""
        self._at = 0
        self.saved = {}
        return self._go_on()

    def replied(self, body: bytes, status: int, retry_after_s: float | None = None) -> HttpRequest | Loss | None:
        """The request was answered. Returns the next one, or why the dial has failed; None = all are done. Raises
        DialImpossible."""
        if not 200 <= status < 300:
            text = printable(body[:200].decode("utf-8", "replace"))
            return Loss(LossKind.HTTP, status=status, text=f"connect.before: {text}", retry_after_s=retry_after_s)
        step = self._steps[self._at]
        found = saved(step.save, Scope(decode_value(body, JSON)))
        if missing := [name for name in step.save if name not in found]:
            # A failed fetch is never kept.
            return Loss(LossKind.CONFIG, text=f"connect.before: the reply has nothing where save.{missing[0]} looks")
        if step.keep:
            self._kept[self._at] = found
        self.saved |= found
        self._at += 1
        return self._go_on()

    def refused(self) -> None:
        """The upstream did not let us in: what was kept may be why."""
        self._kept.clear()

    def _go_on(self) -> HttpRequest | None:
        while self._at < len(self._steps):
            if self._at not in self._kept:
                return self._request(self._steps[self._at])
            self.saved |= self._kept[self._at]
            self._at += 1
        return None

    def _request(self, step: HttpStep) -> HttpRequest:
        try:
            return step.http.render(self._speak(self.saved).values(step.http.names))
        except Unset as error:
            raise DialImpossible(f"connect.before needs {placeholder(error.name)}, which has no value") from None
        except Refused as error:
            raise DialImpossible(f"connect.before: {error}") from None
