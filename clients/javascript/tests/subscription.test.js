/* What a page subscribes to, and what it hears. */

import assert from "node:assert/strict";
import test from "node:test";

import { Page, heard, settle } from "./rig.js";

const pub = (topic, offset, more) => ({ topic, offset, data: offset, ...more });

/* An open page, its socket's requests taken. */
async function opened(options) {
  const page = new Page(options);
  await page.welcome();
  return page;
}

/* Subscribes and is answered as by relayd, the topics at these positions. */
async function joined(page, text, topics, ...rest) {
  const got = [];
  const subscription = page.relay.subscribe(text, (message) => got.push(message), ...rest);
  await settle();
  const request = page.socket.take().at(-1);
  page.socket.say({ op: "subscribed", id: request.id, topics });
  return { got, subscription, request };
}

test("subscribing, reading and leaving", async () => {
  const page = await opened();
  const { got, subscription, request } = await joined(page, "t", { t: { position: "e:41", state: "live" } });
  assert.deepEqual([request.op, request.topics, request.since], ["subscribe", ["t"], {}]);
  page.socket.say(pub("t", 41, { snapshot: true }), pub("t", 42), pub("other", 1), pub("t", 42));
  assert.deepEqual(got.map(({ offset }) => offset), [41, 42]);
  subscription.unsubscribe();
  subscription.unsubscribe();
  await settle();
  const [leave, ...more] = page.socket.take();
  assert.deepEqual([leave.op, leave.topics, more], ["unsubscribe", ["t"], []]);
  page.socket.say(pub("t", 43)); // was on its way
  assert.equal(got.length, 2);
});

test("what one turn of the page asks for goes in few requests, by rate, and not at all if it was taken back", async () => {
  const page = await opened();
  for (let n = 0; n < 250; n++) page.relay.subscribe(`t/${n}`, () => {});
  page.relay.subscribe("slow", () => {}, { maxHz: 2 });
  page.relay.subscribe("fleeting", () => {}).unsubscribe();
  await settle();
  const requests = page.socket.take();
  assert.deepEqual(requests.map(({ topics, max_hz }) => [topics.length, max_hz]),
    [[100, undefined], [100, undefined], [50, undefined], [1, 2]]);
  assert.equal(new Set(requests.map(({ id }) => id)).size, 4);
});

test("before the connection is open nothing is lost of what was asked", async () => {
  const page = new Page();
  page.relay.subscribe("t", () => {});
  await settle();
  await page.welcome();
  assert.deepEqual(page.socket.take().map(({ op, topics }) => [op, topics]), [["subscribe", ["t"]]]);
});

test("two readers of a topic share the server's subscription, and the last one out ends it", async () => {
  const page = await opened();
  const one = await joined(page, "t", { t: { position: "e:41", state: "live" } });
  page.socket.say(pub("t", 41, { snapshot: true }), pub("t", 42));
  const got = [];
  const two = page.relay.subscribe("t", ({ offset, snapshot }) => got.push([offset, snapshot]));
  await settle();
  const [leave, again] = page.socket.take(); // who leaves and comes gets the beginning, which the newcomer needs
  assert.deepEqual([leave.op, again.op, again.topics, again.since], ["unsubscribe", "subscribe", ["t"], {}]);
  page.socket.say(pub("t", 43)); // was on its way
  page.socket.say({ op: "subscribed", id: again.id, topics: { t: { position: "e:43", state: "live" } } });
  page.socket.say(pub("t", 43, { snapshot: true }), pub("t", 44));
  assert.deepEqual(one.got.map(({ offset }) => offset), [41, 42, 43, 44]);
  assert.deepEqual(got, [[43, true], [44, undefined]]);
  one.subscription.unsubscribe();
  await settle();
  assert.deepEqual(page.socket.take(), []);
  two.unsubscribe();
  await settle();
  assert.deepEqual(page.socket.take().map(({ op }) => op), ["unsubscribe"]);
});

test("a newcomer's beginning may be ahead of an older reader, who then gets what is between", async () => {
  const page = await opened();
  const one = await joined(page, "t", { t: { position: "e:41", state: "live" } });
  page.socket.say(pub("t", 41, { snapshot: true }));
  const got = [];
  page.relay.subscribe("t", ({ offset }) => got.push(offset));
  await settle();
  const again = page.socket.take().at(-1);
  page.socket.say({ op: "subscribed", id: again.id, topics: { t: { position: "e:45", state: "live" } } });
  page.socket.say(pub("t", 45, { snapshot: true }), pub("t", 46));
  const [catchUp] = page.socket.take();
  assert.deepEqual([catchUp.op, catchUp.since], ["subscribe", { t: "e:41" }]);
  assert.deepEqual(one.got.map(({ offset }) => offset), [41]);
  page.socket.say({ op: "subscribed", id: catchUp.id, topics: { t: { position: "e:46", state: "live", recovered: true } } });
  page.socket.say(...[42, 43, 44, 45, 46, 47].map((offset) => pub("t", offset)));
  assert.deepEqual(one.got.map(({ offset }) => offset), [41, 42, 43, 44, 45, 46, 47]);
  assert.deepEqual(got, [45, 46, 47]);
});

test("the fastest of those who share decides the rate", async () => {
  const page = await opened();
  await joined(page, "t", { t: { position: "e:0", state: "pending" } }, { maxHz: 1 });
  const fast = await joined(page, "t", { t: { position: "e:0", state: "pending" } }, { maxHz: 10 });
  assert.equal(fast.request.max_hz, 10);
  const all = await joined(page, "t", { t: { position: "e:0", state: "pending" } });
  assert.equal(all.request.max_hz, undefined);
  all.subscription.unsubscribe();
  await settle();
  const [leave, again] = page.socket.take();
  assert.deepEqual([leave.op, again.max_hz, again.since], ["unsubscribe", 10, { t: "e:0" }]);
});

test("a pattern meets what exists, what comes later, and what another subscription reads already", async () => {
  const page = await opened();
  const exact = await joined(page, "m/a/x", { "m/a/x": { position: "e:1", state: "live" } });
  page.socket.say(pub("m/a/x", 1, { snapshot: true }));
  const got = [];
  page.relay.subscribe("m/*/x", ({ topic, offset }) => got.push(`${topic} ${offset}`));
  page.relay.subscribe("m/**", () => {}).unsubscribe();
  await settle();
  const [leave, ask] = page.socket.take();
  assert.deepEqual([leave.topics, ask.topics.toSorted(), ask.since], [["m/a/x"], ["m/*/x", "m/a/x"], {}]);
  page.socket.say({ op: "subscribed", id: ask.id, matches: 1, topics: { "m/a/x": { position: "e:1", state: "live" } } });
  page.socket.say(pub("m/a/x", 1, { snapshot: true }));
  page.socket.say({ op: "subscribed", topics: { "m/b/x": { position: "f:0", state: "pending" } } });
  page.socket.say(pub("m/b/x", 1), pub("m/a/x", 2), pub("m/a.x", 9), pub("m/b/x/y", 9));
  assert.deepEqual(got, ["m/a/x 1", "m/b/x 1", "m/a/x 2"]);
  assert.deepEqual(exact.got.map(({ offset }) => offset), [1, 2]);
});

test("coming back names where each topic stood; what was recovered is told before it comes", async () => {
  const page = await opened();
  const { got, subscription } = await joined(page, "t", { t: { position: "e:41", state: "live" } });
  heard(subscription, got);
  page.socket.say(pub("t", 41, { snapshot: true }), pub("t", 42));
  page.socket.drop();
  await page.clock.forward(1_000);
  await page.welcome();
  const [request] = page.socket.take();
  assert.deepEqual(request.since, { t: "e:42" });
  page.socket.say({ op: "subscribed", id: request.id, topics: { t: { position: "e:44", state: "live", recovered: true } } });
  page.socket.say(pub("t", 43), pub("t", 44));
  assert.deepEqual(got.map((event) => event.heard ?? event.offset), [41, 42, "resumed", "state", 43, 44]);
  assert.deepEqual(got[2], { heard: "resumed", topic: "t", recovered: true, position: "e:44" });
});

test("what cannot be recovered is told as lost, with its count", async () => {
  const page = await opened();
  const { got, subscription } = await joined(page, "t", { t: { position: "e:41", state: "live" } });
  heard(subscription, got);
  page.socket.say(pub("t", 41, { snapshot: true }));
  page.socket.drop();
  await page.clock.forward(1_000);
  await page.welcome();
  const { id } = page.socket.take()[0];
  const lost = { op: "lost", topic: "t", after: 41, next: 50, count: 8, why: "slow" };
  page.socket.say({ op: "subscribed", id, topics: { t: { position: "e:50", state: "live", recovered: false } } }, lost);
  page.socket.say(pub("t", 50, { snapshot: true }));
  assert.deepEqual(got.map((event) => event.heard ?? event.offset), [41, "resumed", "state", "lost", 50]);
  assert.deepEqual(got[3], { heard: "lost", ...lost });
  page.socket.drop();
  await page.clock.forward(1_000);
  await page.welcome();
  assert.deepEqual(page.socket.take()[0].since, { t: "e:50" });
});

test("another numbering begins anew, and is told, also for a topic that only a pattern meets again", async () => {
  const page = await opened();
  const { got, subscription } = await joined(page, "m/*", { "m/a": { position: "e:41", state: "live" } });
  heard(subscription, got);
  page.socket.say(pub("m/a", 41, { snapshot: true }));
  page.socket.drop();
  await page.clock.forward(1_000);
  await page.welcome();
  page.socket.say({ op: "subscribed", id: page.socket.take()[0].id, matches: 0, topics: {} });
  page.socket.say({ op: "subscribed", topics: { "m/a": { position: "f:1", state: "live" } } });
  page.socket.say(pub("m/a", 1, { snapshot: true }), pub("m/a", 2));
  assert.deepEqual(got.map((event) => event.heard ?? event.offset), [41, "resumed", "lost", "state", 1, 2]);
  assert.equal(got[1].recovered, false);
  assert.deepEqual([got[2].count, got[2].why], [null, "epoch"]);
});

test("a topic that had nothing yet misses nothing of an outage", async () => {
  const page = await opened();
  await joined(page, "t", { t: { position: "e:0", state: "pending" } });
  page.socket.drop();
  await page.clock.forward(1_000);
  await page.welcome();
  assert.deepEqual(page.socket.take()[0].since, { t: "e:0" });
});

test("a loss on the way is told once, and moves the position", async () => {
  const page = await opened();
  const { got, subscription } = await joined(page, "t", { t: { position: "e:1", state: "live" } });
  heard(subscription, got);
  page.socket.say(pub("t", 1, { snapshot: true }), { op: "lost", topic: "t", after: 1, next: 9, count: 7, why: "slow" });
  page.socket.say({ op: "lost", topic: "t", after: 3, next: 5, count: 1, why: "slow" }); // before where we stand
  page.socket.say({ op: "lost", topic: "t", after: 2, next: 0, count: 30, why: "rate" }, pub("t", 9));
  assert.deepEqual(got.map((event) => event.count ?? event.offset), [1, 7, 30, 9]);
  page.socket.say({ op: "lost", topic: "nobody's", after: 1, next: 3, count: 1, why: "slow" });
});

test("states of topics", async () => {
  const page = await opened();
  const subscription = page.relay.subscribe("t", () => {});
  const got = heard(subscription);
  await settle();
  page.socket.say({ op: "subscribed", id: page.socket.take()[0].id, topics: { t: { position: "e:0", state: "pending" } } });
  page.socket.say({ op: "state", topic: "t", state: "live" }, pub("t", 1));
  page.socket.say({ op: "state", topic: "t", state: "live" }); // no news
  page.socket.say({ op: "state", topic: "t", state: "reconnecting", why: "the feed closed" });
  page.socket.say({ op: "state", topic: "nobody's", state: "live" });
  assert.deepEqual(got.map(({ state, why }) => [state, why]),
    [["pending", ""], ["live", ""], ["reconnecting", "the feed closed"]]);
});

test("a refused topic is told to its subscription and to the connection", async () => {
  const page = await opened();
  const subscription = page.relay.subscribe("secret", () => {});
  const got = heard(subscription);
  await settle();
  const { id } = page.socket.take()[0];
  const error = { op: "error", id, code: "forbidden", message: "not yours", topic: "secret" };
  page.socket.say(error, { op: "subscribed", id, topics: {} }, { op: "news from later", x: 1 });
  assert.deepEqual(got, [{ heard: "error", ...error }]);
  assert.deepEqual(page.errors, [error]);
});

test("for await: in order, and leaving the loop unsubscribes", async () => {
  const page = await opened();
  const subscription = page.relay.subscribe("t");
  await settle();
  page.socket.say({ op: "subscribed", id: page.socket.take()[0].id, topics: { t: { position: "e:0", state: "pending" } } });
  page.socket.say(pub("t", 1), pub("t", 2));
  setTimeout(() => page.socket.say(pub("t", 3), pub("t", 4)), 0);
  const got = [];
  for await (const message of subscription) {
    got.push(message);
    if (message.offset === 3) break;
  }
  assert.deepEqual(got, [pub("t", 1), pub("t", 2), pub("t", 3)]);
  await settle();
  assert.deepEqual(page.socket.take().map(({ op }) => op), ["unsubscribe"]);
  assert.deepEqual(await subscription.next(), { value: undefined, done: true });
});

test("an iterator that is slow keeps a bounded number, drops the oldest, and tells how many are missing where", async () => {
  const page = await opened();
  const subscription = page.relay.subscribe("t", { buffer: 3 });
  await settle();
  page.socket.say({ op: "subscribed", id: page.socket.take()[0].id, topics: { t: { position: "e:0", state: "pending" } } });
  for (let offset = 1; offset <= 10; offset++) page.socket.say(pub("t", offset));
  assert.equal(subscription.dropped, 7);
  page.socket.say({ op: "lost", topic: "t", after: 10, next: 15, count: 4, why: "slow" });
  page.socket.say({ op: "lost", topic: "t", after: 15, next: 15, count: 100, why: "rate" }); // was asked for
  page.socket.say(pub("t", 15), pub("t", 16));
  const got = [];
  for (let n = 0; n < 3; n++) got.push((await subscription.next()).value);
  assert.deepEqual(got.map(({ offset, missed }) => [offset, missed]), [[10, 9], [15, 4], [16, undefined]]);
  page.socket.say({ op: "lost", topic: "t", after: 16, next: 18, count: null, why: "upstream" }, pub("t", 18));
  assert.equal((await subscription.next()).value.missed, null);
});

test("an iterator without room keeps only the count", async () => {
  const page = await opened();
  const subscription = page.relay.subscribe("t", { buffer: 0 });
  await settle();
  page.socket.say({ op: "subscribed", id: page.socket.take()[0].id, topics: { t: { position: "e:0", state: "pending" } } });
  page.socket.say(pub("t", 1), pub("t", 2));
  const next = subscription.next();
  page.socket.say(pub("t", 3));
  assert.deepEqual((await next).value, { ...pub("t", 3), missed: 2 });
});

test("a loop ends with the connection: quietly if we closed it, with the reason otherwise", async () => {
  for (const [end, expected] of [
    [(page) => page.relay.close(), null],
    [(page) => page.socket.drop(4501, "bad-request"), { code: 4501, reason: "bad-request" }],
  ]) {
    const page = await opened();
    const subscription = page.relay.subscribe("t");
    const waiting = [subscription.next(), subscription.next()];
    end(page);
    if (expected) await assert.rejects(waiting[0], expected);
    else assert.equal((await waiting[0]).done, true);
    assert.equal((await waiting[1]).done, true);
  }
});

test("a loop over a refused topic ends with the refusal, and asks no more", async () => {
  const page = await opened();
  const subscription = page.relay.subscribe("secret");
  await settle();
  const { id } = page.socket.take()[0];
  page.socket.say({ op: "error", id, code: "forbidden", message: "not yours", topic: "secret" });
  await assert.rejects(subscription.next(), { code: "forbidden", message: "not yours" });
  page.socket.say({ op: "subscribed", id, topics: {} });
  await settle();
  assert.deepEqual(page.socket.take(), []);
  page.relay.subscribe("secret");
  await settle();
  assert.deepEqual(page.socket.take().map(({ op, topics }) => [op, topics]), [["subscribe", ["secret"]]]);
});

test("a change while an answer is due waits for it, so that answers do not cross", async () => {
  const page = await opened();
  page.relay.subscribe("t", () => {});
  await settle();
  const [first] = page.socket.take();
  page.relay.subscribe("t", () => {});
  const gone = page.relay.subscribe("u", () => {});
  await settle();
  gone.unsubscribe();
  await settle();
  assert.deepEqual(page.socket.take(), []);
  page.socket.say({ op: "subscribed", id: first.id, more: true, topics: {} });
  assert.deepEqual(page.socket.take(), []);
  page.socket.say({ op: "subscribed", id: first.id, topics: { t: { position: "e:3", state: "live" } } });
  assert.deepEqual(page.socket.take().map(({ op, topics }) => [op, topics]), [["unsubscribe", ["t"]], ["subscribe", ["t"]]]);
});

test("a callback or a loop, not both", async () => {
  const page = await opened();
  assert.throws(() => page.relay.subscribe("t", () => {})[Symbol.asyncIterator](), TypeError);
});
