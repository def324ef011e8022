/* Where WebSockets are blocked: SSE, then long-polling, and back. */

import assert from "node:assert/strict";
import test from "node:test";

import { Page, heard, settle } from "./rig.js";
import { Peer, Server } from "./server.js";

/* A page whose relayd answers every way that is not blocked; wires are 20 ms long. */
function surfing(blocked, options = {}) {
  const server = new Server(100, () => 0.5);
  blocked.forEach((way) => server.refused.add(way));
  const page = new Page({ Peer, server, transports: ["websocket", "sse", "poll"], ...options });
  const got = [];
  const offsets = () => got.filter(({ heard: type }) => !type).map(({ offset }) => offset);
  heard(page.relay.subscribe("trades/a", (message) => got.push(message)), got);
  const ways = () => page.states.map(({ state, transport }) => transport ?? state);
  const asked = () => server.requests.map(([path]) => path);
  return { page, server, got, offsets, ways, asked };
}

test("a blocked WebSocket is followed by SSE at once, and the page notices nothing", async () => {
  const { page, server, offsets, ways, asked } = surfing(["ws"]);
  server.publish("trades/a");
  await page.clock.forward(200);
  server.publish("trades/a");
  await page.clock.forward(100);
  assert.deepEqual(ways(), ["connecting", "sse"]);
  assert.deepEqual(offsets(), [1, 2]);
  assert.deepEqual(asked(), ["sse"]);
  assert.equal(page.relay.transport, "sse");
});

test("where streams are blocked as well, long-polling", async () => {
  const { page, server, offsets, ways, asked } = surfing(["ws", "sse"]);
  for (let n = 0; n < 5; n++) {
    server.publish("trades/a");
    await page.clock.forward(200);
  }
  assert.deepEqual(ways(), ["connecting", "connecting", "poll"]);
  assert.deepEqual(offsets(), [1, 2, 3, 4, 5]);
  assert.equal(asked()[0], "sse");
  const polls = server.requests.filter(([path]) => path === "poll").map(([, body]) => body);
  assert.deepEqual([polls[0].since, polls[0].wait_s, polls[1].wait_s], [{}, 0, 25]);
  assert.equal(polls.at(-1).since["trades/a"], "e1:5");
});

test("where nothing goes, all are tried once, then it waits and begins with the first", async () => {
  const { page, ways, asked } = surfing(["ws", "sse", "poll"]);
  await page.clock.forward(300);
  assert.deepEqual(ways(), ["connecting", "connecting", "waiting"]);
  assert.equal(page.sockets.length, 1);
  await page.clock.forward(500);
  assert.deepEqual([page.sockets.length, asked()], [2, ["sse", "poll", "sse", "poll"]]);
});

test("a way that has worked gets three more attempts before another is tried", async () => {
  const { page, server, ways } = surfing([]);
  await page.clock.forward(200);
  assert.deepEqual(ways(), ["websocket"]);
  server.refused.add("ws");
  server.cut();
  await page.clock.forward(20_000);
  assert.deepEqual(ways(), ["websocket", "waiting", "connecting", "waiting", "connecting", "waiting", "connecting",
    "waiting", "connecting", "connecting", "sse"]);
});

test("a WebSocket that takes the handshake and passes nothing counts as blocked", async () => {
  const server = new Server(100, () => 0.5);
  const page = new Page({ server, transports: ["websocket", "sse", "poll"] }); // its sockets do what the test says: here, nothing
  page.relay.subscribe("trades/a", () => {});
  page.socket ?? await settle();
  page.socket.open();
  await page.clock.forward(10_200);
  assert.equal(page.socket.closed, true);
  assert.equal(page.relay.transport, "sse");
});

test("it goes back to WebSockets when they pass again, and misses nothing", async () => {
  const { page, server, got, offsets, ways } = surfing(["ws"]);
  server.publish("trades/a");
  await page.clock.forward(10_000);
  server.publish("trades/a");
  await page.clock.forward(40_000); // looks at 15 s and 45 s, in vain
  server.refused.clear();
  const sockets = page.sockets.length;
  assert.equal(sockets, 3);
  for (let n = 0; n < 10; n++) {
    server.publish("trades/a");
    await page.clock.forward(10_000);
  }
  assert.deepEqual(ways(), ["connecting", "sse", "connecting", "websocket"]);
  assert.deepEqual(offsets(), Array.from({ length: 12 }, (_, n) => n + 1));
  assert.deepEqual(got.filter(({ heard: type }) => type === "resumed").map(({ recovered }) => recovered), [true]);
  assert.equal(server.connections.size, 1); // the stream is gone
  page.relay.close();
  assert.equal(page.clock.waiting < 5, true);
});

test("what a page asks for in one turn is one request, and a change takes up where it stood", async () => {
  const { page, server, got, offsets } = surfing(["ws"]);
  server.publish("trades/a");
  server.publish("trades/b");
  await page.clock.forward(200);
  page.relay.subscribe("trades/b", (message) => got.push(message), { maxHz: 5 });
  page.relay.subscribe("trades/c", () => {});
  await page.clock.forward(200);
  server.publish("trades/a");
  await page.clock.forward(200);
  const [, again, ...more] = server.requests.map(([, query]) => query);
  assert.deepEqual(more, []);
  assert.deepEqual([again.topics, again.since, again.max_hz], ["trades/a,trades/b,trades/c", '{"trades/a":"e1:1"}', undefined]);
  assert.deepEqual(offsets(), [1, 1, 2]);
});

test("one rate for all, the fastest; a hidden page asks for less", async () => {
  const { page, server } = surfing(["ws"], { hiddenHz: 0.5 });
  await page.clock.forward(200);
  for (const sub of [page.relay.subscribe("trades/b", () => {}, { maxHz: 2 })]) sub.on("error", assert.fail);
  page.show(false);
  await page.clock.forward(200);
  assert.equal(server.requests.at(-1)[1].max_hz, "0.5");
  page.show(true);
  await page.clock.forward(200);
  assert.equal(server.requests.at(-1)[1].max_hz, undefined); // trades/a has no limit
});

test("a page that reads nothing asks nothing, and is open", async () => {
  const server = new Server(100, () => 0.5);
  const page = new Page({ Peer, server, transports: ["poll"] });
  await page.clock.forward(300_000);
  assert.deepEqual([page.relay.state, server.requests], ["open", []]);
  const reading = page.relay.subscribe("trades/a", () => {});
  await page.clock.forward(1_000);
  assert.equal(server.connections.size, 1);
  reading.unsubscribe();
  await page.clock.forward(100_000);
  assert.deepEqual([page.relay.state, server.connections.size], ["open", 0]);
});

test("a token goes in a header; one that was good and is not any more is asked for anew", async () => {
  let made = 0;
  const server = new Server(100, () => 0.5);
  const page = new Page({ Peer, server, transports: ["poll"], token: () => `token ${++made}` });
  const { fetch } = server;
  page.relay.subscribe("trades/a", () => {});
  await page.clock.forward(200);
  assert.equal(server.requests[0][2].authorization, "Bearer token 1");
  const refusal = () => Promise.resolve(Response.json({ code: "unauthorized", message: "expired" }, { status: 401 }));
  server.fetch = () => ((server.fetch = fetch), refusal());
  await page.clock.forward(30_000);
  assert.equal(page.states.find(({ state }) => state === "waiting").code, 4005);
  assert.equal(server.requests.at(-1)[2].authorization, "Bearer token 2");
  server.cut();
  server.fetch = refusal;
  await page.clock.forward(20_000);
  assert.deepEqual([page.relay.state, page.states.at(-1).code], ["closed", 4500]); // the first thing it was shown
});

test("refusals: of topics end their readers, of load say when to come back", async () => {
  const server = new Server(100, () => 0.5);
  const page = new Page({ Peer, server, transports: ["sse"] });
  const got = heard(page.relay.subscribe("secret", () => {}));
  const { fetch } = server;
  server.fetch = () => Promise.resolve(Response.json({ code: "forbidden", message: "not yours" }, { status: 403 }));
  await page.clock.forward(100);
  assert.deepEqual(got.map(({ heard: type, code }) => [type, code]), [["error", "forbidden"]]);
  assert.equal(page.relay.state, "open"); // it was relayd that answered
  server.fetch = () => Promise.resolve(Response.json({ code: "unavailable", message: "full" },
    { status: 503, headers: { "retry-after": "7" } }));
  page.relay.subscribe("trades/a", () => {});
  await page.clock.forward(100);
  assert.deepEqual(page.states.at(-1), { state: "waiting", code: 1013, reason: "full; retry=7", retryMs: 7_500 });
  server.fetch = fetch;
  await page.clock.forward(8_000);
  server.cut(4503, "forbidden");
  await page.clock.forward(100);
  assert.deepEqual([page.relay.state, page.states.at(-1).code], ["closed", 4503]);
});

test("a stream that is silent is given up: a comment is a sign of life", async () => {
  const { page, server, ways } = surfing(["ws"]);
  await page.clock.forward(14_000); // before the first look at WebSockets
  const connections = [...server.connections];
  await page.clock.forward(100_000);
  assert.deepEqual(connections.filter((one) => server.connections.has(one)), connections);
  server.connections.clear(); // no comment, no end
  await page.clock.forward(60_000);
  assert.equal(ways().includes("waiting"), true);
  assert.equal(page.relay.state, "open");
});

test("a stream in pieces, a payload over several lines, binary as bytes", async () => {
  const server = new Server(100, () => 0.5);
  const text = 'retry: 2000\n\ndata: {"op":"subscribed","topics":{"t":{"position":"e:1","state":"live"}}}\n\n:\n\nid: e.7\n'
    + 'data: {"topic":"t","offset":1,"data":{\ndata: "é": [1,\ndata: 2]}}\n\ndata: {"topic":"t","offset":2,"base64":"AP8="}\n\n';
  server.fetch = () => {
    const body = new ReadableStream({
      start(controller) {
        for (const byte of new TextEncoder().encode(text)) controller.enqueue(Uint8Array.of(byte));
      },
    });
    return Promise.resolve(new Response(body));
  };
  const page = new Page({ Peer, server, transports: ["sse"] });
  const got = [];
  page.relay.subscribe("t", (message) => got.push(message));
  for (let turn = 0; turn < 50; turn++) await settle();
  assert.deepEqual(got, [{ topic: "t", offset: 1, data: { é: [1, 2] } }, { topic: "t", offset: 2, bytes: Uint8Array.of(0, 255) }]);
});

test("the address keeps its path and its query", async () => {
  const server = new Server(100, () => 0.5);
  const asked = [];
  server.fetch = (page, url) => asked.push(`${url}`) && new Promise(() => {});
  const page = new Page({ Peer, server, transports: ["sse"] }, "wss://relay.example/feed/ws?tenant=a");
  page.relay.subscribe("t", () => {});
  await page.clock.forward(10);
  assert.deepEqual(asked, ["https://relay.example/feed/sse?tenant=a&topics=t&since=%7B%7D"]);
});
