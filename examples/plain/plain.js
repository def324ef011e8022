/* The last trades of two markets, without a library. */

const TOPICS = ["demo/matches/BTC-USD", "demo/matches/ETH-USD"];
const ROWS = 8;
const $ = (id) => document.getElementById(id);

const socket = new WebSocket(`${location.origin.replace("http", "ws")}/ws?topics=${TOPICS}`);

socket.onmessage = ({ data }) => {
  const { op, topic, offset, data: trade } = JSON.parse(data);
  if (op) return; // no publication: an answer, a loss, a state
  const row = $("trades").insertRow(0);
  row.dataset.move = trade.side === "buy" ? "up" : "down";
  row.innerHTML = "<th scope=row></th><td></td><td></td>";
  [topic.split("/").at(-1), trade.price, trade.size].forEach((text, n) => (row.cells[n].textContent = text));
  if ($("trades").rows.length > ROWS) $("trades").deleteRow(-1);
  $("note").textContent = `${topic}, number ${offset}`;
};
const tell = (state, text) => {
  $("connection").dataset.state = state;
  $("connection").textContent = text;
};
socket.onopen = () => tell("open", "Live");
socket.onclose = ({ code, reason }) => tell("closed", `Closed: ${code} ${reason}`);
