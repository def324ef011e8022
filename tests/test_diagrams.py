"""The diagrams of docs/ are drawn from the tables in the code."""

from __future__ import annotations

from xml.etree import ElementTree

from relayd.core.upstream.states import Event, State
from tools import diagrams


class DiagramsTests:
    """What stands in docs/ is what the table says."""

    def test_current(self) -> None:
        """A change of the table without its page fails here: run python -m tools.diagrams."""
        stale = [path.name for path, text in diagrams.drawings().items() if path.read_text("utf-8") != text]
        assert stale == []

    def test_the_check_says_so(self) -> None:
        """The same from the command line."""
        assert diagrams.main(["--check"]) == 0

    def test_all_is_drawn(self) -> None:
        """Every state has a box, every state and event a line that says what it means."""
        drawn = {path.suffix: text for path, text in diagrams.drawings().items()}
        root = ElementTree.fromstring(drawn[".svg"])
        texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
        assert {state.value for state in State} <= set(texts)
        for member in (*State, *Event):
            [line] = [line for line in drawn[".md"].splitlines() if line.startswith(f"| {member.value} |")]
            assert len(line) > len(member.value) + 10, f"{member} lacks its meaning"
