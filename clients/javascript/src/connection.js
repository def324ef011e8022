/* The life of a connection: which way it goes, when it comes back, whether it is alive, who it is. */

import { isFinal, makeBackoff } from "./backoff.js";
import { Events, failure } from "./events.js";
import { pollLink, streamLink } from "./fetched.js";
import { LOST, makePosts } from "./posts.js";
import { socketLink } from "./socket.js";
import { Subscription } from "./subscription.js";
import { makeTopics } from "./topics.js";

const OPEN_WITHIN_MS = 10_000; // guess
const SILENCE_MS = 35_000; // before the server has told its own interval
const PING_GRACE_MS = 10_000; // after that
const PONG_WITHIN_MS = 10_000;
const RENEW_MS = 30_000; // before a token ends, or at half its time
const ATTEMPTS = 3; // of a way that has worked, before another is tried
const PROBE_MS = 15_000; // until the first look whether a WebSocket is possible again, doubling ...
const PROBE_MAX_MS = 600_000; // ... up to here (guess)

const LINKS = { websocket: socketLink, sse: streamLink, poll: pollLink };

/* `world` stands for globalThis, in tests. */
export function makeConnection(url, options) {
  const { token = null, hiddenHz = 1, transports = Object.keys(LINKS), world = globalThis } = options;
  const { location, document, addEventListener, setTimeout, clearTimeout, performance } = world;
  const address = new URL(url, location?.href);
  address.protocol = address.protocol.replace("ws", "http");
  const now = () => performance.now();
  const events = new Events();
  const backoff = makeBackoff(now, world.Math.random);
  const topics = makeTopics(request);
  const posts = makePosts();
  const gone = new AbortController();
  let state = "connecting";
  let way = 0; // of `transports`
  let attempts = 0; // that this way still has
  let link = null;
  let isReady = false; // requests may be sent
  let isHeard = false; // something came on this link
  let heardAt = 0;
  let isPinged = false;
  let pingAfter = SILENCE_MS;
  let timer;
  let dueAt = 0;
  let lastId = 0;
  let ahead = 0; // the server's clock to ours
  let renewal; // timer
  let looking; // timer
  let probeMs = PROBE_MS;
  let probe = null; // a WebSocket beside the link

  function become(next, detail) {
    state = next;
    events.tell("state", { state, ...detail });
  }

  function later(ms, call) {
    clearTimeout(timer);
    dueAt = now() + ms;
    timer = setTimeout(call, ms);
  }

  function request(message) {
    link?.send({ ...message, id: ++lastId });
    return lastId;
  }

  // From attempt to attempt

  async function dial() {
    become("connecting");
    const shown = await getToken();
    if (state === "closed") return;
    if (shown === undefined) return lost(1006, "no token");
    adopt(makeLink(transports[way], shown));
    watch();
  }

  function adopt(next) {
    link = next;
    isHeard = false;
    heardAt = now();
    pingAfter = SILENCE_MS;
  }

  /* A link; what it says counts while it is ours. */
  function makeLink(name, shown) {
    const made = LINKS[name](address, options, world, {
      // First of all, who we are.
      ready() {
        made.openedAt = now();
        made.authId = shown === null ? 0 : ++lastId;
        if (made.authId) made.send({ op: "auth", id: made.authId, token: shown });
        else if (made === link) begin();
      },
      message(message) {
        if (made === probe) change();
        if (made === link) hear(message);
      },
      answer: read, // no sign of life
      closed(code, reason) {
        if (made === link) lost(code, reason);
        else if (made === probe) probe = null;
      },
      named: topics.named,
    });
    return made;
  }

  function begin() {
    link.authId = 0;
    isReady = true;
    // A way by HTTP is known to be free when it has brought something.
    if (!link.whole || !topics.readers.size) opened();
    topics.open(link, pace());
  }

  function opened() {
    become("open", { transport: transports[way] });
    posts.send(link);
    look();
  }

  function lost(code, reason) {
    const lasted = now() - (link?.openedAt ?? Infinity);
    const isBlocked = link && !isHeard && code === 1006;
    hangUp();
    if (isFinal(code)) return end(code, reason);
    if (isBlocked && --attempts < 0) {
      way = (way + 1) % transports.length;
      if (way) return dial(); // at once
    } else if (!isHeard && attempts <= 0) way = 0;
    const wait = backoff.wait(lasted, reason);
    later(wait, dial);
    become("waiting", { code, reason, retryMs: wait });
    posts.drop("unavailable", "the connection could not be opened");
  }

  function hangUp() {
    const old = link;
    link = null;
    isReady = false;
    clearTimeout(renewal);
    topics.lost();
    stopLooking();
    old?.close();
    // What went by HTTP has an answer of its own.
    if (old && !old.whole) posts.drop("lost", LOST, old);
  }

  function end(code, reason) {
    if (state === "closed") return;
    hangUp();
    gone.abort();
    clearTimeout(timer);
    become("closed", { code, reason });
    topics.end(code === 1000 ? undefined : failure(`closed: ${code} ${reason}`, { code, reason }));
    posts.drop("unavailable", "the connection is closed");
  }

  /* The network is back, or somebody looks. */
  function hurry() {
    if (state === "waiting") {
      const wait = backoff.hurried();
      if (now() + wait < dueAt) later(wait, dial);
    } else if (link && !isPinged) watch();
    probeMs = PROBE_MS;
    if (state === "open") look();
  }

  /* Scripts cannot see pings: after too long a silence, ask. */
  function watch() {
    if (isReady && link.idle) heardAt = now();
    const quiet = now() - heardAt;
    const limit = isHeard ? pingAfter : OPEN_WITHIN_MS;
    if (quiet < limit) {
      isPinged = false;
      later(limit - quiet, watch);
    } else if (isHeard && !isPinged) {
      isPinged = true;
      request({ op: "ping" });
      later(PONG_WITHIN_MS, watch);
    } else lost(1006, "silent");
  }

  /* Where a WebSocket was not possible: is it by now? One is tried beside what there is ... */
  function look() {
    stopLooking();
    if (!way || transports[0] !== "websocket") return;
    looking = setTimeout(async () => {
      const beside = link;
      const shown = await getToken();
      if (!isReady || link !== beside) return;
      look();
      if (shown !== undefined) probe = makeLink("websocket", shown);
    }, probeMs);
    probeMs = Math.min(PROBE_MAX_MS, 2 * probeMs);
  }

  function stopLooking() {
    clearTimeout(looking);
    probe?.close();
    probe = null;
  }

  /* ... and takes over when something came through. */
  function change() {
    const next = probe;
    probe = null;
    hangUp();
    way = 0;
    probeMs = PROBE_MS;
    become("connecting");
    adopt(next);
    if (!next.authId) begin();
  }

  // What the server says

  function hear(message) {
    heardAt = now();
    if (!isHeard) {
      isHeard = true;
      attempts = ATTEMPTS;
      if (isReady && state !== "open") opened();
    }
    if (message) read(message);
  }

  function read(message) {
    const { op, id, code } = message;
    if (op === "welcome") {
      pingAfter = (message.ping_every_s ?? 25) * 1000 + PING_GRACE_MS;
      ahead = message.time_ms - now();
    } else if (op === "authorized") {
      renew(message.expires_ms);
      if (id === link.authId) begin();
    } else if (!posts.answer(message)) {
      if (op === "error") {
        events.tell("error", message);
        if (code === "unknown_op" && id === link?.authId) return begin(); // it has no tokens
      }
      topics.read(message);
    }
  }

  /* A token that ends is replaced before. */
  function renew(expires) {
    if (!expires || typeof token !== "function") return;
    const left = expires - ahead - now();
    const early = Math.max(left / 2, left - RENEW_MS);
    const shownTo = link;
    renewal = setTimeout(async () => {
      const shown = await getToken();
      if (shown && shownTo === link) authorize(shown);
    }, Math.min(early, 2 ** 31 - 1));
  }

  /* undefined where there is none to have. */
  async function getToken() {
    try {
      return typeof token === "function" ? await token() : token;
    } catch (error) {
      events.tell("error", { op: "error", code: "token", message: String(error) });
    }
  }

  // What the page says

  function subscribe(text, callback, options = {}) {
    if (callback && typeof callback !== "function") [callback, options] = [undefined, callback];
    const sub = new Subscription(text, callback, options, topics.drop);
    if (state === "closed") sub.finish(failure("the connection is closed"));
    else topics.add(sub);
    return sub;
  }

  /* Waits for the attempt that is under way, never for another: what is late may be wrong. */
  function publish(topic, data) {
    return posts.add({ op: "publish", id: ++lastId, topic, data }, { open: link, connecting: null }[state]);
  }

  function authorize(shown) {
    request({ op: "auth", token: shown });
  }

  const isHidden = () => document?.visibilityState === "hidden";
  const pace = () => (isHidden() && hiddenHz) || Infinity;

  const { signal } = gone;
  addEventListener?.("online", hurry, { signal });
  document?.addEventListener("visibilitychange", () => {
    if (!isHidden()) hurry();
    topics.setPace(pace());
  }, { signal });
  dial();

  return {
    get state() {
      return state;
    },
    get transport() {
      return transports[way];
    },
    on: (type, call) => events.on(type, call),
    subscribe,
    publish,
    authorize,
    close: () => end(1000, "done"),
  };
}
