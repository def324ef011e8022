# Included by the Makefile: examples for pages. Reads: the README.md of each folder
#
#   make example-price-board    live prices with relayd.js, on http://127.0.0.1:8080/   (PORT=)
#   make example-plain          a page with nothing but a WebSocket
#   make example-chat           a chat: publishing both ways
#   make example-telemetry      a wall of machines: binary frames

EXAMPLES := price-board plain chat telemetry

.PHONY: $(EXAMPLES:%=example-%)

$(EXAMPLES:%=example-%): example-%: $(READY)
	@$(BIN)/python examples/run.py $* --port $(PORT)
