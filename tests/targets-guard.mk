# Included by the Makefile: tests of the guard that take longer than `make test` may. Reads: docs/design/guard.md
#
#   make conformance   the Autobahn Testsuite in both roles, about 25 minutes; beside other work an hour (SHORT=1: two minutes)
#   make handshake     the table of handshakes, then mutated heads against h11 and twisted.web (MINUTES=20)
#   make attack        floods and half handshakes beside 1,000 honest clients, ten minutes (QUICK=1: every third; PART=2/5)
#   make deadpeer      clients whose network dies without a word, in a network namespace: when relayd lets them go, 80 s

MINUTES ?= 20

.PHONY: conformance handshake attack deadpeer

conformance: $(READY)
	$(BIN)/python -m tests.conformance.run $(if $(SHORT),--short)

handshake: $(READY)
	$(PYTEST) tests/handshake
	$(BIN)/python -m tests.handshake.fuzz --minutes $(MINUTES)

attack: $(READY)
	$(BIN)/python -m tests.attack.run $(if $(QUICK),--quick) $(if $(PART),--part $(PART))

deadpeer: $(READY)
	$(BIN)/python -m tests.attack.dead_peer
