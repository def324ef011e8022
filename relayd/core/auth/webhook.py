"""The question to the user's own server: who is this? (docs/authentication.md, "Webhook")

Asked once per set of credentials and remembered for `cache`; a server that fails is never remembered, neither as yes
nor as no.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from relayd.core.auth.credentials import Credential
from relayd.core.auth.strict_json import NotStrict, read_object
from relayd.core.auth.verdict import Denied, Done, Identity, Unavailable, Verdict, Why, read_time

#: An answer is a few claims (guess; a token has 8 KiB).
MAX_ANSWER_BYTES: Final = 64 * 1024
#: Sets of credentials remembered; 10,000 browsers are the default of limits.connections.
MAX_REMEMBERED: Final = 10_000
#: Questions under way at once, for a server that hangs (guess: 2 s at 100 new browsers a second).
MAX_ASKING: Final = 200
_SETTING: Final = "auth.webhook"


class OnFailure(Enum):
    """What becomes of a browser about whom the server cannot be asked."""

    REFUSE = "refuse"
    """It is sent away, to come back."""
    ANONYMOUS = "anonymous"
    """It comes in as a stranger and has what is public."""


@dataclass(frozen=True, slots=True)
class Question:
    """One POST. Its headers are secret, so it has no use in a log."""

    headers: tuple[tuple[str, str], ...]
    body: bytes


def question(credential: Credential) -> Question:
    """What the server is asked: the browser's own headers, and who it is by address."""
    body = json.dumps({"path": credential.path, "client": credential.client}, separators=(",", ":"))
    return Question(credential.headers, body.encode())


def read_answer(status: int, body: bytes, wall: float) -> Verdict:
    """200 with a JSON object: its members are claims, `sub` and `exp` among them; 204: a stranger; 401 and 403: no.

    Anything else is a server that fails. Never raises.
    """
    if status in (401, 403):
        return Denied(Why.WEBHOOK)
    if status == 204:
        return None
    if status != 200 or len(body) > MAX_ANSWER_BYTES:
        return Unavailable(_SETTING)
    try:
        claims = read_object(body)
    except NotStrict:
        return Unavailable(_SETTING)
    subject, expires_at = claims.get("sub", ""), read_time(claims["exp"]) if "exp" in claims else None
    if not isinstance(subject, str) or ("exp" in claims and expires_at is None):
        return Unavailable(_SETTING)
    if expires_at is not None and wall >= expires_at:
        return Denied(Why.EXPIRED)
    return Identity(subject, MappingProxyType(claims), expires_at)


class Webhook:
    """What was answered, for a while, and who waits for an answer. `send` asks, then `answered` or `failed` is told."""

    def __init__(
        self, send: Callable[[bytes, Question], None], *, cache_s: float, on_failure: OnFailure,
        monotonic: Callable[[], float], wall: Callable[[], float],
    ) -> None:  # fmt: skip
        self._send = send
        self._cache_s = cache_s
        self._on_failure = on_failure
        self._monotonic = monotonic
        self._wall = wall
        self._known: dict[bytes, tuple[float, Verdict]] = {}
        self._waiting: dict[bytes, list[Done]] = {}
        self.failures = 0

    def ask(self, credential: Credential, done: Done) -> None:
        """Say who shows these credentials, at once where it is remembered."""
        if not credential.identifying:
            done(None)  # nothing that the server could know anybody by
            return
        key = hashlib.sha256("\0".join(credential.identifying).encode()).digest()
        remembered = self._recall(key)
        if remembered is not None:
            done(remembered[0])
        elif key in self._waiting:
            self._waiting[key].append(done)
        elif len(self._waiting) >= MAX_ASKING:
            self.failures += 1
            done(self._failure())
        else:
            self._waiting[key] = [done]
            self._send(key, question(credential))

    def answered(self, key: bytes, status: int, body: bytes) -> None:
        """The server's answer to the question of that key."""
        verdict = read_answer(status, body, self._wall())
        if isinstance(verdict, Unavailable):
            self.failed(key)
            return
        if self._cache_s > 0:
            if len(self._known) >= MAX_REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known.pop(key, None)
            self._known[key] = (self._monotonic() + self._cache_s, verdict)
        self._tell(key, verdict)

    def failed(self, key: bytes) -> None:
        """There is no answer."""
        self.failures += 1
        self._tell(key, self._failure())

    def _failure(self) -> Verdict:
        return None if self._on_failure is OnFailure.ANONYMOUS else Unavailable(_SETTING)

    def _tell(self, key: bytes, verdict: Verdict) -> None:
        for done in self._waiting.pop(key, ()):
            done(verdict)

    def _recall(self, key: bytes) -> tuple[Verdict] | None:
        """The answer in a tuple, since None is one; None where it is not known or too old."""
        entry = self._known.get(key)
        if entry is None:
            return None
        until, verdict = entry
        over = isinstance(verdict, Identity) and verdict.expires_at is not None and self._wall() >= verdict.expires_at
        if self._monotonic() >= until or over:
            del self._known[key]
            return None
        return (verdict,)
