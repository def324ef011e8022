/* The table of markets: one row a product, with its price, its day and a chart that grows as data comes. */

import { Chart } from "./chart.js";
import { grouped, setState, setText } from "./text.js";

const NAMES = {
  "BTC-USD": "Bitcoin", "ETH-USD": "Ether", "SOL-USD": "Solana",
  "XRP-USD": "XRP", "ADA-USD": "Cardano", "DOGE-USD": "Dogecoin",
};
export const PRODUCTS = Object.keys(NAMES);

export class Market {
  constructor(body, product, choose) {
    const line = (this.line = body.insertRow());
    line.dataset.state = "pending";
    const head = line.appendChild(document.createElement("th"));
    head.scope = "row";
    this.button = add(head, "button");
    this.button.type = "button";
    this.button.append(product, add(this.button, "small", NAMES[product]));
    this.chart = new Chart(add(line.insertCell(), "canvas"));
    this.chart.canvas.setAttribute("aria-hidden", "true");
    const quote = line.insertCell();
    quote.className = "quote";
    this.bid = add(quote, "span", "–");
    this.ask = add(quote, "span", "–");
    const price = line.insertCell();
    this.price = add(price, "b");
    this.same = add(this.price, "span", "–");
    this.moved = add(this.price, "span");
    this.day = add(price, "small", "–");
    this.last = null;
    line.addEventListener("click", () => choose(product));
  }

  ticker(now, data) {
    this.chart.add(now, Number(data.price));
    this.show(data.price);
    setText(this.bid, grouped(data.best_bid));
    setText(this.ask, grouped(data.best_ask));
    const change = (Number(data.price) / Number(data.open_24h) - 1) * 100;
    setText(this.day, `${change < 0 ? "▼" : "▲"} ${Math.abs(change).toFixed(2)} %`);
    setState(this.day, change < 0 ? "down" : "up");
  }

  /* Colours only the digits that moved. */
  show(price) {
    const text = grouped(price);
    const before = this.last === null ? text : grouped(this.last);
    if (text === before && this.last !== null) return;
    let same = 0;
    while (same < text.length && text[same] === before[same] && text.length === before.length) same += 1;
    const direction = Number(price) >= Number(this.last ?? price) ? "up" : "down";
    this.same.textContent = text.slice(0, same);
    const moved = add(this.price, "span", text.slice(same)); // a new element, so that its fading starts over
    if (this.last !== null) moved.dataset.state = direction;
    this.moved.replaceWith(moved);
    this.moved = moved;
    this.last = price;
  }

  state(state) {
    setState(this.line, state);
    this.button.title = state === "live" ? "" : `prices: ${state}`;
  }

  choose(isChosen) {
    this.line.classList.toggle("is-chosen", isChosen);
    this.button.setAttribute("aria-pressed", String(isChosen));
  }
}

function add(parent, tag, text = "") {
  const element = parent.appendChild(document.createElement(tag));
  element.textContent = text;
  return element;
}
