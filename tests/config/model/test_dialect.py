"""What an upstream says and must hear."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from relayd.config.model.dialect import Ack, Control, Cursor, Decode, Heartbeat, Sequence, Snapshot, Subscribe, Topic


class DialectTests:
    """Keys of the file; a Python word has an underscore behind it, a value with a unit carries it."""

    def test_topic(self):
        """Feed name or fields."""
        assert Topic.model_validate({"at": "ch"}).at == ("ch",)
        topic = Topic.model_validate(
            {"at": {"a": ["x", 0]}, "bound": 0, "types": {"a": "int"}, "map": {"a": {"x": "y"}}, "unless": {1: "hb"}}
        )
        assert (topic.at, topic.bound, topic.unless) == ({"a": ("x", "0")}, "0", {"1": ("hb",)})

    def test_subscribe(self):
        """Defaults, and the words of Python."""
        variant = Subscribe.model_validate(
            {"in": "url", "for": {"channel": "x"}, "settle": "5s", "bytes": "64KiB", "batch": 200, "within": "3s"}
        )
        assert (variant.in_, variant.for_, variant.settle_s, variant.bytes, variant.batch) == (
            "url",
            {"channel": ("x",)},
            5.0,
            65_536,
            200,
        )
        assert variant.within_s == 3.0
        assert Subscribe().verbs == ("subscribe", "unsubscribe")
        assert (Subscribe().settle_s, Subscribe().within_s, Subscribe().whole) == (1.0, None, False)

    def test_control(self):
        """A rule needs its `when`."""
        rule = Control.model_validate({"when": "ping", "send": "pong"})
        assert (rule.when, rule.send, rule.do) == ("ping", "pong", None)
        assert Ack.model_validate({"some": "ok", "not": "bad"}).not_ == "bad"
        with pytest.raises(ValidationError):
            Control.model_validate({"do": "beat"})

    def test_heartbeat(self):
        """Seconds, or a template."""
        assert (Heartbeat().every_s, Heartbeat().within_s, Heartbeat().also) == (20.0, 10.0, None)
        assert Heartbeat.model_validate({"every": "${ping_ms}ms"}).every_s == "${ping_ms}ms"
        assert Heartbeat.model_validate({"expect": ["ping", "pong"]}).expect == ("ping", "pong")

    def test_state(self):
        """Sequence, snapshot, cursor, decode."""
        sequence = Sequence.model_validate({"prev": "p", "at": -1})
        assert (sequence.per, sequence.gap, sequence.prev, sequence.at) == ("topic", "mark", "p", "-1")
        assert Snapshot.model_validate({"when": {"1.0.0": "*"}}).when == {"1.0.0": ("*",)}
        cursor = Cursor.model_validate({"at": ["a", "b"], "rewind": 5_000_000})
        assert (cursor.at, cursor.rewind) == (("a", "b"), 5_000_000)
        assert Decode.model_validate({"binary": ["gzip", "json"], "split": "\x1e"}).binary == ("gzip", "json")
