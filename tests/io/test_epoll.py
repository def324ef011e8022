"""Tests of relayd.io.epoll, with sockets of its own; where there is no epoll there is nothing to test."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from importlib.metadata import version

import pytest
from twisted.internet.abstract import FileDescriptor
from twisted.internet.posixbase import _PollLikeMixin

pytest.importorskip("twisted.internet.epollreactor", reason="epoll is Linux's", exc_type=ImportError)

from relayd.io.epoll import LEANS_ON, Reactor, log, serves


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    """One that never runs: its turns are made by hand."""
    made = Reactor()
    yield made
    made.removeAll()
    made._poller.close()


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was logged of exceptions."""
    told: list[str] = []
    monkeypatch.setattr(log, "failure", told.append)
    return told


class Reader(FileDescriptor):
    """The near end of a pair of sockets, at whose far end a byte waits."""

    def __init__(self, reactor: Reactor, heard: Callable[[Reader], object]) -> None:
        super().__init__(reactor)
        self.near, self.far = socket.socketpair()
        self.heard = heard
        self.why: object = None
        self.far.send(b"x")
        self.startReading()

    def fileno(self) -> int:
        return self.near.fileno()

    def doRead(self) -> None:
        self.near.recv(1)
        self.heard(self)

    def connectionLost(self, reason: object) -> None:
        self.stopReading()
        self.close()
        raise ZeroDivisionError

    def close(self) -> None:
        self.near.close()
        self.far.close()


class EventTests:
    """What comes of the events of one turn."""

    def test_all_are_served(self, reactor: Reactor) -> None:
        """In one turn, which does not wait; without events one waits as long as it is told to."""
        heard: list[Reader] = []
        readers = [Reader(reactor, heard.append) for _ in range(3)]
        reactor.doPoll(None)
        assert sorted(map(id, heard)) == sorted(map(id, readers))
        reactor.doPoll(0)
        assert len(heard) == 3
        for reader in readers:
            reader.stopReading()
            reader.close()

    def test_who_has_gone(self, reactor: Reactor) -> None:
        """One event's handler may end the other's connection."""
        heard: list[Reader] = []

        def end_others(reader: Reader) -> None:
            heard.append(reader)
            for other in readers:
                if other is not reader:
                    other.stopReading()

        readers = [Reader(reactor, end_others) for _ in range(2)]
        reactor.doPoll(0)
        assert len(heard) == 1
        heard[0].stopReading()
        for reader in readers:
            reader.close()

    def test_fault(self, reactor: Reactor, failures: list[str]) -> None:
        """Even one that is met in taking leave ends one connection alone."""
        heard: list[Reader] = []
        bad = Reader(reactor, heard.append)
        good = Reader(reactor, heard.append)
        bad.near.recv(1)
        bad.far.shutdown(socket.SHUT_RDWR)
        bad.near.shutdown(socket.SHUT_RDWR)
        bad.doRead = lambda: ConnectionError()
        reactor.doPoll(0)
        assert heard == [good]
        assert failures == ["in an event of a connection"]
        good.stopReading()
        good.close()


class SoonTests:
    """What is to be done on the next turn."""

    def test_after_the_events(self, reactor: Reactor) -> None:
        """In order, once, and behind all events of the turn."""
        done: list[object] = []

        def ask(reader: Reader) -> None:
            done.append("event")
            reactor.next_turn(lambda: done.append("soon"))

        readers = [Reader(reactor, ask) for _ in range(2)]
        reactor.doPoll(None)
        assert done == ["event", "event", "soon", "soon"]
        for reader in readers:
            reader.stopReading()
            reader.close()

    def test_no_turn_waits_for_it(self, reactor: Reactor) -> None:
        """What asks for another turn gets one, after the sockets have been looked at and without a wait."""
        done: list[int] = []

        def again() -> None:
            done.append(len(done))
            if len(done) < 3:
                reactor.next_turn(again)

        reactor.next_turn(again)
        reactor.doPoll(None)
        assert done == [0]
        reactor.doPoll(None)
        reactor.doPoll(None)
        assert done == [0, 1, 2]

    def test_fault(self, reactor: Reactor, failures: list[str]) -> None:
        """The others are called all the same."""
        done: list[str] = []
        reactor.next_turn(lambda: 1 / 0)
        reactor.next_turn(lambda: done.append("other"))
        reactor.doPoll(0)
        assert done == ["other"]
        assert failures == ["in what was to be done soon"]


class ServesTests:
    """A Twisted that is not the one this was made for."""

    @pytest.mark.parametrize("name", LEANS_ON)
    def test_what_is_leant_on(self, name: str) -> None:
        """Where this fails, `Reactor.doPoll` has to be written again after the `doPoll` of that Twisted."""
        assert hasattr(Reactor(), name), f"EPollReactor of Twisted {version('twisted')} has no {name} any more"

    def test_this_twisted(self, reactor: Reactor, failures: list[str]) -> None:
        """It serves, and nothing of the trial is left in it."""
        before = reactor.getReaders()
        assert serves(reactor)
        assert reactor.getReaders() == before
        assert failures == []

    @pytest.mark.parametrize("name", LEANS_ON)
    def test_a_name_is_gone(self, reactor: Reactor, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """It does not serve, whichever it is."""
        poller = reactor._poller
        with monkeypatch.context() as patch:
            if name == "_doReadOrWrite":
                patch.delattr(_PollLikeMixin, name)
            else:
                patch.delattr(reactor, name)
            assert not serves(reactor)
        assert reactor._poller is poller

    def test_a_name_means_another_thing(
        self, reactor: Reactor, failures: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It does not serve where an event does not come through."""
        monkeypatch.setattr(reactor, "_doReadOrWrite", lambda selectable, event: None)
        assert not serves(reactor)
        assert failures == ["in an event of a connection"]
