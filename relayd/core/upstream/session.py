"""The life of one upstream over its connections: when to dial, when to give up, what silence means.

Rules of this file: the state changes in `_move` alone, by the table of `states.py`; nothing sleeps, `tick` does what is
due and `next_deadline` says when. What is wanted stands in `topics.py`, what an open connection says and must hear in
`connection.py`, how long a step may take in `steps.py`, why a connection is ended in good order to be opened anew in
`renewal.py`, the pauses between connections in `redial.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Generic, TypeVar

from relayd.core.counters import UpstreamCounters
from relayd.core.feed.publish import Upward
from relayd.core.upstream.alarms import Alarms
from relayd.core.upstream.attempt import Attempt, Step
from relayd.core.upstream.connection import Connection
from relayd.core.upstream.effects import (
    Close,
    Dial,
    DialImpossible,
    DialRequest,
    Drop,
    Effect,
    Effects,
    FeedSink,
    Loss,
    LossKind,
    Note,
    Send,
)
from relayd.core.upstream.farewell import farewell
from relayd.core.upstream.lanes import Overrun
from relayd.core.upstream.ledger import ledger_of
from relayd.core.upstream.outlet import Outlet
from relayd.core.upstream.policy import UpstreamPolicy
from relayd.core.upstream.prepare import Preparation
from relayd.core.upstream.redial import Redial
from relayd.core.upstream.renewal import Renewal, never_renewed
from relayd.core.upstream.speaking import TAKES, Speaking, away
from relayd.core.upstream.states import CONNECTED, DATA, LIVE, Event, OutOfOrder, State, after
from relayd.core.upstream.steps import Steps
from relayd.core.upstream.talk import NO_ANSWER, Sse, Talk
from relayd.core.windows import Windows

T = TypeVar("T")

NOTHING: tuple[Effect, ...] = ()


class UpstreamSession(Generic[T]):
    """One upstream. T is the hub's topic; times are monotonic seconds, handed in as `now`.

    Inputs return the effects to carry out, in order; `want` and `unwant` return none, because what follows from them is
    done by the next `tick`, so that the topics of one turn share messages. Raises OutOfOrder when `tcp_up` or `ws_open`
    come where they cannot.
    """

    def __init__(
        self,
        name: str,
        policy: UpstreamPolicy,
        sink: FeedSink[T],
        *,
        converse: Callable[[Mapping[str, object]], Talk[T]],
        random: Callable[[], float],
        wall: Callable[[], float],
        preparation: Preparation | None = None,
        forget_cursor: Callable[[], object] = bool,
        windows: Windows | None = None,
        renew: Callable[[str, str | None], bool] = never_renewed,
    ) -> None:
        """
        Args:
            converse: makes the conversation of each dial from what the HTTP steps before it saved; it may raise
                DialImpossible.
            random: floats in [0, 1), for jitter.
            wall: seconds since 1970, for the hours of a market.
            preparation: the HTTP steps before each dial.
            forget_cursor: called when the upstream does not know the point from which we would resume.
            windows: `limits`, shared with the other upstreams of the host.
            renew: told why the connection should end in good order, and where its successor is to be dialled, if the
                upstream said so. True: another session takes over, and this one goes on until it is retired.
        """
        self.name = name
        self.policy = policy
        self.counters = UpstreamCounters()
        self.state = State.STOPPED
        self.why = ""
        """Why the last connection ended, for people."""
        self.connection: Connection[T] | None = None
        """The open connection."""
        self.outlet: Outlet[T] = Outlet(sink)
        self.topics = ledger_of(name, policy, self.outlet)
        self._attempt: Attempt[T] = Attempt(policy, self.topics, converse, preparation)
        self._forget_cursor = forget_cursor
        self._wall = wall
        self._windows = windows if windows is not None else Windows()
        self.redial = Redial(policy, self._windows, random)
        self._renewal = Renewal(policy, random)
        self._renew = renew
        self._alarms = Alarms(self.counters)
        self.may_renew = True
        """False while one session takes over from another."""
        self._steps = Steps(policy)
        self._speaking = Speaking()
        self._stopping, self._retired = False, ""

    # -- inputs: the daemon and demand

    def start(self, now: float) -> Effects:
        """Run: dial at once (`dial: start`), or as soon as something is wanted."""
        if self._stopping and self.state is State.STOPPED:
            self.redial.begin()
        self._stopping = False
        self._move(Event.START)
        return self.tick(now)

    def stop(self, now: float) -> Effects:
        """End in good order; the state is STOPPED then, or soon, when the goodbye is answered or took too long."""
        self._stopping = True
        return self._end("relayd stops", now)

    def retire(self, why: str) -> None:
        """End in good order at the next `tick`, and for ever: another session has taken over."""
        self._stopping, self._retired = True, why

    def follow(self, old: UpstreamSession[T], url: str | None, now: float) -> None:
        """Take over from another session, once started; `url` is where the first dial goes, if the upstream said."""
        self._attempt.next_url, self._speaking = url, old._speaking
        if old._renewal.asked and old.connection is not None and not old.connection.proved(now):
            self.redial.hurry_not(old.redial, now)

    def want(self, topic: T, fields: Mapping[str, str], now: float) -> None:
        """Somebody wants this topic. Idempotent."""
        self.topics.want(topic, fields)

    def unwant(self, topic: T, now: float) -> None:
        """Nobody wants this topic any more. Idempotent."""
        self.topics.unwant(topic)

    def refresh(self, topic: T, now: float) -> None:
        """Somebody needs a fresh snapshot of this topic: ask for it anew, if that was not done too often of late."""
        if self.connection is not None and self.connection.ready:
            self.connection.refresh(topic, now)

    def publish(self, upward: Upward, now: float) -> Effects:
        """A client publishes: out at once, or TopicRefused. The upstream is dialled for the next, and kept a while."""
        self._speaking.spoke(now)
        if self.connection is None or self.state not in TAKES:
            raise away(self.state, self.redial.due(), now)
        return [self.connection.publish(upward, now)]

    # -- inputs: the connection

    def tcp_up(self, now: float) -> Effects:
        """TCP stands; TLS and the WebSocket handshake follow."""
        self.redial.socket_open()
        self._move(Event.TCP_UP)
        if self.state is State.HANDSHAKING:
            self._steps.handshaking(now)
        return NOTHING

    def ws_open(self, now: float) -> Effects:
        """The connection is open: log in, or subscribe at once."""
        self._move(Event.WS_OPEN)
        if self.state is not State.LOGIN:
            return NOTHING
        talk = self._attempt.take_talk()
        if talk is None:
            raise OutOfOrder(State.CONNECTING, Event.WS_OPEN)
        try:
            self.connection = Connection(
                talk, self.policy, self.topics, self.outlet, self._windows, self.counters, self._wall, now
            )
        except DialImpossible as impossible:
            return self._give_up(Loss(LossKind.CONFIG, text=str(impossible)), now)
        self._steps.logging_in(now)
        self._renewal.opened(now)
        self.counters.connected = 1
        self.counters.connects += 1
        note = Note("open", {"upstream": self.name, "attempts": self.redial.backoff.attempts + 1})
        if self.connection.ready:
            self._ready(self.connection, now)
        return [note, *self.tick(now)]

    def message(self, payload: bytes, is_text: bool, now: float, sse: Sse | None = None) -> Effects:
        """A whole message came; data is published before this returns."""
        connection = self.connection
        if connection is None:
            return NOTHING
        signal = connection.message(payload, is_text, now, sse)
        if signal is DATA and self.state is LIVE and not connection.untended:
            return NOTHING
        return self._signalled(signal, connection, now)

    def replied(
        self, body: bytes, status: int, number: int, now: float, retry_after_s: float | None = None
    ) -> Effects:
        """An HTTP request was answered; `number` is the request's."""
        connection = self.connection
        if connection is not None:
            return self._signalled(connection.replied(body, status, number, now), connection, now)
        step = self._attempt.replied(body, status, retry_after_s, now)
        return self._take_step(step, now) if step is not None else NOTHING

    def unanswered(self, loss: Loss, number: int, now: float) -> Effects:
        """An HTTP request came to nothing."""
        if self.connection is not None:
            return self.replied(str(loss).encode(), NO_ANSWER, number, now)
        return self._ended(loss, now) if self.state is State.CONNECTING else NOTHING

    def _signalled(self, signal: Event | Loss | None, connection: Connection[T], now: float) -> Effects:
        if isinstance(signal, Loss):
            return self._give_up(signal, now)
        if signal is Event.CLOSE:
            self._renewal.ask()
        if signal is Event.READY and self.state is State.LOGIN:
            self._ready(connection, now)
        if signal is Event.DATA:
            self._move(Event.DATA)
            self.redial.refusals = 0
        return self.tick(now)

    def pong(self, now: float) -> Effects:
        """The upstream answered a ping, or said something without meaning: alive, but that is no data."""
        if self.connection is None:
            return NOTHING
        self.connection.watch.frame(now)
        return self.tick(now) if self.state is State.STALE else NOTHING

    def ponged(self, now: float) -> Effects:
        """The upstream pinged and was answered: the pong cannot wait, but it counts in `limits.send`."""
        if self.connection is not None:
            self.connection.ponged(now)
        return NOTHING

    def lost(self, loss: Loss, now: float) -> Effects:
        """The connection ended, or the attempt failed. Late news of one that was dropped change nothing."""
        return self._ended(loss, now) if self.state in CONNECTED else NOTHING

    def socket_closed(self) -> None:
        """TCP has ended, of the last connection or of one given up before: each `tcp_up` has one of these."""
        self.redial.socket_closed()

    # -- time

    def next_deadline(self) -> float:
        """When `tick` has something to do: -infinity = at once, infinity = not before the next input."""
        state = self.state
        if state is State.STOPPED:
            return inf
        if self._retired and state is not State.DRAINING:
            return -inf
        if state not in CONNECTED:
            if self._wants_connection:
                return self.redial.due()
            return -inf if state is State.BACKOFF else inf
        if state is State.DRAINING:
            return self._steps.by
        if not self._wants_connection:
            return -inf
        if self.connection is None:
            return self._steps.by
        stale = state in (State.STALE, State.LOGIN)
        return min(
            self._steps.by,
            self._speaking.next_deadline(),
            self._renewal.next_deadline(self.topics.difference_due) if self.may_renew else inf,
            self.connection.next_deadline(stale=stale),
        )

    def tick(self, now: float) -> Effects:
        """Do all that is due."""
        self._speaking.tick(now)
        state = self.state
        if state is State.STOPPED:
            return NOTHING
        if self._retired and state is not State.DRAINING:
            return self._end(self._retired, now)
        if state not in CONNECTED:
            return self._dial_if_due(now)
        if (late := self._steps.too_late(state, now)) is not None:
            return self._give_up(late, now)
        if state is State.DRAINING:
            return NOTHING
        if not self._wants_connection:
            return self._goodbye(Event.CLOSE, "nobody wants anything of it", now)
        connection = self.connection
        if connection is None:
            return NOTHING
        if (silence := connection.watch.dead(now)) is not None:
            return self._give_up(Loss(LossKind.DEADLINE, text=silence), now)
        if connection.watch.late(now):
            self._move(Event.LATE)
        elif state is State.STALE and connection.data_from < inf:
            # It was the silence of all frames, and a frame has come: a quiet topic is no fault.
            self._move(Event.DATA)
        why = self._renewal.due(self.topics.difference_due, now) if self.may_renew else None
        if why is not None and not self._renew(why, connection.next_url):
            self._attempt.next_url = connection.next_url
            return self._goodbye(Event.CLOSE, why, now)
        try:
            effects = connection.tend(now)
        except Overrun as overrun:
            return self._give_up(Loss(LossKind.OVERRUN, text=str(overrun)), now)
        if connection.sent and state is not State.LOGIN:
            self._steps.done()
        return effects

    # -- steps

    def _end(self, why: str, now: float) -> Effects:
        if self.state in CONNECTED:
            return self._goodbye(Event.STOP, why, now)
        self._move(Event.STOP)
        return NOTHING

    @property
    def _wants_connection(self) -> bool:
        return self.topics.wanted or self._speaking.wanted or self.policy.is_kept

    def _move(self, event: Event) -> None:
        self.state = after(self.state, event)

    def _dial_if_due(self, now: float) -> Effects:
        if not self._wants_connection:
            self._move(Event.CLOSE)
            return NOTHING
        if self.redial.due() > now:
            return NOTHING
        self._move(Event.DIAL)
        self.redial.dialled(now)
        self.counters.dials += 1
        return self._take_step(self._attempt.begin(now), now)

    def _take_step(self, step: Step, now: float) -> Effects:
        if isinstance(step, Loss):
            return self._ended(step, now)
        self._steps.connecting(self._attempt.within_s, now)
        if isinstance(step, DialRequest):
            return [Dial(step)]
        self._windows.requested(now)
        return [Send(step)]

    def _ready(self, connection: Connection[T], now: float) -> None:
        self._move(Event.READY)
        connection.begin(now)
        self._steps.ready(connection.open_at, sent=connection.sent > 0)
        self.topics.admitted()

    def _goodbye(self, event: Event, why: str, now: float) -> Effects:
        """End the connection in good order; one that is not open yet has nobody to say goodbye to."""
        if self.state is State.DRAINING:
            return NOTHING
        self._move(event)
        self.why = why
        if self.connection is not None:
            self._steps.leaving(now)
            return [Close(why)]
        return self._give_up(Loss(LossKind.DEADLINE, text=why), now)

    def _give_up(self, loss: Loss, now: float) -> Effects:
        return [Drop(loss.text), *self._ended(loss, now)]

    def _ended(self, loss: Loss, now: float) -> Effects:
        """Every connection and every attempt ends here, once."""
        connection, self.connection = self.connection, None
        self._attempt.end()
        self._steps.done()
        asked = self._renewal.asked
        self._renewal.ended()
        proved = connection is not None and connection.proved(now)
        if proved:
            self.redial.proved()
        draining = self.state is State.DRAINING
        refused = not draining and self.redial.refuses(loss)
        if draining:
            pause_s = self.redial.after_goodbye(proved or not asked, now)
        else:
            pause_s = self.redial.after(loss, now)
            if self.policy.verdict(loss) == "forget-cursor":
                self._forget_cursor()
        if refused or loss.kind in (LossKind.HTTP, LossKind.HANDSHAKE):
            self._attempt.refused()
        self._move(Event.REFUSE if refused else Event.LOST)
        if not draining:
            self.why = str(loss)
        alarms = self._alarms.ended(loss, wished=draining, opened=connection is not None, proved=proved)
        self.topics.lost("" if draining else self._alarms.shown or loss.kind.shown, opened=connection is not None)
        if refused:
            self.topics.refused(f"the upstream refused: {loss}")
        if self._stopping:
            self._move(Event.STOP)
        again_in_s = pause_s if self._wants_connection and not self._stopping else None
        summary = None if connection is None else connection.summary(now)
        return [farewell(self.name, self.why, summary, again_in_s, refused=refused, wished=draining), *alarms]
