/* One connection to relayd, for ever: a plain WebSocket that reconnects by itself and resumes where each topic stood.
   The protocol is docs/protocol.md; nothing here is needed but the browser. */

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 8_000;
const SETTLED_MS = 5_000; // an open connection this old starts the delays over
const PING_EVERY_MS = 5_000; // scripts cannot see WebSocket pings, so this asks for an answer of its own
const PONG_WITHIN_MS = 10_000;

export class Link {
  /* `on` is called back: status(state, detail), publication(topic, message), joined(topic, answer), state(topic, state,
     why), lost(notice), hole(topic, after, next), refused(message), trip(ms). */
  constructor(url, on) {
    this.url = url;
    this.on = on;
    this.topics = new Map(); // name -> {epoch, offset, ordered}
    this.messages = 0;
    this.attempts = 0;
    this.id = 0;
    this.socket = null;
  }

  start() {
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
    setInterval(() => this.ask(), PING_EVERY_MS);
    this.dial();
  }

  /* `ordered` topics miss nothing in silence: a jump in their offsets is a hole. Others show only the newest. */
  subscribe(names, ordered) {
    for (const name of names) this.topics.set(name, { epoch: null, offset: null, ordered });
    this.request(names);
  }

  unsubscribe(names) {
    for (const name of names) this.topics.delete(name);
    this.send({ op: "unsubscribe", topics: names });
  }

  /* Forgets where a topic stood and begins it anew, with a snapshot. */
  restart(name) {
    const { ordered } = this.topics.get(name);
    this.unsubscribe([name]);
    this.subscribe([name], ordered);
  }

  dial() {
    clearTimeout(this.timer);
    this.timer = null;
    this.on.status("connecting");
    const socket = (this.socket = new WebSocket(this.url));
    this.openedAt = this.askedAt = null;
    socket.onopen = () => {
      this.openedAt = performance.now();
      this.on.status("open");
      this.request([...this.topics.keys()]);
      this.ask();
    };
    socket.onmessage = (event) => this.read(JSON.parse(event.data));
    socket.onclose = (event) => socket === this.socket && this.closed(event.code, event.reason);
  }

  closed(code, reason) {
    if (this.openedAt !== null && performance.now() - this.openedAt > SETTLED_MS) this.attempts = 0;
    if (code >= 4500 && code < 5000) {
      this.on.status("refused", { code, reason }); // as we are, we need not come back
      return;
    }
    const hint = 1000 * Number(/retry=(\d+)/.exec(reason)?.[1] ?? 0);
    const most = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.attempts++);
    const delay = hint + Math.random() * most; // full jitter: a crowd of pages comes back spread out
    this.timer = setTimeout(() => this.dial(), delay);
    this.on.status("waiting", { code, reason, until: performance.now() + delay });
  }

  /* The network is back, or somebody looks at the page again: no reason to wait any longer. */
  hurry() {
    if (this.timer) this.dial();
  }

  ask() {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    if (this.askedAt === null) {
      this.askedAt = performance.now();
      this.send({ op: "ping", id: ++this.id });
    } else if (performance.now() - this.askedAt > PONG_WITHIN_MS) {
      const dead = this.socket;
      this.socket = { readyState: WebSocket.CLOSED };
      dead.close();
      this.closed(1006, "no answer");
    }
  }

  request(names) {
    if (!names.length) return;
    const since = {};
    for (const name of names) {
      const { epoch, offset } = this.topics.get(name);
      if (offset !== null) since[name] = `${epoch}:${offset}`;
    }
    this.send({ op: "subscribe", id: ++this.id, topics: names, since });
  }

  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  read(message) {
    this.messages += 1;
    const topic = this.topics.get(message.topic);
    switch (message.op) {
      case undefined:
        if (topic) this.publication(message.topic, topic, message);
        break;
      case "subscribed":
        for (const [name, answer] of Object.entries(message.topics)) this.joined(name, answer);
        break;
      case "lost":
        if (topic) {
          topic.offset = message.next - 1;
          this.on.lost(message);
        }
        break;
      case "state":
        if (topic) this.on.state(message.topic, message.state, message.why ?? "");
        break;
      case "pong":
        this.on.trip(performance.now() - this.askedAt);
        this.askedAt = null;
        break;
      case "error":
        this.on.refused(message);
        break;
    }
  }

  joined(name, answer) {
    const topic = this.topics.get(name);
    if (!topic || !answer.position) return;
    topic.epoch = answer.position.slice(0, answer.position.lastIndexOf(":"));
    if (answer.recovered !== true) topic.offset = null; // what follows begins anew, with a snapshot
    this.on.joined(name, answer);
  }

  publication(name, topic, message) {
    if (!message.snapshot && topic.offset !== null) {
      if (message.offset <= topic.offset) return;
      if (topic.ordered && message.offset > topic.offset + 1) {
        this.on.hole(name, topic.offset, message.offset);
        return;
      }
    }
    topic.offset = message.offset;
    this.on.publication(name, message);
  }
}
