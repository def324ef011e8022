"""Files that the configuration names: there, and what they should be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from relayd.config.problem import KeyPath, Problem, Source
from relayd.core.auth.tokens import TokensError, parse_tokens

#: A file of keys or tokens; 10,000 tokens with a few claims each are 2 MiB.
MAX_FILE_BYTES: Final = 4 << 20


#: What a PEM file must hold, by the key that names it.
PEM: Final = {
    "cert": ("CERTIFICATE-----", "certificate"),
    "key": ("PRIVATE KEY-----", "private key"),
    "ca": ("CERTIFICATE-----", "certificate"),
    "client_ca": ("CERTIFICATE-----", "certificate"),
    "client_crl": ("X509 CRL-----", "revocation list"),
}


def check_pem(file: str | None, path: KeyPath, source: Source) -> Iterator[Problem]:
    """A Problem where this file of the configuration cannot be read, or is not what its key asks for."""
    if file is None:
        return
    if "$" in file:
        yield source.problem(path, "a placeholder stands only inside an upstream", expected="the path of a file")
        return
    try:
        with open(file, "rb") as opened:
            data = opened.read(MAX_FILE_BYTES)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        yield source.problem(path, f"{file} cannot be read: {reason}", expected="a PEM file")
        return
    mark, name = PEM[str(path[-1])]
    if mark.encode() not in data:
        yield source.problem(path, f"{file} holds no {name} in PEM", expected=f"a file with `-----BEGIN {mark}`")


def read_file(file: str, path: KeyPath, source: Source) -> bytes | Problem:
    """What a file of the configuration holds, up to 4 MiB."""
    if "$" in file:
        return source.problem(path, "a placeholder stands only inside an upstream", expected="the path of a file")
    try:
        with open(file, "rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        return source.problem(path, f"{file} cannot be read: {reason}", expected="a file that this user may read")
    if len(data) > MAX_FILE_BYTES:
        return source.problem(path, f"{file} is larger than 4 MiB", expected="a smaller file")
    return data


def check_tokens(file: str, path: KeyPath, source: Source) -> Iterator[Problem]:
    """A Problem where this is no file of tokens."""
    data = read_file(file, path, source)
    if isinstance(data, Problem):
        yield data
        return
    try:
        parse_tokens(data.decode("ascii"))
    except TokensError as error:
        yield source.problem(path, f"{file}: {error}", expected="lines that `relayd token NAME` prints")
    except UnicodeDecodeError:
        yield source.problem(path, f"{file}: not ASCII", expected="lines that `relayd token NAME` prints")
