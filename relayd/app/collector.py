"""What the garbage collector may hold the loop for: it stops everything while it looks for circles of references.

Nothing that relayd does often leaves a circle behind: a message, a request to publish, a WebSocket or an event stream
that ends is freed by counting references (tests/io/test_garbage.py). So the collector is there for what is left, and
what counts is how much it looks at in one turn. A look at an object costs 0.1 us, and up to 1 us where the caches have
gone (measured with 5,000 clients and 10 topics each).
"""

from __future__ import annotations

import gc
from typing import Final

#: New objects that stay, not those that come and go: after 5,000 of them they are looked at (1 to 5 ms), each second
#: time with those of the time before (at most 15,000, 2 to 10 ms), and no third time but when everything is looked at:
#: after half a million at the earliest, which are some 9,000 connections, or 50 MB if all of them were garbage. With
#: CPython's own 700 the young are looked at for nothing, and ingest costs 7 to 18 % more CPU (bench/figures/ingest.py);
#: with 50,000 a turn was held for 25 to 56 ms.
GC_THRESHOLDS: Final = (5_000, 1, 50)


def calm() -> None:
    """Have it look at little, and often."""
    gc.set_threshold(*GC_THRESHOLDS)


def settle() -> None:
    """Everything has started: 90,000 objects, code for the most part, will stay, and are not looked at again. Takes up
    to 0.1 s."""
    gc.collect()
    gc.freeze()
