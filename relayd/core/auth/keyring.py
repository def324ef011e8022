"""The keys of signed tokens as they are now: from a file, or fetched, kept, and fetched anew.

A token whose key is not there may be signed with a newer one: then the set is fetched, but at most once in
`MIN_INTERVAL_S`, since anybody can make up a `kid`. Who comes sooner cannot be judged and is told to come back: else
somebody who makes up a `kid` every half minute could have the users of a new key turned away for good. A fetch that
fails changes nothing but the time of the next one: the keys that are there go on, for a day.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from relayd.core.auth.jwt import NoKey, Read
from relayd.core.auth.keys import Keys
from relayd.core.auth.verdict import Denied, Done, Unavailable, Why

#: Between two fetches, whatever tokens say (jwks-rsa and Spring Security have 5 to 30 s).
MIN_INTERVAL_S: Final = 30.0
#: Between two fetches when nothing asks for one: so long a key that was withdrawn still counts (guess).
REFRESH_S: Final = 600.0
#: So long keys count when the set cannot be fetched any more (guess: an outage of a day is noticed).
KEEP_S: Final = 86_400.0
_SETTING: Final = "auth.jwt.jwks"


class KeyRing:
    """The current keys. `fetch` starts a fetch that ends in `loaded` or `failed`; None: they come from a file."""

    def __init__(self, monotonic: Callable[[], float], fetch: Callable[[], None] | None = None) -> None:
        self._monotonic = monotonic
        self._fetch = fetch
        self._keys: Keys | None = None
        self._loaded_at = -inf
        self._tried_at = -inf
        self._is_fetching = False
        self._waiting: list[tuple[Callable[[Keys], Read], Done]] = []

    def read(self, look: Callable[[Keys], Read], done: Done) -> None:
        """Hand what `look` reads with the current keys to `done`, after a fetch where that may help."""
        now = self._monotonic()
        found = look(self._keys) if self._keys is not None and self._are_good(now) else None
        if found is not None and not isinstance(found, NoKey):
            done(found)
        elif self._fetch is None:
            done(Unavailable(_SETTING) if found is None else Denied(Why.KEY))
        elif self._is_fetching or now - self._tried_at >= MIN_INTERVAL_S:
            self._waiting.append((look, done))
            self._start(now)
        else:
            done(Unavailable(_SETTING))  # it may be a key that is newer than the last fetch: nobody can say yet

    def loaded(self, keys: Keys) -> None:
        """The set is here, or has changed."""
        self._keys, self._loaded_at, self._is_fetching = keys, self._monotonic(), False
        for look, done in self._take_waiting():
            found = look(keys)
            done(Denied(Why.KEY) if isinstance(found, NoKey) else found)

    def failed(self) -> None:
        """The set could not be fetched. Whoever waited cannot be judged."""
        self._is_fetching = False
        for _, done in self._take_waiting():
            done(Unavailable(_SETTING))

    def next_deadline(self) -> float:
        """When the set is to be fetched; infinity = never."""
        if self._fetch is None or self._is_fetching:
            return inf
        return self._tried_at + (REFRESH_S if self._tried_at <= self._loaded_at else MIN_INTERVAL_S)

    def tick(self, now: float) -> None:
        """Fetch the set when its time has come."""
        if self.next_deadline() <= now:
            self._start(now)

    def _are_good(self, now: float) -> bool:
        return self._fetch is None or now - self._loaded_at < KEEP_S

    def _start(self, now: float) -> None:
        if not self._is_fetching and self._fetch is not None:
            self._is_fetching, self._tried_at = True, now
            self._fetch()

    def _take_waiting(self) -> list[tuple[Callable[[Keys], Read], Done]]:
        waiting, self._waiting = self._waiting, []
        return waiting
