"""One connection of an upstream once it is open: what its messages mean for the topics, and what it has to send.

It knows nothing of dialling: what ends it, or moves the upstream's state, it tells the session by an Event or a Loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import Generic, TypeVar

from relayd.core.counters import UpstreamCounters
from relayd.core.feed.errors import Refused, Unset
from relayd.core.feed.outcome import (
    Ack,
    Beat,
    Control,
    Data,
    Fail,
    Held,
    Login,
    Outcome,
    Parts,
    Sending,
    Unrouted,
)
from relayd.core.feed.publish import Upward
from relayd.core.routes import TopicRefused
from relayd.core.upstream.effects import Effect, Loss, LossKind, Note, Ping, Send, printable
from relayd.core.upstream.lanes import Lanes, Overrun
from relayd.core.upstream.outlet import Outlet
from relayd.core.upstream.policy import UpstreamPolicy
from relayd.core.upstream.repairs import RepairBudget
from relayd.core.upstream.signal import Signal, graver
from relayd.core.upstream.snapshots import Snapshots
from relayd.core.upstream.states import DATA, Event
from relayd.core.upstream.suspects import Suspects
from relayd.core.upstream.talk import Sse, Talk
from relayd.core.upstream.topics import UPSTREAM, TopicLedger
from relayd.core.upstream.watch import Watch
from relayd.core.windows import Windows

T = TypeVar("T")
S = TypeVar("S")

PING = b"relayd"


class Connection(Generic[T]):
    """An open connection. `message` stands on the way of every message."""

    def __init__(
        self,
        talk: Talk[T],
        policy: UpstreamPolicy,
        topics: TopicLedger[T],
        sink: Outlet[T],
        windows: Windows,
        counters: UpstreamCounters,
        wall: Callable[[], float],
        now: float,
    ) -> None:
        """`wall`: seconds since 1970. Raises DialImpossible where the login needs a value that is not there."""
        self.watch = Watch(policy.heartbeat, policy.silence, wall, now)
        self.lanes = Lanes(windows)
        self.open_at = now
        self.data_from = inf
        """When its first data came."""
        self.data_at = -inf
        """When its last data came."""
        self.untended = False
        """There may be something to send."""
        self.next_url: str | None = None
        """Where the next connection goes, if a `drain` said so."""
        self._before = replace(counters)
        self.sent = 0
        self._talk = talk
        self._policy = policy
        self._topics = topics
        self._sink = sink
        self._counters = counters
        self._repairs = RepairBudget()
        self._refresh_at = inf
        self._told_full = False
        self._suspects: Suspects[T] = Suspects()
        self._snapshots: Snapshots[T] = Snapshots(
            talk.snapshot, lambda topic: policy.sequence_of(topics.fields_of(topic))
        )
        self._notes: list[Note] = []
        self.lanes.answer(talk.open())

    @property
    def has_asked(self) -> bool:
        """Whether all that is wanted was asked for, and nothing of it waits for limits."""
        return self.ready and not self.lanes.subscriptions_wait and not self._difference_due

    @property
    def ready(self) -> bool:
        """Whether the login is done, or there is none."""
        return self._talk.ready

    def begin(self, now: float) -> None:
        """The login is done: the heart begins to beat, at the pace the upstream may have told in it."""
        self.watch.begin(self._talk.heartbeat_every_s(), now)
        self._refresh_at = now + self._policy.refresh_s
        # What stood in the URL was asked for by the dial.
        self._topics.acked([topic for topic in self._topics.unconfirmed() if self._talk.is_confirmed(topic)])

    def proved(self, now: float) -> bool:
        """Whether it was a good one: enough data, or up for very long."""
        return (
            self.data_at - self.data_from >= self._policy.settle_s
            or now - self.open_at >= self._policy.settle_quiet_s
        )

    def refresh(self, topic: T, now: float) -> None:
        """Ask for a topic anew, for its snapshot."""
        if self._repairs.take(topic, now):
            self._begin_anew(topic, now)

    def summary(self, now: float) -> dict[str, object]:
        """What the line at its end says of it."""
        return {
            "open_s": round(now - self.open_at, 3),
            "received": self._counters.received - self._before.received,
            "published": self._counters.published - self._before.published,
            "sent": self.sent,
        }

    # -- what comes

    def message(self, payload: bytes, is_text: bool, now: float, sse: Sse | None = None) -> Signal:
        """A whole message: published before this returns, where it is data."""
        counters = self._counters
        counters.received += 1
        counters.received_bytes += len(payload)
        hear = self._talk.message
        outcome = hear(payload, is_text, sse)
        if type(outcome) is Data:
            return self._data(outcome, now)
        self.watch.frame(now)
        return self._other(outcome, now)

    def replied(self, body: bytes, status: int, number: int, now: float) -> Signal:
        """The answer to an HTTP request of ours."""
        return self._other(self._talk.reply(body, status, number), now)

    def _data(self, data: Data[T], now: float) -> Signal:
        self.watch.data(now)
        self.data_at = now
        self._counters.published += 1
        topics, sink, waiting = self._topics, self._sink, self._snapshots.waiting
        flowing = topics.flowing
        heard, publish = sink.heard, sink.publish
        repair: Signal = None
        if data.gap:
            self._counters.gaps += 1
        for topic in data.topics:
            if data.gap:
                sink.gap(topic, data.missed, UPSTREAM)
            if topic in waiting or topic not in flowing:
                self.data_from = min(self.data_from, now)
                if self._joins(topic, data, now):
                    continue
                topics.data(topic, follows=self._talk.follows)
            if heard is None:
                publish(topic, data.payload, data.is_text, data.snapshot, data.is_json, now)
            else:
                heard(topic, data)
        if data.gap:
            repair = self._repair(data.repair, data.topics, now)
        return repair if repair is not None else DATA

    def _joins(self, topic: T, data: Data[T], now: float) -> bool:
        """Whether it waits for a snapshot, or is one that was waited for: then what is to be published is."""
        snapshots = self._snapshots
        if topic not in snapshots.waiting:
            if data.snapshot or not self._ask_snapshot(topic):
                return False
            self._topics.acked([topic])
        if not data.snapshot:
            snapshots.hold(topic, data)
            return True
        following = snapshots.join(topic, data)
        if following is None:
            self._resync([topic], now)
            return True
        self._topics.data(topic, follows=self._talk.follows)
        for one in (data, *following):
            self._sink.say(topic, one)
        return True

    def _ask_snapshot(self, topic: T) -> bool:
        sendings = self._snapshots.ask(topic)
        self.lanes.subscribe(sendings)
        self.untended = self.untended or bool(sendings)
        return bool(sendings)

    def _other(self, outcome: Outcome[T], now: float) -> Signal:
        counters, topics = self._counters, self._topics
        self.untended = True
        signal: Signal = None
        if isinstance(outcome, Parts):
            for part in outcome.parts:
                signal = graver(signal, self._other(part, now))
            return signal
        match outcome:
            case Data():
                signal = self._data(outcome, now)
            case Ack():
                counters.acks += len(outcome.topics)
                counters.fails += len(outcome.failed)
                topics.acked(outcome.topics)
                topics.failed(outcome.failed, printable(outcome.text), now)
                for data in outcome.released:
                    signal = graver(signal, self._data(data, now))
            case Fail():
                counters.fails += max(1, len(outcome.topics))
                self._fail(outcome, now)
            case Beat():
                counters.beats += 1
                if outcome.answer:
                    self.watch.answered()
                if outcome.gap:
                    counters.gaps += 1
                    live = topics.live()
                    for topic in live:
                        self._sink.gap(topic, outcome.missed, UPSTREAM)
                    signal = self._repair(outcome.repair, live, now)
            case Login():
                signal = self._login(outcome)
            case Control():
                signal = self._control(outcome, now)
            case Held():
                counters.held += 1
            case Unrouted():
                counters.unrouted += 1
            case _:
                counters.unknown += 1
        try:
            self.lanes.answer(outcome.sends)
        except Overrun as overrun:
            return Loss(LossKind.OVERRUN, text=str(overrun))
        return signal

    def _fail(self, fail: Fail[T], now: float) -> None:
        text = printable(fail.text) or "the upstream refused it"
        if fail.topics and fail.named:
            self._topics.failed(fail.topics, text, now)
            return
        topics = fail.topics or self._suspects.accused(self._topics.unconfirmed())
        if not topics:
            self._notes.append(Note("fail", {"text": text}, warning=True))
        elif (culprit := self._suspects.refused(topics)) is not None:
            self._topics.failed([culprit], text, now)

    def _login(self, login: Login) -> Signal:
        if login.step == "refused":
            return Loss(LossKind.LOGIN, text="the upstream refused the login")
        return Event.READY if login.step == "done" else None

    def _control(self, control: Control[T], now: float) -> Signal:
        if control.do == "reconnect":
            return Loss(LossKind.ASKED, text="the upstream asked us to reconnect")
        if control.do == "drain":
            self.next_url = control.url
            return Event.CLOSE
        if control.do == "resync":
            self._resync(control.topics, now)
        else:
            self._again(control.topics or None, now)
        return None

    def _repair(self, repair: str, topics: Sequence[T], now: float) -> Signal:
        """What the dialect wants done about a gap, unless it was done too often of late."""
        if repair in ("", "mark"):
            return None
        self.untended = True
        if repair == "resync":
            self._resync(topics, now)
        elif repair == "resubscribe":
            self._again(self._allowed(topics, repair, now), now)
        elif self._allowed([None], repair, now):
            return Loss(LossKind.ASKED, text="messages of the connection are missing")
        return None

    def _resync(self, topics: Sequence[T], now: float) -> None:
        """A fresh snapshot for each: asked for by itself if there is a way, else by subscribing anew."""
        for topic in self._allowed(topics, "resync", now):
            self._begin_anew(topic, now)

    def _begin_anew(self, topic: T, now: float) -> None:
        if self._topics.is_sent(topic) and not self._ask_snapshot(topic):
            self._again([topic], now)

    def _allowed(self, subjects: Sequence[S], repair: str, now: float) -> list[S]:
        allowed, given_up = self._repairs.share(subjects, now)
        if given_up:
            self._notes.append(Note("gaps", {"repair": repair, "topics": given_up}, warning=True))
        return allowed

    def _again(self, topics: Sequence[T] | None, now: float) -> None:
        if anew := self._topics.again(topics, now):
            self._snapshots.forget(anew)
            self._ask(self._talk.resubscribe(anew), anew, now)

    # -- what goes

    def tend(self, now: float) -> list[Effect]:
        """Send what is due and allowed. Raises Overrun."""
        self.untended = False
        effects: list[Effect] = list(self._notes)
        self._notes.clear()
        topics, lanes = self._topics, self.lanes
        if self._talk.ready:
            topics.tick(now)
            if now >= self._refresh_at:
                self._refresh_at = now + self._policy.refresh_s
                lanes.subscribe(self._talk.refresh())
            if halves := self._suspects.next_to_ask(topics.is_unanswered, now):
                self._ask(self._talk.retry(halves), halves, now)
            if self._difference_due:
                self._send_difference(now)
            if topics.waiting and not self._told_full:
                self._told_full = True
                effects.append(Note("full", {"most": self._policy.topics_most}, warning=True))
            self.watch.expect_data(self._policy.unasked or topics.subscribed, now)
            if self.watch.beat_due(now):
                effects += self._beat(now)
        for sending in lanes.release(now):
            self.sent += 1
            self._counters.sent += 1
            effects.append(Send(sending))
        self._counters.held_dropped = self._before.held_dropped + self._talk.dropped
        return effects

    def publish(self, upward: Upward, now: float) -> Send:
        """What a client publishes, if it may go now. Raises TopicRefused."""
        free_at = self.lanes.publication_free_at(now)
        if free_at > now:
            raise TopicRefused("rate_limited", "limits.send of the upstream is reached", free_at - now)
        try:
            frame = self._talk.publish(upward)
        except Refused as refused:
            raise TopicRefused("bad_request", str(refused)) from None
        except Unset as unset:
            raise TopicRefused("unavailable", f"`publish` needs ${unset.name}, which has no value yet") from None
        self.lanes.published(now)
        self.sent += 1
        self._counters.sent += 1
        return Send(frame)

    @property
    def _difference_due(self) -> bool:
        # One difference at a time: while its messages wait for limits, what comes and goes costs nothing.
        if self._policy.topics_in_url or self.lanes.subscriptions_wait or self._suspects.active:
            return False
        return self._topics.difference_due

    def _send_difference(self, now: float) -> None:
        if drops := self._topics.take_drops(now):
            self._snapshots.forget(drops)
            self.lanes.subscribe(self._talk.drop(drops))
        if wants := self._topics.take_wants(now):
            self._ask(self._talk.want(wants), [wanted.topic for wanted in wants], now)
        if retries := self._topics.take_retries(now):
            self._ask(self._talk.retry(retries), retries, now)

    def _ask(self, sendings: Sequence[Sending], topics: Sequence[T], now: float) -> None:
        self.lanes.subscribe(sendings)
        for refused in self._talk.take_refused():
            self._counters.fails += len(refused.topics)
            self._topics.failed(refused.topics, refused.text, now, again=False)
        self._topics.acked([topic for topic in topics if self._talk.is_confirmed(topic)])

    def _beat(self, now: float) -> list[Effect]:
        heartbeat = self._policy.heartbeat
        if heartbeat is not None and not heartbeat.ping:
            self.lanes.answer(self._talk.beat())
            return []
        self.lanes.pinged(now)
        return [Ping(PING)]

    def ponged(self, now: float) -> None:
        """The upstream pinged, and was answered: the pong could not wait, but it counts."""
        self.watch.frame(now)
        self.lanes.pinged(now)

    def next_deadline(self, *, stale: bool) -> float:
        """When `tend` has something to do: -infinity = at once, infinity = not before the next message."""
        deadline = min(self.watch.next_deadline(stale=stale), self.lanes.next_release())
        if not self._talk.ready:
            return deadline
        if self._difference_due:
            return -inf
        return min(deadline, self._refresh_at, self._topics.next_deadline(), self._suspects.next_deadline())
