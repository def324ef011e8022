"""Who wants what an upstream says unasked."""

from __future__ import annotations

from relayd.core.resolver import Resolver


class ResolverTests:
    """The answer, and for how long it holds."""

    def test_eras(self) -> None:
        """A change begins another one."""
        resolver = Resolver[str](lambda fields: (fields["n"],))
        eras = {resolver.era}
        assert resolver.find({"n": "a"}) == ("a",) and resolver.era in eras
        for _ in range(3):
            resolver.change()
            assert resolver.era not in eras
            eras.add(resolver.era)
