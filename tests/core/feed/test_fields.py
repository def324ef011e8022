"""Fields of messages."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.core.feed.build_parts import Reader, read_fields
from relayd.core.feed.errors import Problems, Refused
from relayd.core.feed.fields import Fields, value_text
from relayd.core.feed.path import Scope


def fields(**block: Any) -> Fields:
    """A `topic` block."""
    problems = Problems()
    made = read_fields(Reader(problems), block, None)
    problems.finish()
    return made


def tables(made: Fields, doc: Any) -> Any:
    """The fields of a message; None = no topic."""
    reading = made.read(Scope(doc))
    return None if reading is None else list(reading.tables)


class ReadTests:
    """From a message."""

    def test_a_table(self) -> None:
        """What is not there is no field; a message without any has no topic."""
        made = fields(at={"channel": "type", "symbol": ["product_id", "s"]}, map={"channel": {"l2update": "level2"}})
        assert made.yields == ("channel", "symbol") and made.name is None
        assert tables(made, {"type": "l2update", "s": "X"}) == [{"channel": "level2", "symbol": "X"}]
        assert tables(made, {"type": "status"}) == [{"channel": "status"}]
        assert tables(made, {"other": 1}) is None

    def test_only_texts_and_integers_are_values(self) -> None:
        """JSON integers become text."""
        made = fields(at={"a": "a"})
        assert tables(made, {"a": 9433}) == [{"a": "9433"}] and tables(made, {"a": ""}) == [{"a": ""}]
        for other in (None, True, 1.5, [1], {}, 1 << 2000):
            assert tables(made, {"a": other}) is None
        assert value_text(-5) == "-5"

    def test_a_feed_name(self) -> None:
        """Taken apart and renamed; another shape is no topic."""
        made = fields(at="stream", name="$symbol@$stream", map={"stream": {"depth": "book"}})
        assert made.yields == ("symbol", "stream")
        assert tables(made, {"stream": "btc@depth"}) == [{"symbol": "btc", "stream": "book"}]
        assert tables(made, {"stream": "!x"}) is None and tables(made, {"stream": None}) is None
        assert tables(made, {}) is None
        assert made.apart("a@b") == {"symbol": "a", "stream": "b"} and fields(at={"a": "a"}).apart("a") is None

    def test_keys_that_are_feed_names(self) -> None:
        """Each one present, in the block's order."""
        made = fields(key_of=["block", "mempoolInfo"])
        assert made.yields == ("name",)
        assert tables(made, {"mempoolInfo": 1, "block": None}) == [{"name": "block"}, {"name": "mempoolInfo"}]
        assert tables(made, {"other": 1}) is None and tables(made, [1]) is None

    def test_bound(self) -> None:
        """The id as text, and what `at` adds."""
        made = fields(bound="id", at={"entity": "e"})
        reading = made.read(Scope({"id": 5, "e": "light"}))
        assert reading is not None and (reading.bound, reading.tables) == ("5", ({"entity": "light"},))
        assert tables(made, {"id": "x"}) == [{}] and tables(made, {"e": "light"}) is None

    def test_bound_beside_a_feed_name(self) -> None:
        """Which may be missing or of another shape."""
        made = fields(bound="id", at="ch", name="$a:$b")
        assert tables(made, {"id": 1, "ch": "x:y"}) == [{"a": "x", "b": "y"}]
        assert tables(made, {"id": 1, "ch": "x"}) == [{}]

    def test_when_and_unless(self) -> None:
        """What looks like data and is none."""
        made = fields(at={"a": "a"}, when={"type": "data"}, unless={"event": "*"})
        assert tables(made, {"type": "data", "a": "x"}) == [{"a": "x"}]
        assert tables(made, {"type": "data", "a": "x", "event": 1}) is None and tables(made, {"a": "x"}) is None

    def test_nothing_says_where(self) -> None:
        """Then every message is data, of a topic without fields."""
        assert tables(fields(), "anything") == [{}] and fields().yields == ()


class TypedTests:
    """What is sent."""

    def test_types(self) -> None:
        """Only those that are named are changed."""
        made = fields(at={"a": "a"}, types={"a": "int", "b": "float", "c": "bool"})
        assert made.typed({"a": "9433", "b": "1.5", "c": "true", "d": "7"}) == {
            "a": 9433,
            "b": 1.5,
            "c": True,
            "d": "7",
        }
        assert made.typed({"c": "false"}) == {"c": False}

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("a", "x"),
            ("a", "01"),
            ("a", "1.0"),
            ("a", " 1"),
            ("a", "+1"),
            ("b", "x"),
            ("b", "nan"),
            ("b", "inf"),
            ("c", "1"),
            ("c", "True"),
        ],
    )
    def test_what_has_another_type_is_refused(self, name: str, text: str) -> None:
        """Or would come back written differently."""
        with pytest.raises(Refused):
            fields(at={"a": "a"}, types={"a": "int", "b": "float", "c": "bool"}).typed({name: text})

    def test_fields_found_in_an_ack(self) -> None:
        """Renamed like those of data."""
        made = fields(at={"a": "a"}, map={"a": {"x": "y"}})
        assert made.table({"a": "x", "b": 3, "c": None}) == {"a": "y", "b": "3"}
