"""A relay that is killed again and again: what its upstream allows is kept over all of its lives."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

from tests.support import bad_upstream
from tests.support.bad_upstream import BadUpstream
from tests.support.daemon import Start
from tests.support.waiting import eventually

FILE = """\
listeners:
  - endpoint: tcp:$PORT:interface=127.0.0.1
upstreams:
  feed:
    connect: {url: "$URL"}
    limits: {connect: 2/1h}
routes:
  - {topic: all, upstream: feed}
state: {dir: $DIR}
"""
WATCHED_S = 2.0
"""How long the third life is watched: it would dial within its first turns."""


class CrashLoopTests:
    """SIGKILL, so that nothing can be tidied up."""

    def test_two_dials_in_three_lives(self, start: Start, place: Path) -> None:
        """The first two lives dial once each; the third waits."""
        upstream = BadUpstream(bad_upstream.hangs)
        kept = place / "state"
        text = FILE.replace("$URL", upstream.url).replace("$DIR", str(kept))
        for life in (1, 2):
            daemon = start(text)
            eventually(lambda life=life: upstream.dialled == life, f"dial {life}")
            eventually(lambda life=life: dials_in(kept / "relayd.json") == life, f"dial {life} is written")
            daemon.signal(signal.SIGKILL)
            daemon.ends()
        start(text)
        time.sleep(WATCHED_S)
        assert upstream.dialled == 2


def dials_in(file: Path) -> int:
    """How many dials are kept."""
    [[_, kind, times]] = json.loads(file.read_text())["windows"]
    assert kind == "connect"
    return len(times)
