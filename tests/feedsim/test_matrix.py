"""docs/feeds-matrix.md is as the tables say, and the tests it names are there."""

from __future__ import annotations

import ast

import pytest

from tests.feedsim.faults import FAULTS
from tests.feedsim.matrix import ROOT, blocks, table
from tests.feedsim.mechanisms import MECHANISMS, uses

NAMED = sorted({one.test for one in MECHANISMS} | {test for one in FAULTS for test in one.tests})


class MatrixTests:
    """The page."""

    def test_is_up_to_date(self) -> None:
        """`python -m tests.feedsim.matrix` would change nothing."""
        assert (ROOT / "docs/feeds-matrix.md").read_text("utf-8") == table()

    def test_every_mechanism_is_used(self) -> None:
        """By a feed at least; those that none needs are added by their tests."""
        feeds = blocks().values()
        unused = [one.name for one in MECHANISMS if not any(uses(block, one.name) for block in feeds)]
        assert unused == ["subscribe.within"]

    @pytest.mark.parametrize("name", NAMED)
    def test_is_there(self, name: str) -> None:
        """A test that is named exists."""
        file, owner, test = name.split("::")
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        [found] = [one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == owner]
        assert test in [one.name for one in found.body if isinstance(one, ast.AsyncFunctionDef | ast.FunctionDef)]
