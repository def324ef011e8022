# Included by the Makefile: relayd against its peers, in one run. Reads: docs/performance.md
#
#   make bench         all figures, 5 rounds: about half an hour; writes bench/results/
#   make bench-quick   three figures, 3 rounds: under 3 minutes; fails when a target is missed
#   make bench-ingest  microseconds of one upstream message by its shape, from the socket's bytes to the ring

.PHONY: bench bench-quick bench-ingest

bench: $(READY)
	$(BIN)/python -m bench $(ARGS)

bench-quick: $(READY)
	$(BIN)/python -m bench --quick $(ARGS)

bench-ingest: $(READY)
	$(BIN)/python -m bench.shapes $(ARGS)
