"""Which reactor the daemon runs on: on Linux that of io/epoll.py, else the one that Twisted chooses.

Nothing in relayd needs ours: on another it does the same by a longer way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.main import installReactor
from twisted.logger import Logger

log = Logger()


def install() -> None:
    """Make ours the process's reactor. Twisted's choice stays where there is a reactor already (`twistd --reactor=...`
    wins), where the system has no epoll, and where this Twisted is not the one that ours was made for.
    """
    if sys.platform != "linux" or "twisted.internet.reactor" in sys.modules:
        return
    from relayd.io.epoll import Reactor, serves

    reactor = Reactor()
    if serves(reactor):
        installReactor(reactor)
    else:
        log.warn("the reactor of relayd does not go with this version of Twisted, whose own is used: it is slower")


def next_turn_of(reactor: Any) -> Callable[[Callable[[], object]], object]:
    """What has something called on the next turn of this reactor: a short way where there is one (io/epoll.py), else
    the way of timed calls."""
    return getattr(reactor, "next_turn", None) or partial(reactor.callLater, 0)
