"""Two other implementations of HTTP/1.1, asked what they make of a head: whatever relayd accepts they must accept,
and read the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import h11
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.http import HTTPFactory, Request

from relayd.core.head import RequestHead


class Reading(NamedTuple):
    """What somebody understood: method, target, and header lines with lower-case names, in any order."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]


def reading_of(head: RequestHead) -> Reading:
    """What relayd understood."""
    return Reading(head.method, head.target, tuple(sorted(head.fields)))


def by_h11(head: bytes) -> Reading | None:
    """What h11 understands as a server; None where it refuses."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=16 * 1024)
    try:
        connection.receive_data(head)
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    if not isinstance(event, h11.Request):
        return None
    fields = ((bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in event.headers)
    return Reading(event.method.decode("latin-1"), event.target.decode("latin-1"), tuple(sorted(fields)))


class _Kept(Request):
    """A request of twisted.web that is kept and never answered."""

    def process(self) -> None:
        self.channel.factory.kept = self


class _Factory(HTTPFactory):
    kept: Any = None


_clock = Clock()
_factory = _Factory(reactor=_clock, timeout=None)


def by_twisted(head: bytes) -> Reading | None:
    """What twisted.web understands; None where it refuses, or waits for more than the head (and no body was
    declared).
    """
    _factory.kept = None
    channel: Any = _factory.buildProtocol(None)
    channel.requestFactory = _Kept
    transport = StringTransport()
    channel.makeConnection(transport)
    channel.dataReceived(head)
    channel.connectionLost(Failure(ConnectionDone()))
    assert not _clock.getDelayedCalls()
    request = _factory.kept
    if request is None or transport.value().startswith(b"HTTP/1.1 400"):
        return None
    fields = (
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, values in request.requestHeaders.getAllRawHeaders()
        for value in values
    )
    return Reading(request.method.decode("latin-1"), request.uri.decode("latin-1"), tuple(sorted(fields)))
