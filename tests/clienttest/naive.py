"""What somebody writes in five minutes: connects, subscribes, and when it ends does the same again, at once.

It ends with the process that started it. Else, left over from a test, it would dial nobody for good, without a pause.
"""

from __future__ import annotations

import json
import os
import sys

from websockets.sync.client import connect

url, topic = sys.argv[1:]
parent = os.getppid()
while os.getppid() == parent:
    try:
        with connect(url) as socket:
            socket.send(json.dumps({"op": "subscribe", "topics": [topic]}))
            for text in socket:
                message = json.loads(text)
                if message.get("op") == "state" and message["state"] != "live":
                    socket.send(json.dumps({"op": "subscribe", "topics": [topic]}))
    except Exception:
        pass
