"""What outlives the process."""

from __future__ import annotations

from pydantic import field_validator

from relayd.config.model.block import Block
from relayd.config.scalars import Text, refuse


class State(Block):
    """What a restart, or a crash, must not forget: the `limits` of upstreams that are used up, and the cursors of feeds
    that can be resumed. A cursor older than 10 min is not gone back to."""

    dir: Text
    """A directory of this relay alone, an absolute path; made if its parent is there. With the unit it is
    `/var/lib/relayd`."""

    @field_validator("dir")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not value.startswith("/"):
            raise refuse("a daemon has no place of its own to start a path from", "an absolute path")
        return value
