# Included by the Makefile: the client for pages. Reads: clients/javascript/README.md
#
#   make client        relayd/web/relayd.js, built of clients/javascript/src
#   make client-cuts   relayd.js in Chromium, cut off 50 times on each way: prints what was lost, fails if it was

CLIENT := clients/javascript
CLIENT_TOOLS := $(CLIENT)/node_modules/.package-lock.json

.PHONY: client client-cuts

client: $(CLIENT_TOOLS)
	cd $(CLIENT) && node build.mjs

$(CLIENT_TOOLS): $(CLIENT)/package.json
	cd $(CLIENT) && npm install --silent
	@touch $@

client-cuts: $(READY)
	CUTS=50 $(PYTEST) -s tests/e2e/test_relayd_js.py $(ARGS)
