/* Whether to come back, and when (docs/protocol.md, "Coming back" and "Close codes"). */

const CEILING_MS = 1_000; // of the first wait, doubling ...
const CEILING_MAX_MS = 60_000; // ... up to here,
const SETTLED_MS = 30_000; // and anew after so long a connection

export const isFinal = (code) => /^(100[02379]|4[5-9]..)$/.test(code);

export function makeBackoff(now, random) {
  let failures = 0;
  let earliest = 0;

  /* Milliseconds until the next attempt, after a connection that lasted so long. */
  function wait(lasted, reason) {
    if (lasted >= SETTLED_MS) failures = 0;
    const hint = 1000 * (/\bretry=(\d+)/.exec(reason)?.[1] ?? 0);
    earliest = now() + hint;
    return hint + random() * Math.min(CEILING_MAX_MS, CEILING_MS * 2 ** failures++);
  }

  /* The same for somebody who looks, or whose network is back. */
  function hurried() {
    failures = 0;
    return Math.max(0, earliest - now()) + random() * CEILING_MS;
  }

  return { wait, hurried };
}
