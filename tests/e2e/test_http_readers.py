"""Event streams and long-polling against a real daemon behind nginx, cut off again and again, held against what was
published; and publishing over HTTP, which feeds them.
"""

from __future__ import annotations

import http.client
import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.chaos import Chaos
from tests.support.daemon import Daemon, Start
from tests.support.http_readers import EventSourceReader, HttpReader, PollReader
from tests.support.nginx import proxies
from tests.support.waiting import eventually

CUTS = 22
BEFORE, DURING = 20, 40  # publications right before each cut, some of them on their way, and from then on
TOPICS = ("log/a", "log/b")
CONFIG = """\
listeners:
  - endpoint: tcp:$PORT:interface=127.0.0.1
routes:
  - topic: log/$name
    allow: {name: [a, b]}
    access: {publish: public}
    deliver: {mode: queue, history: $HISTORY}
limits: {handshakes: 5000/1s, publish: 10000/1s}
"""


class Publisher:
    """Publishes numbers on both topics in batches, each sent twice with its key; keeps what was published."""

    def __init__(self, daemon: Daemon) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)
        self._keys = itertools.count()
        self.journal: dict[str, list[int]] = {name: [] for name in TOPICS}
        self.sent = 0

    def send(self, count: int) -> None:
        items = [{"topic": TOPICS[n % 2], "data": {"n": n}} for n in range(self.sent, self.sent + count)]
        self.sent += count
        key = f"batch-{next(self._keys)}"
        first, again = (self._post(items, key) for _ in range(2))
        assert first == again
        for item, result in zip(items, first["results"], strict=True):
            numbers = self.journal[item["topic"]]
            numbers.append(item["data"]["n"])
            assert result["position"].endswith(f":{len(numbers)}")

    def _post(self, items: list[dict[str, Any]], key: str) -> Any:
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        self._http.request("POST", "/topics", json.dumps({"publications": items}), headers)
        response = self._http.getresponse()
        body = response.read()
        assert response.status == 200, body
        return json.loads(body)


@contextmanager
def behind_nginx(daemon: Daemon, place: Path) -> Iterator[Chaos]:
    """A wire to cut before an nginx that knows nothing of streams."""
    with proxies(place, daemon.port, ()) as ports, Chaos(ports[0]) as chaos:
        yield chaos


def lived(kind: type[HttpReader], daemon: Daemon, place: Path) -> tuple[HttpReader, Publisher]:
    """What a reader saw, and what was published, over all the cuts."""
    publisher = Publisher(daemon)
    with behind_nginx(daemon, place) as chaos:
        reader = kind(chaos.port, *TOPICS)
        publisher.send(2)
        reader.start()
        eventually(lambda: reader.fault or reader.got, "the first data", 20)
        for cut in range(CUTS):
            publisher.send(BEFORE)
            chaos.reset() if cut % 2 else chaos.cut()
            before = reader.connections
            publisher.send(DURING)
            eventually(lambda before=before: reader.fault or reader.connections > before, "it comes back", 20)
        publisher.send(2)
        last = {name: numbers[-1] for name, numbers in publisher.journal.items()}
        eventually(lambda: reader.fault or _newest(reader) == last, "everything has come", 20)
        reader.stop()
    return reader, publisher


def _newest(reader: HttpReader) -> dict[str, int]:
    return {name: payload["n"] for name, _, payload in reader.got}


READERS = pytest.mark.parametrize("kind", [EventSourceReader, PollReader])


@READERS
def test_with_history_for_every_outage(kind: type[HttpReader], start: Start, place: Path) -> None:
    """Nothing lost, nothing twice, nothing out of order."""
    reader, publisher = lived(kind, start(CONFIG.replace("$HISTORY", "5000/5m/64MiB")), place)
    for name in TOPICS:
        assert reader.numbers(name) == publisher.journal[name]
    assert not reader.lost
    assert all(reader.recovered)
    assert len(reader.recovered) >= 2 * CUTS


@READERS
def test_with_less_history_than_an_outage(kind: type[HttpReader], start: Start, place: Path) -> None:
    """What is missing is announced in its place, and the counts add up to what was published."""
    reader, publisher = lived(kind, start(CONFIG.replace("$HISTORY", "5/5m/1MiB")), place)
    assert reader.lost
    assert None not in [count for _, _, _, count in reader.lost]
    for name in TOPICS:
        given, journal = reader.numbers(name), publisher.journal[name]
        assert given == [journal[offset - 1] for topic, offset, _ in reader.got if topic == name]
        assert reader.missed(name) == len(journal) - len(given)


def test_a_stream_through_nginx_is_not_held_back(start: Start, place: Path) -> None:
    """Each event comes when it is published, not when a buffer is full."""
    daemon = start(CONFIG.replace("$HISTORY", "5000/5m/64MiB"))
    publisher = Publisher(daemon)
    with behind_nginx(daemon, place) as chaos:
        reader = EventSourceReader(chaos.port, *TOPICS)
        reader.start()
        eventually(lambda: reader.fault or reader.connections, "the stream", 10)
        for _ in range(5):
            began = time.monotonic()
            publisher.send(1)
            eventually(lambda: reader.fault or len(reader.got) == publisher.sent, "the event", 5)
            assert time.monotonic() - began < 5
        reader.stop()
    assert daemon.output.count("stream opened") == 1
