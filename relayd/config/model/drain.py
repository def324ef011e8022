"""How relayd goes down."""

from __future__ import annotations

from typing import Final

from pydantic import Field, field_validator

from relayd.config.model.block import Block
from relayd.config.scalars import Duration, Given, refuse
from relayd.core.closecode import RETRY_S_MAX

#: No service manager waits that long (systemd waits 90 s), and whoever sends the signal has forgotten it.
LONGEST_S: Final = 3600.0


class Drain(Block):
    """What SIGTERM begins: not ready, then nobody comes in and browsers are closed with 1012 a few at a time. A second
    SIGTERM closes all who are left at once. TimeoutStopSec= of the unit must be longer than `notice` and `over`."""

    notice_s: Duration = Field(default=0.0, alias="notice")
    """So long `/ready` says no before anything else changes: what a balancer needs to notice. None, since without one
    it is lost time."""
    over_s: Duration = Field(default=10.0, alias="over")
    """Browsers are closed over this time, 100 a second at the least; so 10,000 come back at 1,000 a second."""
    retry_s: Given[Duration] = Field(default=None, alias="retry")
    """The hint in the close frame. Left out: until this process is gone and its successor listens (2 s). With other
    relayds behind one address say `0s`: browsers then come back to one of those."""

    @field_validator("notice_s", "over_s")
    @classmethod
    def _at_most_an_hour(cls, value: float) -> float:
        if value > LONGEST_S:
            raise refuse("longer than an hour", "a duration up to 1h")
        return value

    @field_validator("retry_s")
    @classmethod
    def _at_most_a_day(cls, value: float | None) -> float | None:
        if value is not None and value > RETRY_S_MAX:
            raise refuse("longer than a day", "a duration up to 24h")
        return value
