/* A page's surroundings, all in hand: time that moves when told, dice that are known, and sockets that a test plays. */

/* The sources, or what was built of them (RELAYD_JS). */
export const { connect, topic } = await import(process.env.RELAYD_JS ?? "../src/index.js");

/* Lets everything that was promised happen. (A stream of the platform takes a few turns of its own.) */
export const settle = async () => {
  for (let turn = 0; turn < 2; turn++) await new Promise(setImmediate);
};

/* Time in milliseconds, and the timers that wait for it. */
export class Clock {
  now = 0;
  #timers = new Set();

  set(call, ms) {
    const timer = { call, at: this.now + Math.max(0.001, ms) }; // later than now, also in floating point
    this.#timers.add(timer);
    return timer;
  }

  clear(timer) {
    this.#timers.delete(timer);
  }

  get waiting() {
    return this.#timers.size;
  }

  async forward(ms) {
    const until = this.now + ms;
    for (;;) {
      await settle();
      const due = [...this.#timers].filter((timer) => timer.at <= until).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#timers.delete(due);
      this.now = Math.max(this.now, due.at);
      due.call();
    }
    this.now = until;
    await settle();
  }
}

/* One socket as the browser would show it; the test is its other end. */
export class Socket {
  readyState = 0;
  sent = [];
  closed = false;

  constructor(url) {
    this.url = url;
  }

  send(text) {
    if (this.readyState !== 1) throw new Error("send on a socket that is not open");
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.closed = true;
    this.readyState = 3;
  }

  // What the other end does

  open() {
    this.readyState = 1;
    this.onopen({});
  }

  say(...messages) {
    for (const message of messages) this.onmessage({ data: JSON.stringify(message) });
  }

  drop(code = 1006, reason = "") {
    this.readyState = 3;
    this.onclose({ code, reason });
  }

  /* What was sent since the last asking. */
  take() {
    return this.sent.splice(0);
  }
}

/* Tabs and windows: listeners that a test calls. */
class Target {
  visibilityState = "visible";
  #listeners = new Map();

  addEventListener(type, call, { signal } = {}) {
    this.#listeners.set(type, call);
    signal?.addEventListener("abort", () => this.#listeners.delete(type));
  }

  get listening() {
    return this.#listeners.size;
  }

  happens(type) {
    this.#listeners.get(type)?.({});
  }
}

/* A connection of relayd.js in such a world. `dice` answers Math.random. */
export class Page {
  clock = new Clock();
  sockets = [];
  document = new Target();
  window = new Target();
  server; // answers fetch
  states = [];
  errors = [];
  dice = 0.5;

  constructor(options = {}, url = "wss://relay.example/ws") {
    const page = this;
    const { Peer = Socket, random = () => page.dice, server, ...rest } = options;
    this.server = server;
    this.relay = connect(url, {
      transports: ["websocket"],
      ...rest,
      world: {
        WebSocket: class extends Peer {
          constructor(address) {
            super(address, page);
            page.sockets.push(this);
          }
        },
        setTimeout: (call, ms) => this.clock.set(call, ms),
        clearTimeout: (timer) => this.clock.clear(timer),
        performance: { now: () => this.clock.now },
        Math: { random },
        document: this.document,
        addEventListener: (...listener) => this.window.addEventListener(...listener),
        fetch: (...request) => page.server.fetch(page, ...request),
      },
    });
    this.relay.on("state", (event) => this.states.push(event));
    this.relay.on("error", (event) => this.errors.push(event));
  }

  get socket() {
    return this.sockets.at(-1);
  }

  /* Opens the newest socket as relayd does. */
  async welcome() {
    await settle();
    this.socket.open();
    this.socket.say({ op: "welcome", relayd: "1", session: "s", ping_every_s: 25, time_ms: 0 });
    await settle();
  }

  show(visible) {
    this.document.visibilityState = visible ? "visible" : "hidden";
    this.document.happens("visibilitychange");
  }
}

/* What a subscription heard, in order. */
export function heard(subscription, into = []) {
  for (const type of ["lost", "resumed", "state", "error"]) {
    subscription.on(type, (event) => into.push({ heard: type, ...event }));
  }
  return into;
}
