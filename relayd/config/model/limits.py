"""What the whole process may hold and accept."""

from __future__ import annotations

from pydantic import Field

from relayd.config.model.block import Block
from relayd.config.scalars import Count, Duration, Given, OrOff, Rate, RateText, Size


class Limits(Block):
    """Bounds of the process; each names itself when it refuses somebody."""

    connections: Count = 10_000
    """Browsers at once; half of the 20,000 descriptors that common hosts allow, lowered audibly where the host allows
    less than this plus 200."""
    per_address: OrOff[Count] = None
    """Browsers at once from one address (IPv6: one /64); off, since a whole office may share one."""
    topics: Count = 10_000
    """Topics at once; bounds the rings together with `ring_bytes`."""
    topics_per_client: Count = 128
    """Topics one browser may hold; a page shows fewer, a crawler wants more (the figure Centrifugo uses)."""
    ring_bytes: Size = 512 << 20
    """All rings together; the oldest publications of the largest rings go first (guess: 1/8 of 4 GiB)."""
    payload_bytes: Size = Field(default=16 << 20, alias="payload")
    """Largest message of an upstream; order book snapshots reach several MiB."""
    message_bytes: Size = Field(default=64 << 10, alias="message")
    """Largest message of a browser, and what one may publish; 500 topics of 100 bytes fit."""
    exclusive: Count = 1_000
    """Upstream connections of exclusive routes at once: each pair costs 23 KiB, and 250 KiB while neither end reads
    (bench/pairs.py), and most upstreams allow one account far fewer."""
    publish: RateText = Rate(100, 1.0)
    """Publications of one connection in any window; a pointer that moves at 60 Hz fits, what is faster is a program.
    The frames that a connection may send are raised by this rate; who sends more, or more bytes, is read later."""
    head_bytes: Size = Field(default=8 << 10, alias="head")
    """Largest request head; what nginx and Apache allow, cookies included."""
    handshakes: RateText = Rate(500, 1.0)
    """New connections in any window; a handshake costs 30-200 us, so this leaves 9 tenths of a core."""
    ramp_s: Duration = Field(default=10.0, alias="ramp")
    """After the start `handshakes` grows from half to its full rate in this time: caches are cold and no token is known
    yet. `0s` where a crowd must be let in at once."""
    pending: Count = 4_096
    """Connections that have not sent their whole request. At this number the oldest gives way; above half of it they
    have 5 s in place of 10 s."""
    pending_per_address: Count = 64
    """Of them from one address, while more than half of `pending` are taken; its own oldest gives way. Before that an
    office behind one address may have as many as it needs; `trusted_proxies` are never bounded by it."""
    memory_bytes: Given[Size] = Field(default=None, alias="memory")
    """What relayd may use: at 70 % it is not ready, at 80 % nobody new comes in, at 90 % the slowest are sent away.
    Left out: three quarters of the machine's. A smaller limit of the system (MemoryMax=, a container's) counts."""
    lag_s: Duration = Field(default=1.0, alias="lag")
    """An event loop that is so late, twice in a row, makes relayd not ready; three times as late, and nobody new comes
    in. A healthy one is late by milliseconds; a second is what a person notices."""
