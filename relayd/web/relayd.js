/* relayd.js: topics of a relayd in a page (docs/browser.md, docs/protocol.md). Apache-2.0 */

const CEILING_MS = 1_000; // of the first wait, doubling ...
const CEILING_MAX_MS = 60_000; // ... up to here,
const SETTLED_MS = 30_000; // and anew after so long a connection
const OPEN_WITHIN_MS = 15_000; // guess
const PING_GRACE_MS = 10_000; // after the server's own interval
const PONG_WITHIN_MS = 10_000;
const RENEW_MS = 30_000; // before a token ends, or at half its time
const TOPICS_PER_REQUEST = 100; // far below limits.message
const BUFFER = 1_000; // messages an iterator holds (guess)

const isFinal = (code) => [1000, 1002, 1003, 1007, 1009].includes(code) || (code >= 4500 && code < 5000);

/* Values as one topic, escaped. */
export function topic(...values) {
  if (!values.length) throw new TypeError("a topic has at least one value");
  return values.map((value) => {
    const text = String(value);
    if (!text) throw new TypeError("an empty value cannot be a topic segment");
    const plain = /^\.+$/.test(text) ? /^$/ : /[\w.:@-]/;
    const bytes = Array.from(new TextEncoder().encode(text));
    return bytes.map((byte) => {
      const letter = String.fromCharCode(byte);
      return plain.test(letter) ? letter : "~" + byte.toString(16).toUpperCase().padStart(2, "0");
    }).join("");
  }).join("/");
}

/* A connection for good: it comes back by itself. */
export function connect(url, options = {}) {
  return new Connection(url, options);
}

class Events {
  #listeners = {};

  on(type, call) {
    const calls = (this.#listeners[type] ??= new Set());
    calls.add(call);
    return () => calls.delete(call);
  }

  tell(type, event) {
    for (const call of this.#listeners[type] ?? []) guarded(call, event);
  }
}

/* A listener's error is the page's, at no other's cost. */
function guarded(call, ...values) {
  try {
    call(...values);
  } catch (error) {
    queueMicrotask(() => { throw error; });
  }
}

const waits = (name, subs) => [...subs].some((sub) => !sub.at.has(name));
const plus = (a, b) => (a === null || b === null ? null : a + b);

class Subscription extends Events {
  at = new Map(); // topic -> offset of the last publication given
  dropped = 0;
  #leave;
  #callback;
  #buffer;
  #queue = []; // [message, how many are missing before it]
  #missing = 0; // after the last in the queue
  #readers = []; // next() calls that wait
  #end; // {error} once nothing more comes

  constructor(text, callback, { maxHz, buffer = BUFFER }, leave) {
    super();
    this.topic = text;
    this.hz = maxHz ?? Infinity;
    this.#callback = callback;
    this.#buffer = buffer;
    this.#leave = leave;
    const pattern = text.split("/").map((s) => (s === "*" ? "[^/]+" : s === "**" ? ".+" : s.replace(/\W/g, "\\$&")));
    const regex = new RegExp(`^${pattern.join("/")}$`);
    this.matches = text.includes("*") ? (name) => regex.test(name) : (name) => name === text;
  }

  unsubscribe() {
    this.#leave(this);
    this.finish();
  }

  give(message) {
    if (this.#callback) return guarded(this.#callback, message, this);
    const item = [message, this.#missing];
    this.#missing = 0;
    this.#queue.push(item);
    if (this.#readers.length) this.#readers.shift().resolve(this.#take());
    else if (this.#queue.length > this.#buffer) {
      // The oldest goes; the next one says so.
      const [, missing] = this.#queue.shift();
      this.dropped += 1;
      const next = this.#queue[0];
      if (next) next[1] = plus(next[1], plus(missing, 1));
      else this.#missing = plus(missing, 1);
    }
  }

  lose(notice) {
    if (notice.why !== "rate") this.#missing = plus(this.#missing, notice.count);
    this.tell("lost", notice);
  }

  finish(error) {
    this.#end ??= { error };
    if (error && !this.#callback) this.#leave(this);
    for (const reader of this.#readers.splice(0)) this.#ended(reader);
  }

  #take() {
    const [message, missed] = this.#queue.shift();
    return { value: missed === 0 ? message : { ...message, missed }, done: false };
  }

  #ended({ resolve, reject }) {
    const { error } = this.#end;
    this.#end = {};
    error ? reject(error) : resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator]() {
    if (this.#callback) throw new TypeError("a subscription has a callback or is iterated over, not both");
    return this;
  }

  next() {
    return new Promise((resolve, reject) => {
      const reader = { resolve, reject };
      if (this.#queue.length) resolve(this.#take());
      else if (this.#end) this.#ended(reader);
      else this.#readers.push(reader);
    });
  }

  async return() {
    this.unsubscribe();
    this.#queue = [];
    return { value: undefined, done: true };
  }
}

class Connection extends Events {
  state = "connecting";
  #url;
  #options;
  #world;
  #socket = null;
  #timer;
  #dueAt = 0;
  #earliest = 0;
  #failures = 0;
  #openedAt = null;
  #heardAt = 0;
  #pingAfter = OPEN_WITHIN_MS;
  #pinged = false;
  #ready = false; // requests may be sent
  #id = 0;
  #pending = 0; // request whose answer is due: one step at a time
  #authId = 0;
  #ahead = 0; // the server's clock to ours
  #renewal;
  #resumed = 0; // answers up to this id are about coming back
  #subs = new Set();
  #topics = new Map(); // name -> {epoch, state, subs, newcomers, rejoined, catching}
  #asked = new Map(); // text -> rate, on this connection
  #fresh = new Set(); // subscriptions not asked for yet
  #changed = new Set(); // texts to look at in the next flush
  #gone = new AbortController();

  constructor(url, options) {
    super();
    const resolved = new URL(url, globalThis.location?.href);
    resolved.protocol = resolved.protocol.replace("http", "ws");
    this.#url = resolved.href;
    this.#options = { hiddenHz: 1, ...options };
    this.#world = {
      WebSocket: globalThis.WebSocket,
      document: globalThis.document,
      setTimeout: (call, ms) => setTimeout(call, ms),
      clearTimeout: (timer) => clearTimeout(timer),
      now: () => performance.now(),
      random: Math.random,
      window: globalThis.addEventListener && globalThis,
      ...options.world,
    };
    const { window, document } = this.#world;
    const { signal } = this.#gone;
    window?.addEventListener("online", () => this.#hurry(), { signal });
    document?.addEventListener("visibilitychange", () => {
      if (!this.#hidden) this.#hurry();
      if (this.#ready) this.#pace();
    }, { signal });
    this.#dial();
  }

  subscribe(text, callback, options = {}) {
    if (callback && typeof callback !== "function") [callback, options] = [undefined, callback];
    const sub = new Subscription(text, callback, options, (gone) => this.#drop(gone));
    if (this.state === "closed") {
      sub.finish(new Error("the connection is closed"));
      return sub;
    }
    this.#subs.add(sub);
    this.#fresh.add(sub);
    this.#change(text);
    return sub;
  }

  authorize(token) {
    this.#send({ op: "auth", id: ++this.#id, token });
  }

  close() {
    this.#end(1000, "done");
  }

  // The life of the connection

  get #hidden() {
    return this.#world.document?.visibilityState === "hidden";
  }

  #become(state, detail = {}) {
    this.state = state;
    this.tell("state", { state, ...detail });
  }

  #later(ms, call) {
    this.#world.clearTimeout(this.#timer);
    this.#dueAt = this.#world.now() + ms;
    this.#timer = this.#world.setTimeout(call, ms);
  }

  async #dial() {
    this.#become("connecting");
    const token = await this.#token();
    if (this.state === "closed") return;
    if (token === undefined) return this.#lost(1006, "no token");
    const { WebSocket, now } = this.#world;
    const socket = (this.#socket = new WebSocket(this.#url));
    const mine = (call) => (event) => socket === this.#socket && call(event);
    this.#heardAt = now();
    this.#pingAfter = OPEN_WITHIN_MS;
    this.#pinged = false;
    socket.onopen = mine(() => {
      this.#openedAt = now();
      if (token === null) return this.#open();
      this.authorize(token);
      this.#authId = this.#id;
    });
    socket.onmessage = mine(({ data }) => {
      this.#heardAt = now();
      this.#read(JSON.parse(data));
    });
    socket.onclose = mine(({ code, reason }) => this.#lost(code, reason));
    this.#watch();
  }

  #open() {
    this.#authId = 0;
    this.#ready = true;
    this.#become("open");
    if (this.#hidden) this.#pace();
    this.#fresh = new Set(this.#subs);
    for (const { topic } of this.#subs) this.#changed.add(topic);
    this.#flush();
    this.#resumed = this.#id;
  }

  #lost(code, reason) {
    this.#hangUp();
    if (isFinal(code)) return this.#end(code, reason);
    const { now, random } = this.#world;
    if (this.#openedAt !== null && now() - this.#openedAt >= SETTLED_MS) this.#failures = 0;
    this.#openedAt = null;
    const hint = 1000 * (/\bretry=(\d+)/.exec(reason)?.[1] ?? 0);
    const wait = hint + random() * Math.min(CEILING_MAX_MS, CEILING_MS * 2 ** this.#failures++);
    this.#earliest = now() + hint;
    this.#later(wait, () => this.#dial());
    this.#become("waiting", { code, reason, retryMs: wait });
  }

  #hangUp() {
    const socket = this.#socket;
    this.#socket = null;
    this.#ready = false;
    this.#asked.clear();
    this.#pending = 0;
    this.#world.clearTimeout(this.#renewal);
    for (const topic of this.#topics.values()) {
      topic.newcomers.clear();
      topic.catching = 0;
      topic.state = "";
    }
    socket?.close();
  }

  #end(code, reason) {
    if (this.state === "closed") return;
    this.#hangUp();
    this.#gone.abort();
    this.#world.clearTimeout(this.#timer);
    this.#become("closed", { code, reason });
    const error = code === 1000 ? undefined : Object.assign(new Error(`closed: ${code} ${reason}`), { code, reason });
    for (const sub of this.#subs) sub.finish(error);
  }

  /* The network is back, or somebody looks. */
  #hurry() {
    const { now, random } = this.#world;
    if (this.state === "waiting") {
      this.#failures = 0;
      const wait = Math.max(0, this.#earliest - now()) + random() * CEILING_MS;
      if (now() + wait < this.#dueAt) this.#later(wait, () => this.#dial());
    } else if (this.#socket && !this.#pinged) this.#watch();
  }

  /* Scripts cannot see pings: after too long a silence, ask. */
  #watch() {
    const quiet = this.#world.now() - this.#heardAt;
    if (quiet < this.#pingAfter) {
      this.#pinged = false;
      this.#later(this.#pingAfter - quiet, () => this.#watch());
    } else if (!this.#pinged) {
      this.#pinged = true;
      this.#send({ op: "ping", id: ++this.#id });
      this.#later(PONG_WITHIN_MS, () => this.#watch());
    } else this.#lost(1006, "silent");
  }

  #pace() {
    const max_hz = this.#hidden ? this.#options.hiddenHz : undefined;
    if (this.#options.hiddenHz) this.#send({ op: "pace", id: ++this.#id, max_hz });
  }

  #send(message) {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(message));
  }

  // What is asked of the server

  #change(text) {
    if (!this.#changed.size) queueMicrotask(() => this.#flush());
    this.#changed.add(text);
  }

  #drop(sub) {
    if (!this.#subs.delete(sub)) return;
    this.#fresh.delete(sub);
    for (const [name, { subs, newcomers }] of this.#topics) {
      newcomers.delete(sub);
      if (subs.delete(sub) && !subs.size) this.#topics.delete(name);
    }
    this.#change(sub.topic);
  }

  /* One server subscription per text. A newcomer to a topic that others read needs its beginning, which the server gives
     to those who come: so it is left and joined. */
  #flush() {
    if (!this.#ready || this.#pending) return;
    const wanted = new Map(); // text -> rate
    const kept = new Set(); // texts with a reader from before
    for (const sub of this.#subs) {
      wanted.set(sub.topic, Math.max(sub.hz, wanted.get(sub.topic) ?? 0));
      if (!this.#fresh.has(sub)) kept.add(sub.topic);
    }
    const ask = new Set();
    const leave = new Set();
    const again = new Set();
    for (const text of this.#changed) {
      const asked = this.#asked.get(text);
      if (asked === wanted.get(text) && kept.has(text)) continue;
      if (asked) leave.add(text);
      if (wanted.has(text)) ask.add(text);
    }
    const first = this.#id + 1;
    for (const [name, topic] of this.#topics) {
      const newcomers = [...this.#fresh].filter((sub) => sub.matches(name) && !sub.at.has(name));
      if (!newcomers.length) continue;
      again.add(name);
      for (const sub of newcomers) {
        topic.subs.add(sub);
        topic.newcomers.set(sub, first);
      }
      for (const sub of topic.subs) {
        ask.add(sub.topic);
        if (this.#asked.has(sub.topic)) leave.add(sub.topic);
      }
    }
    this.#changed.clear();
    this.#fresh.clear();
    for (const topics of parts(leave)) this.#send({ op: "unsubscribe", id: (this.#pending = ++this.#id), topics });
    for (const text of leave) this.#asked.delete(text);
    for (const hz of new Set([...ask].map((text) => wanted.get(text)))) {
      for (const topics of parts([...ask].filter((text) => wanted.get(text) === hz))) this.#ask(topics, hz, again);
    }
  }

  #ask(texts, hz, again) {
    const since = {};
    const asking = new Set(texts);
    for (const [name, { epoch, subs }] of this.#topics) {
      // From a position there is no beginning for those who wait for it.
      if (again.has(name) || waits(name, subs) || ![...subs].some((sub) => asking.has(sub.topic))) continue;
      since[name] = `${epoch}:${Math.min(...[...subs].map((sub) => sub.at.get(name)))}`;
    }
    this.#request(texts, hz, since);
  }

  #request(topics, hz, since) {
    for (const text of topics) this.#asked.set(text, hz);
    this.#pending = ++this.#id;
    this.#send({ op: "subscribe", id: this.#id, topics, max_hz: hz < Infinity ? hz : undefined, since });
  }

  // What the server says

  /* A token that ends is replaced before. */
  #renew(expires) {
    const { now, setTimeout } = this.#world;
    if (!expires || typeof this.#options.token !== "function") return;
    const left = expires - this.#ahead - now();
    const early = Math.max(left / 2, left - RENEW_MS);
    const socket = this.#socket;
    this.#renewal = setTimeout(async () => {
      const fresh = await this.#token();
      if (fresh && socket === this.#socket) this.authorize(fresh);
    }, Math.min(early, 2 ** 31 - 1));
  }

  /* undefined where there is none to have. */
  async #token() {
    const { token = null } = this.#options;
    try {
      return typeof token === "function" ? await token() : token;
    } catch (error) {
      this.tell("error", { op: "error", code: "token", message: String(error) });
    }
  }

  #read(message) {
    const { op, id } = message;
    if (op === undefined) this.#publication(message);
    else if (op === "lost") this.#notice(message);
    else if (op === "subscribed") for (const name in message.topics) this.#joined(name, message.topics[name], id);
    else if (op === "state") this.#state(message.topic, message);
    else if (op === "welcome") {
      this.#pingAfter = message.ping_every_s * 1000 + PING_GRACE_MS;
      this.#ahead = message.time_ms - this.#world.now();
    } else if (op === "authorized") {
      this.#renew(message.expires_ms);
      if (id === this.#authId) this.#open();
    }
    else if (op === "error") this.#refused(message);
    if (id === this.#pending && !message.more && !(op === "error" && message.topic)) {
      this.#pending = 0;
      this.#flush();
    }
  }

  #refused(message) {
    this.tell("error", message);
    if (message.id === this.#authId && message.code === "unknown_op") return this.#open(); // it has no tokens
    this.#asked.delete(message.topic);
    for (const sub of this.#subs) {
      if (sub.topic !== message.topic) continue;
      sub.tell("error", message);
      sub.finish(Object.assign(new Error(message.message), message));
    }
  }

  #joined(name, answer, id = this.#id) {
    const colon = answer.position.lastIndexOf(":");
    const epoch = answer.position.slice(0, colon);
    const offset = Number(answer.position.slice(colon + 1));
    let topic = this.#topics.get(name);
    if (!topic) {
      const subs = new Set([...this.#subs].filter((sub) => sub.matches(name) && !this.#fresh.has(sub)));
      if (!subs.size) return;
      topic = { epoch, subs, newcomers: new Map(), catching: 0 };
      this.#topics.set(name, topic);
    }
    const isNew = topic.epoch !== epoch;
    const { recovered } = answer;
    topic.epoch = epoch;
    if (id === topic.catching) topic.catching = 0;
    topic.rejoined = recovered === undefined && !isNew;
    for (const sub of topic.subs) {
      if (topic.newcomers.get(sub) <= id) topic.newcomers.delete(sub);
      const at = sub.at.get(name);
      if (isNew) sub.at.delete(name);
      if (at !== undefined && id <= this.#resumed && (isNew || recovered !== undefined)) {
        sub.tell("resumed", { topic: name, recovered: recovered === true, position: answer.position });
      }
      if (at !== undefined && isNew) {
        sub.lose({ op: "lost", topic: name, after: at, next: Math.max(offset, 1), count: null, why: "epoch" });
      }
      if (offset === 0 && !sub.at.has(name)) sub.at.set(name, 0); // all that comes is ours
    }
    this.#state(name, answer);
  }

  #state(name, { state, why = "" }) {
    const topic = this.#topics.get(name);
    if (!topic) return;
    for (const sub of topic.subs) {
      if (topic.state !== state || topic.why !== why || !sub.at.has(name)) sub.tell("state", { topic: name, state, why });
    }
    Object.assign(topic, { state, why });
  }

  #publication(message) {
    const { topic: name, offset } = message;
    const topic = this.#topics.get(name);
    if (!topic) return;
    let hole = Infinity;
    for (const sub of topic.subs) {
      if (topic.newcomers.has(sub)) continue;
      const at = sub.at.get(name) ?? offset - 1;
      if (offset <= at) continue;
      if (offset > at + 1 && (topic.catching || topic.rejoined)) {
        hole = Math.min(hole, at); // a newcomer's beginning
        continue;
      }
      sub.at.set(name, offset);
      sub.give(message);
    }
    topic.rejoined = false;
    if (hole === Infinity || topic.catching > 0) return;
    topic.catching = -1; // needed; asked for when no newcomer waits any more
    if (waits(name, topic.subs)) return;
    const texts = [...topic.subs].map((sub) => sub.topic);
    const text = texts.includes(name) ? name : texts[0];
    this.#request([text], this.#asked.get(text), { [name]: `${topic.epoch}:${hole}` });
    topic.catching = this.#id;
  }

  #notice(message) {
    const { topic: name, after, next, count, why } = message;
    const topic = this.#topics.get(name);
    if (why === "epoch") return; // told with the answer
    for (const sub of topic?.subs ?? []) {
      const at = sub.at.get(name);
      if (topic.newcomers.has(sub)) continue;
      if (why !== "rate" && at !== undefined) {
        if (next - 1 <= at) continue;
        if (after > at && (topic.catching || topic.rejoined)) {
          topic.catching ||= -1;
          continue;
        }
      }
      if (why !== "rate") sub.at.set(name, next - 1);
      // We came back where the farthest behind stood; others lost less.
      sub.lose(why === "rate" || !(at > after) ? message : { ...message, after: at, count: count && next - at - 1 });
    }
  }
}

function* parts(texts) {
  const all = [...texts];
  for (let start = 0; start < all.length; start += TOPICS_PER_REQUEST) yield all.slice(start, start + TOPICS_PER_REQUEST);
}
