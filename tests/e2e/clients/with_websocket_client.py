"""Reads a topic with Python's `websocket-client`: python with_websocket_client.py URL COUNT"""

import sys

from tally import Tally, ready
from websocket import ABNF, create_connection

tally = Tally(int(sys.argv[2]))
connection = create_connection(sys.argv[1], timeout=60)
ready()
while True:
    opcode, payload = connection.recv_data()
    if opcode == ABNF.OPCODE_CLOSE or tally.add(payload, opcode == ABNF.OPCODE_TEXT):
        break
connection.close()
tally.report()
