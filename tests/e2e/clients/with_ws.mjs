// Reads a topic with Node's `ws`: node with_ws.mjs URL COUNT   (ws is found through NODE_PATH)
import { createHash } from "node:crypto";
import { createRequire } from "node:module";

const WebSocket = createRequire(process.env.NODE_PATH + "/")("ws");
const [url, count] = process.argv.slice(2);
const lines = createHash("sha256");
let messages = 0;
let bytes = 0;

const connection = new WebSocket(url, { maxPayload: 0 });
connection.on("open", () => console.log("ready"));
connection.on("message", (payload, isBinary) => {
  if (messages >= Number(count)) return;
  messages += 1;
  bytes += payload.length;
  lines.update(`${isBinary ? "b" : "t"} ${createHash("sha256").update(payload).digest("hex")}\n`);
  if (messages === Number(count)) connection.close(1000);
});
connection.on("error", (error) => {
  console.error(String(error));
  process.exitCode = 1;
});
connection.on("close", () => console.log(JSON.stringify({ messages, bytes, sha256: lines.digest("hex") })));
