"""docs/reference/config.md is written from the model."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from relayd.config.later import LATER
from relayd.config.model import Config
from relayd.config.reference import reference
from relayd.config.schema import blocks_of

PAGE = Path(__file__).resolve().parent.parent.parent / "docs/reference/config.md"


class ReferenceTests:
    """The page."""

    def test_is_up_to_date(self):
        """After a change of the model: python -m relayd.config.reference > docs/reference/config.md"""
        assert PAGE.read_text("utf-8") == reference()

    def test_every_key(self):
        """Each key of each block, with its type and a reason."""
        page = reference()
        for block in blocks_of(Config):
            for name, info in block.model_fields.items():
                row = next(line for line in page.split("\n") if line.startswith(f"| `{info.alias or name}` |"))
                _, _, kind, _, reason, _ = re.split(r"(?<!\\)\|", row)
                assert kind.strip() and reason.strip(), f"{block.__name__}.{name}"

    def test_links_lead_somewhere(self):
        """Every link to a block has its heading."""
        page = reference()
        headings = {line[3:].lower().replace(" ", "-") for line in page.split("\n") if line.startswith("## ")}
        assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= headings

    def test_later(self):
        """What does not work yet is told."""
        for later in LATER:
            assert f"| `{'.'.join(later.path)}` | {later.until_then} |" in reference()

    def test_prints(self, capsys):
        """`python -m relayd.config.reference`."""
        with pytest.warns(RuntimeWarning):
            runpy.run_module("relayd.config.reference", run_name="__main__")
        assert capsys.readouterr().out == reference()
