"""Who a browser is, and what it may have.

credentials   where a request shows a token, and which of its headers the webhook may see
tokens        static tokens: a file of hashes
keys, jwt     signed tokens: whose keys count, what a token must say
webhook       the question to the user's own server, and its answer
authority     who judges what; keyring: the keys as they are now; strict_json: what tokens are read with
verdict       what all of them come to: an Identity, Denied, Unavailable
access        what an identity may do with a topic
door          how one connection is let in, refreshed and sent away in time; sweep: when
"""
