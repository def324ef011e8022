"""Readers over HTTP that come back by themselves: an EventSource and one that polls, on nothing but a socket.

Each runs in a thread of its own and keeps, in order, what it was given: `(topic, offset, payload)`, and losses as
`(topic, after, next, count)`. What docs/protocol.md promises about order and repetition is held against each message.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import Any

from tests.support.hub_rig import events

COMES_BACK_AFTER_S = 0.02  # a browser waits longer; twenty cuts in a row would take a minute


class HttpReader(threading.Thread):
    """One that reads `topics` of a port of loopback until `stop`."""

    def __init__(self, port: int, *topics: str) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.topics = topics
        self.got: list[tuple[str, int, Any]] = []
        self.lost: list[tuple[str, int, int, int | None]] = []
        self.recovered: list[bool] = []
        self.connections = 0
        self.fault: BaseException | None = None
        self._expected: dict[str, int] = {}
        self._stopped = False

    def run(self) -> None:
        while not self._stopped:
            try:
                self._connect()
            except (OSError, http.client.HTTPException):
                time.sleep(COMES_BACK_AFTER_S)
            except BaseException as fault:
                self.fault = fault
                return

    def _connect(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        """Ends the thread; raises what a promise that was broken raised in it."""
        self._stopped = True
        if self.fault is not None:
            raise self.fault
        self.join(0.0)

    def numbers(self, topic: str) -> list[int]:
        """What came of a topic."""
        return [payload["n"] for name, _, payload in self.got if name == topic]

    def missed(self, topic: str) -> int:
        """The sum of the losses of a topic that were announced."""
        return sum(count or 0 for name, _, _, count in self.lost if name == topic)

    def _take(self, message: dict[str, Any]) -> None:
        name = message.get("topic", "")
        expected = self._expected.get(name)
        if message.get("op") == "lost":
            # What was announced after the last place that is kept may be announced again: only the rest is new.
            after = message["after"]
            assert expected is None or after <= expected - 1 < message["next"], (expected, message)
            begin = after + 1 if expected is None else expected
            self.lost.append((name, begin - 1, message["next"], message["count"] and message["next"] - begin))
            self._expected[name] = message["next"]
        elif "op" not in message:
            assert expected is None or message["offset"] == expected, (expected, message)
            self._expected[name] = message["offset"] + 1
            self.got.append((name, message["offset"], message["data"]))


class EventSourceReader(HttpReader):
    """GET /sse, as an EventSource of a browser does it."""

    last_event_id: str | None = None

    def _connect(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {} if self.last_event_id is None else {"Last-Event-ID": self.last_event_id}
        try:
            connection.request("GET", f"/sse?topics={','.join(self.topics)}", headers=headers)
            response = connection.getresponse()
            if response.status == 502:  # nginx lost relayd's side of the wire
                raise OSError("bad gateway")
            assert response.status == 200, response.read()
            assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            data = bytearray()
            while chunk := response.read1(65536):
                data += chunk
                for event in events(data):
                    if event.id is not None:
                        self.last_event_id = event.id
                    if event.text and not event.name:
                        self._heard(json.loads(event.text))
        finally:
            connection.close()

    def _heard(self, message: dict[str, Any]) -> None:
        if message.get("op") == "subscribed":
            self.recovered += [topic["recovered"] for topic in message["topics"].values() if "recovered" in topic]
            self.connections += 1
        self._take(message)


class PollReader(HttpReader):
    """POST /poll, again and again."""

    def __init__(self, port: int, *topics: str) -> None:
        super().__init__(port, *topics)
        self.since: dict[str, str] = {}

    def _connect(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = json.dumps({"topics": self.topics, "since": self.since, "wait_s": 5})
        try:
            connection.request("POST", "/poll", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.status == 502:
            raise OSError("bad gateway")
        assert response.status == 200, text
        answer = json.loads(text)
        for message in answer["messages"]:
            self._take(message)
        for name, topic in answer["topics"].items():
            self.since[name] = topic["position"]
            self._expected[name] = int(topic["position"].rpartition(":")[2]) + 1
            if "recovered" in topic:
                self.recovered.append(topic["recovered"])
        self.connections += 1
