"""The compiled way of data messages."""

from __future__ import annotations


class Extractor:
    """To come."""
