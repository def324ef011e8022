"""Which closes are for good, and how long to wait after the others (docs/protocol.md, "Close codes")."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

#: Codes of RFC 6455 after which the same client would only be closed again.
FINAL: Final = frozenset({1000, 1002, 1003, 1007, 1009})
#: No close frame came (RFC 6455 7.1.5).
ABNORMAL: Final = 1006

#: A hint is at most a day, as relayd's own bound is: a longer one is a fault.
RETRY_S_MAX: Final = 86_400

#: The first wait is below this, the ceiling doubles ...
CEILING_S: Final = 1.0
#: ... up to this,
CEILING_MAX_S: Final = 60.0
#: and begins anew after so long a connection (all three: docs/protocol.md, "Coming back").
SETTLED_S: Final = 30.0

_RETRY = re.compile(r"\bretry=([0-9]{1,6})\b")


def is_final(code: int) -> bool:
    """Whether the close says not to come back as you are."""
    return code in FINAL or 4500 <= code < 5000


def retry_hint_s(reason: str) -> int:
    """Seconds of `name; retry=SECONDS`; 0 where there is no hint."""
    hit = _RETRY.search(reason)
    return min(int(hit[1]), RETRY_S_MAX) if hit else 0


class Backoff:
    """Full jitter: a random time between 0 and a ceiling that doubles."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._failures = 0

    def settled(self) -> None:
        """A connection was good for long enough."""
        self._failures = 0

    def next_s(self) -> float:
        """The next wait in seconds."""
        ceiling = min(CEILING_MAX_S, CEILING_S * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return self._random() * ceiling
