/* The list of what happened, newest first. Topics that change alike at one time are one line. */

import { awaySentence, clockTime, lostSentence, stateSentence } from "./text.js";

const LINES_MAX = 60;
const GATHER_MS = 2_500;
const KINDS = { live: "good", resumed: "good", stale: "warn", reconnecting: "warn", restarted: "warn", failed: "bad" };

export class Events {
  constructor(list) {
    this.list = list;
    this.open = new Map(); // kind of news and why -> {topics, at, text}: a line that further topics may join
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
    return text;
  }

  /* A topic that follows others into the same state joins their line. */
  state(topic, state, why) {
    this.gather(topic, `${state} ${why}`, KINDS[state] ?? "calm", (topics) => stateSentence(state, topics, why));
  }

  /* Losses of unknown size come for all topics at once, when a feed was away; others are told one by one. */
  lost(notice) {
    if (notice.count !== null) this.add("warn", lostSentence(notice));
    else this.gather(notice.topic, `lost ${notice.why}`, "warn", (topics) => awaySentence(topics, notice.why));
  }

  gather(topic, key, kind, sentence) {
    const now = performance.now();
    let line = this.open.get(key);
    if (!line || now - line.at > GATHER_MS || !line.text.isConnected) {
      line = { topics: new Set([topic]), at: now, text: this.add(kind, sentence([topic])) };
      this.open.set(key, line);
    } else {
      line.topics.add(topic);
      line.text.textContent = sentence([...line.topics]);
    }
  }
}
