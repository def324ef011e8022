/* Shows my notes as they come. Who I am, relayd knows by the cookie with which the page was loaded. */

const { relay: host, inbox, news, other } = document.body.dataset;
const { connect } = await import(`http://${host}/relayd.js`);

const STATES = { connecting: "Connecting", open: "Live", waiting: "Coming back", closed: "Signed out" };
const show = (id, text) => (document.getElementById(id).textContent = text);
const notes = document.getElementById("notes");

/* One note, in its place; the page may know it already. */
function add({ number, from, text, at }) {
  if (notes.querySelector(`[data-number="${number}"]`)) return;
  const item = document.createElement("li");
  item.dataset.number = number;
  item.append(...[["b", from], ["span", text], ["time", at]].map(([name, content]) => {
    const part = document.createElement(name);
    part.textContent = content;
    return part;
  }));
  notes.append(item);
}

const relay = connect(`ws://${host}/ws`, { hiddenHz: 0 });

relay.on("state", ({ state }) => {
  show("connection", STATES[state]);
  document.getElementById("connection").dataset.state = state;
  for (const button of document.querySelectorAll("#write button, #ask")) button.disabled = state === "closed";
});

relay.subscribe(inbox, ({ data }) => add(data));

/* What is there when the page is opened is about another session of mine. */
relay.subscribe(news, ({ snapshot }) => snapshot || relay.close());

document.getElementById("write").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const answer = await fetch(form.action, { method: "POST", body: new FormData(form) });
  const { message } = await answer.json();
  show("said", answer.ok ? "Sent." : message);
  if (answer.ok) form.elements.text.value = "";
});

document.getElementById("ask").addEventListener("click", () => {
  const asked = relay.subscribe(other, ({ data }) => show("said", `relayd gave ${other}: ${data.text}`));
  asked.on("error", ({ code }) => {
    show("said", `relayd will not give ${other}: ${code}.`);
    asked.unsubscribe();
  });
});
