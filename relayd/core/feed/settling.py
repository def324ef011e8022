"""What answers change: subscriptions are confirmed, bound and ended, held messages are released or given up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from relayd.core.feed.answers import LEFT_OUT, Answer
from relayd.core.feed.asking import Asking
from relayd.core.feed.decode import Message
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.fields import Reading
from relayd.core.feed.hearing import Hearing
from relayd.core.feed.held import HeldMessage, HeldMessages
from relayd.core.feed.ledger import Ledger, State, Subscription
from relayd.core.feed.outcome import Ack, Data, Fail, Held, Sends, Unrouted
from relayd.core.feed.path import Path, Scope
from relayd.core.feed.routing import Router

T = TypeVar("T")


class Settling(Generic[T]):
    """Carries out what answers say, on one connection."""

    def __init__(
        self, dialect: Dialect, ledger: Ledger[T], asking: Asking[T], router: Router[T], hearing: Hearing[T]
    ) -> None:
        self._dialect = dialect
        self._ledger = ledger
        self._asking = asking
        self._router = router
        self._hearing = hearing
        self._held = HeldMessages()

    @property
    def dropped(self) -> int:
        """Messages that were held and given up."""
        return self._held.dropped

    def topics_of(self, subscriptions: Iterable[Subscription[T]]) -> tuple[T, ...]:
        """The topics that share these subscriptions, in the order they were wanted."""
        return self._router.in_order(topic for one in subscriptions for topic in one.topics)

    def acked(self, answer: Answer[T], scope: Scope, bind: Path | None = None, sends: Sends = ()) -> Ack[T]:
        """Confirms and fails what the answer says; `bind` is where it tells the id that data will come under."""
        ended: list[Subscription[T]] = []
        released: list[Data[T]] = []
        for one in answer.confirmed:
            self._ledger.confirm(one)
            bound = None if bind is None else self._ledger.bind(one, scope.get(bind))
            if one.state is State.ENDING:
                ended.append(one)
            elif bound is not None:
                released += self._release(one, bound)
        topics, failed = self.topics_of(answer.confirmed), self.topics_of(answer.failed)
        for one in answer.failed:
            self._ledger.fail(one)
        sends = (*sends, *self._asking.end(ended))
        self.settle()
        return Ack(topics, failed, LEFT_OUT if failed else "", tuple(released), sends)

    def failed(self, answer: Answer[T], text: str, sends: Sends = ()) -> Fail[T]:
        """Fails what the answer says."""
        topics = self.topics_of(answer.failed)
        for one in answer.failed:
            self._ledger.fail(one)
        self.settle()
        return Fail(topics, text, answer.named, sends)

    def unrouted(self, message: Message, reading: Reading, number: int | None) -> Held | Unrouted:
        """A topic could be read and nobody wants it: held, where an ack may still tell whose it is."""
        if reading.bound is None or not self._dialect.ack_binds or not self._ledger.is_ack_awaited:
            return Unrouted()
        if self._ledger.bound_to(reading.bound):
            return Unrouted()
        counter = self._hearing.counter
        gap = counter.tell() if counter is not None else (False, None)
        return Held() if self._held.hold(HeldMessage(message, reading, gap, number)) else Unrouted()

    def settle(self) -> None:
        """Gives up what is held when no ack is awaited any more."""
        if not self._ledger.is_ack_awaited:
            self._held.give_up()

    def _release(self, one: Subscription[T], bound: str) -> list[Data[T]]:
        waiting, is_short = self._held.release(bound)
        released = []
        for held in waiting:
            data = self._hearing.data(held.message, held.reading, held.gap)
            if data is None:
                self._held.dropped += 1
                continue
            if data.seq is None:
                data.seq = held.number
            released.append(data)
        if is_short:
            self._hearing.gapped.add(one)
        return released
