"""Reads a topic with Python's `websockets`: python with_websockets.py URL COUNT"""

import sys

from tally import Tally, ready
from websockets.sync.client import connect

tally = Tally(int(sys.argv[2]))
with connect(sys.argv[1], max_size=None) as connection:
    ready()
    for message in connection:
        is_text = isinstance(message, str)
        if tally.add(message.encode() if is_text else message, is_text):
            break
tally.report()
