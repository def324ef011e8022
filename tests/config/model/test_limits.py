"""The `limits` block."""

from __future__ import annotations

from relayd.config.model.limits import Limits
from relayd.config.scalars import OFF, Rate


class LimitsTests:
    """Keys of the file, units in the attributes."""

    def test_default(self):
        """As docs/reference/config.md says."""
        assert dict(Limits()) == {
            "connections": 10_000,
            "per_address": None,
            "topics": 10_000,
            "topics_per_client": 128,
            "ring_bytes": 512 << 20,
            "payload_bytes": 16 << 20,
            "message_bytes": 64 << 10,
            "exclusive": 1_000,
            "publish": Rate(100, 1.0),
            "head_bytes": 8 << 10,
            "handshakes": Rate(500, 1.0),
            "ramp_s": 10.0,
            "pending": 4_096,
            "pending_per_address": 64,
            "memory_bytes": None,
            "lag_s": 1.0,
        }

    def test_written(self):
        """With units."""
        data = {"per_address": 20, "payload": "32MiB", "message": 1024, "head": "16KiB", "handshakes": "100/10s"}
        limits = Limits.model_validate(data)
        assert (limits.per_address, limits.payload_bytes, limits.message_bytes, limits.head_bytes) == (
            20,
            32 << 20,
            1024,
            16 << 10,
        )
        assert limits.handshakes == Rate(100, 10.0)
        assert Limits.model_validate({"per_address": OFF}).per_address is None
