"""The journal: what it keeps, what it lets go, and that it counts that."""

from __future__ import annotations

from hashlib import sha256

from relayd.demo.journal import Journal


class JournalTests:
    """A journal of three frames and ten bytes."""

    def setup_method(self) -> None:
        self.journal = Journal(frames_max=3, payload_bytes_max=10)

    def test_an_entry_says_what_went_where_and_when(self) -> None:
        """Number, time, connection, topic, kind, length, hash and payload."""
        self.journal.record(4, "ticker/BTC-USD", b"abc", True, 1.5)
        [entry] = self.journal.entries()
        assert (entry.number, entry.at_s, entry.connection, entry.topic) == (1, 1.5, 4, "ticker/BTC-USD")
        assert (entry.is_text, entry.length, entry.sha256) == (True, 3, sha256(b"abc").hexdigest())
        assert entry.payload == b"abc"

    def test_entries_are_found_by_topic_connection_and_number(self) -> None:
        """Each question narrows the list."""
        for connection, topic in ((1, "a"), (2, "a"), (2, "b")):
            self.journal.record(connection, topic, b"", True, 0.0)
        assert [entry.number for entry in self.journal.entries("a")] == [1, 2]
        assert [entry.number for entry in self.journal.entries("a", 2)] == [2]
        assert [entry.number for entry in self.journal.entries(after=2)] == [3]

    def test_the_oldest_entries_go_first_and_are_counted(self) -> None:
        """Never more than frames_max; the totals go on."""
        for index in range(5):
            self.journal.record(1, "a", b"x", True, float(index))
        assert [entry.number for entry in self.journal.entries()] == [3, 4, 5]
        assert (len(self.journal), self.journal.frames, self.journal.bytes, self.journal.dropped_frames) == (3, 5, 5, 2)

    def test_the_oldest_payloads_go_first_and_are_counted(self) -> None:
        """The entry stays with its hash; a payload larger than the journal is not kept at all."""
        self.journal.record(1, "a", b"123456", True, 0.0)
        self.journal.record(1, "a", b"789012", True, 0.0)
        assert [entry.payload for entry in self.journal.entries()] == [None, b"789012"]
        self.journal.record(1, "a", b"x" * 11, True, 0.0)
        entries = list(self.journal.entries())
        assert [entry.payload for entry in entries] == [None, None, None]
        assert entries[2].sha256 == sha256(b"x" * 11).hexdigest()
        assert (self.journal.dropped_payloads, self.journal.dropped_frames) == (3, 0)
