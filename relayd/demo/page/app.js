/* The demo page: six markets, one order book and its trades, and what becomes of them when the feed is broken. */

import { Chart } from "./chart.js";
import { Events } from "./events.js";
import { Book, Ladder } from "./ladder.js";
import { Market, PRODUCTS } from "./markets.js";
import { Reading } from "./reading.js";
import { closeSentence, grouped, plural, seconds, setState, setText, topicName } from "./text.js";

const LEVELS = 10;
const TRADES = 21;
const DRAW_EVERY_MS = matchMedia("(prefers-reduced-motion: reduce)").matches ? 500 : 80;
const FIGURES_EVERY_MS = 1_000;
const CHECK_EVERY_MS = 3_000;
const SETTLE_MS = 1_000;

const $ = (id) => document.getElementById(id);
const tickerOf = (product) => `demo/ticker/${product}`;
const bookOf = (product) => `demo/level2/${product}`;
const tradesOf = (product) => `demo/matches/${product}`;

const events = new Events($("events"));
const markets = new Map(PRODUCTS.map((product) => [product, new Market($("markets"), product, choose)]));
const book = new Book();
const ladder = new Ladder($("asks"), $("bids"), LEVELS);
const states = new Map(); // topic -> state
const born = performance.now();
let chosen = PRODUCTS.includes(location.hash.slice(1)) ? location.hash.slice(1) : PRODUCTS[0];
let bookIsNew = false;
let gaps = 0;
let lastTrade = 0;
let bookAt = 0;
let status = { state: "connecting" };
let isMute = false;
let saidAt = 0;
let colours = {};

for (let index = 0; index < TRADES; index++) {
  const line = $("trades").insertRow();
  for (const text of ["–", "", ""]) line.insertCell().textContent = text;
}

// What relayd says

const reading = new Reading({
  status(next) {
    const before = status.state;
    status = { ...next, until: performance.now() + next.retryMs };
    if (next.state === "open" && before !== "open") events.add("good", "This page is connected to relayd.");
    if (next.state === "waiting" && before !== "waiting") {
      for (const topic of reading.topics.keys()) topicState(topic, "unknown");
      events.add("bad", `Disconnected: ${closeSentence(next)}. This page comes back and resumes where it stood.`);
    }
    if (next.state === "closed") events.add("bad", `Closed for good: ${closeSentence(next)}.`);
    drawStations();
  },
  publication(name, message) {
    saidAt = performance.now();
    if (states.get(name) !== "live") topicState(name, "live");
    const [, kind, product] = name.split("/");
    if (kind === "ticker") markets.get(product).ticker(saidAt, message.data);
    else if (product !== chosen) return;
    else if (kind === "level2") bookMessage(name, message.data);
    else tradeMessage(message.data);
  },
  state(name, state, why) {
    const before = states.get(name);
    topicState(name, state);
    if (before && before !== "unknown") events.state(name, state, why); // where it begins is no news
    drawStations();
  },
  resumed(name, recovered) {
    events.state(name, recovered ? "resumed" : "restarted", "");
  },
  lost(notice) {
    events.lost(notice);
    if (notice.topic === bookOf(chosen)) book.clear("waiting"); // a snapshot follows
    if (notice.topic === tradesOf(chosen)) {
      tradeLine(["", notice.count === null ? "perhaps some missing" : `${notice.count} missing`, ""], "gap");
      countGaps(gaps + 1);
    }
  },
  refused(message) {
    events.add("bad", `relayd refused: ${message.message}`);
  },
});

function topicState(name, state) {
  states.set(name, state);
  const [, kind, product] = name.split("/");
  if (kind === "ticker") markets.get(product)?.state(state);
}

function bookMessage(name, data) {
  const isSound = book.apply(data);
  bookIsNew = true;
  bookAt = saidAt;
  if (isSound) return;
  events.add("bad", `The ${topicName(name)} is crossed, so it is wrong; asked for it anew.`);
  book.clear("waiting");
  reading.restart(name);
}

function tradeMessage(trade) {
  if (trade.trade_id <= lastTrade) return; // the feed begins each subscription with the last trade, known or not
  lastTrade = trade.trade_id;
  const side = trade.side === "sell" ? "up" : "down"; // the maker sold: somebody bought
  tradeLine([new Date(trade.time).toTimeString().slice(0, 8), grouped(trade.price), grouped(trade.size)], side);
}

function tradeLine(texts, state) {
  const body = $("trades");
  const line = body.lastElementChild;
  line.dataset.state = state;
  texts.forEach((text, index) => (line.cells[index].textContent = text));
  body.prepend(line);
}

function countGaps(count) {
  gaps = count;
  setText($("whole"), count ? `${plural(count, "gap")}, marked where they are` : "none missing");
  setState($("whole"), count ? "gap" : "good");
}

// What the visitor does

function choose(product) {
  if (product !== chosen) {
    reading.unsubscribe([bookOf(chosen), tradesOf(chosen)]);
    for (const name of [bookOf(chosen), tradesOf(chosen)]) states.delete(name);
    chosen = product;
    history.replaceState(null, "", `#${product}`);
    book.clear("waiting");
    bookIsNew = true;
    countGaps(0);
    lastTrade = 0;
    for (const line of $("trades").rows) {
      line.dataset.state = "";
      [...line.cells].forEach((cell, index) => (cell.textContent = index ? "" : "–"));
    }
    reading.subscribe([bookOf(product), tradesOf(product)]);
  }
  for (const [name, market] of markets) market.choose(name === product);
  for (const element of document.querySelectorAll(".chosen")) element.textContent = product;
}

async function press(action, sentence) {
  try {
    const answer = await fetch(`/demo/${action}`, { method: "POST" });
    if (!answer.ok) throw new Error((await answer.json()).message);
    events.add("calm", sentence);
    exchangeStatus(await answer.json());
    setTimeout(check, SETTLE_MS);
  } catch (error) {
    events.add("bad", `The exchange did not take that: ${error.message}`);
  }
}

async function check() {
  if (document.hidden) return;
  try {
    exchangeStatus(await (await fetch("/demo/status")).json());
  } catch {
    setText($("exchange-status"), "out of reach");
    setState($("exchange"), "bad");
  }
}

function exchangeStatus(answer) {
  isMute = answer.muted;
  $("mute").setAttribute("aria-pressed", String(isMute));
  setText($("mute").firstElementChild, isMute ? "Let it speak again" : "Mute the feed");
  setText($("exchange-status"), isMute ? "Connected, and says nothing" : `Speaking to ${plural(answer.connections, "connection")}`);
  setState($("exchange"), isMute ? "warn" : "good");
  drawStations();
}

$("mute").onclick = () =>
  isMute
    ? press("unmute", "You let the exchange speak again.")
    : press("mute", "You muted the exchange: connections stay open, pings are answered, and no data comes.");
$("drop").onclick = () => press("drop", "You cut the exchange's connections.");
$("skip").onclick = () =>
  press(`skip?product=${chosen}`, `You made the exchange lose one trade of ${chosen}. The next one will give it away.`);

$("reconnect").onclick = () => {
  events.add("calm", "You had this page connect anew, and begin where everything stands now.");
  for (const topic of reading.topics.keys()) topicState(topic, "unknown");
  book.clear("waiting");
  reading.open();
};

// What is drawn

function drawStations() {
  const all = [...reading.topics.keys()].map((name) => states.get(name));
  const worst = ["failed", "reconnecting", "stale", "pending", "unknown"].find((state) => all.includes(state)) ?? "live";
  const isOpen = status.state === "open";
  const feed = !isOpen ? "idle" : { live: "good", pending: "idle", failed: "bad", unknown: "idle" }[worst] ?? "warn";
  const words = {
    live: "Feed is live", pending: "Waiting for data", stale: "Feed has gone quiet", unknown: "–",
    reconnecting: "Dialling the feed again", failed: "Feed refused",
  };
  const hints = {
    stale: "After 5 s of silence it dials again.",
    reconnecting: "Its pauses grow: no feed is stormed.",
    pending: "Live with the first message.",
  };
  setState($("relay"), feed);
  setText($("relay-status"), isOpen ? words[worst] : "–");
  setText($("relay-hint"), (isOpen && hints[worst]) || `${plural(reading.topics.size, "topic")} over one connection`);
  setState($("feed-wire"), feed);
  const here = { open: "good", closed: "bad", waiting: "bad" }[status.state] ?? "idle";
  setState($("page-wire"), here);
  setState($("here"), here);
  if (status.state !== "waiting") {
    setText($("page-status"), { open: "Connected", connecting: "Connecting", closed: "Closed" }[status.state]);
  }
}

let countedAt = born;
let counted = 0;
function drawFigures() {
  const now = performance.now();
  setText($("rate"), ((reading.messages - counted) / ((now - countedAt) / 1000)).toFixed(0));
  [countedAt, counted] = [now, reading.messages];
  setText($("received"), grouped(reading.messages));
  const late = reading.lateness();
  setText($("late"), late === null ? "–" : `${late < 10 ? late.toFixed(1) : Math.round(late)} ms`);
  setText($("span"), `Last ${seconds(Chart.span(now, born)).replace(/\.\d/, "")}`);
  const rows = $("topics").rows;
  const names = [...reading.topics.keys()];
  while (rows.length < names.length) for (let row = $("topics").insertRow(), n = 0; n < 3; n++) row.insertCell();
  names.forEach((name, index) => {
    const { offset } = reading.topics.get(name);
    setText(rows[index].cells[0], name);
    setText(rows[index].cells[1], states.get(name) ?? "…");
    setState(rows[index].cells[1], states.get(name) ?? "unknown");
    setText(rows[index].cells[2], offset == null ? "–" : grouped(offset));
  });
  if (status.state === "waiting") {
    setText($("page-status"), `Back in ${seconds(Math.max(0, status.until - now))}`);
  }
  for (const wire of [$("feed-wire"), $("page-wire")]) wire.classList.toggle("flows", now - saidAt < 1_500);
}

function drawBook() {
  if (!bookIsNew) return;
  bookIsNew = false;
  const touch = ladder.draw(book);
  if (!touch) {
    setText($("middle"), "–");
    setText($("spread"), "spread –");
    return;
  }
  const decimals = touch.ask.price.split(".")[1]?.length ?? 0;
  const spread = touch.ask.number - touch.bid.number;
  setText($("middle"), grouped(((touch.ask.number + touch.bid.number) / 2).toFixed(decimals)));
  setText($("spread"), `spread ${spread.toFixed(decimals)}`);
}

/* What is known of the book: complete and in sequence, or old, or not there yet. */
function drawProof(now) {
  const state = states.get(bookOf(chosen));
  if (book.state !== "good") {
    setText($("proof"), "waiting for a snapshot");
    setState($("proof"), "waiting");
  } else if (state === "live") {
    setText($("proof"), `in sequence, ${grouped(book.updates)} updates since its snapshot`);
    setState($("proof"), "good");
  } else {
    setText($("proof"), `as it was ${seconds(now - bookAt)} ago: ${state === "unknown" ? "disconnected" : state}`);
    setState($("proof"), "gap");
  }
}

let drawnAt = 0;
function draw(now) {
  requestAnimationFrame(draw);
  if (now - drawnAt < DRAW_EVERY_MS) return;
  drawnAt = now;
  drawBook();
  drawProof(now);
  const span = Chart.span(now, born);
  for (const [product, market] of markets) {
    market.chart.draw(now, span, colours, states.get(tickerOf(product)) === "live");
  }
}

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["chart", "quiet"]) colours[name] = style.getPropertyValue(`--${name}`).trim();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readColours);
readColours();
const first = tickerOf(PRODUCTS[0]);
setText($("try-js"), `new WebSocket("${location.origin.replace("http", "ws")}/ws?topics=${first}").onmessage = (e) => console.log(e.data)`);
setText($("try-python"), `python3 -c 'import urllib.request as u; print(u.urlopen("${location.origin}/topics/${first}").read().decode())'`);
setText($("try-curl"), `curl ${location.origin}/topics/${first}`);
reading.subscribe(PRODUCTS.map(tickerOf));
reading.subscribe([bookOf(chosen), tradesOf(chosen)]);
choose(chosen);
reading.open();
events.add("calm", "Break something above: what relayd tells this page about it appears here.");
check();
setInterval(check, CHECK_EVERY_MS);
setInterval(drawFigures, FIGURES_EVERY_MS);
requestAnimationFrame(draw);
