/* The life of the connection: opening, coming back, silence, tokens, hidden tabs. */

import assert from "node:assert/strict";
import test from "node:test";

import { Page, connect, settle } from "./rig.js";

test("http addresses become WebSocket addresses, and nonsense is refused at once", async () => {
  for (const [given, dialled] of [
    ["https://relay.example/feed/ws", "wss://relay.example/feed/ws"],
    ["http://relay.example/ws?a=1", "ws://relay.example/ws?a=1"],
  ]) {
    const page = new Page({}, given);
    await settle();
    assert.equal(page.socket.url, dialled);
  }
  assert.throws(() => connect("/ws"), TypeError); // no page here that it could be relative to
});

test("a lost connection comes back after a random time under a ceiling that doubles up to a minute", async () => {
  const page = new Page();
  page.dice = 0.999999;
  const waits = [];
  for (let attempt = 0; attempt < 9; attempt++) {
    await settle();
    page.socket.drop();
    waits.push(Math.round(page.states.at(-1).retryMs / 1000));
    await page.clock.forward(page.states.at(-1).retryMs - 1);
    assert.equal(page.relay.state, "waiting");
    await page.clock.forward(2);
    assert.equal(page.relay.state, "connecting");
  }
  assert.deepEqual(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
  page.dice = 0;
  page.socket.drop();
  assert.equal(page.states.at(-1).retryMs, 0); // full jitter: from nothing
});

test("a connection of half a minute starts the ceiling over, a shorter one does not", async () => {
  const page = new Page();
  page.dice = 0.999999;
  for (const [lasts, expected] of [[0, 1], [29_000, 2], [31_000, 1], [0, 2]]) {
    await page.welcome();
    await page.clock.forward(lasts);
    page.socket.drop();
    assert.equal(Math.round(page.states.at(-1).retryMs / 1000), expected, `after ${lasts} ms`);
    await page.clock.forward(page.states.at(-1).retryMs);
  }
});

test("a hint is waited for, and the jitter comes on top", async () => {
  const page = new Page();
  await page.welcome();
  page.socket.drop(1012, "restart; retry=7");
  assert.deepEqual(page.states.at(-1), { state: "waiting", code: 1012, reason: "restart; retry=7", retryMs: 7500 });
  page.window.happens("online"); // no reason to come before the hint
  await page.clock.forward(6999);
  assert.equal(page.sockets.length, 1);
  await page.clock.forward(501);
  assert.equal(page.sockets.length, 2);
});

test("close codes decide whether it comes back", async () => {
  const back = [1001, 1005, 1006, 1008, 1011, 1012, 1013, 4000, 4005, 4008, 4010, 4012, 4499, 5000];
  const final = [1000, 1002, 1003, 1007, 1009, 4500, 4501, 4502, 4503, 4504, 4505, 4999];
  for (const code of [...back, ...final]) {
    const page = new Page();
    await page.welcome();
    page.socket.drop(code, "why");
    await page.clock.forward(100_000);
    assert.equal(page.sockets.length > 1, back.includes(code), `${code}`);
    if (final.includes(code)) assert.deepEqual(page.states.at(-1), { state: "closed", code, reason: "why" });
  }
});

test("closing is for good, and leaves no timer and no listener behind", async () => {
  const page = new Page();
  await page.welcome();
  page.relay.close();
  page.relay.close();
  assert.deepEqual(page.states.at(-1), { state: "closed", code: 1000, reason: "done" });
  assert.equal(page.socket.closed, true);
  assert.equal(page.clock.waiting + page.window.listening + page.document.listening, 0);
  page.relay.subscribe("t", () => {}).unsubscribe();
  await assert.rejects(page.relay.subscribe("t").next(), /closed/);
});

test("a silent connection is asked, and given up when it does not answer", async () => {
  const page = new Page();
  await page.welcome();
  await page.clock.forward(34_000); // ping_every_s + 10 s is 35 s
  page.socket.say({ op: "state", topic: "other", state: "live" }); // anything counts
  await page.clock.forward(34_999);
  assert.deepEqual(page.socket.take(), []);
  await page.clock.forward(1);
  const [ping] = page.socket.take();
  assert.equal(ping.op, "ping");
  await page.clock.forward(9_000);
  page.socket.say({ op: "pong", id: ping.id });
  await page.clock.forward(35_000);
  assert.equal(page.relay.state, "open");
  assert.equal(page.socket.take()[0].op, "ping");
  await page.clock.forward(10_000);
  assert.equal(page.sockets[0].closed, true);
  assert.deepEqual([page.states.at(-1).state, page.states.at(-1).reason], ["waiting", "silent"]);
});

test("a connection that never opens is given up", async () => {
  const page = new Page();
  await page.clock.forward(9_999);
  assert.equal(page.relay.state, "connecting");
  await page.clock.forward(1);
  assert.equal(page.relay.state, "waiting");
});

test("what a socket says after it was given up is not heard", async () => {
  const page = new Page();
  await page.welcome();
  const old = page.socket;
  await page.clock.forward(45_000);
  await page.clock.forward(1_000);
  assert.equal(page.sockets.length, 2);
  await page.welcome();
  const states = page.states.length;
  old.drop(4501, "bad-request");
  old.say({ op: "error", code: "forbidden", message: "no" });
  assert.equal(page.states.length, states);
  assert.deepEqual(page.errors, []);
});

test("the network's return and a look at the page end a long wait soon, and never lengthen one", async () => {
  const page = new Page();
  page.dice = 0.999999;
  for (let attempt = 0; attempt < 7; attempt++) {
    await settle();
    page.socket.drop();
    if (attempt < 6) await page.clock.forward(60_000);
  }
  page.dice = 0.5;
  page.window.happens("online");
  for (let look = 0; look < 20; look++) {
    page.show(look % 2 === 1);
    await page.clock.forward(24);
  }
  const before = page.sockets.length;
  await page.clock.forward(20);
  assert.equal(page.sockets.length, before + 1);
});

test("after a sleep the first look asks at once whether the connection lives", async () => {
  const page = new Page();
  await page.welcome();
  page.clock.now += 3_600_000; // timers do not fire while a laptop sleeps
  page.window.happens("online");
  assert.equal(page.socket.take()[0].op, "ping");
});

test("a token is shown first, and only its acceptance opens", async () => {
  const page = new Page({ token: "secret" });
  page.relay.subscribe("t", () => {});
  await page.welcome();
  const [auth, ...more] = page.socket.take();
  assert.deepEqual([auth.op, auth.token, more], ["auth", "secret", []]);
  assert.equal(page.relay.state, "connecting");
  page.socket.say({ op: "authorized", id: auth.id });
  assert.equal(page.relay.state, "open");
  await settle();
  assert.deepEqual(page.socket.take().map(({ op }) => op), ["subscribe"]);
  page.relay.authorize("fresh");
  assert.equal(page.socket.take()[0].token, "fresh");
  assert.equal(page.relay.state, "open");
});

test("a relayd that knows no tokens is used without", async () => {
  const page = new Page({ token: "secret" });
  await page.welcome();
  page.socket.say({ op: "error", id: page.socket.take()[0].id, code: "unknown_op", message: "op is one of ..." });
  assert.equal(page.relay.state, "open");
  assert.equal(page.errors.length, 1);
});

test("a token function is asked for each connection, so that an expired token is renewed", async () => {
  let made = 0;
  const page = new Page({ token: async () => `token ${++made}` });
  for (let round = 1; round <= 3; round++) {
    await page.welcome();
    const auth = page.socket.take()[0];
    assert.equal(auth.token, `token ${round}`);
    page.socket.say({ op: "authorized", id: auth.id });
    page.socket.drop(4005, "token-expired");
    await page.clock.forward(5_000);
  }
});

test("a token that ends is replaced in time, by the server's clock", async () => {
  let made = 0;
  const page = new Page({ token: () => (++made === 3 ? Promise.reject(new Error("no session")) : `token ${made}`) });
  await settle();
  page.socket.open();
  page.socket.say({ op: "welcome", relayd: "1", session: "s", ping_every_s: 25, time_ms: 1_000_000 });
  page.socket.say({ op: "authorized", id: page.socket.take()[0].id, expires_ms: 1_000_000 + 34_000 });
  await page.clock.forward(16_999);
  assert.deepEqual(page.socket.take(), []);
  await page.clock.forward(1);
  const [fresh] = page.socket.take();
  assert.deepEqual([fresh.op, fresh.token], ["auth", "token 2"]);
  page.socket.say({ op: "authorized", id: fresh.id, expires_ms: 1_000_000 + 17_000 + 300_000 });
  assert.equal(page.states.filter(({ state }) => state === "open").length, 1);
  for (let beat = 0; beat < 10; beat++) {
    await page.clock.forward(27_000);
    page.socket.say({ op: "pong" });
  }
  assert.equal(page.errors[0].message, "Error: no session");
  page.relay.close();
  assert.equal(page.clock.waiting, 0);
});

test("a token that cannot be had is tried for again, and told", async () => {
  let fails = true;
  const page = new Page({ token: () => (fails ? Promise.reject(new Error("no session")) : "good") });
  await settle();
  assert.deepEqual([page.errors[0].code, page.errors[0].message], ["token", "Error: no session"]);
  assert.equal(page.relay.state, "waiting");
  fails = false;
  await page.clock.forward(1_000);
  await page.welcome();
  assert.equal(page.socket.take()[0].token, "good");
});

test("closing while a token is awaited dials nothing", async () => {
  let give;
  const page = new Page({ token: () => new Promise((resolve) => (give = resolve)) });
  page.relay.close();
  give("late");
  await settle();
  assert.equal(page.sockets.length, 0);
});

test("a hidden page asks for less, also when it comes back hidden", async () => {
  const page = new Page({ hiddenHz: 0.5 });
  await page.welcome();
  page.show(false);
  const [slow] = page.socket.take();
  assert.deepEqual([slow.op, slow.max_hz], ["pace", 0.5]);
  page.socket.drop();
  await page.clock.forward(1_000);
  await page.welcome();
  assert.equal(page.socket.take()[0].max_hz, 0.5);
  page.show(true);
  const [ends] = page.socket.take();
  assert.deepEqual([ends.op, "max_hz" in ends], ["pace", false]);
});

test("a page may want to be as fast hidden as it is visible", async () => {
  const page = new Page({ hiddenHz: 0 });
  await page.welcome();
  page.show(false);
  assert.deepEqual(page.socket.take(), []);
});

test("a listener that throws is reported, and costs nobody else the event", async (t) => {
  const page = new Page();
  const reported = [];
  t.mock.method(globalThis, "queueMicrotask", (call) => reported.push(call));
  const seen = [];
  page.relay.on("state", () => { throw new Error("mine"); });
  const end = page.relay.on("state", ({ state }) => seen.push(state));
  await page.welcome();
  end();
  page.socket.drop();
  assert.deepEqual(seen, ["open"]);
  assert.equal(reported.length, 2);
  assert.throws(reported[0], /mine/);
});
