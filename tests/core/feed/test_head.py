"""Numbers at the head of a large object."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.feed.head import compile_head

BOTH = compile_head(("U", "u"))


class HeadTests:
    """Found there, or not at all."""

    @pytest.mark.parametrize(
        ("payload", "found"),
        [
            (b'{"e":"x","U":157,"u":160,"b":[', (157, 160)),
            (b'{"u":160,"U":157,"b":[', (157, 160)),
            (b'{ "e" : "a\\"\\\\,\\"U\\":5," , "n":-1.5e3,"t":true,"z":null , "U" : -1 , "u"\n:\t0 ,"b":[', (-1, 0)),
            (b'{"x":{"U":1,"u":2},"U":3,"u":4,"b":[', (3, 4)),
            (b'{"U":157,"u":160}', None),
            (b'{"U":157,"u":160,"b":1}', (157, 160)),
            (b'{"U":1.5,"u":2,"b":[', None),
            (b'{"U":"1","u":2,"b":[', None),
            (b'{"U":true,"u":2,"b":[', None),
            (b'{"b":[],"U":1,"u":2}', None),
            (b'{"U":1,"b":[],"u":2}', None),
            (b'{"x":{"U":1,"u":2,"b":[]},"U":3', None),
            (b'{"t":"x,[","U":1,"u":2,"b":[', None),
            (b'{"U":1,"b":[', None),
            (b"[1]", None),
            (b"", None),
        ],
    )
    def test_reads(self, payload: bytes, found: tuple[int, ...] | None) -> None:
        """Only what stands before the first bracket."""
        assert BOTH(payload) == found

    def test_one(self) -> None:
        """Any key that a Struct can be given."""
        assert compile_head(("a b.c",))(b'{"a b.c":7,"d":[') == 7

    @pytest.mark.parametrize(
        ("payload", "found"),
        [
            (b'{"U":99999,"u":99999,"b":[', (99999, 99999)),
            (b'{"U":9,"x":"a,b","u":9,"b":[', (9, 9)),
            (b'{"U":1,"u":123456,"c":7,"b":[', (1, 123456)),
            (b'{"U":1,"u":2,"b":[[1,2],{"a":1,"b":2}],"c":3}', (1, 2)),
            (b'{"x":[1,1,1,1,1,1,1,1,1,1,1,1],"U":1,"u":2}', None),
            (b'{"U":1}', None),
        ],
    )
    def test_where_the_comma_stood_before(self, payload: bytes, found: tuple[int, ...] | None) -> None:
        """There, elsewhere, inside a number that is longer, inside a text or an array, or the object is shorter now."""
        read = compile_head(("U", "u"))
        for before in (b'{"U":157,"u":160,"b":[', b'{"U":1,"u":23,"bc":1,"d":['):
            assert read(before) is not None
            assert read(payload) == found

    @given(
        st.dictionaries(
            st.sampled_from(["U", "u", "a", "b", '"', "é"]),
            st.none()
            | st.booleans()
            | st.integers(-(10**19), 10**19)
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(max_size=5)
            | st.lists(st.integers(), max_size=2),
        ),
        st.booleans(),
    )
    def test_never_differs_from_decoding(self, doc: dict[str, Any], spaced: bool) -> None:
        """What it finds is what stands there."""
        found = BOTH(json.dumps(doc, separators=(", ", " : ") if spaced else (",", ":")).encode())
        if found is not None:
            assert found == (doc["U"], doc["u"])
