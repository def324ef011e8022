"""How one connection is let in, refreshed and sent away in time."""

from __future__ import annotations

import pytest

from relayd.core.auth.credentials import Credential
from relayd.core.auth.door import GRACE_S, JITTER_S, MAX_HELD_BYTES, MAX_HELD_MESSAGES, RETRY_S, Visitor, VisitorState
from relayd.core.auth.verdict import Denied, Identity, Unavailable, Verdict, Why
from relayd.core.closecode import (
    CLOSE_BAD_TOKEN,
    CLOSE_NO_AUTH,
    CLOSE_OVERLOADED,
    CLOSE_POLICY,
    CLOSE_TOKEN_EXPIRED,
    CloseCode,
)
from tests.support.door import DoorRig

ALICE = Identity("alice", {"sub": "alice"})


class Guest:
    """A visitor and what became of it."""

    def __init__(self, rig: DoorRig, token: str | None = None) -> None:
        self.let_in: list[Identity | None] = []
        self.closes: list[tuple[CloseCode, int | None]] = []
        self.visitor = rig.visitor(token, lambda close, retry_s: self.closes.append((close, retry_s)))

    def arrive(self) -> Visitor:
        """The WebSocket is open."""
        self.visitor.arrive(self.let_in.append)
        return self.visitor


class ArrivalTests:
    """What the handshake shows."""

    def test_stranger(self) -> None:
        """Nothing is shown, nobody is asked."""
        rig = DoorRig()
        guest = Guest(rig)
        assert guest.arrive().state is VisitorState.STRANGER
        assert (guest.let_in, rig.authority.seen, rig.door.expected) == ([None], [], 0)

    def test_known(self) -> None:
        """By a token."""
        rig = DoorRig()
        guest = Guest(rig, "alice")
        visitor = guest.arrive()
        assert (visitor.state, guest.let_in, visitor.identity) == (VisitorState.KNOWN, [ALICE], ALICE)
        assert rig.door.counters.accepted == 1

    def test_by_cookie(self) -> None:
        """Without a token, by what the webhook may see."""
        rig = DoorRig()
        guest = Guest(rig)
        guest.visitor._shown = Credential(None, (("cookie", "a=1"),))
        guest.arrive()
        assert len(rig.authority.seen) == 1

    @pytest.mark.parametrize(
        ("verdict", "close", "retry_s"),
        [(Denied(Why.EXPIRED), CLOSE_BAD_TOKEN, None), (Unavailable("x"), CLOSE_OVERLOADED, RETRY_S)],
    )
    def test_sent_away(self, verdict: Verdict, close: CloseCode, retry_s: int | None) -> None:
        """For good, or to come back."""
        rig = DoorRig()
        rig.authority.verdicts["x"] = verdict
        guest = Guest(rig, "x")
        assert guest.arrive().state is VisitorState.GONE
        assert (guest.let_in, guest.closes) == ([], [(close, retry_s)])
        assert (rig.door.counters.denied["expired"], rig.door.counters.unavailable) in ((1, 0), (0, 1))

    def test_nobody_in_particular(self) -> None:
        """A stranger, who may have what is public."""
        rig = DoorRig()
        rig.authority.verdicts["x"] = None
        guest = Guest(rig, "x")
        assert guest.arrive().state is VisitorState.STRANGER
        assert guest.let_in == [None]


class WaitingTests:
    """While somebody is asked."""

    def test_messages_wait(self) -> None:
        """In order, and only so long."""
        rig = DoorRig()
        rig.authority.later = True
        guest = Guest(rig, "alice")
        visitor = guest.arrive()
        assert visitor.holds(b"1") and visitor.holds(b"2")
        assert visitor.release() is None
        rig.authority.answer(ALICE)
        assert [visitor.release(), visitor.release(), visitor.release()] == [b"1", b"2", None]
        assert not visitor.holds(b"3")

    @pytest.mark.parametrize(
        ("size", "count"), [(1, MAX_HELD_MESSAGES + 1), (MAX_HELD_BYTES // 2, 3), (MAX_HELD_BYTES + 1, 1)]
    )
    def test_bounds(self, size: int, count: int) -> None:
        """Too many, or too much."""
        rig = DoorRig()
        rig.authority.later = True
        guest = Guest(rig, "alice")
        visitor = guest.arrive()
        for _ in range(count - 1):
            assert visitor.holds(b"x" * size)
        assert guest.closes == []
        assert visitor.holds(b"x" * size)
        assert guest.closes == [(CLOSE_POLICY, None)]
        assert visitor.release() is None

    def test_bytes_are_given_back(self) -> None:
        """What was obeyed counts no more."""
        rig = DoorRig()
        visitor = Guest(rig).arrive()
        rig.authority.later = True
        for _ in range(3):
            visitor.show("alice", lambda _: None)
            visitor.holds(b"x" * MAX_HELD_BYTES)
            rig.authority.answer(ALICE)
            assert visitor.release()
        assert visitor.state is VisitorState.KNOWN

    def test_gone_meanwhile(self) -> None:
        """The verdict is for nobody."""
        rig = DoorRig()
        rig.authority.later = True
        guest = Guest(rig, "alice")
        visitor = guest.arrive()
        visitor.left()
        visitor.left()
        rig.authority.answer(ALICE)
        assert (guest.let_in, guest.closes, visitor.identity) == ([], [], None)
        assert visitor.holds(b"x") and visitor.release() is None


class TimeTests:
    """Deadlines."""

    def test_within(self) -> None:
        """A stranger where nothing is public; who is known without an end has all the time."""
        rig = DoorRig(strangers_welcome=False)
        guest, known = Guest(rig), Guest(rig, "alice")
        guest.arrive()
        known.arrive()
        assert rig.door.expected == 1
        rig.door.tick(rig.now + 9)
        assert guest.closes == []
        rig.door.tick(rig.now + 10)
        assert (guest.closes, known.closes) == ([(CLOSE_NO_AUTH, None)], [])
        assert rig.door.counters.no_auth == 1

    def test_expiry(self) -> None:
        """The end, the grace and its share of the jitter, on the monotonic clock whatever the wall does."""
        rig = DoorRig()
        rig.authority.verdicts["x"] = Identity("x", {}, rig.wall + 60)
        guest = Guest(rig, "x")
        guest.arrive()
        rig.wall += 3600
        end = rig.now + 60 + GRACE_S + JITTER_S / 2
        rig.door.tick(end - 1)
        assert guest.closes == []
        rig.door.tick(end)
        assert guest.closes == [(CLOSE_TOKEN_EXPIRED, None)]
        assert (rig.door.counters.expired, rig.door.expected) == (1, 0)

    def test_refresh(self) -> None:
        """A new token moves the end; one without an end takes it away."""
        rig = DoorRig()
        rig.authority.verdicts |= {"x": Identity("x", {}, rig.wall + 60), "y": Identity("x", {}, rig.wall + 600)}
        guest = Guest(rig, "x")
        visitor = guest.arrive()
        visitor.show("y", guest.let_in.append)
        rig.door.tick(rig.now + 300)
        assert guest.closes == []
        visitor.show("alice", guest.let_in.append)
        assert rig.door.expected == 0
        assert [who.subject for who in guest.let_in if who] == ["x", "x", "alice"]

    def test_a_token_that_names_nobody(self) -> None:
        """Takes nothing away, and moves no end."""
        rig = DoorRig()
        rig.authority.verdicts |= {"x": Identity("x", {}, rig.wall + 60), "none": None}
        guest = Guest(rig, "x")
        visitor = guest.arrive()
        visitor.show("none", guest.let_in.append)
        assert guest.let_in[-1] is None and visitor.identity is not None and visitor.state is VisitorState.KNOWN
        assert rig.door.expected == 1

    def test_expired_within_leeway(self) -> None:
        """A token that is accepted a little late ends a little later."""
        rig = DoorRig()
        rig.authority.verdicts["x"] = Identity("x", {}, rig.wall - 20)
        guest = Guest(rig, "x")
        guest.arrive()
        rig.door.tick(rig.now + GRACE_S)
        assert guest.closes == []
        rig.door.tick(rig.now + GRACE_S + JITTER_S)
        assert guest.closes == [(CLOSE_TOKEN_EXPIRED, None)]

    def test_once_a_second(self) -> None:
        """The ticker is not kept busy by who waits."""
        rig = DoorRig()
        assert rig.door.next_deadline() == 0.0
        rig.door.tick(rig.now)
        assert rig.door.next_deadline() == rig.now + 1.0

    def test_spread(self) -> None:
        """Ten thousand tokens of one moment do not end in one moment."""
        rig = DoorRig()
        numbers = iter(range(10_000))
        rig.door.random = lambda: next(numbers) / 10_000
        rig.authority.verdicts["x"] = Identity("x", {}, rig.wall + 60)
        guests = [Guest(rig, "x") for _ in range(10_000)]
        for guest in guests:
            guest.arrive()
        most, before = 0, 0
        for second in range(60, 110):
            rig.door.tick(rig.now + second)
            most, before = max(most, rig.door.counters.expired - before), rig.door.counters.expired
        assert rig.door.counters.expired == 10_000
        assert most <= 10_000 / JITTER_S + 1
