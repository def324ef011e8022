/* Whatever happens, in whatever order: each reader gets each publication once, in order, or is told how many it does not
   get. The page subscribes and leaves, the server publishes, lags, forgets and restarts, the wire is cut. */

import assert from "node:assert/strict";
import test from "node:test";

import { Page } from "./rig.js";
import { Peer, Server, meets } from "./server.js";

const TEXTS = ["trades/a", "trades/b", "trades/*", "book/a", "book/b", "book/*", "*/a"];
const NAMES = ["trades/a", "trades/b", "book/a", "book/b"];
const LIVES = Number(process.env.LIVES ?? 5); // per way and history; by WebSocket alone, which is quicker, four times that

/* Numbers below 1, the same for each seed (mulberry32). */
const dice = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};

/* One reader and what it may claim: per topic where it stands, or that it was told otherwise. */
class Reader {
  at = new Map(); // topic -> {epoch, offset}
  given = 0;
  lost = 0;

  constructor(relay, text, failures) {
    this.text = text;
    // The client reports what a listener throws to the browser; here the first one ends the test.
    const checked = (check) => (event) => {
      try {
        check(event);
      } catch (error) {
        failures.push(error);
      }
    };
    this.subscription = relay.subscribe(text, checked((message) => this.#take(message)));
    this.subscription.on("lost", checked((notice) => this.#lose(notice)));
  }

  #take({ topic, offset, snapshot, data }) {
    const [epoch] = data.split(":");
    assert.equal(data, `${epoch}:${offset}`);
    const at = this.at.get(topic);
    if (!at) assert.ok(snapshot || offset === 1, `${this.text}: ${topic} begins in the middle, at ${data}`);
    else {
      assert.equal(offset, at.offset + 1, `${this.text}: ${topic} after ${at.epoch}:${at.offset} comes ${data}`);
      assert.ok(at.epoch === epoch || at.epoch === null, `${this.text}: ${topic} changed its numbering untold`);
      if (at.broken && topic.startsWith("book")) assert.ok(snapshot, `${topic} goes on after a loss without a snapshot`);
    }
    this.given += 1;
    this.at.set(topic, { epoch, offset });
  }

  #lose({ topic, after, next, count, why }) {
    const at = this.at.get(topic) ?? { epoch: null, offset: after };
    if (why === "epoch") {
      // The numbers begin anew; which comes first is for the snapshot to say.
      assert.equal(count, null);
      this.at.delete(topic);
      return;
    }
    // Whoever has nothing yet stands where relayd says.
    assert.deepEqual([after, count], [at.offset, next - after - 1]);
    this.lost += count;
    this.at.set(topic, { epoch: at.epoch, offset: next - 1, broken: true });
  }
}

async function live(seed, history, ways) {
  const random = dice(seed);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const server = new Server(history, random);
  const page = new Page({ Peer, random, server, transports: ways });
  const readers = new Set();
  const failures = [];
  const total = { given: 0, lost: 0, resumed: 0 };
  const leave = (reader) => {
    reader.subscription.unsubscribe();
    readers.delete(reader);
    total.given += reader.given;
    total.lost += reader.lost;
  };
  const join = () => {
    const reader = new Reader(page.relay, pick(TEXTS), failures);
    reader.subscription.on("resumed", ({ recovered }) => (total.resumed += recovered));
    readers.add(reader);
  };
  const acts = [
    [10, () => server.publish(pick(NAMES))],
    [3, join],
    [2, () => readers.size && leave(pick([...readers]))],
    [1, () => server.cut()],
    [1, () => server.connections.forEach(({ session }) => (session.slow = true))],
    [2, () => server.connections.forEach(({ session }) => ((session.slow = false), session.flush()))],
    [0.2, () => server.restart()],
    // Something between blocks WebSockets, or streams, or lets them pass again.
    ...ways.length > 1 ? [[0.3, () => server.refused.add(pick(["ws", "sse"]))], [0.2, () => server.refused.clear()]] : [],
    [0.5, () => page.show(random() < 0.5)],
  ];
  const weights = acts.reduce((sum, [weight]) => sum + weight, 0);
  for (let step = 0; step < 250; step++) {
    let ticket = random() * weights;
    acts.find(([weight]) => (ticket -= weight) < 0)[1]();
    if (random() < 0.7) await page.clock.forward(random() * random() * 400);
    if (failures.length) throw failures[0];
  }
  // At rest everybody stands where the server does.
  for (const { session } of server.connections) session.slow = false;
  for (let wait = 0; wait < 10 && page.relay.state !== "open"; wait++) await page.clock.forward(60_000);
  await page.clock.forward(1_000);
  for (const { session } of server.connections) session.flush();
  NAMES.forEach((name) => server.publish(name));
  await page.clock.forward(1_000);
  assert.equal(page.relay.state, "open");
  for (const reader of readers) {
    for (const name of NAMES.filter((topic) => meets(reader.text, topic))) {
      const { epoch, end } = server.topics.get(name);
      const at = reader.at.get(name);
      assert.deepEqual([at?.epoch, at?.offset], [epoch, end - 1], `${reader.text}: ${name} stands elsewhere than relayd`);
    }
    leave(reader);
  }
  await page.clock.forward(1_000);
  for (const { session } of server.connections) assert.equal(session.positions.size, 0, "something is still subscribed");
  assert.deepEqual([failures, page.errors], [[], []]);
  return total;
}

const WAYS = [["websocket"], ["sse"], ["poll"], ["websocket", "sse", "poll"]];

for (const [name, history, ways] of WAYS.flatMap((ways) => [["longer than any outage", 10_000, ways], ["short", 2, ways]])) {
  test(`every reader gets all or is told, by ${ways.join(", ")}, with a history ${name}`, async () => {
    const runs = ways.join() === "websocket" ? 4 * LIVES : LIVES;
    const sum = { given: 0, lost: 0, resumed: 0 };
    for (let seed = 1; seed <= runs; seed++) {
      try {
        const total = await live(seed, history, ways);
        for (const key in sum) sum[key] += total[key];
      } catch (error) {
        error.message = `seed ${seed}: ${error.message}`;
        throw error;
      }
    }
    assert.ok(sum.given > 60 * runs && sum.resumed > 2 * runs, JSON.stringify(sum)); // it was no quiet life
    if (history > 1000) assert.equal(sum.lost, 0);
    else assert.ok(sum.lost > 0, JSON.stringify(sum));
  });
}
