/* Links by HTTP, for where WebSockets are blocked: SSE, read with fetch so that it takes a token, and long-polling.

   Each takes the whole of what is wanted with every `subscribe`, and asks anew. To its owner it is a WebSocket whose server
   answers there. */

import { LOST } from "./posts.js";

const WAIT_S = 25;
// Refusals of topics; the connection goes on. (`nothing`: none is wanted.)
const ENDS = ["forbidden", "unknown_topic", "too_many_topics", "bad_request", "nothing"];

/* `follow` reads what is wanted until it ends or throws. */
const fetched = (follow) => (address, { credentials }, { fetch }, on) => {
  let token;
  let running; // AbortController of what is read
  let isClosed = false;
  let isKnown = false; // the token was good once

  /* The answer, or what `failed` understands is thrown. */
  async function ask(signal, path, query, body) {
    const target = new URL(path, address);
    target.search = address.search;
    for (const name in query) target.searchParams.set(name, query[name]);
    const headers = body ? { "content-type": "application/json" } : {};
    if (token) headers.authorization = `Bearer ${token}`;
    const method = body ? "POST" : "GET";
    const response = await fetch(target, { method, body, headers, credentials, signal, cache: "no-store" });
    if (response.ok) {
      isKnown = true;
      return response;
    }
    throw { ...await response.json().catch(() => {}), status: response.status, retry: response.headers.get("retry-after") };
  }

  async function run(id, wish) {
    running?.abort();
    const { signal } = (running = new AbortController());
    const tell = (message) => signal.aborted || on.message(message);
    try {
      await null; // no answer comes before its request has been made
      if (!wish.topics.length) throw { code: "nothing" };
      await follow(wish, id, (...request) => ask(signal, ...request), tell);
      throw {};
    } catch (error) {
      if (!signal.aborted) failed(error, wish, id, tell);
    }
  }

  /* A refusal by relayd itself is of the topics, or of the token; else the way is no way, or the line was lost. */
  function failed({ close = 1006, code, message = "lost", status, retry }, { topics }, id, tell) {
    if (ENDS.includes(code)) {
      running = null;
      for (const topic of topics) tell({ op: "error", id, code, message, topic });
      return on.answer({ op: "subscribed", id, topics: {} });
    }
    if (code === "unauthorized") close = isKnown ? 4005 : 4500;
    else if (status === 429 || status === 503) close = 1013;
    on.closed(close, message + (retry ? `; retry=${retry}` : ""));
  }

  async function publish(id, { topic, data }) {
    try {
      on.answer({ op: "published", id, ...await (await ask(undefined, `topics/${topic}`, {}, JSON.stringify(data))).json() });
    } catch ({ code = "lost", message = LOST }) {
      on.answer({ op: "error", id, code, message, topic });
    }
  }

  queueMicrotask(() => isClosed || on.ready());
  return {
    whole: true,
    /* Nothing is wanted, so nothing is heard. */
    get idle() {
      return !running;
    },
    send({ op, id, ...wish }) {
      if (op === "subscribe") run(id, wish);
      else if (op === "publish") publish(id, wish);
      else if (op === "auth") {
        token = wish.token;
        queueMicrotask(() => isClosed || on.answer({ op: "authorized", id }));
      }
    },
    close() {
      isClosed = true;
      running?.abort();
    },
  };
};

export const streamLink = fetched(async ({ topics, since, max_hz }, id, ask, tell) => {
  const query = { topics, since: JSON.stringify(since), ...max_hz && { max_hz } };
  const reader = (await ask("sse", query)).body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "", isAnswered = false; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    tell(); // also a comment is a sign of life
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
      if (!data) continue;
      const message = JSON.parse(data);
      if (/^event: ?close$/m.test(event)) throw { close: message.code, message: message.name, retry: message.retry_s };
      if (message.op === "subscribed" && !isAnswered) {
        message.id = id;
        isAnswered = !message.more;
      }
      tell(message);
    }
  }
});

export const pollLink = fetched(async ({ topics, since, max_hz }, id, ask, tell) => {
  for (let wait_s = 0; ; wait_s = WAIT_S, id = Infinity) {
    const answer = await (await ask("poll", {}, JSON.stringify({ topics, since, max_hz, wait_s }))).json();
    tell({ op: "subscribed", id, topics: answer.topics });
    answer.messages.forEach((message) => tell(message));
    for (const name in answer.topics) since[name] = answer.topics[name].position;
  }
});
