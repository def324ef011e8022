"""A connection without a socket: what it does about what happens. Sans-IO: a shell carries out its effects.

Inputs are method calls; after each of them the shell carries out `effects`, and wakes the session at `due`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from relayd_client.acks import ACK_EVERY_S, ACK_PAUSE_S, ACKS_AT_ONCE
from relayd_client.codes import ABNORMAL, SETTLED_S, Backoff, is_final, retry_hint_s
from relayd_client.events import Events, Guard
from relayd_client.messages import (
    Closed,
    ConnectionState,
    Garbled,
    Refused,
    binary_publication,
    publication,
)
from relayd_client.publishing import Answered, Publishing
from relayd_client.reader import Reader
from relayd_client.reading import Reading
from relayd_client.states import TABLE, Event, Phase

#: From dialling to `welcome` (guess).
OPEN_WITHIN_S: Final = 15.0
#: Silence beyond relayd's own interval of pings before it is asked.
PING_GRACE_S: Final = 10.0
#: Then it is given up (docs/protocol.md: relayd gives a client as much).
PONG_WITHIN_S: Final = 10.0
#: A token is replaced so long before it ends, or at half its time if that is sooner.
RENEW_S: Final = 30.0
#: Whatever the clocks say, not more often than this (guess).
RENEW_MIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a WebSocket."""


@dataclass(frozen=True, slots=True)
class Send:
    """A text message."""

    text: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the WebSocket, whatever its state; what it still says is not heard."""


@dataclass(frozen=True, slots=True)
class AskToken:
    """Call the token function, and then `token` or `no_token`."""


Effect = Dial | Send | HangUp | AskToken


class Timer(Enum):
    """What is waited for."""

    RETRY = auto()
    SILENCE = auto()
    RENEW = auto()
    ACK = auto()


class Session(Events):
    """One connection for good: it comes back by itself.

    Args:
        monotonic: seconds.
        random: from 0 up to 1.
        guard: calls what is the user's.
        asks_token: there is a token to be shown first on each connection.
        renews: ... by a function, which gives another one before it ends.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float],
        random: Callable[[], float],
        guard: Guard,
        asks_token: bool = False,
        renews: bool = False,
    ) -> None:
        super().__init__(guard)
        self.phase = Phase.NEW
        self.effects: list[Effect] = []
        self.reading = Reading(self._request)
        self.publishing = Publishing(self._written, self._send)
        self._monotonic = monotonic
        self._backoff = Backoff(random)
        self._asks_token = asks_token
        self._renews = renews
        self._timers: dict[Timer, float] = {}
        self._id = 0
        self._auth_id = 0
        self._token = ""
        self._opened_at: float | None = None
        self._heard_at = 0.0
        self._ping_after_s = OPEN_WITHIN_S
        self._pinged = False
        self._ahead_s = 0.0  # the server's clock to ours
        self._pace_hz: float | None = None
        self._ack_at = self._ack_all_at = 0.0

    # -- the user -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin."""
        if self._step(Event.START):
            self._begin()

    def close(self) -> None:
        """For good."""
        if self.phase is Phase.OPEN:
            self._tell_acks(ACKS_AT_ONCE, all_of_it=True)
        self._end(Event.CLOSE, 1000, "done")

    def subscribe(self, reader: Reader) -> None:
        """One more reader. It ends at once where the connection has ended."""
        if self.phase is Phase.CLOSED:
            reader.finish(Closed(ABNORMAL, "the connection is closed"))
        else:
            self.reading.add(reader)

    def unsubscribe(self, reader: Reader) -> None:
        """One less."""
        self.reading.drop(reader)
        reader.finish()

    def publish(self, topic: str, data: object, answered: Answered) -> int:
        """Sends one publication. It waits for the attempt that is under way, never for another: what is late may be
        wrong.

        Raises:
            Refused: there is no connection, and none is being opened (`unavailable`).
        """
        if self.phase in (Phase.WAITING, Phase.CLOSED):
            raise Refused("unavailable", f"there is no connection ({self.phase.state})", topic)
        return self.publishing.publish(topic, data, answered, is_open=self.phase is Phase.OPEN)

    def authorize(self, token: str) -> None:
        """Shows a fresh token on the open connection."""
        if self.phase is Phase.OPEN:
            self._request({"op": "auth", "token": token})

    def pace(self, max_hz: float | None) -> None:
        """One limit over all topics without deltas; None ends it."""
        self._pace_hz = max_hz
        if self.phase is Phase.OPEN:
            self._tell_pace()

    def settle(self) -> None:
        """After inputs: ask for what has changed, tell what was processed."""
        if self.phase is Phase.OPEN:
            self.reading.flush()
            self._acknowledge()

    # -- time ---------------------------------------------------------------------------------------------------------

    @property
    def due(self) -> float | None:
        """When `tick` has something to do, in monotonic seconds."""
        return min(self._timers.values(), default=None)

    def tick(self) -> None:
        """Time has passed."""
        now = self._monotonic()
        for timer in [timer for timer, at in self._timers.items() if at <= now]:
            if self._timers.pop(timer, None) is not None:
                _WHEN_DUE[timer](self)

    def _retry(self) -> None:
        if self._step(Event.DUE):
            self._begin()

    def _renew(self) -> None:
        self.effects.append(AskToken())

    def _watch(self) -> None:
        """After too long a silence: ask; then give up."""
        now = self._monotonic()
        quiet = now - self._heard_at
        if quiet < self._ping_after_s:
            self._pinged = False
            self._timers[Timer.SILENCE] = self._heard_at + self._ping_after_s
        elif not self._pinged and self.phase is not Phase.DIALLING:
            self._pinged = True
            self._request({"op": "ping"})
            self._timers[Timer.SILENCE] = now + PONG_WITHIN_S
        else:
            self.lost(ABNORMAL, "silent")

    # -- the token ----------------------------------------------------------------------------------------------------

    def token(self, token: str) -> None:
        """The token function's answer: for a new connection, or for the open one."""
        if self.phase is Phase.OPEN:
            self.authorize(token)
        elif self.phase is Phase.TOKEN:
            self._token = token
            self._dial()

    def no_token(self, why: str) -> None:
        """The token function failed."""
        self.tell("error", Refused("token", why))
        if self.phase is Phase.TOKEN:
            self._wait(Event.NO_TOKEN, ABNORMAL, "no token")

    # -- the socket ---------------------------------------------------------------------------------------------------

    def up(self) -> None:
        """The WebSocket is open."""
        if not self._step(Event.UP):
            return
        now = self._monotonic()
        self._opened_at = self._heard_at = now
        self._timers[Timer.SILENCE] = now + self._ping_after_s
        if self._asks_token:
            self._auth_id = self._request({"op": "auth", "token": self._token})
        else:
            self._open()

    def heard(self) -> None:
        """Something came: the other end is there."""
        self._heard_at = self._monotonic()

    def received(self, message: str | bytes) -> bool:
        """A message. Whether a loop has no room for another one, and its reader should be let run."""
        if self.phase not in (Phase.GREETING, Phase.OPEN):
            return False
        self.heard()
        try:
            if isinstance(message, bytes):
                found = binary_publication(message, self.reading.names)
                return found is not None and self.reading.publication(found)
            decoded = json.loads(message)
            if not isinstance(decoded, dict):
                raise Garbled("no object")
            return self._read(decoded)
        except (ValueError, RecursionError) as fault:
            # Nothing that follows could be trusted; what was given so far is right.
            self.lost(ABNORMAL, f"garbled: {fault}"[:123])
            return False

    def lost(self, code: int, reason: str, hint_s: float = 0.0) -> None:
        """The WebSocket is gone, was refused, or never came about.

        Args:
            code: of the close frame; 1006 where there was none.
            reason: of the close frame, or what happened.
            hint_s: wait so long first (Retry-After of a refused handshake); hints in the reason count too.
        """
        if is_final(code):
            self._end(Event.FINAL, code, reason)
        else:
            self._wait(Event.LOST, code, reason, hint_s)

    # -- steps --------------------------------------------------------------------------------------------------------

    def _step(self, event: Event) -> bool:
        """Whether the event means something now; if so, the phase is the next one."""
        following = TABLE[self.phase][event]
        if following is None:
            return False
        self.phase = following
        return True

    def _become(self, **detail: Any) -> None:
        self.tell("state", ConnectionState(self.phase.state, **detail))

    def _begin(self) -> None:
        self._become()
        if self._asks_token:
            self.effects.append(AskToken())
        else:
            self._dial()

    def _dial(self) -> None:
        if not self._step(Event.TOKEN):
            return
        self._heard_at = self._monotonic()
        self._ping_after_s = OPEN_WITHIN_S
        self._pinged = False
        self._timers[Timer.SILENCE] = self._heard_at + OPEN_WITHIN_S
        self.effects.append(Dial())

    def _open(self) -> None:
        self._auth_id = 0
        if not self._step(Event.READY):
            return
        self.publishing.opened()  # before what a listener of the new state may publish
        self._become()
        if self._pace_hz is not None:
            self._tell_pace()
        self.reading.opened()

    def _wait(self, event: Event, code: int, reason: str, hint_s: float = 0.0) -> None:
        was_dialled = self.phase is not Phase.TOKEN
        if not self._step(event):
            return
        if was_dialled:
            self._hang_up()
        now = self._monotonic()
        if self._opened_at is not None and now - self._opened_at >= SETTLED_S:
            self._backoff.settled()
        self._opened_at = None
        wait_s = max(hint_s, retry_hint_s(reason)) + self._backoff.next_s()
        self._timers[Timer.RETRY] = now + wait_s
        self._become(code=code, reason=reason, retry_s=wait_s)
        self.publishing.lost("the connection could not be opened")

    def _end(self, event: Event, code: int, reason: str) -> None:
        was_dialled = self.phase in (Phase.DIALLING, Phase.GREETING, Phase.OPEN)
        if not self._step(event):
            return
        if was_dialled:
            self._hang_up()
        self._timers.clear()
        self._become(code=code, reason=reason)
        self.publishing.lost("the connection is closed")
        error = None if code == 1000 else Closed(code, reason)
        for reader in self.reading.readers:
            reader.finish(error)

    def _hang_up(self) -> None:
        self.effects.append(HangUp())
        self._timers.clear()
        self._auth_id = 0
        self.reading.lost()

    # -- messages -----------------------------------------------------------------------------------------------------

    def _request(self, message: dict[str, Any]) -> int:
        """Sends it with an id of its own."""
        request, text = self._written(message)
        self._send(text)
        return request

    def _written(self, message: dict[str, Any]) -> tuple[int, str]:
        """Its id, and the text in which that stands."""
        self._id += 1
        op = message.pop("op")
        return self._id, _text({"op": op, "id": self._id, **message})

    def _send(self, text: str) -> None:
        self.effects.append(Send(text))

    def _say(self, message: Mapping[str, Any]) -> None:
        self._send(_text(message))

    def _tell_pace(self) -> None:
        rate = {} if self._pace_hz is None else {"max_hz": self._pace_hz}
        self._request({"op": "pace", **rate})

    def _acknowledge(self) -> None:
        """Tells what was processed: not too often, and all of it once a second."""
        if self.phase is not Phase.OPEN or not self.reading.acknowledges:
            return
        now = self._monotonic()
        if now < self._ack_at:
            self._timers[Timer.ACK] = min(self._ack_at, self._timers.get(Timer.ACK, self._ack_at))
            return
        all_of_it = now >= self._ack_all_at
        told = self._tell_acks(ACKS_AT_ONCE, all_of_it=all_of_it)
        if told:
            self._ack_at = now + ACK_PAUSE_S
        if all_of_it and told < ACKS_AT_ONCE:
            self._ack_all_at = now + ACK_EVERY_S
        self._timers[Timer.ACK] = self._ack_at if told == ACKS_AT_ONCE else max(self._ack_at, self._ack_all_at)

    def _tell_acks(self, most: int, *, all_of_it: bool) -> int:
        found = self.reading.acks(most, all_of_it=all_of_it)
        for topic, offset in found:
            self._say({"op": "ack", "topic": topic, "offset": offset})
        return len(found)

    def _read(self, message: Mapping[str, Any]) -> bool:
        """What is not known is ignored."""
        op = message.get("op")
        if op is None:
            return self.reading.publication(publication(message))
        if (answer := _READ.get(op) if isinstance(op, str) else None) is not None:
            answer(self, message)
        request = message.get("id")
        is_part = message.get("more") is True or (op == "error" and "topic" in message)
        if isinstance(request, int) and not is_part:
            self.reading.answered(request)
        return False

    def _welcome(self, message: Mapping[str, Any]) -> None:
        every_s, wall_ms = message.get("ping_every_s"), message.get("time_ms")
        if isinstance(every_s, int | float) and every_s > 0:
            self._ping_after_s = every_s + PING_GRACE_S
        if isinstance(wall_ms, int | float):
            self._ahead_s = wall_ms / 1000 - self._monotonic()

    def _subscribed(self, message: Mapping[str, Any]) -> None:
        request, topics = message.get("id"), message.get("topics")
        if not isinstance(topics, dict):
            raise Garbled("subscribed")
        for name, answer in topics.items():
            if not isinstance(answer, dict):
                raise Garbled("subscribed")
            self.reading.joined(name, answer, request if isinstance(request, int) else None)

    def _topic_state(self, message: Mapping[str, Any]) -> None:
        self.reading.state(str(message.get("topic")), message)

    def _lost(self, message: Mapping[str, Any]) -> None:
        self.reading.lose(message)

    def _authorized(self, message: Mapping[str, Any]) -> None:
        expires_ms = message.get("expires_ms")
        if isinstance(expires_ms, int | float) and self._renews:
            now = self._monotonic()
            left_s = expires_ms / 1000 - self._ahead_s - now
            self._timers[Timer.RENEW] = now + max(RENEW_MIN_S, left_s / 2, left_s - RENEW_S)
        if self._auth_id and message.get("id") == self._auth_id:
            self._open()

    def _published(self, message: Mapping[str, Any]) -> None:
        self.publishing.published(message.get("id"), str(message.get("position", "")))

    def _error(self, message: Mapping[str, Any]) -> None:
        topic = message.get("topic")
        refusal = Refused(
            str(message.get("code", "")), str(message.get("message", "")), topic if isinstance(topic, str) else None
        )
        if isinstance(retry_ms := message.get("retry_ms"), int | float):
            refusal.retry_s = retry_ms / 1000
        request = message.get("id")
        if self.publishing.refused(request, refusal):
            return
        if refusal.code == "unknown_op" and request is None and self.reading.acknowledges:
            self.reading.no_acks()
            return
        is_of_token = self._auth_id != 0 and request == self._auth_id
        if not (is_of_token and refusal.code == "unknown_op"):
            self.tell("error", refusal)
        if is_of_token:
            self._open()  # it knows no tokens, or this one names nobody: what is public is left
        else:
            self.reading.refused(refusal)


def _text(message: Mapping[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


_READ: Final[dict[str, Callable[[Session, Mapping[str, Any]], None]]] = {
    "welcome": Session._welcome,
    "subscribed": Session._subscribed,
    "state": Session._topic_state,
    "lost": Session._lost,
    "authorized": Session._authorized,
    "published": Session._published,
    "error": Session._error,
}

_WHEN_DUE: Final[dict[Timer, Callable[[Session], None]]] = {
    Timer.RETRY: Session._retry,
    Timer.SILENCE: Session._watch,
    Timer.RENEW: Session._renew,
    Timer.ACK: Session._acknowledge,
}
