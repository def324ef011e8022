"""JSON that cannot be read in two ways."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.auth.strict_json import NotStrict, read_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


class ReadObjectTests:
    """Objects, or NotStrict."""

    @given(st.dictionaries(st.text(max_size=3), VALUES))
    def test_objects(self, value: dict[str, object]) -> None:
        """What is written is read."""
        assert read_object(json.dumps(value).encode()) == value

    @given(st.binary(max_size=50))
    def test_any_bytes(self, data: bytes) -> None:
        """Nothing else is raised."""
        with suppress(NotStrict):
            assert isinstance(read_object(data), dict)

    @pytest.mark.parametrize(
        "data",
        [b"", b"[]", b"5", b"null", b"{} x", b'{"a":1,"a":1}', b'{"a":{"b":1,"b":2}}', b'{"a":NaN}', b'{"a":Infinity}',
         b"\xef\xbb\xbf{}", b'{"a":"\xff"}', b'{"a":' * 100_000, b'{"a":' + b"9" * 5000 + b"}"],
    )  # fmt: skip
    def test_refused(self, data: bytes) -> None:
        """Other types, keys that stand twice, words that JSON has not, too deep, too many digits."""
        with pytest.raises(NotStrict):
            read_object(data)
