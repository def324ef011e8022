"""Where messages name subscriptions."""

from __future__ import annotations

from typing import Any

from relayd.core.feed import control
from relayd.core.feed.build_parts import Reader
from relayd.core.feed.control import AckRule, At
from relayd.core.feed.errors import Problems
from relayd.core.feed.fields import Fields
from relayd.core.feed.path import Scope, parse_path
from tests.support.talk import dialect

READER = Reader(Problems())
FIELDS = Fields(at={"channel": ()}, map={"channel": {"l2": "level2"}})
NAMED = dialect(topic={"at": "stream", "name": "$a@$b"}, subscribe=None).fields


def tables(at: Any, doc: Any, fields: Fields = FIELDS) -> list[dict[str, str]]:
    """The fields that the message names."""
    made = READER.at(at)
    assert made is not None
    return made.tables(Scope(doc), fields)


class AtTests:
    """`at` of acks and fails."""

    def test_fields(self) -> None:
        """Renamed as in data; what is missing makes the table partial."""
        at = {"channel": "arg.ch", "symbol": "arg.sym"}
        assert tables(at, {"arg": {"ch": "l2", "sym": 7}}) == [{"channel": "level2", "symbol": "7"}]
        assert tables(at, {"arg": {"ch": "x"}}) == [{"channel": "x"}]
        assert tables(at, {"arg": {"ch": None}}) == [] and tables(at, {}) == []

    def test_lists_name_several(self) -> None:
        """Each with each."""
        at = {"channel": "name", "symbol": "ids"}
        assert tables(at, {"name": "t", "ids": ["A", "B"]}) == [
            {"channel": "t", "symbol": "A"},
            {"channel": "t", "symbol": "B"},
        ]
        assert tables(at, {"name": "t", "ids": []}) == [{"channel": "t"}]

    def test_feed_names(self) -> None:
        """One or a list; another shape names nothing."""
        assert tables("ch", {"ch": "x@y"}, NAMED) == [{"a": "x", "b": "y"}]
        assert tables("ch", {"ch": ["x@y", 5, "z", None]}, NAMED) == [{"a": "x", "b": "y"}]
        assert tables("ch", {}, NAMED) == []

    def test_the_number_is_bounded(self, monkeypatch: Any) -> None:
        """A hostile answer does not multiply."""
        monkeypatch.setattr(control, "MAX_NAMED", 10)
        assert len(tables({"a": "x", "b": "x"}, {"x": list(map(str, range(100)))})) == 10


class ListedTests:
    """Lists of subscriptions."""

    def test_rows(self) -> None:
        """`at` is read in each."""
        rule = AckRule(at=READER.at({"channel": "name", "symbol": "ids"}))
        rows = {"l": [{"name": "t", "ids": ["A"]}, {"other": 1}, {"name": "u", "ids": "B"}]}
        assert rule.listed(Scope(rows), parse_path("l"), FIELDS) == [
            {"channel": "t", "symbol": "A"},
            {"channel": "u", "symbol": "B"},
        ]

    def test_names(self) -> None:
        """Without `at` the members are feed names; of a table, its keys."""
        for doc in ({"l": ["x@y"]}, {"l": {"x@y": {}}}, {"l": "x@y"}):
            assert AckRule().listed(Scope(doc), parse_path("l"), NAMED) == [{"a": "x", "b": "y"}]
        assert AckRule().listed(Scope({}), parse_path("l"), NAMED) == []

    def test_at_without_anything(self) -> None:
        """Names nothing."""
        assert At().tables(Scope("x@y"), NAMED) == []
