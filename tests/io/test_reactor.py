"""Tests of relayd.io.reactor: whose reactor a process has."""

from __future__ import annotations

import subprocess
import sys

import pytest
from twisted.internet import reactor as installed
from twisted.internet.task import Clock

from relayd.io.reactor import install, next_turn_of

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="epoll is Linux's")

ENDS_BY_ITSELF = """
from twisted.internet import reactor
reactor.callWhenRunning(reactor.stop)
reactor.run()
print(type(reactor).__module__)
"""


def reactor_of(program: str) -> str:
    """What such a program says, at last the module of the reactor that it has, runs and stops."""
    command = [sys.executable, "-c", program + ENDS_BY_ITSELF]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


class InstallTests:
    """Ours or Twisted's."""

    @ON_LINUX
    def test_where_there_is_none(self) -> None:
        """Ours; with one there already nothing changes."""
        program = "from relayd.io.reactor import install; install(); install()"
        assert reactor_of(program) == "relayd.io.epoll\n"

    def test_where_there_is_one(self) -> None:
        """The one of this process, and of `twistd --reactor=...`."""
        install()
        from twisted.internet import reactor

        assert reactor is installed

    def test_no_epoll(self) -> None:
        """Nothing is installed: Twisted has its own choice, and all the rest of relayd works on that."""
        program = """
import sys
from relayd.io.reactor import install
was, sys.platform = sys.platform, "darwin"
install()
sys.platform = was
assert not {"relayd.io.epoll", "twisted.internet.reactor"} & set(sys.modules)
"""
        assert reactor_of(program).startswith("twisted.internet.")

    @ON_LINUX
    @pytest.mark.parametrize(
        "change",
        ["del Poll._doReadOrWrite", "Poll._doReadOrWrite = lambda self, selectable: None"],
        ids=["without what is leant on", "which does not do as it did"],
    )
    def test_another_twisted(self, change: str) -> None:
        """Twisted's choice stays, and the log says so."""
        program = f"""
from twisted.internet.posixbase import _PollLikeMixin as Poll
from twisted.logger import globalLogPublisher
from relayd.io.reactor import install, log
globalLogPublisher.addObserver(lambda event: print(event["log_level"].name, event["log_namespace"]))
was = Poll._doReadOrWrite
{change}
install()
Poll._doReadOrWrite = was
"""
        said = reactor_of(program).splitlines()
        assert "warn relayd.io.reactor" in said
        assert said[-1] == "twisted.internet.epollreactor"


class NextTurnTests:
    """By which way."""

    def test_a_way_of_its_own(self) -> None:
        """What the reactor of io/epoll.py has."""

        class Short:
            def next_turn(self, call: object) -> None:
                """Has it called."""

        reactor = Short()
        assert next_turn_of(reactor) == reactor.next_turn

    def test_timed_calls(self) -> None:
        """Any other reactor."""
        done: list[str] = []
        clock = Clock()
        next_turn_of(clock)(lambda: done.append("another"))
        assert done == []
        clock.advance(0)
        assert done == ["another"]
