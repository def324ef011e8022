# Tests of the guard that take longer than `make test` may.
#
#   make conformance   the Autobahn Testsuite in both roles, about a quarter of an hour (SHORT=1: two minutes)
#   make handshake     the table of handshakes, then mutated heads against h11 and twisted.web (MINUTES=20)

MINUTES ?= 20

.PHONY: conformance handshake

conformance: $(READY)
	$(BIN)/python -m tests.conformance.run $(if $(SHORT),--short)

handshake: $(READY)
	$(PYTEST) tests/handshake
	$(BIN)/python -m tests.handshake.fuzz --minutes $(MINUTES)
