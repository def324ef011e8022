"""The rules that no single value can break."""

from __future__ import annotations

from collections.abc import Mapping

from relayd.config.problem import Problem, Source
from relayd.config.validate import Blocks


def check(blocks: Blocks, source: Source, environ: Mapping[str, str]) -> list[Problem]:
    """Every problem between the blocks of a file."""
    return []
