/* relayd.js: topics of a relayd in a page (docs/browser.md, docs/protocol.md). Apache-2.0 */

import { makeConnection } from "./connection.js";

export { topic } from "./topic.js";

/* A connection for good: it comes back by itself. */
export function connect(url, options = {}) {
  return makeConnection(url, options);
}
