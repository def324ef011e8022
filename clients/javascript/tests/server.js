/* A relayd in small, for tests of the client: rings of bounded history, positions, patterns, late deliveries, restarts.
   It follows docs/protocol.md; what it announces as lost is exact, so that a test can add it up. */

import { Socket } from "./rig.js";

const meets = (text, name) => {
  const [want, got] = [text.split("/"), name.split("/")];
  return want.length === got.length && want.every((part, n) => part === "*" || part === got[n]);
};

export class Server {
  connections = new Set();
  topics = new Map(); // name -> {epoch, end, ring, deltas}
  held = 0; // most topics that one connection held twice: must stay 0
  #made = 0;

  constructor(history, random) {
    this.history = history;
    this.random = random;
  }

  topic(name) {
    let topic = this.topics.get(name);
    if (!topic) {
      topic = { name, epoch: `e${++this.#made}`, end: 1, ring: [], deltas: name.startsWith("book") };
      this.topics.set(name, topic);
      for (const connection of this.connections) connection.met(topic);
    }
    return topic;
  }

  publish(name) {
    const topic = this.topic(name);
    const offset = topic.end++;
    const snapshot = topic.deltas && (offset === 1 || this.random() < 0.15);
    topic.ring.push({ topic: name, offset, ...(snapshot && { snapshot }), data: `${topic.epoch}:${offset}` });
    const bases = topic.ring.filter((entry) => entry.snapshot);
    while (topic.ring.length > this.history && (!topic.deltas || topic.ring[0] !== bases.at(-1))) topic.ring.shift();
    for (const connection of this.connections) connection.flush();
  }

  /* All numbering begins anew, and every connection is gone. */
  restart() {
    for (const connection of [...this.connections]) connection.cut(1012, "restart");
    this.topics.clear();
  }
}

/* A WebSocket of the page, joined to the server by two wires, each in order and each with delays of its own. */
export class Peer extends Socket {
  positions = new Map(); // topic -> offset up to which it was given
  newcomers = new Set();
  texts = new Map();
  slow = false; // the socket takes nothing but answers
  #late = [0, 0];

  constructor(url, page) {
    super(url);
    this.page = page;
    this.server = page.server;
    this.#wire(0, () => {
      this.server.connections.add(this);
      this.open();
      this.#tell({ op: "welcome", relayd: "1", session: "s", ping_every_s: 25, time_ms: 0 });
    });
  }

  send(text) {
    if (this.readyState !== 1) throw new Error("send on a socket that is not open");
    this.#wire(1, () => this.server.connections.has(this) && this.#asked(JSON.parse(text)));
  }

  close() {
    super.close();
    this.server.connections.delete(this);
  }

  cut(code = 1006, reason = "") {
    if (this.readyState === 3) return;
    this.server.connections.delete(this);
    this.drop(code, reason);
  }

  #wire(way, arrives) {
    const { clock } = this.page;
    this.#late[way] = Math.max(this.#late[way], clock.now + this.server.random() * 40);
    clock.set(() => this.readyState !== 3 && arrives(), this.#late[way] - clock.now);
  }

  #tell(message) {
    this.#wire(0, () => this.say(message));
  }

  #asked({ op, id, topics, since = {} }) {
    if (op === "subscribe") this.#subscribe(id, topics, since);
    else if (op === "unsubscribe") this.#unsubscribe(id, topics);
    else this.#tell({ op: { ping: "pong", pace: "paced" }[op], id });
  }

  #subscribe(id, texts, since) {
    const joined = {};
    const losses = [];
    for (const text of texts) {
      this.texts.set(text, true);
      const names = text.includes("*") ? [...this.server.topics.keys()].filter((name) => meets(text, name)) : [text];
      for (const name of names) joined[name] = this.#enter(this.server.topic(name), since[name], losses);
    }
    this.#tell({ op: "subscribed", id, topics: joined });
    losses.forEach((loss) => this.#tell(loss));
    this.flush();
  }

  #enter(topic, since, losses) {
    const answer = { position: `${topic.epoch}:${topic.end - 1}`, state: topic.ring.length ? "live" : "pending" };
    const first = topic.ring[0]?.offset ?? topic.end;
    const base = topic.deltas ? topic.ring.findLast((entry) => entry.snapshot) : topic.ring.at(-1);
    if (since !== undefined) {
      const [epoch, offset] = since.split(":");
      if (epoch === topic.epoch && (+offset + 1 >= first || !topic.deltas)) {
        this.positions.set(topic, +offset);
        return { ...answer, recovered: +offset + 1 >= first };
      }
      const known = epoch === topic.epoch;
      const [after, next] = [known ? +offset : 0, base?.offset ?? topic.end];
      losses.push({ op: "lost", topic: topic.name, after, next, count: known ? next - after - 1 : null, why: known ? "slow" : "epoch" });
      answer.recovered = false;
    } else if (this.positions.has(topic)) return answer;
    this.positions.set(topic, base ? base.offset - 1 : topic.end - 1);
    if (base && !topic.deltas) this.newcomers.add(topic);
    return answer;
  }

  #unsubscribe(id, texts) {
    for (const text of texts) this.texts.delete(text);
    for (const topic of [...this.positions.keys()]) {
      if ([...this.texts.keys()].some((text) => meets(text, topic.name))) continue;
      this.positions.delete(topic);
      this.newcomers.delete(topic);
    }
    this.#tell({ op: "unsubscribed", id, topics: texts });
  }

  met(topic) {
    if (this.positions.has(topic) || ![...this.texts.keys()].some((text) => meets(text, topic.name))) return;
    this.#tell({ op: "subscribed", topics: { [topic.name]: this.#enter(topic, undefined, []) } });
  }

  flush() {
    if (this.slow) return;
    for (const [topic, position] of this.positions) {
      const first = topic.ring[0]?.offset ?? topic.end;
      let at = position;
      if (at + 1 < first) {
        const next = topic.deltas ? topic.ring.findLast((entry) => entry.snapshot).offset : first;
        this.#tell({ op: "lost", topic: topic.name, after: at, next, count: next - at - 1, why: "slow" });
        at = next - 1;
      }
      for (const entry of topic.ring) {
        if (entry.offset <= at) continue;
        at = entry.offset;
        this.#tell(this.newcomers.delete(topic) ? { ...entry, snapshot: true } : entry);
      }
      this.positions.set(topic, at);
    }
  }
}
