"""The diagrams of docs/ are drawn from the tables in the code."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

from relayd.core.upstream.states import Event, State

ROOT = Path(__file__).resolve().parent.parent


def tool() -> ModuleType:
    """tools/diagrams.py as a module."""
    spec = importlib.util.spec_from_file_location("diagrams", ROOT / "tools" / "diagrams.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["diagrams"] = module
    spec.loader.exec_module(module)
    return module


class DiagramsTests:
    """What stands in docs/ is what the table says."""

    def test_current(self) -> None:
        """A change of the table without its page fails here: run python tools/diagrams.py."""
        stale = [path.name for path, text in tool().drawings().items() if path.read_text("utf-8") != text]
        assert stale == []

    def test_the_check_says_so(self) -> None:
        """The same from the command line."""
        assert tool().main(["--check"]) == 0

    def test_all_is_drawn(self) -> None:
        """Every state has a box, every state and event a line that says what it means."""
        drawings = {path.suffix: text for path, text in tool().drawings().items()}
        root = ElementTree.fromstring(drawings[".svg"])
        texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
        assert {state.value for state in State} <= set(texts)
        for member in (*State, *Event):
            [line] = [line for line in drawings[".md"].splitlines() if line.startswith(f"| {member.value} |")]
            assert len(line) > len(member.value) + 10, f"{member} lacks its meaning"
