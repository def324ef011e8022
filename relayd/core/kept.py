"""What outlives the process (`state`): the limits that were used up, and the points from which feeds go on.

A relay that crashes in a loop must not dial more often than one that lives: the upstream counts addresses, not
processes. And whoever restarts a relay wants its feeds to go on where they were. Both are written down by the clock on
the wall, the only one that two processes share. Where it stepped back, what seems to lie ahead is taken to happen now:
that waits too long, once, and never too short.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from relayd.core.feed.resume import Resume
from relayd.core.windows import HostWindows

VERSION: Final = 1
CURSOR_FRESH_S: Final = 600.0
"""A cursor that is older is not gone back to: guess. A restart takes seconds; after a night, hours of a busy feed would
come at once, which nobody waits for any more."""


class KeptUnreadable(ValueError):
    """What was kept cannot be read; the text says why."""


class _Window(msgspec.Struct, array_like=True):
    host: str
    kind: str
    at: list[float]
    """Seconds since 1970, oldest first."""


class _Cursor(msgspec.Struct, array_like=True):
    upstream: str
    cursor: int | str
    at: float
    """When it was reached, in seconds since 1970."""
    said: list[str]
    """Digests of the messages at this very point, which the feed says again."""


class _Whole(msgspec.Struct):
    version: int
    windows: list[_Window]
    cursors: list[_Cursor]


class Kept:
    """What is to be kept of a running relay. Small: it is bounded by `limits` and by the number of upstreams."""

    def __init__(self, hosts: HostWindows, *, monotonic: Callable[[], float], wall: Callable[[], float]) -> None:
        """`wall`: seconds since 1970."""
        self._hosts = hosts
        self._monotonic = monotonic
        self._wall = wall
        self._resumes: dict[str, Resume] = {}
        self._reached: dict[str, tuple[int | str, float]] = {}
        self._dumped: object = None

    def keep(self, upstream: str, resume: Resume) -> None:
        """Keep its cursor as well."""
        self._resumes[upstream] = resume

    def changed(self) -> bool:
        """Whether there is something that the last `dump` did not hold."""
        return self._state() != self._dumped

    def dump(self) -> bytes:
        """All of it, to be written down."""
        self._dumped = self._state()
        wall, now = self._wall(), self._monotonic()
        windows = [
            _Window(host, kind, [round(wall - (now - at), 3) for at in times])
            for (host, kind), times in self._hosts.recent(now).items()
        ]
        cursors = [
            _Cursor(upstream, *self._point(upstream, resume, wall), resume.at_cursor())
            for upstream, resume in self._known()
        ]
        return msgspec.json.format(msgspec.json.encode(_Whole(VERSION, windows, cursors)), indent=1) + b"\n"

    def load(self, data: bytes) -> None:
        """What another process wrote down counts from now on. Raises KeptUnreadable, and nothing of it counts."""
        try:
            whole = msgspec.json.decode(data, type=_Whole)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise KeptUnreadable(f"it is not what relayd writes: {error}") from None
        if whole.version != VERSION:
            raise KeptUnreadable(f"it is of version {whole.version}, and this relayd knows {VERSION}")
        wall, now = self._wall(), self._monotonic()
        for window in whole.windows:
            self._hosts.restore(window.host, window.kind, [now - max(0.0, wall - at) for at in window.at])
        for one in whole.cursors:
            resume = self._resumes.get(one.upstream)
            if resume is not None and wall - one.at <= CURSOR_FRESH_S:
                resume.restore(one.cursor, one.said)
                self._reached[one.upstream] = one.cursor, one.at
        self._dumped = self._state()

    def _known(self) -> list[tuple[str, Resume]]:
        return [(upstream, resume) for upstream, resume in self._resumes.items() if resume.cursor is not None]

    def _point(self, upstream: str, resume: Resume, wall: float) -> tuple[int | str, float]:
        """The cursor, and when it was seen there first."""
        assert resume.cursor is not None
        reached = self._reached.get(upstream)
        if reached is None or reached[0] != resume.cursor:
            reached = self._reached[upstream] = resume.cursor, round(wall, 3)
        return reached

    def _state(self) -> object:
        newest = {key: (len(times), times[-1]) for key, times in self._hosts.recent(self._monotonic()).items()}
        return newest, {upstream: resume.cursor for upstream, resume in self._known()}
