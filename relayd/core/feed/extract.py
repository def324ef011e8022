"""The compiled way of data messages."""

from __future__ import annotations


class Extractor:
    """To come."""


def compile_extractor(dialect: object) -> Extractor | None:
    """To come."""
    return None
