"""The table of handshakes: parsed, judged, and answered by the guard itself."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from relayd.core.guard import Handshake, judge
from relayd.core.head import HeadLimits, HeadParser, RequestHead
from relayd.core.refusal import REFUSALS, HttpRefusal
from relayd.io.guard import GuardCounters, GuardFactory, GuardSettings
from tests.handshake.oracles import by_h11, by_twisted, reading_of
from tests.handshake.table import CASES, OK, Case
from tests.support.portions import portions_of

SETTINGS = GuardSettings()
BY_LABEL = {refusal.label: refusal for refusal in REFUSALS}
#: A head is judged before anything about its sender is known, so it must not cost more than this (a hundred times
#: the usual).
JUDGED_WITHIN_S = 0.005


def answer_to(head: bytes, size: int) -> str:
    """The label of the guard's decisions, fed in portions."""
    parser = HeadParser(HeadLimits())
    for portion in portions_of(head, size):
        answer = parser.feed(portion)
        if isinstance(answer, RequestHead):
            purpose = judge(answer, SETTINGS)
            return (
                OK if isinstance(purpose, Handshake) else purpose.label if isinstance(purpose, HttpRefusal) else "plain"
            )
        if answer is not None:
            return answer.label
    return "incomplete"


def time_of(head: bytes) -> float:
    """CPU seconds for one answer."""
    started = time.process_time()
    answer_to(head, 1 << 20)
    return time.process_time() - started


class TableTests:
    """Each case, alone."""

    def test_is_long_enough(self) -> None:
        """300 cases at least, no two alike, of every refusal that a handshake can get."""
        assert len(CASES) >= 300
        assert max(Counter(case.head for case in CASES).values()) == 1
        for_others = {"bad_length", "body_too_large", "request_timeout", "method", "no_origin", "connections"}
        for_others |= {"per_address", "handshakes", "draining", "internal", "no_streams", "bodies", "overloaded"}
        for_others |= {"batch_too_large"}
        assert {case.answer for case in CASES} == (BY_LABEL.keys() | {OK}) - for_others

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test_case(self, case: Case) -> None:
        """The answer, in one piece, byte by byte and in odd portions, in time."""
        assert answer_to(case.head, 1 << 20) == case.answer
        assert min(time_of(case.head) for _ in range(3)) < JUDGED_WITHIN_S
        assert answer_to(case.head, 7) == case.answer
        if len(case.head) < 3000:
            assert answer_to(case.head, 1) == case.answer

    @pytest.mark.parametrize("case", [case for case in CASES if case.answer == OK], ids=lambda case: case.name)
    def test_what_is_accepted_others_accept(self, case: Case) -> None:
        """h11 and twisted.web read the same."""
        head = HeadParser(HeadLimits()).feed(case.head)
        assert isinstance(head, RequestHead)
        assert by_h11(case.head) == reading_of(head)
        assert by_twisted(case.head) == reading_of(head)


class Opened(Protocol):
    """Behind the guard: says that it got a handshake."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(b"opened")


class AnswerTests:
    """What goes over the wire."""

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test_answer(self, case: Case) -> None:
        """The refusal as the table has it, byte for byte: so nothing of what the client sent."""
        factory: Any = GuardFactory(
            websocket=lambda head: Factory.forProtocol(Opened),
            site=Factory.forProtocol(Protocol),
            settings=SETTINGS,
            reactor=Clock(),
            monotonic=lambda: 0.0,
            counters=GuardCounters(),
        )
        guard = factory.buildProtocol(None)
        transport = StringTransport(peerAddress=IPv4Address("TCP", "198.51.100.1", 5))
        guard.makeConnection(transport)
        guard.dataReceived(case.head)
        assert transport.value() == (b"opened" if case.answer == OK else BY_LABEL[case.answer].render())
