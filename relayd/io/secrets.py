"""Secrets by name: `env.X` and `file.PATH` of the placeholders in relay.yaml, read afresh whenever they are needed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from relayd.config.model import Block
from relayd.core.bridge import Need

MOST_BYTES = 64 << 10
"""guess: a secret is a key or a token; whatever is longer is the wrong file."""

_OF_BROWSER = re.compile(r"\$\{(browser\.[^{}]+)\}")
_PLACEHOLDER = re.compile(r"\$\{((?:env|file)\.[^{}]+)\}")


def secret_names(block: Block) -> tuple[str, ...]:
    """The names of all `${env.X}` and `${file.PATH}` in a block, with or without a default, in order of appearance."""
    found = (hit.partition(":-")[0] for text in _texts(block) for hit in _PLACEHOLDER.findall(text))
    return tuple(dict.fromkeys(found))


def browser_needs(block: Block) -> tuple[Need, ...]:
    """Every `${browser.X}` in a block, in order of appearance."""
    found: dict[str, bool] = {}
    for text in _texts(block):
        for hit in _OF_BROWSER.findall(text):
            name, has_default, _ = hit.partition(":-")
            found[name] = found.get(name, False) or not has_default
    return tuple(Need(name, required) for name, required in found.items())


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


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Block):
        for name in type(value).model_fields:
            yield from _texts(getattr(value, name))
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _texts(key)
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
