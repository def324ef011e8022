/* relayd.js as a client under test: node relayd_js.mjs URL TOPIC [TOKEN]. NODE_PATH leads to `ws`. */

import { createRequire } from "node:module";
import { connect } from "../../relayd/web/relayd.js";

const Socket = createRequire(import.meta.url)("ws");

/* As a browser's: an error is a close, and no exception. */
class WebSocket extends Socket {
  constructor(...values) {
    super(...values);
    this.on("error", () => {});
  }
}

const [url, topic, token] = process.argv.slice(2);
const relay = connect(url, { ...(token && { token }), world: { WebSocket } });
relay.on("state", (event) => console.log(JSON.stringify(event)));
relay.on("error", (event) => console.log(JSON.stringify(event)));
relay.subscribe(topic, () => {});
setInterval(() => {}, 1000); // a page stays
