"""The servers that can be measured, by name."""

from __future__ import annotations

from bench.peers.base import Peer
from bench.peers.centrifugo import Centrifugo
from bench.peers.floor import Floor
from bench.peers.libraries import Autobahn, Picows, Websockets, Ws
from bench.peers.nats import Nats
from bench.peers.nchan import Nchan
from bench.peers.relayd import Relayd

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (Relayd(), Floor(), Picows(), Websockets(), Ws(), Nchan(), Nats(), Centrifugo(), Autobahn())
}

# What CI must be able to measure: everything that the package registries it reaches provide.
REQUIRED_IN_CI = frozenset({"relayd", "floor", "picows", "websockets", "ws", "nchan", "nats", "autobahn"})
