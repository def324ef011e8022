"""Secrets by name: `env.X` and `file.PATH` of the placeholders in relay.yaml, read afresh whenever they are needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

MOST_BYTES = 64 << 10
"""guess: a secret is a key or a token; whatever is longer is the wrong file."""


def read_secrets(names: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """The values of those names that have one. What is missing, unreadable, too long or no UTF-8 is left out: whoever
    needs it says so by its name."""
    values = {}
    for name in names:
        root, _, rest = name.partition(".")
        value = environ.get(rest) if root == "env" else _read(rest) if root == "file" else None
        if value is not None:
            values[name] = value
    return values


def _read(path: str) -> str | None:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        return data.decode().rstrip("\r\n") if len(data) <= MOST_BYTES else None
    except (OSError, ValueError):
        return None
