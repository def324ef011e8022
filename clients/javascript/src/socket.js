/* A link by WebSocket: relayd.v1 as it is.

   Every link tells its owner, `on`: ready() when it takes requests, message(m) for whatever is heard (m is undefined where
   only the line gave a sign), answer(m) for what it says itself, closed(code, reason) at its end. */

const SNAPSHOT = 2 ** 31; // the top bit of the upper half of an offset

export function socketLink(address, options, { WebSocket }, on) {
  const socket = new WebSocket(address.href.replace(/^http/, "ws"));
  socket.binaryType = "arraybuffer";
  socket.onopen = () => on.ready();
  socket.onmessage = ({ data }) => on.message(typeof data === "string" ? JSON.parse(data) : publication(data, on));
  socket.onclose = ({ code, reason }) => on.closed(code, reason);
  return {
    send: (message) => socket.readyState === 1 && socket.send(JSON.stringify(message)),
    close: () => socket.close(),
  };
}

/* uint32 topic reference, uint64 offset, payload. */
function publication(data, on) {
  const view = new DataView(data);
  const upper = view.getUint32(4);
  const offset = (upper % SNAPSHOT) * 2 ** 32 + view.getUint32(8);
  const message = { topic: on.named(view.getUint32(0)), offset, bytes: new Uint8Array(data, 12) };
  if (upper >= SNAPSHOT) message.snapshot = true;
  return message;
}
