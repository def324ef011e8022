"""Blocks that speak of connecting and asking."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.core.feed.build_asking import read_connect, read_variants
from relayd.core.feed.build_parts import Reader, as_list, read_fields
from relayd.core.feed.connect import Connect
from relayd.core.feed.errors import Problems
from relayd.core.feed.subscription import Variant
from relayd.core.feed.url import parse_url


def reader() -> Reader:
    """Where faults go."""
    return Reader(Problems())


def faults(made: Reader) -> list[Any]:
    """The places of what was noted."""
    return [place for place, _ in made.problems._found]


class ConnectTests:
    """The `connect` block."""

    def test_all_of_it(self) -> None:
        """Every key."""
        step = {"http": {"url": "http://h"}, "save": {"t": "a.b"}, "keep": "until-refused", "within": "2s"}
        refresh = {"every": "30m", "http": {"url": "http://h"}, "save": {"t": "x"}}
        block = {"url": "wss://h", "query": {"a": "1"}, "headers": {"X": "y"}, "protocols": ["p"], "hosts": ["*.h"]}
        made = read_connect(reader(), {**block, "before": [step], "refresh": refresh, "max_age": "89d"})
        assert made.before[0].keep and made.before[0].within_s == 2.0 and made.max_age_s == 89 * 86_400.0
        assert made.refresh is not None and made.refresh.every_s == 1800.0
        assert made.protocols == ("p",) and made.hosts == ("*.h",)

    def test_left_out(self) -> None:
        """No steps, no age."""
        made = read_connect(reader(), {"url": "wss://h", "max_age": "off"})
        assert made.before == () and made.refresh is None and made.max_age_s is None

    @pytest.mark.parametrize(
        ("block", "place"),
        [
            ({}, ("connect",)),
            ({"url": "wss://h", "before": [{"http": {"url": "x"}, "keep": "for-ever"}]}, ("connect", "before", 0)),
            ({"url": "wss://h", "before": [{}]}, ("connect", "before", 0)),
            ({"url": "wss://h", "refresh": {"every": "x", "http": {"url": "x"}}}, ("connect", "refresh")),
            ({"url": "wss://h", "max_age": 0.5j}, ("connect", "max_age")),
        ],
    )
    def test_malformed(self, block: Any, place: Any) -> None:
        """Noted with its place."""
        made = reader()
        read_connect(made, block)
        assert faults(made) == [place]


TABLE: Any = {"at": {"channel": "c", "symbol": "s"}}


def variants(block: Any, models: tuple[Variant, ...] = (), topic: Any = None) -> tuple[tuple[Variant, ...], list[Any]]:
    """The variants of a block, and the places of faults."""
    made = reader()
    fields = read_fields(made, TABLE if topic is None else topic, None)
    connect = Connect(parse_url("wss://h/$topics"))
    return read_variants(made, "subscribe", as_list(block), models, fields, connect), faults(made)


class VariantTests:
    """`subscribe` and `unsubscribe`."""

    def test_members_default_to_the_feed_name(self) -> None:
        """Where there is one."""
        (made,), _ = variants({"send": {"a": "$topics"}}, topic={"at": "ch"})
        assert made.each is not None and made.is_many
        assert variants({"send": {"a": "$topics"}}) == ((), [("subscribe", 0)])

    def test_all_of_it(self) -> None:
        """Every key."""
        block = {
            "for": {"channel": "x"},
            "verbs": ["on", "off"],
            "set": {"a": "$now"},
            "each": "$symbol",
            "join": ",",
            "batch": 5,
            "bytes": 100,
            "http": {"url": "http://h/$topics"},
            "ack": {"all": "l"},
            "fail": {"text": "m"},
            "within": "5s",
            "settle": "2s",
            "bind": "s$id",
            "whole": True,
        }
        (made,), found = variants(block)
        assert found == [] and made.verbs == ("on", "off") and (made.join, made.batch, made.bytes) == (",", 5, 100)
        assert (
            made.ack is not None
            and len(made.text) == 1
            and (made.within_s, made.settle_s, made.whole) == (5.0, 2.0, True)
        )

    def test_in_the_url(self) -> None:
        """What it uses stands in `connect`."""
        (made,), _ = variants({"in": "url", "join": ","}, topic={"at": "ch"})
        assert made.in_url and made.is_many and made.outer_names == {"topics"}

    def test_an_end_takes_over_what_it_leaves_out(self) -> None:
        """From the variant with the same `for`, else the last one."""
        models, _ = variants(
            [
                {"for": {"channel": "x"}, "each": "$symbol", "send": {"a": "$topics"}, "batch": 3, "verbs": ["a", "b"]},
                {"each": "$symbol", "send": {"a": "$topics"}, "batch": 7},
            ]
        )
        ends, found = variants(
            [{"for": {"channel": "x"}, "send": {"b": "$topics"}}, {"for": {"channel": "y"}, "send": {"b": "$topics"}}],
            models,
        )
        assert found == [] and [one.batch for one in ends] == [3, 7] and ends[0].verbs == ("a", "b")
        single, found = variants({"send": {"b": "$symbol"}}, models)
        assert found == [] and single[0].batch is None and single[0].join is None

    @pytest.mark.parametrize(
        "block",
        [
            {},
            {"send": "x", "http": {"url": "h"}},
            {"in": "header"},
            {"send": "x", "verbs": ["one"]},
            {"send": "x", "batch": 5},
            {"send": "x", "join": ","},
            {"send": "x", "bind": "$"},
            {"send": "x", "for": {}},
            {"send": "x", "within": "soon"},
        ],
    )
    def test_malformed(self, block: Any) -> None:
        """Noted with its place."""
        assert variants([block])[1] == [("subscribe", 0)]
