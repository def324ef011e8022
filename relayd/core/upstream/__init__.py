"""The life of an upstream: when to dial, what to say, what silence means.

session     one upstream over its connections; states: its table
attempt     a dial from its first HTTP step (prepare) to its request; redial: the pauses between dials; renewal: why a
            connection is ended in good order; steps: how long each step may take
connection  what an open connection says and must hear; talk: what it asks of the conversation; lanes: what waits to be
            sent; reply: what an HTTP request came to; watch: the watchdogs; repairs, snapshots, suspects
topics      what is wanted, and how far each topic has come; places: how many a connection may hold
policy      what relay.yaml says of all this
effects     what a session asks of the world, and what the world tells it of a connection's end
"""
