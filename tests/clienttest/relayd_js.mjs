/* relayd.js as a client under test: node relayd_js.mjs URL TOPIC [TOKEN [PUBLISH]]. NODE_PATH leads to `ws`. */

import { createRequire } from "node:module";

const Socket = createRequire(import.meta.url)("ws");

/* As a browser's: an error is a close, and no exception. */
globalThis.WebSocket = class extends Socket {
  constructor(...values) {
    super(...values);
    this.on("error", () => {});
  }
};

const { connect } = await import("../../relayd/web/relayd.js");
const [url, topic, token, publish] = process.argv.slice(2);
const relay = connect(url, { transports: ["websocket"], ...(token && { token }) });
relay.on("state", (event) => console.log(JSON.stringify(event)));
relay.on("error", (event) => console.log(JSON.stringify(event)));
relay.subscribe(topic, () => {});
if (publish) relay.publish(publish, { from: "the test" }).then(console.log, (error) => console.log(error.code));
setInterval(() => {}, 1000); // a page stays
