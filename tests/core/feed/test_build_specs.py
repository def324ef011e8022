"""Blocks that speak of time."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.core.feed.build_parts import Reader
from relayd.core.feed.build_specs import read_heartbeat, read_specs
from relayd.core.feed.errors import Problems
from relayd.core.feed.spec import CodeRule, HeartbeatSpec, LimitsSpec, RateSpec, ReconnectSpec, SilenceSpec
from relayd.core.feed.template import Text
from relayd.core.hours import Hours


def reader() -> Reader:
    """Where faults go."""
    return Reader(Problems())


def faults(made: Reader) -> list[Any]:
    """The places of what was noted."""
    return [place for place, _ in made.problems._found]


class HeartbeatTests:
    """The `heartbeat` block."""

    def test_left_out(self) -> None:
        """A WebSocket ping."""
        beat, spec = read_heartbeat(reader(), None)
        assert beat is not None and beat.every == 20.0 and spec == HeartbeatSpec()

    def test_off(self) -> None:
        """As YAML 1.1 or 1.2 read it."""
        assert read_heartbeat(reader(), "off") == read_heartbeat(reader(), False) == (None, None)

    def test_a_message(self) -> None:
        """And what answers it."""
        beat, spec = read_heartbeat(reader(), {"send": {"op": "ping"}, "expect": "pong", "every": "5s", "within": "2s"})
        assert beat is not None and beat.sends and beat.every == 5.0
        assert spec == HeartbeatSpec(2.0, ping=False, expects=True)

    def test_told_by_the_server(self) -> None:
        """A template."""
        beat, _ = read_heartbeat(reader(), {"every": "${ping_ms}ms"})
        assert beat is not None and isinstance(beat.every, Text)

    def test_a_companion(self) -> None:
        """Nothing is sent."""
        beat, spec = read_heartbeat(reader(), {"also": {"channel": "hb", "symbol": "$symbol"}, "within": 15})
        assert beat is not None and beat.also is not None and set(beat.also) == {"channel", "symbol"}
        assert spec == HeartbeatSpec(15.0, ping=False, companion=True)

    @pytest.mark.parametrize("block", [{"every": "x"}, {"within": "x"}, {"expect": 5}, {"also": {"a": 5}}])
    def test_malformed(self, block: Any) -> None:
        """Noted."""
        made = reader()
        read_heartbeat(made, block)
        assert faults(made) == [("heartbeat",)]


class SpecTests:
    """Silence, reconnect, limits."""

    def test_left_out(self) -> None:
        """Nothing is watched, nothing limited."""
        assert read_specs(reader(), {}) == (SilenceSpec(), ReconnectSpec(), LimitsSpec())

    def test_all_of_it(self) -> None:
        """Every key."""
        silence, reconnect, limits = read_specs(
            reader(),
            {
                "silence": {"any": "5s", "data": "off", "hours": "09:00-15:30 Asia/Tokyo mon-fri"},
                "reconnect": {"codes": {"4400-4499": "stop", 4408: "retry", 1008: "2m"}, "status": {429: "wait"}},
                "limits": {"topics": 50, "connections": 1, "send": "5/1s", "connect": "3/1s", "first_send": "5s"},
            },
        )
        assert silence == SilenceSpec(5.0, None, Hours(((540, 930),), "Asia/Tokyo", (0, 1, 2, 3, 4)))
        assert reconnect.codes == (
            CodeRule(4400, 4499, "stop"),
            CodeRule(4408, 4408, "retry"),
            CodeRule(1008, 1008, 120.0),
        )
        assert reconnect.after_status(429) == "wait"
        assert limits == LimitsSpec(50, 1, RateSpec(5, 1.0), RateSpec(3, 1.0), first_send_s=5.0)

    @pytest.mark.parametrize(
        ("block", "place"),
        [
            ({"silence": {"any": "x"}}, ("silence",)),
            ({"reconnect": {"codes": {"x": "stop"}}}, ("reconnect",)),
            ({"reconnect": {"codes": {1: "stop"}}}, ("reconnect",)),
            ({"reconnect": {"status": {429: "cry"}}}, ("reconnect",)),
            ({"limits": {"send": "x"}}, ("limits",)),
        ],
    )
    def test_malformed(self, block: Any, place: Any) -> None:
        """Noted."""
        made = reader()
        read_specs(made, block)
        assert faults(made) == [place]
