# Included by the Makefile: clients in a network that fails, for longer than `make test` may.
#
#   make client-chaos  the Python client through RECONNECTS=50 forced reconnects, held against the journal

RECONNECTS ?= 50

.PHONY: client-chaos

client-chaos: $(READY)
	RECONNECTS=$(RECONNECTS) $(PYTEST) -q -rP --timeout 300 tests/e2e/test_python_client.py
