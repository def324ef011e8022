"""Tests of relayd.io.reactor, with sockets of its own; where there is no epoll there is nothing to test."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from twisted.internet import reactor as installed
from twisted.internet.abstract import FileDescriptor
from twisted.internet.task import Clock

from relayd.io.reactor import Reactor, install, log, next_turn

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="epoll is Linux's")


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
            reactor.call_soon(lambda: done.append("soon"))

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
                reactor.call_soon(again)

        reactor.call_soon(again)
        reactor.doPoll(None)
        assert done == [0]
        reactor.doPoll(None)
        reactor.doPoll(None)
        assert done == [0, 1, 2]

    def test_fault(self, reactor: Reactor, failures: list[str]) -> None:
        """The others are called all the same."""
        done: list[str] = []
        reactor.call_soon(lambda: 1 / 0)
        reactor.call_soon(lambda: done.append("other"))
        reactor.doPoll(0)
        assert done == ["other"]
        assert failures == ["in what was to be done soon"]


class InstallTests:
    """Whose reactor a process has."""

    def test_where_there_is_none(self) -> None:
        """Ours; with one there already nothing changes."""
        program = (
            "from relayd.io.reactor import Reactor, install\n"
            "install(); install()\n"
            "from twisted.internet import reactor\n"
            "print(isinstance(reactor, Reactor))\n"
        )
        told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert told.stdout == "True\n"

    def test_where_there_is_one(self) -> None:
        """The one of this process, and of `twistd --reactor=...`."""
        install()
        from twisted.internet import reactor

        assert reactor is installed

    def test_next_turn(self, reactor: Reactor) -> None:
        """The short way on ours; on another by its timed calls."""
        done: list[str] = []
        next_turn(reactor)(lambda: done.append("ours"))
        reactor.doPoll(None)
        clock = Clock()
        next_turn(clock)(lambda: done.append("another"))
        assert done == ["ours"]
        clock.advance(0)
        assert done == ["ours", "another"]
