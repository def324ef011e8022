# Included by the Makefile: the client for pages. Reads: clients/javascript/README.md
#
#   make client    relayd/web/relayd.js, built of clients/javascript/src

CLIENT := clients/javascript
CLIENT_TOOLS := $(CLIENT)/node_modules/.package-lock.json

.PHONY: client

client: $(CLIENT_TOOLS)
	cd $(CLIENT) && node build.mjs

$(CLIENT_TOOLS): $(CLIENT)/package.json
	cd $(CLIENT) && npm install --silent
	@touch $@
