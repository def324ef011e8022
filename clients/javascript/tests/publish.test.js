/* What a page publishes; what it acknowledges; binary frames. */

import assert from "node:assert/strict";
import test from "node:test";

import { Page, settle } from "./rig.js";
import { Peer, Server } from "./server.js";

const pub = (topic, offset, more) => ({ topic, offset, data: offset, ...more });

test("publishing gives the position, or the refusal with its code", async () => {
  const page = new Page();
  await page.welcome();
  const [good, bad, up] = [1, 2, 3].map((data) => page.relay.publish("chat/a", { data }));
  const [first, second, third] = page.socket.take();
  assert.deepEqual([first.op, first.topic, first.data], ["publish", "chat/a", { data: 1 }]);
  page.socket.say({ op: "error", id: second.id, code: "forbidden", message: "access.publish", topic: "chat/a" },
    { op: "published", id: first.id, topic: "chat/a", position: "e:43" },
    { op: "published", id: third.id, topic: "chat/a" });
  assert.equal(await good, "e:43");
  await assert.rejects(bad, { message: "access.publish", code: "forbidden", topic: "chat/a" });
  assert.equal(await up, undefined); // handed to the upstream
  assert.deepEqual(page.errors, []); // whoever published knows
});

test("a refused publish leaves a reader of the topic alone", async () => {
  const page = new Page();
  await page.welcome();
  const got = [];
  const reading = page.relay.subscribe("chat/a", (message) => got.push(message));
  reading.on("error", (error) => got.push(error));
  await settle();
  page.socket.say({ op: "subscribed", id: page.socket.take()[0].id, topics: { "chat/a": { position: "e:0", state: "live" } } });
  const bad = page.relay.publish("chat/a", 1);
  page.socket.say({ op: "error", id: page.socket.take()[0].id, code: "too_large", message: "no", topic: "chat/a" });
  await assert.rejects(bad);
  page.socket.say(pub("chat/a", 1));
  assert.deepEqual(got, [pub("chat/a", 1)]);
});

test("it waits for the attempt that is under way, and for no other", async () => {
  const page = new Page();
  const early = page.relay.publish("t", 1);
  await page.welcome();
  const [sent] = page.socket.take();
  assert.equal(sent.data, 1);
  page.socket.say({ op: "published", id: sent.id, topic: "t", position: "e:1" });
  assert.equal(await early, "e:1");
  const cut = page.relay.publish("t", 2);
  page.socket.drop();
  await assert.rejects(cut, { code: "lost" });
  await assert.rejects(page.relay.publish("t", 3), { code: "unavailable" });
  await page.clock.forward(1_000);
  const vain = page.relay.publish("t", 4);
  page.socket.drop();
  await assert.rejects(vain, { code: "unavailable" });
  page.relay.close();
  await assert.rejects(page.relay.publish("t", 5), { code: "unavailable" });
});

test("a thousand may be unanswered", async () => {
  const page = new Page();
  await page.welcome();
  const all = Array.from({ length: 1_001 }, (_, n) => page.relay.publish("t", n));
  assert.equal(page.socket.take().length, 1_000);
  await assert.rejects(all.pop(), { code: "busy" });
  page.relay.close();
  for (const one of all) await assert.rejects(one, { code: "lost" });
});

test("where WebSockets are blocked it goes by POST, and is answered even if the way changes", async () => {
  const server = new Server(100, () => 0.5);
  const page = new Page({ Peer, server, transports: ["poll"], token: "secret" });
  await page.clock.forward(100);
  const [good, bad] = [page.relay.publish("chat/a", { text: "hello" }), page.relay.publish("secret/a", 1)];
  page.relay.close();
  const refused = assert.rejects(bad, { code: "forbidden" });
  await page.clock.forward(200);
  assert.equal(await good, "e1:1");
  await refused;
  assert.deepEqual(server.requests[0], ["a", { text: "hello" }, { "content-type": "application/json", authorization: "Bearer secret" }]);
  server.fetch = () => Promise.reject(new TypeError("the network failed"));
  const other = new Page({ Peer, server, transports: ["poll"] });
  await other.clock.forward(100);
  await assert.rejects(other.relay.publish("chat/a", 1), { code: "lost" });
});

test("what the page has taken is acknowledged, a quarter of the window at a time", async () => {
  const page = new Page();
  await page.welcome();
  page.relay.subscribe("t", () => {}, { window: 8 });
  page.relay.subscribe("u", () => {});
  page.relay.subscribe("v", () => {}, { window: 0 });
  await settle();
  const requests = page.socket.take();
  assert.deepEqual(requests.map(({ topics, window, binary }) => [topics[0], window, binary]),
    [["t", 8, true], ["u", 4000, true], ["v", undefined, true]]);
  for (const { id, topics: [topic] } of requests) {
    page.socket.say({ op: "subscribed", id, topics: { [topic]: { position: "e:40", state: "live" } } });
  }
  for (let offset = 40; offset < 46; offset++) for (const topic of "tuv") page.socket.say(pub(topic, offset));
  assert.deepEqual(page.socket.take(), [41, 43, 45].map((offset) => ({ op: "ack", topic: "t", offset })));
  page.socket.say(pub("t", 1_000)); // conflated: the jump counts
  assert.deepEqual(page.socket.take(), [{ op: "ack", topic: "t", offset: 1_000 }]);
});

test("of several readers the smallest window decides", async () => {
  const page = new Page();
  await page.welcome();
  page.relay.subscribe("t", () => {}, { window: 100 });
  page.relay.subscribe("t", () => {}, { window: 10 });
  await settle();
  assert.equal(page.socket.take()[0].window, 10);
});

test("binary payloads come as bytes, by reference or as base64", async () => {
  const page = new Page();
  await page.welcome();
  const got = [];
  page.relay.subscribe("t", (message) => got.push(message));
  await settle();
  page.socket.say({ op: "subscribed", id: page.socket.take()[0].id, topics: { t: { position: "e:1", state: "live", ref: 7 } } });
  const frame = (ref, upper, lower, ...payload) => {
    const view = new DataView(new ArrayBuffer(12 + payload.length));
    [ref, upper, lower].forEach((value, n) => view.setUint32(4 * n, value));
    payload.forEach((byte, n) => view.setUint8(12 + n, byte));
    page.socket.onmessage({ data: view.buffer });
  };
  frame(7, 2 ** 31, 1, 1, 2, 3);
  frame(7, 0, 2);
  frame(9, 0, 3, 1); // nobody's
  frame(7, 3, 5, 255);
  page.socket.say({ topic: "t", offset: 3 * 2 ** 32 + 6, base64: "AP8=" });
  assert.deepEqual(got, [
    { topic: "t", offset: 1, snapshot: true, bytes: Uint8Array.of(1, 2, 3) },
    { topic: "t", offset: 2, bytes: new Uint8Array() },
    { topic: "t", offset: 3 * 2 ** 32 + 5, bytes: Uint8Array.of(255) },
    { topic: "t", offset: 3 * 2 ** 32 + 6, bytes: Uint8Array.of(0, 255) },
  ]);
  assert.equal(page.socket.binaryType, "arraybuffer");
});
