"""The 35 feeds of `tests/feeds/`, replayed line by line: what goes out, what each message is, sequences, holds."""

from __future__ import annotations

import pytest

from tests.support.feeds import NAMES, Replay


class ScriptTests:
    """A dialect written out must speak as its script says."""

    def test_all_scripts_are_there(self) -> None:
        """None forgotten."""
        assert len(NAMES) == 35

    @pytest.mark.parametrize("name", NAMES)
    def test_replays_exactly(self, name: str) -> None:
        """Every line gives what it says: no more, no less."""
        replay = Replay(name)
        for number, line in enumerate(replay.lines, 1):
            wanted, found = replay.play(line)
            assert found == wanted, f"{name}.jsonl:{number}"
