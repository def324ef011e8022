"""A session with its world in hand: time that moves when told, dice that are known, a server that the test plays."""

from __future__ import annotations

import json
from typing import Any

from relayd_client.messages import Publication
from relayd_client.reader import BUFFER, Reader, Wish
from relayd_client.session import AskToken, Dial, Effect, HangUp, Send, Session


class Rig:
    """One session. What it sends is in `sent`, decoded; what became of it in `states`."""

    def __init__(self, **options: Any) -> None:
        self.now = 1_000.0
        self.dice = 0.5
        self.errors: list[Any] = []
        self.states: list[Any] = []
        self.sent: list[dict[str, Any]] = []
        self.dials = self.hang_ups = self.tokens = 0
        self.session = Session(
            monotonic=lambda: self.now, random=lambda: self.dice, guard=lambda call, *values: call(*values), **options
        )
        self.session.listen("state", self.states.append)
        self.session.listen("error", self.errors.append)

    def apply(self) -> None:
        """What the shell does after each input."""
        self.session.settle()
        effects, self.session.effects = self.session.effects, []
        for effect in effects:
            self._carry_out(effect)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Send(text):
                self.sent.append(json.loads(text))
            case Dial():
                self.dials += 1
            case HangUp():
                self.hang_ups += 1
            case AskToken():
                self.tokens += 1

    def take(self) -> list[dict[str, Any]]:
        """What was sent since the last asking."""
        self.apply()
        sent, self.sent = self.sent, []
        return sent

    def start(self) -> None:
        """Begins, and opens the WebSocket, which is welcomed."""
        self.session.start()
        self.apply()
        self.welcome()

    def welcome(self) -> None:
        """The WebSocket is open."""
        self.session.up()
        self.say(op="welcome", relayd="1", session="s", ping_every_s=25, time_ms=int(self.now * 1000))

    def say(self, **message: Any) -> bool:
        """The server says something."""
        pressed = self.session.received(json.dumps(message))
        self.apply()
        return pressed

    def forward(self, seconds: float) -> None:
        """Time passes, and every alarm rings when it is due."""
        until = self.now + seconds
        while (due := self.session.due) is not None and due <= until:
            self.now = max(self.now, due)
            self.session.tick()
            self.apply()
        self.now = until

    def lost(self, code: int = 1006, reason: str = "", hint_s: float = 0.0) -> None:
        """The connection is gone."""
        self.session.lost(code, reason, hint_s)
        self.apply()

    def back(self) -> None:
        """Waits until it is dialled again, and opens it."""
        dials = self.dials
        while self.dials == dials:
            due = self.session.due
            assert due is not None
            self.forward(due - self.now)
        self.welcome()

    def read(self, topic: str, heard: list[Any] | None = None, *, loop: bool = False, **options: Any) -> Reader:
        """A reader whose callback and listeners write into `heard`."""
        into: list[Any] = [] if heard is None else heard
        buffer = options.pop("buffer", BUFFER)
        reader = Reader(topic, None if loop else into.append, Wish(**options), buffer, lambda call, *v: call(*v))
        for kind in ("lost", "resumed", "state", "error"):
            reader.listen(kind, into.append)
        self.session.subscribe(reader)
        self.apply()
        return reader

    def joined(self, topic: str, position: str, request: int | None = None, **members: Any) -> None:
        """`subscribed` for one topic."""
        answer = {"position": position, "state": "live", **members}
        self.say(op="subscribed", **({} if request is None else {"id": request}), topics={topic: answer})

    def publish(self, topic: str, *offsets: int, **members: Any) -> None:
        """Publications."""
        for offset in offsets:
            self.say(topic=topic, offset=offset, **members, data=offset)


def offsets(heard: list[Any]) -> list[int]:
    """Of the publications among what was heard."""
    return [item.offset for item in heard if isinstance(item, Publication)]
