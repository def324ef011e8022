"""One message on a topic, and the mark that stands where messages are missing.

Both take one offset in their topic and one hub-wide serial, and both know nothing of who reads them. The encoded
WebSocket
frames are kept on the object, one per encoding, so that a publication is encoded once whatever its number of readers.
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Final, cast, final

import msgspec

if TYPE_CHECKING:
    from relayd.core.topics import Topic


class TopicState(Enum):
    """What the readers of a topic are told about it; the values are the words of the wire."""

    PENDING = "pending"
    """Wanted, and nothing has come yet."""
    LIVE = "live"
    STALE = "stale"
    """Data is later than the route's `stale_after`."""
    RECONNECTING = "reconnecting"
    """The upstream is away; what it said meanwhile will be missing."""
    FAILED = "failed"
    """The upstream refused this topic, and says why."""


class Encoding(IntEnum):
    """How a subscriber reads; an index into `Publication.frames`."""

    V1 = 0
    """The `relayd.v1` envelope in a text frame."""
    RAW = 1
    """The payload alone, in the frame type it came in."""
    V1_SNAPSHOT = 2
    """As V1 with the `snapshot` flag: the first publication that a newcomer to a topic without deltas gets."""
    SSE = 3
    """The envelope as an event of a text/event-stream, its id the hub-wide serial."""
    BINARY = 4
    """Binary payloads in a binary frame with the topic's number, everything else as V1."""


#: Of all that nobody has asked for in any encoding yet. A tuple, so that nobody writes into it.
UNFRAMED: Final = cast("list[bytes | None]", (None,) * len(Encoding))

# On CPython 3.11 by sys.getsizeof: a Publication (112), its frames list (104), its payload's header (33), its offset,
# serial and size (28 each), its time of arrival (24) and the ring's slot (8), 365 in all, each rounded up.
# By the resident memory of the process 200,000 hold 205 to 231 bytes each beside their payloads, 317 to 343 once they
# were encoded, and two numbers more where the size is no usual one and nothing else came in the same read. The V1 frame
# that most publications also carry is about as long as the payload and is dropped with it.
RETAINED_OVERHEAD_BYTES = 400

# Up to this payload the sizes are made once: thousands of publications wait in rings, and whatever each has of its own
# is another miss of the cache when it is made and when it is let go. 128 KiB; most messages of feeds are shorter.
SHARED_BYTES: Final = 4096
RETAINED_BYTES: Final = tuple(range(RETAINED_OVERHEAD_BYTES, RETAINED_OVERHEAD_BYTES + SHARED_BYTES))
"""What a publication holds in a ring, by the size of its payload."""


@final
class Publication(msgspec.Struct, eq=False, gc=False):
    """A payload with its place in the topic and in the hub. One is made per message, in C.

    The garbage collector does not know it (`gc=False`): rings keep thousands that are new and stay, and a look at one
    costs a miss of the cache for each of its fields. So whatever leads from its topic back to it ends by itself: the
    ring of a topic that is forgotten is emptied (core/hub.py).
    """

    topic: Topic
    offset: int
    serial: int
    payload: bytes
    is_text: bool
    snapshot: bool
    """True when the feed said so: it replaces all that came before, and deltas follow."""
    at: float
    """Monotonic seconds of its arrival; what `max_lag` and the age of a ring are measured by."""
    size: int
    """Bytes it holds in a ring: of its payload, and `RETAINED_OVERHEAD_BYTES`."""
    is_json: bool = False
    """The payload is known to be one JSON value; False: nobody has looked."""
    at_ms: int | None = None
    """Wall milliseconds, only where the route stamps."""
    key: Hashable = None
    """What conflation goes by beside the topic, only where the route has a `key`."""
    frames: list[bytes | None] = UNFRAMED
    """By encoding, made when they are asked for (core/wire.py)."""


@final
class GapMark:
    """What the upstream said and nobody here heard: one offset, so that a reader who resumes later meets it in its
    place."""

    __slots__ = ("at", "frames", "missed", "offset", "serial", "topic", "why")

    snapshot = False
    key: Hashable = None
    size = 0
    """Marks come at the rate of upstream faults and count by number alone."""

    def __init__(self, topic: Topic, offset: int, serial: int, missed: int | None, why: str, at: float) -> None:
        self.topic = topic
        self.offset = offset
        self.serial = serial
        self.missed = missed
        """How many messages, or None when nobody can know."""
        self.why = why
        self.at = at
        self.frames = UNFRAMED


Entry = Publication | GapMark
"""What a ring holds."""
