"""Reads a topic with Python's `lomond`: python with_lomond.py URL COUNT"""

import sys

from lomond import WebSocket
from tally import Tally, ready

tally = Tally(int(sys.argv[2]))
connection = WebSocket(sys.argv[1])
for event in connection.connect(ping_rate=0):
    if event.name == "ready":
        ready()
    elif (event.name == "text" and tally.add(event.text.encode(), True)) or (
        event.name == "binary" and tally.add(event.data, False)
    ):
        connection.close()
    elif event.name in ("rejected", "connect_fail"):
        sys.exit(str(event))
tally.report()
