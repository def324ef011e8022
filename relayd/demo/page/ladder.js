/* An order book kept from a snapshot and its changes, and its ladder on the page. */

import { grouped, setText } from "./text.js";

export class Book {
  constructor() {
    this.clear("waiting");
  }

  clear(state) {
    this.sides = { buy: new Map(), sell: new Map() }; // price text -> size text
    this.state = state; // waiting | good
    this.updates = 0;
  }

  /* Takes a `snapshot` or an `l2update` of the feed. Returns false if the book makes no sense afterwards. */
  apply(data) {
    if (data.type === "snapshot") {
      this.clear("good");
      for (const [price, size] of data.bids) this.sides.buy.set(price, size);
      for (const [price, size] of data.asks) this.sides.sell.set(price, size);
    } else if (this.state === "good") {
      this.updates += 1;
      for (const [side, price, size] of data.changes) {
        if (Number(size) === 0) this.sides[side].delete(price);
        else this.sides[side].set(price, size);
      }
    }
    return this.state !== "good" || this.best("buy", 1)[0].number < this.best("sell", 1)[0].number;
  }

  /* The `count` best levels of a side, outwards, with the sum of the sizes so far. */
  best(side, count) {
    const levels = Array.from(this.sides[side], ([price, size]) => ({ price, size, number: Number(price) }));
    levels.sort(side === "buy" ? (a, b) => b.number - a.number : (a, b) => a.number - b.number);
    let total = 0;
    for (const level of levels.slice(0, count)) level.total = total += Number(level.size);
    return levels.slice(0, count);
  }
}

export class Ladder {
  constructor(asks, bids, rows) {
    this.rows = rows;
    this.asks = Array.from({ length: rows }, () => row(asks)).reverse(); // the best ask stands lowest
    this.bids = Array.from({ length: rows }, () => row(bids));
  }

  draw(book) {
    const sides = [
      [this.asks, book.best("sell", this.rows)],
      [this.bids, book.best("buy", this.rows)],
    ];
    const deepest = Math.max(0, ...sides.map(([, levels]) => levels.at(-1)?.total ?? 0));
    for (const [rows, levels] of sides) rows.forEach((cells, index) => fill(cells, levels[index], deepest));
    const [ask, bid] = [sides[0][1][0], sides[1][1][0]];
    return ask && bid ? { ask, bid } : null;
  }
}

function row(body) {
  const line = body.insertRow();
  const cells = { line, price: line.insertCell(), size: line.insertCell(), total: line.insertCell() };
  cells.bar = cells.price.appendChild(document.createElement("i"));
  cells.price = cells.price.appendChild(document.createElement("span"));
  return cells;
}

function fill(cells, level, deepest) {
  setText(cells.price, level ? grouped(level.price) : "–");
  setText(cells.size, level ? grouped(level.size) : "");
  const decimals = level ? (level.size.split(".")[1]?.length ?? 0) : 0;
  setText(cells.total, level ? grouped(level.total.toFixed(decimals)) : "");
  cells.bar.style.transform = `scaleX(${level && deepest ? (level.total / deepest).toFixed(3) : 0})`;
}
