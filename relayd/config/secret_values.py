"""The secrets that a configuration names, as they are now: what the log masks wherever it turns up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from relayd.config.model import Config
from relayd.config.model.block import Block

#: A key file holds some 8 KiB at most; what is larger is no secret of one line.
MAX_FILE_BYTES: Final = 16 * 1024

_ENV: Final = re.compile(r"\$\{env\.([^{}:]+)(?::-([^{}]*))?\}")
_FILE: Final = re.compile(r"\$\{file\.([^{}]+)\}")


def secret_values(config: Config, environ: Mapping[str, str]) -> frozenset[str]:
    """The values of every `${env.X}` and `${file.PATH}` of the upstreams.

    A variable that only says where an upstream is (it stands in a URL, before the `?`) is no secret. A file that cannot
    be read has no value now; who needs it will say so.
    """
    return frozenset(value for upstream in config.upstreams.values() for value in _values("", upstream, environ))


def _values(name: str, value: Any, environ: Mapping[str, str]) -> Iterator[str]:
    if isinstance(value, Block):
        for inner in type(value).model_fields:
            yield from _values(inner, getattr(value, inner), environ)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _values(str(key), one, environ)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _values(name, one, environ)
    elif isinstance(value, str):
        yield from _of_text(value.partition("?")[2] if name == "url" else value, environ)


def _of_text(text: str, environ: Mapping[str, str]) -> Iterator[str]:
    for variable, default in _ENV.findall(text):
        if secret := environ.get(variable, default):
            yield secret
    for path in _FILE.findall(text):
        try:
            with Path(path).open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except (OSError, ValueError):
            continue
        if len(content) <= MAX_FILE_BYTES and (secret := content.decode("utf-8", "replace").strip()):
            yield secret
