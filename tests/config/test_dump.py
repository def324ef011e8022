"""Plain data as YAML that everybody reads alike."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from relayd.config.dump import dump
from relayd.config.load import Reader

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | TEXTS
AMBIGUOUS = ["on", "no", "off", "0100", "12:30", "2026-01-01", "1e3", "0o17", "1_000", "~", "", "9" * 30, "a: b", "# c"]


def as_relayd_reads(text: str) -> object:
    """The data as the strict reader of relay.yaml sees it."""
    reader = Reader(text, "dump")
    source = reader.read_source()
    assert not reader.problems, [str(problem) for problem in reader.problems]
    return source.data


class DumpTests:
    """Nothing changes its type on the way."""

    @pytest.mark.parametrize("text", AMBIGUOUS)
    def test_text_stays_text(self, text: str):
        """What some reader would take for a number, a date or a switch is quoted."""
        assert as_relayd_reads(dump({"key": text})) == {"key": text}
        assert yaml.safe_load(dump({"key": text})) == {"key": text}

    @given(st.dictionaries(st.text("abc", min_size=1), SCALARS | st.lists(SCALARS, max_size=3), min_size=1))
    def test_any_data(self, data: dict):
        """Through PyYAML, a reader of YAML 1.1."""
        assert yaml.safe_load(dump(data)) == data

    def test_shape(self):
        """Keys in their order, lists indented, no aliases for what stands twice."""
        same = ["x"]
        assert dump({"b": same, "a": same}) == "b:\n  - x\na:\n  - x\n"
