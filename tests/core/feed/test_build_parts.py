"""Blocks that speak of messages."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.core.feed.build_parts import (
    Reader,
    as_list,
    as_table,
    read_control,
    read_decode,
    read_fields,
    read_login,
    read_sequences,
    read_snapshots,
    read_topics,
)
from relayd.core.feed.dialect import FeedRow
from relayd.core.feed.errors import Malformed, Problems
from relayd.core.feed.feedname import WHOLE


def reader() -> Reader:
    """Where faults go."""
    return Reader(Problems())


def faults(made: Reader) -> list[tuple[Any, str]]:
    """What was noted."""
    return list(made.problems._found)


class TableTests:
    """Tables and lists."""

    def test_left_out(self) -> None:
        """Is empty."""
        assert as_table(None) == {} and as_list(None) == () and as_list({"a": 1}) == [{"a": 1}]
        assert as_list([{"a": 1}, None]) == [{"a": 1}, {}]

    def test_anything_else(self) -> None:
        """Is malformed."""
        for wrong in (5, "x", [1]):
            with pytest.raises(Malformed):
                as_table(wrong)


class ReaderTests:
    """Small parts."""

    def test_what_may_be_left_out(self) -> None:
        """Is None, or empty."""
        made = reader()
        assert (made.path(None), made.paths(None), made.match(None), made.at(None), made.ack(None)) == (
            None,
            (),
            None,
            None,
            None,
        )
        assert made.save(None) == {}

    def test_ack(self) -> None:
        """All of its keys."""
        rule = reader().ack({"id": "i", "at": "a", "all": "l", "some": "s", "not": "n", "bind": 2})
        assert rule is not None and rule.at is not None
        assert [path.text for path in (rule.id, rule.all, rule.some, rule.but, rule.bind) if path] == [
            "i",
            "l",
            "s",
            "n",
            "2",
        ]

    def test_at(self) -> None:
        """Fields or the feed name."""
        table, name = reader().at({"a": ["x", "y"]}), reader().at("z")
        assert table is not None and table.fields is not None and len(table.fields["a"]) == 2
        assert name is not None and len(name.name) == 1 and name.fields is None


class TopicsTests:
    """The `topics` block."""

    def test_list_and_table(self) -> None:
        """A list is a table without values."""
        assert read_topics(reader(), None) is None and read_topics(reader(), ["a", "b"]) == {
            "a": FeedRow(),
            "b": FeedRow(),
        }
        rows = read_topics(reader(), {"a": {"q": "$x", "as": "b"}, "c": None})
        assert rows == {"a": FeedRow({"q": "$x"}, "b"), "c": FeedRow()}

    def test_malformed(self) -> None:
        """Noted."""
        made = reader()
        assert read_topics(made, "x") is None and faults(made)[0][0] == ("topics",)


class FieldsTests:
    """The `topic` block."""

    def test_feed_names(self) -> None:
        """A string `at`, `key_of` and `bound` have one, a table has not."""
        assert read_fields(reader(), {"at": "ch"}, None).name is WHOLE
        assert read_fields(reader(), {"at": {"a": "b"}}, None).name is None
        assert read_fields(reader(), {"at": {"a": "b"}, "bound": "id"}, None).name is WHOLE
        assert read_fields(reader(), {"at": "ch", "name": "$a.$b"}, None).yields == ("a", "b")

    @pytest.mark.parametrize(
        ("block", "topics", "place"),
        [
            ({"at": {"a": "b"}, "name": "$a"}, None, ("topic", "name")),
            ({"at": {"a": "b"}}, {"x": FeedRow()}, ("topic", "name")),
            ({"at": "a", "name": "x"}, None, ("topic", "name")),
            ({"at": []}, None, ("topic", "at")),
            ({"bound": ""}, None, ("topic", "bound")),
            ({"when": 5}, None, ("topic", "when")),
            ({"unless": 5}, None, ("topic", "unless")),
            ({"at": "a", "types": {"a": "date"}}, None, ("topic", "types", "a")),
            ({"at": {"a": "b"}, "prefix": '{"a":"'}, None, ("topic", "prefix")),
            ({"at": "a", "prefix": '{"a":'}, None, ("topic", "prefix")),
        ],
    )
    def test_malformed(self, block: Any, topics: Any, place: Any) -> None:
        """Noted with its place."""
        made = reader()
        read_fields(made, block, topics)
        assert [where for where, _ in faults(made)] == [place]

    def test_renaming(self) -> None:
        """Texts to texts; the prefix as it stands."""
        made = read_fields(
            reader(), {"at": "a", "map": {"name": {1: "x"}}, "types": {"name": "int"}, "prefix": '{"a":"'}, None
        )
        assert made.map == {"name": {"1": "x"}} and made.types == {"name": "int"} and made.prefix == '{"a":"'


class DecodeTests:
    """The `decode` block."""

    def test_separators_and_paths(self) -> None:
        """Control characters stand between messages, anything else is a path."""
        assert read_decode(reader(), {"split": "\x1e"}).separator == "\x1e"
        assert read_decode(reader(), {"split": "\r\n"}).separator == "\r\n"
        split = read_decode(reader(), {"binary": ["gzip", "json"], "split": "a.b"}).split
        assert split is not None and split.parts == ("a", "b")
        assert read_decode(reader(), {}).split is None

    @pytest.mark.parametrize(
        ("block", "place"),
        [
            ({"binary": ["bzip2"]}, ("decode", "binary", 0)),
            ({"split": ""}, ("decode", "split")),
            ({"split": -1}, ("decode", "split")),
        ],
    )
    def test_malformed(self, block: Any, place: Any) -> None:
        """Noted."""
        made = reader()
        read_decode(made, block)
        assert [where for where, _ in faults(made)] == [place]


class RulesTests:
    """Login, control, sequences, snapshots."""

    def test_login(self) -> None:
        """Steps with their faults."""
        made = reader()
        steps = read_login(made, [{"send": {"a": 1}, "expect": "ok", "within": "3s"}, {"expect": 5}])
        assert len(steps) == 1 and steps[0].sends and steps[0].within_s == 3.0
        assert faults(made)[0][0] == ("login", 1)

    def test_control(self) -> None:
        """Every kind of rule."""
        made = reader()
        rules = read_control(
            made,
            [
                {"when": "x", "ack": {"id": "i"}},
                {"when": {"a": 1}, "fail": {"id": "i", "at": "c", "text": ["t", "u"]}},
                {"when": {"a": 2}, "send": {"p": "${msg.a}"}},
                {"when": {"a": 3}, "do": "drain", "url": "u"},
                {"do": "resubscribe", "id": "i", "at": {"a": "b"}},
                {"when": {"a": 4}, "do": "explode"},
            ],
        )
        assert len(rules) == 5 and rules[2].sends and not rules[0].sends and rules[3].url is not None
        assert rules[1].fail is not None and len(rules[1].fail.text) == 2 and rules[4].when.conditions == ()
        assert faults(made)[0][0] == ("control", 5)

    def test_sequences(self) -> None:
        """One number, two, or a link."""
        made = reader()
        rules = read_sequences(
            made,
            [
                {"at": "n", "step": 1, "per": "connection", "gap": "reconnect"},
                {"first": "U", "last": "u"},
                {"prev": "p", "at": "n"},
                {"first": "U"},
                {"at": "n", "per": "moon"},
                {"at": "n", "gap": "cry"},
            ],
        )
        assert (
            [len(rule.paths) for rule in rules] == [1, 2, 2]
            and rules[0].per_connection
            and rules[0].repair == "reconnect"
        )
        assert [place for place, _ in faults(made)] == [("sequence", 3), ("sequence", 4), ("sequence", 5)]

    def test_snapshots(self) -> None:
        """In the stream, fetched, or asked for."""
        made = reader()
        rules = read_snapshots(
            made, [{"when": {"t": "s"}}, {"http": {"url": "http://h"}, "last": "n"}, {"send": "x"}, {"http": {}}]
        )
        assert [rule.http is not None for rule in rules] == [False, True, False] and rules[2].sends
        assert faults(made)[0][0] == ("snapshot", 3)
