/* A wall of machines: each message is one binary frame with three numbers of each of them. */

import { connect } from "/relayd.js";

const MACHINES = 48;
const HEAD_BYTES = 12; // uint32 number, float64 time
const KEPT = 200; // points of a line: ten seconds
const [WARM, HOT] = [72, 82]; // degrees Celsius
const $ = (id) => document.getElementById(id);

const tiles = Array.from({ length: MACHINES }, (_, n) => {
  const tile = document.createElement("section");
  tile.className = "machine";
  tile.innerHTML = "<p><span></span><span></span></p><b>–</b><canvas width=256 height=60></canvas>";
  tile.querySelector("span").textContent = `M${String(n + 1).padStart(2, "0")}`;
  $("wall").append(tile);
  const [, load] = tile.querySelectorAll("span");
  const canvas = tile.querySelector("canvas");
  return { tile, load, value: tile.querySelector("b"), pen: canvas.getContext("2d"), points: [] };
});

let frames = 0;
let bytes = 0;
let newest;

const relay = connect("/ws");
const hall = relay.subscribe("plant/hall-1", ({ bytes: payload }) => {
  frames += 1;
  bytes += payload.byteLength;
  newest = new DataView(payload.buffer, payload.byteOffset);
  for (let n = 0; n < MACHINES; n++) {
    const { points } = tiles[n];
    points.push(newest.getFloat32(HEAD_BYTES + 12 * n));
    if (points.length > KEPT) points.shift();
  }
});

/* Drawn as often as the screen is, whatever comes. */
function draw() {
  requestAnimationFrame(draw);
  if (!newest) return;
  const style = getComputedStyle(document.body);
  const colours = { cool: style.getPropertyValue("--up"), warm: style.getPropertyValue("--warn"), hot: style.getPropertyValue("--down") };
  const count = { cool: 0, warm: 0, hot: 0 };
  tiles.forEach(({ tile, load, value, pen, points }, n) => {
    const now = points.at(-1);
    const state = now >= HOT ? "hot" : now >= WARM ? "warm" : "cool";
    count[state] += 1;
    tile.dataset.state = state;
    value.textContent = `${now.toFixed(1)} °C`;
    load.textContent = `${Math.round(newest.getFloat32(HEAD_BYTES + 12 * n + 4) * 100)} %`;
    line(pen, points, colours[state]);
  });
  $("summary").textContent = `${MACHINES} machines · ${count.warm} warm · ${count.hot} hot`;
}

function line(pen, points, colour) {
  const { width, height } = pen.canvas;
  const low = Math.min(...points) - 0.5;
  const high = Math.max(...points) + 0.5;
  pen.clearRect(0, 0, width, height);
  pen.beginPath();
  points.forEach((point, n) => {
    pen.lineTo((n + KEPT - points.length) * (width / (KEPT - 1)), height - 3 - ((point - low) / (high - low)) * (height - 6));
  });
  pen.strokeStyle = colour;
  pen.lineWidth = 3;
  pen.stroke();
}

setInterval(() => {
  if (frames) $("note").textContent = `${frames} frames a second, ${(bytes / 1024).toFixed(1)} KiB of binary`;
  frames = bytes = 0;
}, 1_000);

const old = (isOld) => document.body.toggleAttribute("data-old", isOld);
hall.on("state", ({ state }) => old(state !== "live"));
hall.on("lost", ({ count }) => ($("note").textContent = `${count ?? "Some"} frames are missing.`));
relay.on("state", ({ state, transport, retryMs }) => {
  if (state !== "open") old(true);
  $("connection").dataset.state = state;
  $("connection").textContent = {
    connecting: "Connecting",
    open: transport === "websocket" ? "Live" : `Live, by ${transport}`,
    waiting: `Back in ${Math.ceil(retryMs / 1000)} s`,
    closed: "Closed: reload the page",
  }[state];
});
requestAnimationFrame(draw);
