"""Values computed when a message is made."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest

from relayd.core.feed.errors import Malformed, Refused, Unset
from relayd.core.feed.sign import NO_SETS, parse_sets


def signed(**changed: Any) -> str:
    """A signature over `1700GET/x` with the key `key`."""
    block = {"hmac": "sha256", "key": "${env.K}", "text": "${ts}GET/x", **changed}
    return str(parse_sets({"ts": "$now", "sig": block}).extend({"now": 1700, "env.K": "key"})["sig"])


class SetsTests:
    """`set:` blocks."""

    def test_left_out(self) -> None:
        """Nothing is computed, nothing copied."""
        values = {"a": 1}
        assert parse_sets(None) is NO_SETS and NO_SETS.extend(values) is values

    def test_later_ones_use_earlier_ones(self) -> None:
        """In order."""
        sets = parse_sets({"ts": "$now", "both": "$ts-$ts", "deep": {"x": ["$both"]}})
        assert sets.extend({"now": 5})["deep"] == {"x": ["5-5"]}
        assert sets.names == {"ts", "both", "deep"} and sets.uses == {"now"}

    def test_unset(self) -> None:
        """As in any message."""
        with pytest.raises(Unset):
            parse_sets({"a": "$b"}).extend({})

    def test_no_table(self) -> None:
        """`set` is one."""
        with pytest.raises(Malformed):
            parse_sets(["a"])


class SignatureTests:
    """HMAC."""

    def test_hex_and_base64(self) -> None:
        """As the feed wants it."""
        digest = hmac.digest(b"key", b"1700GET/x", "sha256")
        assert signed() == digest.hex()
        assert signed(out="base64") == base64.b64encode(digest).decode()

    @pytest.mark.parametrize("name", ["md5", "sha1", "sha256", "sha384", "sha512"])
    def test_hashes(self, name: str) -> None:
        """All of them."""
        assert signed(hmac=name) == hmac.new(b"key", b"1700GET/x", getattr(hashlib, name)).hexdigest()

    def test_keys(self) -> None:
        """Written as text, base64 or hex."""
        assert signed(key="a2V5", key_is="base64") == signed(key="6b6579", key_is="hex") == signed(key="key")

    @pytest.mark.parametrize(("key", "key_is"), [("no base64!", "base64"), ("xyz", "hex")])
    def test_a_key_of_another_kind_is_refused_and_not_told(self, key: str, key_is: str) -> None:
        """The text is fit for a log."""
        with pytest.raises(Refused) as caught:
            signed(key=key, key_is=key_is)
        assert key not in str(caught.value)

    def test_uses(self) -> None:
        """Key and text."""
        sets = parse_sets({"sig": {"hmac": "sha1", "key": "${env.K}", "text": "$id"}})
        assert sets.uses == {"env.K", "id"}

    @pytest.mark.parametrize(
        "changed", [{"hmac": "crc32"}, {"key_is": "utf8"}, {"out": "base32"}, {"more": 1}, {"key": None}, {"text": "$"}]
    )
    def test_malformed(self, changed: dict[str, Any]) -> None:
        """The error names the entry."""
        with pytest.raises(Malformed):
            signed(**changed)

    def test_incomplete(self) -> None:
        """Key and text are needed."""
        with pytest.raises(Malformed, match="needs key and text"):
            parse_sets({"sig": {"hmac": "sha256", "key": "x"}})
