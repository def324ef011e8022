"""UTF-8 in portions: never another verdict than Autobahn's."""

from __future__ import annotations

import pytest
from autobahn.websocket.utf8validator import Utf8Validator as Autobahns
from hypothesis import given
from hypothesis import strategies as st

from relayd.io.utf8 import Utf8Validator


def verdicts(validator: Utf8Validator | Autobahns, portions: list[bytes]) -> list[tuple[bool, bool, int, int]]:
    """(valid, ends between two characters, offsets) after each portion, up to the first that is not valid."""
    validator.reset()
    told = []
    for portion in portions:
        is_valid, is_between, at, in_all = validator.validate(portion)
        told.append((bool(is_valid), bool(is_valid and is_between), at, in_all))
        if not is_valid:
            break
    return told


EDGES = [b"\x80", b"\xbf", b"\xc0\x80", b"\xc2", b"\xe0\x80", b"\xe0\xa0", b"\xed\x9f", b"\xed\xa0", b"\xf0\x8f"]
EDGES += [b"\xf0\x90", b"\xf4\x8f", b"\xf4\x90", b"\xf5", b"\xff", "é€🙂".encode(), b"{}"]
PORTIONS = st.lists(st.binary(max_size=4) | st.sampled_from(EDGES) | st.text(max_size=4).map(str.encode), max_size=6)


@given(PORTIONS)
def test_as_autobahn_says(portions: list[bytes]) -> None:
    """Whatever comes, however it is cut; a mistake is seen at the byte that makes it one."""
    assert verdicts(Utf8Validator(), portions) == verdicts(Autobahns(), portions)
    whole = b"".join(portions)
    by_byte = [whole[at : at + 1] for at in range(len(whole))]
    assert verdicts(Utf8Validator(), by_byte) == verdicts(Autobahns(), by_byte)


@pytest.mark.parametrize(
    ("portions", "last"),
    [
        ([b"ab", b"cd"], (True, True, 2, 4)),
        ([b"ab\xe2", b"\x82", b"\xac"], (True, True, 1, 5)),
        ([b"ab\xe2", b"\x82"], (True, False, 1, 4)),
        ([b"abc", b"d\xffe"], (False, False, 1, 4)),
        ([b"abc\xed\xa0"], (False, False, 4, 4)),
        ([b"abc\xed\x9f"], (True, False, 5, 5)),
        ([b"a\xe2", b"b"], (False, False, 0, 2)),
        ([b"a\xe2bc"], (False, False, 2, 2)),
        ([b"a\xf0\x90", b"\x80\xff"], (False, False, 1, 4)),
    ],
)
def test_where(portions: list[bytes], last: tuple[bool, bool, int, int]) -> None:
    """The offset in the portion, and in the message; a message before does not matter."""
    validator = Utf8Validator()
    validator.validate(b"\xe2")
    validator.reset()
    assert [validator.validate(portion) for portion in portions][-1] == last
