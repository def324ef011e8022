"""Tests of relayd.io.epoll, with sockets of its own; where there is no epoll there is nothing to test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import version

import pytest
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure

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
        self.far.send(b"x")
        self.startReading()

    def fileno(self) -> int:
        return self.near.fileno()

    def doRead(self) -> object:
        self.near.recv(1)
        return self.heard(self)

    def connectionLost(self, reason: Failure) -> None:
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

    def test_an_end_in_reading(self, reactor: Reactor, failures: list[str]) -> None:
        """It is told why: by what reading said, or by what it raised, which is logged."""
        reasons: list[object] = []
        orderly, faulty = Reader(reactor, lambda reader: CONNECTION_DONE), Reader(reactor, lambda reader: 1 / 0)
        for reader in (orderly, faulty):
            reader.connectionLost = lambda reason: reasons.append(reason.type)
        reactor.doPoll(0)
        assert set(reasons) == {ConnectionDone, ZeroDivisionError}
        assert failures == ["in an event of a connection"]
        assert not {orderly, faulty} & set(reactor.getReaders())
        for reader in (orderly, faulty):
            reader.close()

    def test_writing(self, reactor: Reactor) -> None:
        """Alone, and beside reading."""
        done: list[str] = []
        reader = Reader(reactor, lambda reader: done.append("read"))
        reader.doWrite = lambda: done.append("write")
        reader.startWriting()
        reactor.doPoll(0)
        reactor.doPoll(0)
        assert done == ["read", "write", "write"]
        reader.stopReading()
        reader.stopWriting()
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


class MainLoopTests:
    """What is due between two turns, and the end."""

    def run(self, reactor: Reactor) -> None:
        reactor.callLater(30, reactor.crash)  # should the test not end it
        reactor.run(installSignalHandlers=False)

    def test_timed_calls(self, reactor: Reactor) -> None:
        """In the order of their times, also those that are made meanwhile; not what is cancelled."""
        done: list[str] = []

        def first() -> None:
            done.append("first")
            cancelled.cancel()
            reactor.callLater(0, tell, "new")

        def tell(name: str) -> None:
            done.append(name)
            if len(done) == 3:
                reactor.stop()

        reactor.callLater(0.002, tell, "second")
        cancelled = reactor.callLater(0.001, tell, "cancelled")
        reactor.callLater(0, first)
        self.run(reactor)
        assert done[0] == "first" and set(done[1:]) == {"second", "new"}

    def test_other_threads(self, reactor: Reactor) -> None:
        """Their calls wake it, although nothing else is due."""
        thread = threading.Thread(target=reactor.callFromThread, args=(reactor.stop,))
        reactor.callWhenRunning(thread.start)
        self.run(reactor)
        thread.join()

    @pytest.mark.parametrize("far_off_s", [20.0, 1e10])
    def test_a_quiet_turn(self, reactor: Reactor, far_off_s: float) -> None:
        """Of sockets alone: then Twisted is not asked what is due, unless epoll cannot wait for as long."""
        asked, done = 0, 0
        ask = reactor.runUntilCurrent

        def counting() -> None:
            nonlocal asked
            asked += 1
            ask()

        def answer(reader: Reader) -> None:
            nonlocal done
            done += 1
            if done == 20:
                reactor.stop()
            else:
                reader.far.send(b"x")

        reactor.runUntilCurrent = counting
        reader = Reader(reactor, answer)
        reactor.callLater(far_off_s, reactor.crash)
        reactor.run(installSignalHandlers=False)
        assert done == 20
        assert (asked < 10) is (far_off_s < 100)
        reader.close()

    def test_before_it_runs(self, reactor: Reactor) -> None:
        """A start that waits for something is not waited for by epoll; what it waits for is done."""
        waits: Deferred[None] = Deferred()
        done: list[bool] = []

        def begun() -> None:
            done.append(reactor.running)
            waits.callback(None)

        reactor.addSystemEventTrigger("before", "startup", lambda: waits)
        reactor.callLater(0, begun)
        reactor.callWhenRunning(reactor.stop)
        self.run(reactor)
        assert done == [False]

    def test_fault(self, reactor: Reactor, failures: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever a turn raises, the next one follows."""
        poll, raised = reactor.doPoll, []

        def broken(timeout: float | None) -> None:
            if not raised:
                raised.append(timeout)
                raise SystemExit
            poll(timeout)

        monkeypatch.setattr(reactor, "doPoll", broken)
        reactor.callWhenRunning(reactor.callLater, 0, reactor.stop)
        self.run(reactor)
        assert failures == ["in a turn"]


class ServesTests:
    """A Twisted that is not the one this was made for."""

    @pytest.mark.parametrize("name", LEANS_ON)
    def test_what_is_leant_on(self, name: str) -> None:
        """Where this fails, `Reactor` has to be written again after the `doPoll` and `mainLoop` of that Twisted."""
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
        owner = reactor if name in vars(reactor) else next(cls for cls in Reactor.__mro__ if name in vars(cls))
        with monkeypatch.context() as patch:
            patch.delattr(owner, name)
            assert not serves(reactor)

    @pytest.mark.parametrize("name", ["_doReadOrWrite", "_disconnectSelectable"])
    def test_a_name_means_another_thing(
        self, reactor: Reactor, failures: list[str], monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """It does not serve where an event does not come through."""
        monkeypatch.setattr(reactor, name, lambda selectable: None)
        assert not serves(reactor)
        assert failures == ["in an event of a connection"]
