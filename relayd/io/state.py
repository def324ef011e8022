"""The file in which a relay keeps what outlives it (`state.dir`): read once, written beside the reactor.

A new file takes the old one's place when it is whole and on the disk, so that whoever reads it finds either. Writing
never holds anything up: a disk that is slow, full or gone costs a counter and one line in the log, and the relay
serves on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from relayd.core.counters import StateCounters
from relayd.core.kept import Kept, KeptUnreadable
from relayd.io.ticker import Ticker

FILE: Final = "relayd.json"
MOST_BYTES: Final = 16 << 20
"""guess: a hundred upstreams with the largest limits known write some 100 KiB."""
EVERY_S: Final = 10.0
"""How often changes are written that are no dials: what a crash may forget of a cursor is replayed."""

log = Logger("state")


def write(directory: Path, data: bytes) -> None:
    """The file is the old one or the new one at any time, for its owner alone. Raises OSError."""
    directory.mkdir(mode=0o700, exist_ok=True)
    new = directory / f"{FILE}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(descriptor)
    new.replace(directory / FILE)
    # The name is on the disk only when its directory is.
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(directory: Path) -> bytes | None:
    """What stands in the file; None = there is none. Raises OSError, or KeptUnreadable where it is far too long."""
    try:
        with (directory / FILE).open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(data) > MOST_BYTES:
        raise KeptUnreadable(f"it is longer than {MOST_BYTES >> 20} MiB")
    return data


class StateService(Service):
    """Reads at its start, which must come before that of the upstreams; writes at dials, at changes, at its end."""

    def __init__(self, directory: str, kept: Kept, reactor: Any, ticker: Ticker) -> None:
        self.setName("state")
        self.counters = StateCounters()
        self._directory = Path(directory)
        self._kept = kept
        self._reactor = reactor
        self._ticker = ticker
        self._due = 0.0
        self._writing: Deferred[None] | None = None
        self._again = False
        self._told = False

    def startService(self) -> None:
        super().startService()
        try:
            data = read(self._directory)
            if data is not None:
                self._kept.load(data)
        except (OSError, KeptUnreadable) as error:
            self.counters.unreadable += 1
            log.warn("state: {file} is ignored: {why}", file=str(self._directory / FILE), why=_why(error))
        self._ticker.add(self)

    def stopService(self) -> Deferred[None]:
        """Fires when all of it is written down, or cannot be."""
        super().stopService()
        self._ticker.remove(self)
        return self.save() if self._kept.changed() or self._writing is not None else succeed(None)

    def save(self) -> Deferred[None]:
        """Write it down; fires when it is. While one writing is under way, another one follows it at most."""
        if self._writing is None:
            self._begin()
        else:
            self._again = True
        done: Deferred[None] = Deferred()
        assert self._writing is not None
        self._writing.addCallback(lambda result: done.callback(None))
        return done

    def next_deadline(self) -> float:
        """For the ticker."""
        return self._due

    def tick(self, now: float) -> None:
        """For the ticker."""
        self._due = now + EVERY_S
        if self._kept.changed():
            self.save()

    def _begin(self) -> None:
        finished: Deferred[None] = Deferred()
        self._writing = finished
        data = self._kept.dump()
        written = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), write, self._directory, data)
        written.addCallbacks(self._written, self._failed)
        written.addCallback(self._ended, finished)

    def _written(self, result: None) -> None:
        self.counters.written += 1
        if self._told:
            self._told = False
            log.info("state: {file} is written again", file=str(self._directory / FILE))

    def _failed(self, failure: Failure) -> None:
        self.counters.failed += 1
        if not self._told:
            self._told = True
            log.warn(
                "state: {file} cannot be written: {why}; limits and cursors live as long as the process",
                file=str(self._directory / FILE),
                why=_why(failure.value),
            )

    def _ended(self, result: None, finished: Deferred[None]) -> None:
        self._writing = None
        if self._again:
            self._again = False
            self._begin()
            assert self._writing is not None
            self._writing.chainDeferred(finished)
        else:
            finished.callback(None)


def _why(error: BaseException | None) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
