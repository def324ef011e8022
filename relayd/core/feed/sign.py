"""`set:` values computed when a message is made: templates, and signatures (HMAC).

    set: {ts: $now, sig: {hmac: sha256, key: "${env.SECRET}", key_is: base64, text: "${ts}GET/users", out: base64}}

Entries are computed in order; a later one may use an earlier one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from relayd.core.feed.errors import Malformed, Refused
from relayd.core.feed.template import Node, Text, Values, compile_node, names_of, parse_text, render

HASHES = ("md5", "sha1", "sha256", "sha384", "sha512")
_KEYS = {"hmac", "key", "key_is", "text", "out"}


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError from error


_KEY_READERS: Final[Mapping[str, Callable[[str], bytes]]] = {
    "text": str.encode,
    "base64": _from_base64,
    "hex": bytes.fromhex,
}


@dataclass(frozen=True, slots=True)
class Signature:
    """An HMAC over a text."""

    hash: str
    key: Text
    key_is: str
    text: Text
    out: str

    def compute(self, values: Values) -> str:
        """The signature. Raises Unset, and Refused for a key that is not what `key_is` says (the key is not told)."""
        secret = self.key.text(values)
        try:
            key = _KEY_READERS[self.key_is](secret)
        except ValueError:
            raise Refused(f"the key of a signature is not {self.key_is}") from None
        digest = hmac.digest(key, self.text.text(values).encode("utf-8", "replace"), self.hash)
        return digest.hex() if self.out == "hex" else base64.b64encode(digest).decode()


Entry: TypeAlias = "Signature | Node"


@dataclass(frozen=True, slots=True)
class Sets:
    """The entries of a `set:` block, in order."""

    entries: tuple[tuple[str, Entry], ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The names it defines."""
        return frozenset(name for name, _ in self.entries)

    @property
    def uses(self) -> frozenset[str]:
        """The placeholders it needs from outside."""
        used: frozenset[str] = frozenset()
        for _, entry in self.entries:
            node: Node = (entry.key, entry.text) if isinstance(entry, Signature) else entry
            used |= names_of(node)
        return used - self.names

    def extend(self, values: Values) -> Values:
        """The values and what is computed from them. Raises Unset, Refused."""
        if not self.entries:
            return values
        all_values = dict(values)
        for name, entry in self.entries:
            computed = entry.compute(all_values) if isinstance(entry, Signature) else render(entry, all_values)
            all_values[name] = computed
        return all_values


NO_SETS = Sets()


def parse_sets(block: object) -> Sets:
    """A `set:` block from the file; None (left out) is empty. Raises Malformed."""
    if block is None:
        return NO_SETS
    if not isinstance(block, Mapping):
        raise Malformed("set: write name: value")
    return Sets(tuple((str(name), _parse_entry(name, entry)) for name, entry in block.items()))


def _parse_entry(name: object, entry: object) -> Entry:
    if not isinstance(entry, Mapping) or "hmac" not in entry:
        return compile_node(entry)
    unknown = set(entry) - _KEYS
    if unknown:
        raise Malformed(f"{name}: unknown key {min(map(str, unknown))}; a signature has {', '.join(sorted(_KEYS))}")
    if entry["hmac"] not in HASHES or entry["hmac"] not in hashlib.algorithms_guaranteed:
        raise Malformed(f"{name}: {entry['hmac']!r} is none of {', '.join(HASHES)}")
    key_is, out = entry.get("key_is", "text"), entry.get("out", "hex")
    if key_is not in _KEY_READERS or out not in ("hex", "base64"):
        raise Malformed(f"{name}: key_is is text, base64 or hex; out is hex or base64")
    if "key" not in entry or "text" not in entry:
        raise Malformed(f"{name}: a signature needs key and text")
    return Signature(entry["hmac"], parse_text(entry["key"]), key_is, parse_text(entry["text"]), out)
