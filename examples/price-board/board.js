/* Six prices, live; what is old is grey, and what the network does is said in words. */

import { connect, topic } from "/relayd.js";

const MARKETS = ["BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD", "ADA-USD", "DOGE-USD"];
const $ = (id) => document.getElementById(id);
const relay = connect("/ws");

for (const market of MARKETS) {
  const row = $("board").insertRow();
  const name = document.createElement("th");
  name.scope = "row";
  name.textContent = market;
  row.append(name);
  const [price, change] = [row.insertCell(), row.insertCell()];
  price.textContent = change.textContent = "–";
  let last = null;

  const show = ({ data }) => {
    const now = Number(data.price);
    if (last !== null && now !== last) row.dataset.move = now > last ? "up" : "down";
    last = now;
    const decimals = data.price.split(".")[1]?.length ?? 0;
    price.textContent = now.toLocaleString("en", { minimumFractionDigits: decimals });
    const percent = (now / Number(data.open_24h) - 1) * 100;
    change.textContent = `${percent < 0 ? "−" : "+"}${Math.abs(percent).toFixed(2)} %`;
  };
  const prices = relay.subscribe(topic("demo", "ticker", market), show, { maxHz: 4 });
  prices.on("state", ({ state }) => (row.dataset.state = state));
  prices.on("resumed", ({ recovered }) => {
    $("note").textContent = recovered ? "Back where we stood." : "Back, with the newest prices.";
  });
}

relay.on("state", ({ state, retryMs }) => {
  $("connection").dataset.state = state;
  $("connection").textContent = {
    connecting: "Connecting",
    open: "Live",
    waiting: `Back in ${Math.ceil(retryMs / 1000)} s`,
    closed: "Closed: reload the page",
  }[state];
  if (state !== "open") for (const row of $("board").rows) row.dataset.state = "unknown";
});
