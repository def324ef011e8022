/* A relayd in small, for tests of the client: rings of bounded history, positions, patterns, late deliveries, restarts;
   by WebSocket, SSE and long-polling. It follows docs/protocol.md; what it announces as lost is exact, so that a test can
   add it up. */

import { Socket } from "./rig.js";

export const meets = (text, name) => {
  const [want, got] = [text.split("/"), name.split("/")];
  return want.length === got.length && want.every((part, n) => part === "*" || part === got[n]);
};

export class Server {
  connections = new Set(); // of all kinds; each has met(topic), flush(), cut(code, reason)
  topics = new Map(); // name -> {epoch, end, ring, deltas}
  refused = new Set(); // ways that something between blocks
  requests = []; // of HTTP: [path, what was asked]
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
      for (const connection of this.connections) connection.session.met(topic);
    }
    return topic;
  }

  publish(name, data) {
    const topic = this.topic(name);
    const offset = topic.end++;
    const snapshot = topic.deltas && (offset === 1 || this.random() < 0.15);
    topic.ring.push({ topic: name, offset, ...(snapshot && { snapshot }), data: data ?? `${topic.epoch}:${offset}` });
    const bases = topic.ring.filter((entry) => entry.snapshot);
    while (topic.ring.length > this.history && (!topic.deltas || topic.ring[0] !== bases.at(-1))) topic.ring.shift();
    for (const connection of this.connections) connection.session.flush();
    return `${topic.epoch}:${offset}`;
  }

  /* All numbering begins anew, and every connection is gone. */
  restart() {
    this.cut(1012, "restart");
    this.topics.clear();
  }

  cut(code, reason) {
    for (const connection of [...this.connections]) connection.cut(code, reason);
  }

  /* What one page asks by HTTP; each answer and each event is late on its own. */
  fetch(page, url, { method, body, headers, signal }) {
    const [path] = new URL(url).pathname.split("/").slice(-1);
    const { searchParams } = new URL(url);
    const query = Object.fromEntries(searchParams);
    this.requests.push([path, body ? JSON.parse(body) : query, headers]);
    return new Promise((resolve, reject) => {
      const way = { cut: () => reject(new TypeError("the network failed")) };
      signal?.addEventListener("abort", () => {
        this.connections.delete(way);
        reject(new DOMException("aborted", "AbortError"));
      });
      const wire = new Wire(page.clock, this.random);
      wire.carry(() => {
        if (signal?.aborted) return;
        if (this.refused.has(path)) return resolve(new Response("<html>blocked", { status: 502 }));
        if (path === "sse") this.#stream(way, wire, page.clock, { ...query, topics: query.topics.split(","), since: JSON.parse(query.since) }, resolve, signal);
        else if (path === "poll") this.#poll(way, wire, page.clock, JSON.parse(body), resolve);
        else {
          const topic = new URL(url).pathname.split("/topics/")[1];
          const [status, answer] = topic.startsWith("secret")
            ? [403, { code: "forbidden", message: "access.publish" }]
            : [200, { topic, position: this.publish(topic, JSON.parse(body)) }];
          wire.carry(() => resolve(Response.json(answer, { status })));
        }
      });
    });
  }

  #stream(way, wire, clock, { topics, since }, resolve, signal) {
    let stream;
    const body = new ReadableStream({ start: (controller) => (stream = controller) });
    const say = (text) => wire.carry(() => this.connections.has(way) && stream.enqueue(new TextEncoder().encode(text)));
    way.session = new Session(this, (message) => say(`data: ${JSON.stringify(message)}\n\n`));
    way.cut = (code, reason) => {
      if (!this.connections.delete(way)) return;
      if (code) stream.enqueue(new TextEncoder().encode(`event: close\ndata: {"code":${code},"name":"${reason}"}\n\n`));
      if (code) stream.close();
      else stream.error(new TypeError("the network failed"));
    };
    signal.addEventListener("abort", () => stream.error(signal.reason));
    this.connections.add(way);
    resolve(new Response(body));
    say("retry: 2000\n\n");
    const beat = () => this.connections.has(way) && (say(":\n\n"), clock.set(beat, 15_000));
    clock.set(beat, 15_000);
    way.session.tell({ op: "welcome", relayd: "1", session: "s", silence_s: 15, time_ms: 0 });
    way.session.subscribe(undefined, topics, since);
  }

  #poll(way, wire, clock, { topics, since, wait_s }, resolve) {
    const messages = [];
    let joined;
    const finish = () => {
      if (!this.connections.delete(way)) return;
      const stands = {};
      for (const [name, answer] of Object.entries(joined)) {
        stands[name] = { ...answer, position: way.session.position(name) ?? answer.position };
      }
      wire.carry(() => resolve(Response.json({ topics: stands, messages })));
    };
    way.session = new Session(this, (message) => {
      if (message.op === "subscribed") joined = { ...joined, ...message.topics };
      else messages.push(message);
      if (joined) clock.set(finish, 1);
    });
    const { cut } = way;
    way.cut = () => this.connections.delete(way) && cut();
    this.connections.add(way);
    way.session.subscribe(1, topics, since, (answer) => (joined = answer.topics));
    clock.set(finish, wait_s * 1000);
  }
}

/* Carries in order, each with a delay of its own. */
class Wire {
  #late = 0;

  constructor(clock, random) {
    this.clock = clock;
    this.random = random;
  }

  carry(arrives) {
    this.#late = Math.max(this.#late, this.clock.now + this.random() * 40);
    this.clock.set(arrives, this.#late - this.clock.now);
  }
}

/* What one connection reads, and where it stands. */
class Session {
  positions = new Map(); // topic -> offset up to which it was given
  newcomers = new Set();
  texts = new Map();
  slow = false; // the socket takes nothing but answers

  constructor(server, tell) {
    this.server = server;
    this.tell = tell;
  }

  position(name) {
    const topic = this.server.topics.get(name);
    return this.positions.has(topic) ? `${topic.epoch}:${this.positions.get(topic)}` : undefined;
  }

  subscribe(id, texts, since, answered = this.tell) {
    const joined = {};
    const losses = [];
    for (const text of texts) {
      this.texts.set(text, true);
      const names = text.includes("*") ? [...this.server.topics.keys()].filter((name) => meets(text, name)) : [text];
      for (const name of names) joined[name] = this.#enter(this.server.topic(name), since[name], losses);
    }
    answered({ op: "subscribed", id, topics: joined });
    losses.forEach((loss) => this.tell(loss));
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

  unsubscribe(id, texts) {
    for (const text of texts) this.texts.delete(text);
    for (const topic of [...this.positions.keys()]) {
      if ([...this.texts.keys()].some((text) => meets(text, topic.name))) continue;
      this.positions.delete(topic);
      this.newcomers.delete(topic);
    }
    this.tell({ op: "unsubscribed", id, topics: texts });
  }

  met(topic) {
    if (this.positions.has(topic) || ![...this.texts.keys()].some((text) => meets(text, topic.name))) return;
    this.tell({ op: "subscribed", topics: { [topic.name]: this.#enter(topic, undefined, []) } });
  }

  flush() {
    if (this.slow) return;
    for (const [topic, position] of this.positions) {
      const first = topic.ring[0]?.offset ?? topic.end;
      let at = position;
      if (at + 1 < first) {
        const next = topic.deltas ? topic.ring.findLast((entry) => entry.snapshot).offset : first;
        this.tell({ op: "lost", topic: topic.name, after: at, next, count: next - at - 1, why: "slow" });
        at = next - 1;
      }
      for (const entry of topic.ring) {
        if (entry.offset <= at) continue;
        at = entry.offset;
        this.tell(this.newcomers.delete(topic) ? { ...entry, snapshot: true } : entry);
      }
      this.positions.set(topic, at);
    }
  }
}

/* A WebSocket of the page, joined to the server by two wires. */
export class Peer extends Socket {
  constructor(url, page) {
    super(url);
    const { server, clock } = page;
    this.server = server;
    this.page = page;
    this.up = new Wire(clock, server.random);
    this.down = new Wire(clock, server.random);
    this.session = new Session(server, (message) => this.#hear(() => this.say(message)));
    this.#hear(() => {
      if (server.refused.has("ws")) return this.drop();
      server.connections.add(this);
      this.open();
      this.session.tell({ op: "welcome", relayd: "1", session: "s", ping_every_s: 25, time_ms: 0 });
    });
  }

  #hear(arrives) {
    this.down.carry(() => this.readyState !== 3 && arrives());
  }

  send(text) {
    if (this.readyState !== 1) throw new Error("send on a socket that is not open");
    this.up.carry(() => this.server.connections.has(this) && this.#asked(JSON.parse(text)));
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

  #asked({ op, id, topic, topics, data, since = {} }) {
    if (op === "subscribe") this.session.subscribe(id, topics, since);
    else if (op === "unsubscribe") this.session.unsubscribe(id, topics);
    else if (op === "publish") this.session.tell({ op: "published", id, topic, position: this.server.publish(topic, data) });
    else if (op !== "ack") this.session.tell({ op: { ping: "pong", pace: "paced" }[op], id });
  }
}
