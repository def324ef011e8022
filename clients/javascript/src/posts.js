/* What the page publishes, until it is answered. */

import { failure } from "./events.js";

export const LOST = "no answer came: it may have been published";
const POSTS_MAX = 1_000; // unanswered (guess)

export function makePosts() {
  const posts = new Map(); // id -> {message, link it was given to, resolve, refuse}

  /* `ready`: the link that takes it, null while one is opened, undefined where none is. */
  function add(message, ready) {
    return new Promise((resolve, reject) => {
      const refuse = (code, why) => reject(failure(why, { code, topic: message.topic }));
      if (ready === undefined) return refuse("unavailable", "the connection is not open");
      if (posts.size >= POSTS_MAX) return refuse("busy", "too many have no answer yet");
      posts.set(message.id, { message, resolve, refuse });
      if (ready) send(ready);
    });
  }

  /* Those that still wait for one. */
  function send(link) {
    for (const post of posts.values()) if (!post.link) (post.link = link).send(post.message);
  }

  /* Refuses those that this link was given; without one, those that none was. */
  function drop(code, why, link) {
    for (const [id, post] of posts) if (post.link === link && posts.delete(id)) post.refuse(code, why);
  }

  /* Whether it was an answer to one. */
  function answer({ op, id, code, message, position }) {
    const post = posts.get(id);
    if (!post) return false;
    if (op === "error") post.refuse(code, message);
    else post.resolve(position);
    return posts.delete(id);
  }

  return { add, send, drop, answer };
}
