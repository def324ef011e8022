"""The keys as they are now."""

from __future__ import annotations

from math import inf

from relayd.core.auth.jwt import JwtRules, Read, verify
from relayd.core.auth.keyring import KEEP_S, MIN_INTERVAL_S, REFRESH_S, KeyRing
from relayd.core.auth.keys import Keys, parse_keys
from relayd.core.auth.verdict import Denied, Identity, Unavailable, Verdict, Why
from tests.support.signing import NOW, jwk, jwks, sign

RULES = JwtRules(frozenset({"ES256"}))
OLD = parse_keys(jwks(jwk("ES256", "old")), RULES.algorithms, secrets_allowed=False)
NEW = parse_keys(jwks(jwk("ES256", "old"), jwk("ES256", "new", 1)), RULES.algorithms, secrets_allowed=False)
UNKNOWN = Unavailable("auth.jwt.jwks")


class Rig:
    """A ring, a clock and what came of it."""

    def __init__(self, fetched: bool = True) -> None:
        self.now = 1000.0
        self.fetches = 0
        self.verdicts: list[Verdict] = []
        self.ring = KeyRing(lambda: self.now, self._fetch if fetched else None)

    def _fetch(self) -> None:
        self.fetches += 1

    def show(self, kid: str, which: int = 0) -> None:
        """Somebody shows a token."""
        token = sign(which=which, header={"kid": kid})

        def look(keys: Keys) -> Read:
            return verify(token, keys, RULES, NOW)

        self.ring.read(look, self.verdicts.append)


class FetchedTests:
    """A set at a URL."""

    def test_first(self) -> None:
        """Whoever comes before the keys waits for them; they are fetched once."""
        rig = Rig()
        rig.show("old")
        rig.show("old")
        rig.show("other")
        assert (rig.fetches, rig.verdicts) == (1, [])
        rig.ring.loaded(OLD)
        first, second, other = rig.verdicts
        assert isinstance(first, Identity) and isinstance(second, Identity) and other == Denied(Why.KEY)

    def test_rotation(self) -> None:
        """A key that is new is fetched, but not at every made-up name; until then nobody can say."""
        rig = Rig()
        rig.ring.tick(rig.now)
        rig.ring.loaded(OLD)
        rig.show("new", 1)
        assert (rig.fetches, rig.verdicts) == (1, [UNKNOWN])
        rig.now += MIN_INTERVAL_S
        rig.show("new", 1)
        rig.ring.loaded(NEW)
        assert rig.fetches == 2 and isinstance(rig.verdicts[-1], Identity)
        for number in range(100):
            rig.show(f"made up {number}")
        assert rig.fetches == 2 and rig.verdicts[-1] == UNKNOWN
        rig.now += MIN_INTERVAL_S
        rig.show("made up")
        rig.ring.loaded(NEW)
        assert rig.verdicts[-1] == Denied(Why.KEY)

    def test_failure(self) -> None:
        """Nobody can say, and it is tried again soon; what is there goes on."""
        rig = Rig()
        rig.show("old")
        rig.ring.failed()
        rig.show("old")
        assert rig.verdicts == [UNKNOWN, UNKNOWN]
        assert rig.ring.next_deadline() == rig.now + MIN_INTERVAL_S
        rig.now += MIN_INTERVAL_S
        rig.ring.tick(rig.now)
        rig.ring.loaded(OLD)
        rig.now += REFRESH_S
        rig.ring.tick(rig.now)
        rig.ring.failed()
        rig.show("old")
        assert rig.fetches == 3 and isinstance(rig.verdicts[-1], Identity)

    def test_refresh(self) -> None:
        """Without being asked, so that a key that was withdrawn goes."""
        rig = Rig()
        assert rig.ring.next_deadline() == -inf
        rig.ring.tick(rig.now)
        assert rig.ring.next_deadline() == inf
        rig.ring.loaded(NEW)
        assert rig.ring.next_deadline() == rig.now + REFRESH_S
        rig.ring.tick(rig.now)
        assert rig.fetches == 1

    def test_too_old(self) -> None:
        """A set that cannot be fetched for a day counts no more."""
        rig = Rig()
        rig.ring.tick(rig.now)
        rig.ring.loaded(OLD)
        rig.now += KEEP_S
        rig.ring.tick(rig.now)
        rig.ring.failed()
        rig.show("old")
        assert rig.verdicts == [UNKNOWN]


class FileTests:
    """A set in a file."""

    def test_file(self) -> None:
        """Nothing is fetched; it counts as long as it is there."""
        rig = Rig(fetched=False)
        rig.show("old")
        rig.ring.loaded(OLD)
        rig.now += 10 * KEEP_S
        rig.show("old")
        rig.show("new", 1)
        before, known, unknown = rig.verdicts
        assert (before, unknown) == (UNKNOWN, Denied(Why.KEY)) and isinstance(known, Identity)
        assert rig.ring.next_deadline() == inf
        rig.ring.tick(rig.now)
