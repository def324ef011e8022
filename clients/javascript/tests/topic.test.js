import assert from "node:assert/strict";
import test from "node:test";

import { topic } from "./rig.js";

test("values become segments", () => {
  assert.equal(topic("kraken", "ticker", "BTC/USD"), "kraken/ticker/BTC~2FUSD");
  assert.equal(topic("a.b_c:d@e-f", 7), "a.b_c:d@e-f/7");
  assert.equal(topic("é", "😀", "~", "*", " "), "~C3~A9/~F0~9F~98~80/~7E/~2A/~20");
});

test("a value of dots alone is escaped wholly, so that no URL library resolves it away", () => {
  assert.equal(topic(".", "..", "a.", ".b"), "~2E/~2E~2E/a./.b");
});

test("nothing is no topic", () => {
  assert.throws(() => topic(), /at least one value/);
  assert.throws(() => topic("a", ""), /empty value/);
});

test("every value has its own topic, and back", () => {
  let seed = 1;
  const dice = (n) => (seed = (seed * 48271) % 2147483647) % n;
  const seen = new Map();
  for (let round = 0; round < 2000; round++) {
    const value = Array.from({ length: 1 + dice(6) }, () => String.fromCodePoint(1 + dice(dice(4) ? 127 : 0xd7fe))).join("");
    const made = topic(value);
    assert.match(made, /^(?:[A-Za-z0-9._:@-]|~[0-9A-F]{2})+$/);
    assert.equal(decodeURIComponent(made.replaceAll("~", "%")), value);
    assert.equal(seen.get(made) ?? value, value);
    seen.set(made, value);
  }
});
