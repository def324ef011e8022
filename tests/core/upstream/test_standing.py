"""Tests of relayd.core.upstream.standing."""

from __future__ import annotations

from relayd.core.upstream.entry import Entry, Phase
from relayd.core.upstream.standing import Standing


class Stands(Standing[str]):
    """A topic in each phase, named after it; beside them one that is leaving, one that failed as it waits for a place,
    and one that the upstream pushed."""

    def __init__(self) -> None:
        super().__init__()
        for phase in Phase:
            self.entry(phase.value, phase)
        self.entry("asked", Phase.WANTED).asked = True
        self.entry("leaving", Phase.CONFIRMED).leaving = True
        self.entry("crowded", Phase.WANTED).why = "it is full"
        self.entry("pushed", Phase.LIVE).fields = None
        self.entry("moved", Phase.SENT).had_data = True
        self.entry("broken", Phase.SENT).gap_due = True

    def entry(self, topic: str, phase: Phase) -> Entry[str]:
        """One more."""
        entry = self._entries[topic] = Entry(topic, {"name": topic})
        entry.phase = phase
        return entry


class StandingTests:
    """What others ask, of a topic in each phase."""

    def setup_method(self) -> None:
        self.stands = Stands()

    def test_all(self) -> None:
        """Whoever looks sees all but those that leave, and why one failed."""
        phases = self.stands.phases()
        assert len(phases) == len(self.stands) - 1
        assert "leaving" not in phases
        assert phases["crowded"] == (Phase.FAILED, "it is full")
        assert all(phases[phase.value] == (phase, "") for phase in Phase)

    def test_those_that(self) -> None:
        """The topics of a kind, in the order of wanting."""
        assert self.stands.live() == ["live", "pushed", "moved"]
        assert self.stands.unconfirmed() == ["sent", "moved", "broken"]
        assert self.stands.broken() == ["broken"]

    def test_whether(self) -> None:
        """Each question has its own phases, and knows that who leaves has none."""
        topics = [*self.stands.phases(), "leaving", "unknown"]

        def those(asked: object) -> set[str]:
            assert callable(asked)
            return {topic for topic in topics if asked(topic)}

        assert those(self.stands.is_confirmed) == {"confirmed", "live", "pushed"}
        assert those(self.stands.is_sent) == {"sent", "confirmed", "live", "pushed", "moved", "broken"}
        assert those(self.stands.comes) == those(self.stands.is_sent) | {"leaving"}
        assert those(self.stands.is_unanswered) == {"sent", "moved", "broken"}
        assert those(self.stands.is_waiting) == {"wanted", "crowded"}
        assert those(self.stands.knows) == {*topics} - {"unknown"}

    def test_fields(self) -> None:
        """None where nobody asked for it."""
        assert [self.stands.fields_of(topic) for topic in ("sent", "pushed", "unknown")] == [{"name": "sent"}, {}, {}]
