/* What the page reads, what the server was asked for, and where each topic stands.

   There is one server subscription per text (a topic or a pattern), however many readers it has. A newcomer to a topic
   that others read needs its beginning, which the server gives to those who come: so it is left and joined, and the
   others skip what they have, or catch up from where they stand.

   A link either takes changes (a WebSocket), or takes the whole of what is wanted each time (`whole`: SSE, polling). */

import { failure } from "./events.js";

const TOPICS_PER_REQUEST = 100; // far below limits.message

/* `request` sends a message under an id, which it gives; ids rise. */
export function makeTopics(request) {
  const readers = new Set(); // subscriptions
  const known = new Map(); // name -> {epoch, state, why, subs, newcomers, rejoined, catching, window, acked}
  const refs = new Map(); // reference in binary frames -> name
  const agreed = new Map(); // text -> {hz, window}, on this link
  const touched = new Set(); // texts to look at in the next flush
  let fresh = new Set(); // subscriptions not asked for yet
  let pace = Infinity;
  let link = null;
  let lastId = 0; // of our requests
  let pendingId = 0; // its answer is due: one step at a time
  let resumedId = 0; // answers up to this id are about coming back

  function add(sub) {
    readers.add(sub);
    fresh.add(sub);
    touch(sub.topic);
  }

  function drop(sub) {
    if (!readers.delete(sub)) return;
    fresh.delete(sub);
    for (const [name, { subs, newcomers }] of known) {
      newcomers.delete(sub);
      if (subs.delete(sub) && !subs.size) known.delete(name);
    }
    touch(sub.topic);
  }

  /* The link takes requests: all that is wanted is asked for, from where it stood. */
  function open(opened, hz) {
    link = opened;
    pace = Infinity;
    setPace(hz);
    fresh = new Set(readers);
    touchAll();
    flush();
    resumedId = lastId;
  }

  function lost() {
    link = null;
    agreed.clear();
    refs.clear();
    pendingId = 0;
    for (const topic of known.values()) {
      topic.newcomers.clear();
      topic.catching = 0;
      topic.state = "";
    }
  }

  function end(error) {
    for (const sub of readers) sub.finish(error);
  }

  /* At most so many publications a second of each topic; Infinity ends it. */
  function setPace(hz) {
    if (hz === pace || !link) return;
    pace = hz;
    if (link.whole) touchAll();
    else request({ op: "pace", max_hz: finite(hz) });
  }

  // What is asked of the server

  function touch(text) {
    if (!touched.size) queueMicrotask(flush);
    touched.add(text);
  }

  function touchAll() {
    for (const { topic } of readers) touch(topic);
  }

  function flush() {
    if (!link || pendingId || !touched.size) return;
    const wanted = new Map(); // text -> {hz, window}
    const kept = new Set(); // texts with a reader from before
    for (const sub of readers) {
      const { hz = 0, window = Infinity } = wanted.get(sub.topic) ?? {};
      wanted.set(sub.topic, { hz: Math.max(hz, sub.hz), window: Math.min(window, sub.window) });
      if (!fresh.has(sub)) kept.add(sub.topic);
    }
    const ask = new Set();
    const leave = new Set();
    const again = new Set(); // topics that begin anew
    for (const text of touched) {
      const before = agreed.get(text);
      if (terms(before) === terms(wanted.get(text)) && kept.has(text)) continue;
      if (before) leave.add(text);
      if (wanted.has(text)) ask.add(text);
    }
    for (const [name, topic] of known) {
      const newcomers = [...fresh].filter((sub) => sub.meets(name) && !sub.at.has(name));
      if (!newcomers.length) continue;
      again.add(name);
      for (const sub of newcomers) {
        topic.subs.add(sub);
        topic.newcomers.set(sub, lastId + 1);
      }
      for (const sub of topic.subs) {
        ask.add(sub.topic);
        if (agreed.has(sub.topic)) leave.add(sub.topic);
      }
    }
    touched.clear();
    fresh.clear();
    if (link.whole) return askWhole(wanted, again);
    for (const topics of parts(leave)) say({ op: "unsubscribe", topics });
    for (const text of leave) agreed.delete(text);
    const alike = {}; // terms -> texts
    for (const text of ask) (alike[terms(wanted.get(text))] ??= []).push(text);
    for (const texts of Object.values(alike)) {
      for (const topics of parts(texts)) subscribe(topics, wanted.get(topics[0]), positions(topics, again));
    }
  }

  /* One rate for all: the fastest. What somebody misses is caught up with in the same go. */
  function askWhole(wanted, again) {
    const topics = [...wanted.keys()];
    const hz = Math.min(pace, Math.max(...[...wanted.values()].map((want) => want.hz)));
    subscribe(topics, { hz }, positions(topics, again));
    for (const topic of known.values()) if (topic.catching) topic.catching = lastId;
  }

  function positions(texts, again) {
    const since = {};
    const asking = new Set(texts);
    for (const [name, { epoch, subs }] of known) {
      // From a position there is no beginning for those who wait for it.
      if (again.has(name) || waits(name, subs) || ![...subs].some((sub) => asking.has(sub.topic))) continue;
      since[name] = `${epoch}:${Math.min(...[...subs].map((sub) => sub.at.get(name)))}`;
    }
    return since;
  }

  function subscribe(topics, want, since) {
    for (const text of topics) agreed.set(text, want);
    say({ op: "subscribe", topics, max_hz: finite(want.hz), window: finite(want.window), binary: true, since });
  }

  function say(message) {
    pendingId = lastId = request(message);
  }

  // What the server says

  function read(message) {
    const { op, id } = message;
    if (op === undefined) publication(message.base64 === undefined ? message : decoded(message));
    else if (op === "lost") notice(message);
    else if (op === "subscribed") for (const name in message.topics) joined(name, message.topics[name], id);
    else if (op === "state") setState(message.topic, message);
    else if (op === "error") refused(message);
    if (id === pendingId && !message.more && !(op === "error" && message.topic)) {
      pendingId = 0;
      flush();
    }
  }

  function refused(message) {
    agreed.delete(message.topic);
    for (const sub of readers) {
      if (sub.topic !== message.topic) continue;
      sub.tell("error", message);
      sub.finish(failure(message.message, message));
    }
  }

  function joined(name, answer, id = lastId) {
    const colon = answer.position.lastIndexOf(":");
    const epoch = answer.position.slice(0, colon);
    const offset = Number(answer.position.slice(colon + 1));
    let topic = known.get(name);
    const isFirst = !topic;
    if (isFirst) {
      const subs = new Set([...readers].filter((sub) => sub.meets(name) && !fresh.has(sub)));
      if (!subs.size) return;
      topic = { epoch, subs, newcomers: new Map(), catching: 0 };
      known.set(name, topic);
    }
    const isNew = topic.epoch !== epoch;
    const { recovered, ref } = answer;
    refs.set(ref, name);
    topic.epoch = epoch;
    topic.acked = undefined;
    topic.window = Math.min(...[...topic.subs].map((sub) => sub.window));
    if (id === topic.catching) topic.catching = 0;
    topic.rejoined = recovered === undefined && !isNew && !isFirst;
    for (const sub of topic.subs) {
      if (topic.newcomers.get(sub) <= id) topic.newcomers.delete(sub);
      const at = sub.at.get(name);
      if (isNew) sub.at.delete(name);
      if (at !== undefined && id <= resumedId && (isNew || recovered !== undefined)) {
        sub.tell("resumed", { topic: name, recovered: recovered === true, position: answer.position });
      }
      if (at !== undefined && isNew) {
        sub.lose({ op: "lost", topic: name, after: at, next: Math.max(offset, 1), count: null, why: "epoch" });
      }
      if (offset === 0 && !sub.at.has(name)) sub.at.set(name, 0); // all that comes is ours
    }
    setState(name, answer);
  }

  function setState(name, { state, why = "" }) {
    const topic = known.get(name);
    if (!topic) return;
    for (const sub of topic.subs) {
      if (topic.state !== state || topic.why !== why || !sub.at.has(name)) sub.tell("state", { topic: name, state, why });
    }
    Object.assign(topic, { state, why });
  }

  function publication(message) {
    const { topic: name, offset } = message;
    const topic = known.get(name);
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
    acknowledge(name, topic, offset);
    if (hole === Infinity || topic.catching > 0) return;
    topic.catching = -1; // needed; asked for when no newcomer waits any more
    if (!link || waits(name, topic.subs)) return;
    const texts = [...topic.subs].map((sub) => sub.topic);
    const text = texts.includes(name) ? name : texts[0];
    if (link.whole) return touch(text);
    subscribe([text], agreed.get(text), { [name]: `${topic.epoch}:${hole}` });
    topic.catching = lastId;
  }

  /* The page has it: what is on its way and not acknowledged, the server bounds. */
  function acknowledge(topic, state, offset) {
    state.acked ??= offset - 1;
    if (!link || link.whole || offset - state.acked < state.window / 4) return;
    state.acked = offset;
    link.send({ op: "ack", topic, offset });
  }

  function notice(message) {
    const { topic: name, after, next, count, why } = message;
    const topic = known.get(name);
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

  /* Whose publication a binary frame is. */
  const named = (ref) => refs.get(ref);

  return { readers, add, drop, open, lost, end, setPace, read, named };
}

/* A binary payload that came as JSON. */
function decoded({ base64, ...message }) {
  return { ...message, bytes: Uint8Array.from(atob(base64), (letter) => letter.charCodeAt()) };
}

const waits = (name, subs) => [...subs].some((sub) => !sub.at.has(name));
const terms = (want) => want && `${want.hz}/${want.window}`;
const finite = (number) => (number < Infinity ? number : undefined);

function* parts(texts) {
  const all = [...texts];
  for (let start = 0; start < all.length; start += TOPICS_PER_REQUEST) yield all.slice(start, start + TOPICS_PER_REQUEST);
}
