"""A client of relayd.v1 on nothing but websocket-client, as docs/protocol.md says: client.py URL TOPIC [TOKEN]"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from typing import Any

from websocket import ABNF, WebSocket, WebSocketException, create_connection

FINAL = {1000, 1002, 1003, 1007, 1009}


class Client:
    """Reads one topic or pattern for good. `places` says where it stands: topic -> [epoch, offset]."""

    def __init__(self, url: str, topic: str, token: str | None = None) -> None:
        self.url, self.topic, self.token = url, topic, token
        self.places: dict[str, list[Any]] = {}

    def run(self) -> tuple[int, str]:
        """Connects again and again, until relayd says not to come back: that code and reason."""
        failures = 0
        while True:
            began = time.monotonic()
            code, reason = self.connect()
            if code in FINAL or 4500 <= code < 5000:
                return code, reason
            failures = 0 if time.monotonic() - began > 30 else failures
            hint = re.search(r"retry=(\d+)", reason)
            time.sleep((int(hint[1]) if hint else 0) + random.random() * min(60, 2**failures))
            failures += 1

    def connect(self) -> tuple[int, str]:
        """One connection, from its handshake to its end."""
        try:
            socket = create_connection(self.url, timeout=10)
        except (OSError, WebSocketException) as fault:
            return 1006, str(fault)
        try:
            if self.token:
                socket.send(json.dumps({"op": "auth", "id": 1, "token": self.token}))
            else:
                self.subscribe(socket)
            while True:
                # Pings are given too, so that the timeout of the socket means silence. They are answered already.
                opcode, frame = socket.recv_data_frame(control_frame=True)
                if opcode == ABNF.OPCODE_CLOSE:
                    return int.from_bytes(frame.data[:2] or b"\x03\xee", "big"), frame.data[2:].decode()
                if opcode == ABNF.OPCODE_TEXT:
                    self.read(socket, json.loads(frame.data))
        except (OSError, WebSocketException, ValueError) as fault:
            return 1006, str(fault)
        finally:
            socket.shutdown()

    def subscribe(self, socket: WebSocket) -> None:
        """From where we stand; topics without a place begin with a snapshot."""
        since = {name: f"{epoch}:{offset}" for name, (epoch, offset) in self.places.items() if offset is not None}
        socket.send(json.dumps({"op": "subscribe", "id": 2, "topics": [self.topic], "since": since}))

    def read(self, socket: WebSocket, message: dict[str, Any]) -> None:
        """One message. What is not known is ignored."""
        op = message.get("op")
        if op is None and message["topic"] in self.places:
            self.places[message["topic"]][1] = message["offset"]
            print(json.dumps(message), flush=True)  # here a program does what it is there for
        elif op == "welcome":
            socket.settimeout(message["ping_every_s"] + 10)
        elif (op == "authorized" or op == "error") and message.get("id") == 1:
            self.subscribe(socket)
        elif op == "subscribed":
            for name, answer in message["topics"].items():
                epoch, _, offset = answer["position"].rpartition(":")
                if name not in self.places or self.places[name][0] != epoch:
                    self.places[name] = [epoch, 0 if offset == "0" else None]
        elif op == "lost" and message["why"] != "rate" and message["topic"] in self.places:
            self.places[message["topic"]][1] = message["next"] - 1
            print(json.dumps(message), flush=True)


if __name__ == "__main__":
    print(*Client(*sys.argv[1:]).run())
