"""A volley: the same bytes offered to many sockets at once.

The flush loop would call the kernel once for each member. Where the shell can hand over a whole list of sockets in one
call (relayd/io/volley.py), what a delivery costs is the kernel's own work and next to nothing of Python. Who cannot be
part of a volley (something is buffered, the bytes go through TLS, a cohort is small) is served one by one: same bytes,
same answers.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from relayd.core.subscriber import Subscriber

NO_PORT: Final = 0
"""The port of a connection that cannot be part of a volley at the moment."""


FireEach: TypeAlias = "Callable[[array[int], Sequence[bytes]], Sequence[int] | None]"


class Volley(Protocol):
    """Sends to many sockets in one call. A port is a number it gave to a socket (relayd/io/volley.py)."""

    least: int
    """Below so many members a volley costs more than it saves."""

    def fire(self, ports: array[int], data: bytes) -> Sequence[int] | None:
        """Offer `data` to each. Returns None when every socket took all of it, else for each port, in their order,
        the bytes it took, or a negative errno."""
        ...

    @property
    def fire_each(self) -> FireEach | None:
        """As `fire`, with a portion of its own for each port; None: not in this way."""
        ...


def ports_of(members: Sequence[Subscriber]) -> array[int] | None:
    """The ports of all, in their order; None where somebody has none. To ask 500 costs as much as twelve sends."""
    ports = [member.port for member in members]
    return None if NO_PORT in ports else array("Q", ports)


def offer(
    members: Sequence[Subscriber], data: bytes, volley: Volley | None = None, ports: array[int] | None = None
) -> list[tuple[Subscriber, int]]:
    """Offer `data` to every member. Returns those who did not take it whole, each with the bytes it took. `ports`: what
    `ports_of` says of them, where that is known.

    Nobody is removed from `members` meanwhile: what a broken socket says is reported on a later turn of the reactor.
    """
    if volley is None or len(members) < volley.least:
        return _one_by_one(members, data)
    ports = ports or ports_of(members)
    short: list[tuple[Subscriber, int]] = []
    if ports is None:
        short = _one_by_one([member for member in members if not member.port], data)
        members = [member for member in members if member.port]
        ports = ports_of(members)
    if not ports:
        return short
    fire = volley.fire
    answers = fire(ports, data)
    return short if answers is None else short + short_of(members, answers, repeat(len(data)))


def _one_by_one(members: Sequence[Subscriber], data: bytes) -> list[tuple[Subscriber, int]]:
    size = len(data)
    short: list[tuple[Subscriber, int]] = []
    for member in members:
        # The socket's own `send`, and what it raises: a call of Python between costs a tenth of the whole delivery.
        try:
            taken = member.send_now(data)
        except OSError as error:
            taken = _not_taken(member, error, size)
        except Exception:
            member.fault()
            taken = size
        if taken != size:
            short.append((member, taken))
    return short


def _not_taken(member: Subscriber, error: OSError, size: int) -> int:
    """What a socket took that raised: nothing. One whose sink cannot even say so is closed and counts as served."""
    try:
        member.sink.failed(error)
    except Exception:
        member.fault()
        return size
    return 0


def short_of(
    members: Sequence[Subscriber], answers: Sequence[int], sizes: Iterable[int]
) -> list[tuple[Subscriber, int]]:
    """Who did not take all, with the bytes it took, by the answers of a volley. `sizes`: what each was offered."""
    short: list[tuple[Subscriber, int]] = []
    for member, taken, size in zip(members, answers, sizes, strict=False):
        if taken < 0:
            taken = _not_taken(member, OSError(-taken, ""), size)  # Python makes the subclass that fits the number
        if taken != size:
            short.append((member, taken))
    return short
