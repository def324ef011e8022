/* What this page reads, by relayd.js as any page would: a subscription for each topic, and what came of it. */

import { connect } from "/relayd.js";

export class Reading {
  /* `on` is called back: status(state), publication(name, message), state(name, state, why), resumed(name, recovered),
     lost(notice), refused(message). */
  constructor(on) {
    this.on = on;
    this.topics = new Map(); // name -> {subscription, offset}
    this.messages = 0;
    this.lateMs = []; // from the exchange to here, since somebody last took it
  }

  /* Dials, and reads all that is wanted from its beginning: at first, and when the visitor asks. */
  open() {
    const before = this.relay;
    const relay = (this.relay = connect("/ws"));
    before?.close();
    this.on.status({ state: relay.state });
    relay.on("state", (status) => relay === this.relay && this.on.status(status));
    relay.on("error", this.on.refused);
    for (const name of this.topics.keys()) this.read(name);
  }

  subscribe(names) {
    for (const name of names) {
      this.topics.set(name, {});
      if (this.relay) this.read(name);
    }
  }

  unsubscribe(names) {
    for (const name of names) {
      this.topics.get(name).subscription?.unsubscribe();
      this.topics.delete(name);
    }
  }

  /* Begins a topic anew, with a snapshot. */
  restart(name) {
    this.unsubscribe([name]);
    this.subscribe([name]);
  }

  read(name) {
    const topic = this.topics.get(name);
    topic.offset = null;
    const subscription = (topic.subscription = this.relay.subscribe(name, (message) => {
      this.messages += 1;
      topic.offset = message.offset;
      const late = message.snapshot ? NaN : Date.now() - Date.parse(message.data.time);
      if (late >= 0) this.lateMs.push(late);
      this.on.publication(name, message);
    }));
    subscription.on("state", ({ state, why }) => this.on.state(name, state, why));
    subscription.on("resumed", ({ recovered }) => this.on.resumed(name, recovered));
    subscription.on("lost", (notice) => {
      topic.offset = notice.next - 1;
      this.on.lost(notice);
    });
  }

  /* How late the messages of the last while were, on the average; null where none came. */
  lateness() {
    const late = this.lateMs.splice(0);
    return late.length ? late.reduce((sum, ms) => sum + ms, 0) / late.length : null;
  }
}
