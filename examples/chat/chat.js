/* Rooms in which everybody may speak. What is shown is what came back from relayd, in its order, for all the same. */

import { connect, topic } from "/relayd.js";

const ROOMS = ["lobby", "engine", "garden"];
const NAMES = ["Ada", "Grace", "Edsger", "Barbara", "Donald", "Radia", "Tony", "Frances"];
const KEPT = 200; // lines a room shows
const $ = (id) => document.getElementById(id);
const relay = connect("/ws");
const self = crypto.randomUUID(); // which lines are ours
const rooms = new Map();
let current;

$("name").value = NAMES[Math.floor(Math.random() * NAMES.length)];

for (const name of ROOMS) {
  const room = { lines: [], unread: 0, button: document.createElement("button") };
  rooms.set(name, room);
  room.button.textContent = name;
  room.button.addEventListener("click", () => enter(name));
  $("rooms").append(room.button);
  const reading = relay.subscribe(topic("chat", name), ({ data }) => add(name, line(data)));
  reading.on("lost", ({ count }) => add(name, gap(`${count ?? "Some"} messages are missing here.`)));
}
enter(ROOMS[0]);

function enter(name) {
  current = name;
  for (const [other, { button }] of rooms) button.setAttribute("aria-pressed", other === name);
  const room = rooms.get(name);
  room.unread = 0;
  room.button.textContent = name;
  $("messages").replaceChildren(...room.lines);
  $("messages").scrollTop = $("messages").scrollHeight;
}

function add(name, element) {
  const room = rooms.get(name);
  room.lines.push(element);
  if (room.lines.length > KEPT) room.lines.shift().remove();
  if (name === current) {
    $("messages").append(element);
    $("messages").scrollTop = $("messages").scrollHeight;
  } else {
    room.unread += 1;
    const count = document.createElement("b");
    count.textContent = room.unread;
    room.button.replaceChildren(name, count);
  }
}

function line({ from, name, text }) {
  const element = document.createElement("li");
  element.className = from === self ? "mine" : "";
  const who = document.createElement("small");
  who.textContent = name;
  element.append(who, text);
  return element;
}

function gap(text) {
  const element = document.createElement("li");
  element.className = "gap";
  element.textContent = text;
  return element;
}

$("speak").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value;
  $("text").value = "";
  try {
    await relay.publish(topic("chat", current), { from: self, name: $("name").value, text });
    $("note").textContent = "";
  } catch ({ code, message }) {
    $("text").value = text; // nothing is lost
    $("note").textContent = `Not sent (${code}): ${message}`;
  }
});

relay.on("state", ({ state, retryMs, transport }) => {
  $("connection").dataset.state = state;
  $("connection").textContent = {
    connecting: "Connecting",
    open: transport === "websocket" ? "Live" : `Live, by ${transport}`,
    waiting: `Back in ${Math.ceil(retryMs / 1000)} s`,
    closed: "Closed: reload the page",
  }[state];
});
