"""What was processed, told to the server where a window was asked for (docs/protocol.md, `ack`)."""

from __future__ import annotations

from collections.abc import Iterable

from relayd_client.reader import Reader

#: While something is unacknowledged, it is told at least so often.
ACK_EVERY_S = 1.0
#: Not more often than relayd looks at them (docs/protocol.md, "Acknowledgement window") ...
ACK_PAUSE_S = 0.1
#: ... and not more at once, the longest untold first: relayd closes whoever sends 200 frames in a second (1008).
ACKS_AT_ONCE = 10
#: Of a window, the part after which it is told at once.
PART_OF_WINDOW = 4


class Acks:
    """Per topic the offset that was told last, on this connection."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}
        self.refused = False
        """The server knows no `ack`: it is left alone."""

    def reset(self) -> None:
        """Another connection."""
        self._told.clear()
        self.refused = False

    def forget(self, name: str) -> None:
        """The topic was left, or counts anew."""
        self._told.pop(name, None)

    def due(self, name: str, readers: Iterable[Reader], *, all_of_it: bool) -> int | None:
        """The offset to tell now for this topic: what its slowest reader has processed; None for not yet.

        Args:
            all_of_it: not only where a quarter of the window is unacknowledged.
        """
        window, done = 0, None
        for reader in readers:
            if not reader.wish.window:
                continue
            window = min(window or reader.wish.window, reader.wish.window)
            at = reader.done.get(name)
            if at is None:
                return None
            done = at if done is None else min(done, at)
        if not window or done is None or self.refused:
            return None
        told = self._told.get(name)
        if told is not None and done <= told:
            return None
        if not all_of_it and told is not None and done - told < max(1, window // PART_OF_WINDOW):
            return None
        self._told[name] = done
        return done
