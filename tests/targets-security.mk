# Included by the Makefile: what strangers may try. Reads: docs/security.md
#
#   make security      the tables of vectors, and 100,000 hostile strings; fails where a table is too short; then the audit
#   make audit         known vulnerabilities of what relayd depends on (MUST=1: fails where nobody can be asked)

HOSTILE ?= 100000

.PHONY: security audit

security: $(READY)
	HOSTILE=$(HOSTILE) $(PYTEST) -n $(WORKERS) --dist loadgroup tests/security tests/config/test_load.py tests/handshake/test_table.py
	HOSTILE=$(HOSTILE) $(BIN)/python -m tests.security.count
	$(BIN)/python -m tests.security.audit

audit: $(READY)
	$(BIN)/python -m tests.security.audit $(if $(MUST),--must)
