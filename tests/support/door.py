"""A door whose authority does as the test says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relayd.core.auth.credentials import Credential, Places
from relayd.core.auth.door import Door, Then, Visitor
from relayd.core.auth.verdict import Denied, Done, Identity, Verdict, Why
from relayd.core.closecode import CloseCode


class FakeAuthority:
    """Knows everybody by the name that is the token; `later` keeps its verdicts until `answer`."""

    def __init__(self) -> None:
        self.later = False
        self.waiting: list[Done] = []
        self.verdicts: dict[str, Verdict] = {"bad": Denied(Why.UNKNOWN)}
        self.seen: list[Credential] = []

    def check(self, credential: Credential, done: Done) -> None:
        """At once, or not."""
        self.seen.append(credential)
        if self.later:
            self.waiting.append(done)
        else:
            done(self.verdict(credential.token or ""))

    def verdict(self, token: str) -> Verdict:
        """Whom a token names."""
        return self.verdicts[token] if token in self.verdicts else Identity(token, {"sub": token})

    def answer(self, verdict: Verdict) -> None:
        """The oldest question is answered."""
        self.waiting.pop(0)(verdict)


class DoorRig:
    """A door, its clocks and its visitors."""

    def __init__(self, *, strangers_welcome: bool = True, places: Places | None = None) -> None:
        self.now = 100.0
        self.wall = 1_000_000.0
        self.authority = FakeAuthority()
        self.door = Door(
            self.authority,
            places or Places(),
            within_s=10.0,
            strangers_welcome=strangers_welcome,
            monotonic=lambda: self.now,
            wall=lambda: self.wall,
            random=lambda: 0.5,
        )

    def visitor(
        self, token: str | None = None, close: Callable[[CloseCode, int | None], None] = lambda *_: None
    ) -> Visitor:
        """Somebody whose handshake shows that."""

        def run(call: Then, *args: Any) -> None:
            call(*args)

        return Visitor(self.door, close, Credential(token), run)
