/* The list of what happened, newest first. Topics that change alike at one time are one line. */

import { clockTime, stateSentence } from "./text.js";

const LINES_MAX = 60;
const GATHER_MS = 2_500;
const KINDS = { live: "good", resumed: "good", stale: "warn", reconnecting: "warn", restarted: "warn", failed: "bad" };

export class Events {
  constructor(list) {
    this.list = list;
    this.newest = null; // {state, why, topics, at, text}: the latest line, if it is of topics
  }

  /* `kind` is good, calm, warn or bad. */
  add(kind, sentence) {
    const line = document.createElement("li");
    line.dataset.state = kind;
    const time = line.appendChild(document.createElement("time"));
    time.textContent = clockTime();
    const text = line.appendChild(document.createElement("span"));
    text.textContent = sentence;
    this.list.prepend(line);
    while (this.list.childElementCount > LINES_MAX) this.list.lastElementChild.remove();
    this.newest = null;
    return text;
  }

  /* A topic that follows others into the same state joins their line. */
  state(topic, state, why) {
    const now = performance.now();
    const open = this.newest;
    if (open && open.state === state && open.why === why && now - open.at < GATHER_MS) {
      open.topics.add(topic);
      open.text.textContent = stateSentence(state, [...open.topics], why);
      return;
    }
    const text = this.add(KINDS[state] ?? "calm", stateSentence(state, [topic], why));
    this.newest = { state, why, topics: new Set([topic]), at: now, text };
  }
}
