# Runs under Python 2.7: `wstest` of the Autobahn Testsuite, made to listen on the loopback; by itself it binds all
# addresses. Its imports choose the reactor and so must stand in this order.
from autobahntestsuite import choosereactor  # noqa: F401  # for what it does
from twisted.internet import reactor

listen_tcp, listen_ssl = reactor.listenTCP, reactor.listenSSL
reactor.listenTCP = lambda port, factory, *_: listen_tcp(port, factory, interface="127.0.0.1")
reactor.listenSSL = lambda port, factory, context, *_: listen_ssl(port, factory, context, interface="127.0.0.1")

from autobahntestsuite.wstest import run  # noqa: E402  # see above

run()
