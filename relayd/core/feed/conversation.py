"""One connection's conversation with an upstream: what was said, what a message means, what goes out in answer.

A message is tried as: login step, data, `heartbeat.expect`, `control` rules in order; then it is held (its id may still
be told), unrouted (nobody wants its topic) or unknown. Nothing here knows a clock, and nothing a peer sends raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

from relayd.core.feed.answers import Answer, Answers, text_at
from relayd.core.feed.asking import Asking
from relayd.core.feed.connect import placeholder
from relayd.core.feed.control import ControlRule
from relayd.core.feed.decode import JSON, Message, decode_value
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.errands import Errands
from relayd.core.feed.errors import Malformed, Refused, Unset
from relayd.core.feed.hearing import Hearing
from relayd.core.feed.ledger import Ledger, State, Subscription
from relayd.core.feed.login import LoginProgress
from relayd.core.feed.outcome import (
    Ack,
    Beat,
    Control,
    Data,
    Fail,
    Frame,
    HttpRequest,
    Login,
    Outcome,
    Parts,
    Sending,
    Sends,
    Unknown,
    Unrouted,
)
from relayd.core.feed.path import MISSING, Scope
from relayd.core.feed.publish import Upward
from relayd.core.feed.resume import Resume
from relayd.core.feed.routing import Router, Target
from relayd.core.feed.settling import Settling
from relayd.core.feed.shortcut import Hear, Shortcut
from relayd.core.feed.subscription import ROW, SUBSCRIBE
from relayd.core.feed.template import render
from relayd.core.feed.units import parse_duration
from relayd.core.feed.voice import Voice
from relayd.core.resolver import Resolver
from relayd.core.upstream.effects import DialImpossible, DialRequest

T = TypeVar("T")


class Wanted(NamedTuple, Generic[T]):
    """A topic that browsers want, and the fields it stands for."""

    topic: T
    fields: Mapping[str, str]


class Conversation(Generic[T]):
    """The state of one connection. A new connection is a new conversation."""

    def __init__(
        self,
        dialect: Dialect,
        *,
        wall: Callable[[], float],
        uuid: Callable[[], str],
        secrets: Mapping[str, str] | None = None,
        saved: Mapping[str, object] | None = None,
        resolver: Resolver[T] | None = None,
        resume: Resume | None = None,
    ) -> None:
        """What is given: the time in seconds since 1970, a maker of random ids, the values of `env.X` and `file.PATH`,
        what the steps before the connection saved, who wants the fields of a message that came unasked, and what the
        connection before knew.
        """
        self.dialect = dialect
        self.resume = Resume() if resume is None else resume
        self._cursor = self.resume.connected()
        self._voice = Voice(wall=wall, uuid=uuid, secrets=secrets or {}, saved=saved or {}, resume=self.resume)
        self._ledger = Ledger[T](dialect, self._rebound)
        self._asking = Asking[T](dialect, self._voice, self._ledger)
        self._answers = Answers[T](dialect, self._ledger)
        self._router = Router[T](dialect, resolver)
        self._hearing = Hearing[T](dialect, self._router, self._ledger, self.resume)
        self._settling = Settling[T](dialect, self._ledger, self._asking, self._router, self._hearing)
        self._errands = Errands[T](dialect, self._voice, self._router.__contains__)
        self._refused: list[Fail[T]] = []
        extractor = dialect.extractor
        self._shortcut = (
            None if extractor is None else Shortcut[T](dialect, extractor, self._hearing, self.resume, self._general)
        )
        self._quick: Shortcut[T] | None = None
        """The shortcut, once the login is done: until then any message may belong to it."""
        self.message: Hear[T] = self._general
        """What a message is. `sse` holds the `id` and `event` of a server-sent event. Never raises."""
        self._login = LoginProgress(dialect.login, self._voice)

    @property
    def ready(self) -> bool:
        """The login is done: what is wanted may be sent."""
        return self._login.done

    @property
    def follows(self) -> bool:
        """The upstream resumed where the connection before had ended: nothing is missing between the two."""
        return self.resume.follows

    @property
    def dropped(self) -> int:
        """Messages that were held and given up."""
        return self._settling.dropped

    # What we say

    def dial_request(self, url: str | None = None) -> DialRequest:
        """The opening request, with the topics wanted by now where they stand in it; `url` as a `drain` told it.

        Raises DialImpossible, whose text names what is missing and no secret.
        """
        connect = self.dialect.connect
        values = self._voice.values(connect.names)
        cursor = self._cursor
        if cursor is None:
            del values["cursor"]
        elif isinstance(cursor, int) and self.dialect.cursor is not None:
            values["cursor"] = cursor - int(self.dialect.cursor.rewind)
        else:
            values["cursor"] = cursor
        asked = [one for one in self._ledger.all() if self.dialect.subscribe[one.variant].in_url]
        if not asked:
            return connect.request(values, None, url)
        variant = self.dialect.subscribe[asked[0].variant]
        topics = [render(variant.each, {**values, **one.row}) for one in asked]
        return connect.request({**values, **asked[0].row, ROW: topics}, variant.join, url)

    def heartbeat_every_s(self) -> float | None:
        """How often `beat` is due; None = never (switched off, a companion beats, or the server has not told)."""
        beat = self.dialect.beat
        if beat is None or beat.also is not None:
            return None
        if isinstance(beat.every, float):
            return beat.every
        try:
            return parse_duration(beat.every.text(self._voice.values(())))
        except (Unset, Malformed):
            return None

    def beat(self) -> list[Sending]:
        """The heartbeat is due. Returns its message; nothing where it is a WebSocket ping."""
        beat = self.dialect.beat
        if beat is None or not beat.sends:
            return []
        try:
            return [self._voice.frame(beat.send)]
        except (Unset, Refused):
            return []

    def open(self) -> list[Sending]:
        """The connection is open. Returns the first login steps, or what is wanted already where there is no login.

        Raises DialImpossible where a login step needs a value that is not there.
        """
        try:
            return list(self._log_in())
        except Unset as error:
            raise DialImpossible(f"login needs {placeholder(error.name)}, which has no value") from None
        except Refused as error:
            raise DialImpossible(f"login: {error}") from None

    def want(self, topics: Iterable[Wanted[T]]) -> list[Sending]:
        """Browsers come to want these topics. Before the login is done nothing is sent; then all of it is.

        What cannot be asked for is told by `take_refused`.
        """
        fresh: list[Subscription[T]] = []
        for wanted in topics:
            if wanted.topic in self._router:
                continue
            refusal = self.dialect.refusal(wanted.fields)
            if refusal is not None:
                self._refused.append(Fail((wanted.topic,), refusal))
            elif self.dialect.unasked:
                self._router.add(wanted.topic, wanted.fields)
            else:
                fresh += self._ledger.join(wanted.topic, wanted.fields)
                self._router.add(wanted.topic, self.dialect.answered_as(wanted.fields))
        if self._shortcut is not None:
            self._shortcut.forget_unwanted()
        return self._ask(fresh) if self.ready else []

    def drop(self, topics: Iterable[T]) -> list[Sending]:
        """Nobody wants these topics any more."""
        idle: list[Subscription[T]] = []
        for topic in topics:
            if topic not in self._router:
                continue
            self._router.discard(topic)
            if not self.dialect.unasked:
                idle += self._ledger.leave(topic)
        sends = self._asking.end([one for one in idle if not one.is_needed])
        self._settling.settle()
        return sends

    def retry(self, topics: Iterable[T]) -> list[Sending]:
        """Asks again for these topics, all in as few messages as can be: they failed, or the upstream ended them."""
        return self._ask(self._subscriptions(topics))

    def resubscribe(self, topics: Iterable[T]) -> list[Sending]:
        """Ends and asks again for these topics, so that the upstream starts them anew."""
        again = self._subscriptions(topics)
        sends = self._asking.renew(again)
        self._router.restart(topic for one in again for topic in one.topics)
        return sends

    def publish(self, upward: Upward) -> Frame:
        """What a client publishes, as a message of the feed. Raises Refused, Unset."""
        if upward.publish.as_it_stands:
            return upward.frame({})
        return upward.frame({**self._voice.values(upward.publish.names), **self.dialect.row_values(upward.fields)})

    def snapshot(self, topic: T) -> list[Sending]:
        """What asks for a wanted topic's snapshot; nothing where the dialect has no way to ask for one."""
        return self._errands.snapshot(topic, self._router.fields_of(topic)) if topic in self._router else []

    def refresh(self) -> list[HttpRequest]:
        """`connect.refresh` is due. Returns its request."""
        return self._errands.refresh()

    def take_refused(self) -> list[Fail[T]]:
        """What was wanted and could not be asked for; each is told once."""
        refused, self._refused = self._refused, []
        return refused

    def is_confirmed(self, topic: T) -> bool:
        """Whether the upstream confirmed the topic's subscription (or it was sent, where nothing confirms)."""
        one = self._ledger.of_topic(topic)
        return one is not None and one.state is State.CONFIRMED

    # What we hear

    def _general(self, payload: bytes, is_text: bool, sse: Mapping[str, object] | None = None) -> Outcome[T]:
        """`message`, for what is no everyday message, and while the login is under way."""
        heard = self.dialect.decode.messages(payload, is_text, MISSING if sse is None else sse)
        messages = [heard] if isinstance(heard, Message) else heard
        outcomes: list[Outcome[T]] = []
        found: list[Target[T] | Scope | None] = []
        for message in messages:
            self._hearing.heard, self._hearing.lacks_payload = None, False
            outcome = self._one(message)
            outcomes.append(outcome)
            unwanted = message.scope if type(outcome) is Unrouted and not self._hearing.lacks_payload else None
            found.append(self._hearing.heard if type(outcome) is Data else unwanted)
        if self._quick is not None and any(one is not None for one in found):
            self._quick.learn(payload, is_text, found)
        return outcomes[0] if len(outcomes) == 1 else Parts(tuple(outcomes))

    def reply(self, body: bytes, status: int = 200, number: int | None = None) -> Outcome[T]:
        """What the reply to an HTTP request of this conversation means; `number` is the request's.

        None stands for the subscribe request sent last. A failed refresh is Unknown: what was saved stays.
        """
        if number is not None and number in self._errands:
            return self._errands.reply(body, status, number)
        request = self._ledger.request_number(number)
        if request is None:
            return Unknown()
        scope = Scope(decode_value(body, JSON))
        is_end = request.verb != SUBSCRIBE
        asked = list(request.subscriptions)
        variant = self.dialect.subscribe[asked[0].variant] if asked else None
        rule = variant.ack if variant is not None else None
        stated = rule is not None and rule.all is not None and scope.get(rule.all) is not MISSING
        if rule is not None and (stated or status < 300):
            return self._settling.acked(self._answers.ack(rule, scope, request), scope)
        if is_end:
            self._ledger.settle(request)
            return Ack()
        if status < 300:
            return self._settling.acked(Answer(asked), scope)
        text = (text_at(variant.text, scope) if variant is not None else "") or f"HTTP status {status}"
        return self._settling.failed(Answer(failed=asked, named=len(asked) <= 1), text)

    def _one(self, message: Message) -> Outcome[T]:
        scope = message.scope
        number = self._hearing.count(message)
        if not self.ready:
            login = self._login_step(scope)
            if login is not None:
                return login
        if self._hearing.is_known(message):
            return self._beat(number)
        reading = self.dialect.fields.read(scope)
        if reading is not None:
            data = self._hearing.data(message, reading)
            if data is not None:
                if data.seq is None:
                    data.seq = number
                return data
        beat = self.dialect.beat
        if beat is not None and beat.expect is not None and beat.expect.holds(scope):
            return self._beat(number, answer=True)
        for rule in self.dialect.control:
            if rule.when.holds(scope):
                outcome = self._control(rule, scope, number)
                if outcome is not None:
                    return outcome
        if reading is None:
            return Unknown()
        return self._settling.unrouted(message, reading, number)

    def _rebound(self) -> None:
        if self._shortcut is not None:
            self._shortcut.forget()

    def _beat(self, number: int | None, answer: bool = False, sends: Sends = ()) -> Beat:
        counter = self._hearing.counter
        if counter is None or not counter.gap:
            return Beat(number, answer=answer, sends=sends)
        gap, missed = counter.tell()
        return Beat(number, gap, missed, counter.sequence.repair, answer, sends)

    def _log_in(self) -> Sends:
        """The next login messages; after the last one, what is wanted."""
        frames = self._login.go_on()
        if not self._login.done:
            return tuple(frames)
        if self._shortcut is not None:
            self._quick, self.message = self._shortcut, self._shortcut.hear
        return (*frames, *self._ask([one for one in self._ledger.all() if one.state is State.NEW]))

    def _login_step(self, scope: Scope) -> Login | None:
        answered = self._login.is_answered(scope)
        if answered is None:
            return None
        try:
            sends = self._log_in() if answered else ()
        except (Unset, Refused):
            answered, sends = False, ()
        if not answered:
            return Login("refused")
        return Login("done" if self.ready else "next", sends)

    def _control(self, rule: ControlRule, scope: Scope, number: int | None) -> Outcome[T] | None:
        sends: Sends = ()
        if rule.sends:
            try:
                sends = (self._voice.frame(rule.send, {"msg": scope}),)
            except (Unset, Refused):
                return None
        if rule.ack is not None:
            return self._settling.acked(self._answers.ack(rule.ack, scope), scope, rule.ack.bind, sends)
        if rule.fail is not None:
            return self._settling.failed(self._answers.fail(rule.fail, scope), text_at(rule.fail.text, scope), sends)
        if rule.do is None or rule.do == "beat":
            return self._beat(number, sends=sends)
        if rule.do == "resubscribe":
            named = self._answers.named(rule.id, rule.at, scope)
            return Control("resubscribe", self._settling.topics_of(named), sends=sends)
        url = scope.get(rule.url) if rule.url is not None else None
        do: Literal["drain", "reconnect"] = "drain" if rule.do == "drain" else "reconnect"
        return Control(do, url=url if isinstance(url, str) else None, sends=sends)

    def _ask(self, subscriptions: Sequence[Subscription[T]]) -> list[Sending]:
        sends = self._asking.ask(subscriptions)
        for one, text in self._asking.refused:
            self._refused.append(Fail(self._settling.topics_of([one]), text))
        self._asking.refused.clear()
        return sends

    def _subscriptions(self, topics: Iterable[T]) -> list[Subscription[T]]:
        found = [one for topic in topics if (one := self._ledger.of_topic(topic)) is not None]
        return list({id(one): one for one in found}.values())
