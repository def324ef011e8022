/* What one reader in the page gets of a topic or a pattern: by callback, or by loop. */

import { Events, guarded } from "./events.js";
import { matcher } from "./topic.js";

const BUFFER = 1_000; // messages a loop holds (guess)
// Publications of a topic on their way to the page that was not busy: some MB at most, and more than comes in a round
// trip of the busiest feed (guess).
const WINDOW = 4_000;

const plus = (a, b) => (a === null || b === null ? null : a + b);

export class Subscription extends Events {
  at = new Map(); // topic -> offset of the last publication given
  dropped = 0;
  #leave;
  #callback;
  #buffer;
  #queue = []; // [message, how many are missing before it]
  #missing = 0; // after the last in the queue
  #readers = []; // next() calls that wait
  #end; // {error} once nothing more comes

  constructor(text, callback, { maxHz = Infinity, window = WINDOW, buffer = BUFFER }, leave) {
    super();
    this.topic = text;
    this.hz = maxHz;
    this.window = window || Infinity;
    this.meets = matcher(text);
    this.#callback = callback;
    this.#buffer = buffer;
    this.#leave = leave;
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
    if (this.#callback) throw new TypeError("a callback or a loop, not both");
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
