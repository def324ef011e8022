"""Values as the file would have them."""

from __future__ import annotations

import pytest

from relayd.config.model import Config, Deliver, Limits, Listener, Reconnect, Route, Subscribe, Upstream
from relayd.config.written import write_default, write_duration, write_size


class WrittenTests:
    """Durations, sizes, defaults."""

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0, "0s"), (0.5, "500ms"), (1.5, "1s500ms"), (90, "1m30s"), (84_600, "23h30m"), (7_689_600, "89d")],
    )
    def test_duration(self, seconds, text):
        """The largest unit first."""
        assert write_duration(seconds) == text

    @pytest.mark.parametrize(
        ("count", "text"), [(0, "0"), (7, "7"), (512, "512"), (65_536, "64KiB"), (1536, "1536"), (1 << 30, "1GiB")]
    )
    def test_size(self, count, text):
        """The largest unit that divides it."""
        assert write_size(count) == text

    @pytest.mark.parametrize(
        ("block", "name", "default"),
        [
            (Route, "linger_s", "5s"),
            (Route, "topic", None),
            (Route, "deliver", None),
            (Route, "stale_after_s", "off"),
            (Route, "pin", False),
            (Deliver, "history", "100/5m/1MiB"),
            (Deliver, "mode", None),
            (Limits, "handshakes", "500/1s"),
            (Limits, "message_bytes", "64KiB"),
            (Limits, "connections", 10_000),
            (Reconnect, "max_s", "1m"),
            (Subscribe, "verbs", ["subscribe", "unsubscribe"]),
            (Upstream, "transport", "websocket"),
            (Listener, "origins", ["same"]),
            (Config, "listeners", [{"endpoint": "tcp:8080"}]),
        ],
    )
    def test_default(self, block, name, default):
        """What would stand there; nothing where it must be given or is absent."""
        assert write_default(name, block.model_fields[name]) == default
