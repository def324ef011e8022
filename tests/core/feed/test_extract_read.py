"""Numbers, snapshots and cursors from what was decoded."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

import pytest
from msgspec import UNSET

from relayd.core.feed.extract_read import Value, is_plain, read_flag, read_number, read_value
from relayd.core.feed.extract_tree import NotCompiled
from relayd.core.feed.match import parse_match


def value(key: str, in_payload: bool = False) -> Value:
    """A value of a table."""
    return Value(lambda table: table.get(key, UNSET), in_payload)


class ReadTests:
    """From the message or its payload."""

    def test_values(self) -> None:
        """Either."""
        assert read_value(value("a")).read({"a": 1}, {"a": 2}) == 1
        inside = read_value(value("a", True))
        assert inside.read({"a": 1}, {"a": 2}) == 2 and inside.in_payload

    def test_one_number(self) -> None:
        """Also written as text."""
        read = read_number([value("n")]).read
        assert [read({"n": one}, None) for one in (5, "6", "x", None, UNSET)] == [5, 6, None, None, None]

    def test_two_numbers(self) -> None:
        """Both, or none."""
        reader = read_number([value("U", True), value("u", True)], itemgetter(0))
        assert reader.in_payload and reader.head is not None
        read = reader.read
        assert read(None, {"U": 1, "u": 2}) == (1, 2) and read(None, {"U": "1", "u": 2}) == (1, 2)
        assert read(None, {"U": 1}) is None and read(None, {"u": 1}) is None

    def test_numbers_in_two_places(self) -> None:
        """Need the general way."""
        with pytest.raises(NotCompiled):
            read_number([value("U"), value("u", True)])

    @pytest.mark.parametrize(
        ("match", "message", "holds"),
        [
            ({"t": "s"}, {"t": "s"}, True),
            ({"t": "s"}, {"t": "d"}, False),
            ({"t": "s"}, {}, False),
            ({"t": ["a", "b"]}, {"t": "b"}, True),
            ({"t": None}, {"t": None}, True),
            ({"t": None}, {}, False),
            ({"t": "s*"}, {"t": "snap"}, True),
            ({"t": "*"}, {"t": None}, True),
            ({"t": "*"}, {}, False),
            ({"t": "s", "u": 1}, {"t": "s", "u": 1}, True),
            ({"t": "s", "u": 1}, {"t": "s", "u": 2}, False),
        ],
    )
    def test_flags(self, match: Any, message: Any, holds: bool) -> None:
        """As the match itself would say."""
        conditions = parse_match(match).conditions
        for inside in (False, True):
            reader = read_flag([(value(str(one.path.parts[0]), inside), one) for one in conditions])
            assert reader.in_payload is inside
            assert reader.read(None if inside else message, message if inside else None) is holds

    def test_plain(self) -> None:
        """No globs."""
        assert is_plain(parse_match({"a": ["x", 1, None]}).conditions[0])
        assert not is_plain(parse_match({"a": ["x", "y*"]}).conditions[0])
