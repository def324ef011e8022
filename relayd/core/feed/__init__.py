"""The dialect of a feed: what an upstream says and must hear, compiled from its block in relay.yaml.

`dialect.py` holds what is fixed when the file is loaded, `conversation.py` what one connection knows. Everything here
is pure: the clock, random ids, secrets and HTTP come in from outside.
"""
