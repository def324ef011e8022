"""Paths: where a value stands."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.core.feed.errors import Malformed
from relayd.core.feed.path import MISSING, OUTER, SSE, Path, Scope, parse_path, parse_paths

DOC = {"a": {"b": [10, {"c": None}], "0": "zero"}, "x.y": 1, "~/": 2, "n": None, "": 3}


class PathTests:
    """Finding."""

    @pytest.mark.parametrize(
        ("written", "found"),
        [
            ("a.b.0", 10),
            ("a.b.-2", 10),
            ("a.b.1.c", None),
            ("a.b.-1.c", None),
            ("a.0", "zero"),
            ("n", None),
            ("/x.y", 1),
            ("/~0~1", 2),
            ("/a/b/0", 10),
            ("/", 3),
            ("/a/b/-1", MISSING),
            ("a.b.2", MISSING),
            ("a.b.-3", MISSING),
            ("a.b.c", MISSING),
            ("a.x", MISSING),
            ("n.x", MISSING),
            ("a.b.01", MISSING),
        ],
    )
    def test_finds(self, written: str, found: object) -> None:
        """Dotted paths, positions, JSON Pointers; null is a value, nothing is not."""
        assert parse_path(written).find(DOC) is found or parse_path(written).find(DOC) == found

    def test_the_whole(self) -> None:
        """`.` is the value itself."""
        assert parse_path(".").find(DOC) is DOC

    def test_positions_may_be_numbers_in_the_file(self) -> None:
        """`bound: 0`, `at: -1`."""
        assert parse_path(0) == parse_path("0") and parse_path(-1).find([1, 2]) == 2
        assert parse_path(-1).is_negative and not parse_path("a.0").is_negative

    def test_whole_number_keys_of_messagepack(self) -> None:
        """A table may have them, where no text key is the same."""
        assert parse_path("1.2").find({1: {2: "x"}}) == "x"
        assert parse_path("1").find({1: "number", "1": "text"}) == "text"

    @pytest.mark.parametrize("wrong", ["", "a..b", ".a", "a.", "/a~2", "/~", True, None, 1.5, ["a"]])
    def test_malformed(self, wrong: Any) -> None:
        """The error shows a right one."""
        with pytest.raises(Malformed):
            parse_path(wrong)

    def test_roots_only_where_they_are_known(self) -> None:
        """`outer.type` is a plain key of a feed that is not split."""
        assert parse_path("outer.type") == Path("outer.type", ("outer", "type"))
        assert parse_path("outer.type", (OUTER,)) == Path("outer.type", ("type",), OUTER)
        assert parse_path("sse.id", (OUTER, SSE)).root == SSE

    @given(
        st.recursive(
            st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
        ),
        st.text(max_size=20),
    )
    def test_any_path_in_any_value(self, doc: Any, written: str) -> None:
        """A path is malformed or finds something, or nothing; it never breaks."""
        try:
            path = parse_path(written)
        except Malformed:
            return
        found = path.find(doc)
        assert path.parts or found is doc


class PathsTests:
    """The first that exists."""

    def test_one_or_several(self) -> None:
        """A list is tried in order; null exists."""
        assert len(parse_paths("a")) == 1
        scope = Scope({"b": None, "c": 1})
        assert scope.first(parse_paths(["a", "b", "c"])) is None
        assert scope.first(parse_paths(["a"])) is MISSING

    def test_an_empty_list_is_malformed(self) -> None:
        """It would never find anything."""
        with pytest.raises(Malformed):
            parse_paths([])


class ScopeTests:
    """A message and what surrounds it."""

    def test_roots(self) -> None:
        """The frame a part was taken from, and the event that brought it."""
        scope = Scope("part", outer={"type": "trade"}, sse={"id": "7"})
        assert scope.get(parse_path("outer.type", (OUTER,))) == "trade"
        assert scope.get(parse_path("sse.id", (SSE,))) == "7"
        assert scope.get(parse_path(".")) == "part"
        assert Scope({}).get(parse_path("outer.type", (OUTER,))) is MISSING
